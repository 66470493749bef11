"""What makes a turn something else than a chat in a session: where it stands, how its answer is written, what is stored with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from mentha.chat.answer import Head, Writer
from mentha.core.json import JsonObject
from mentha.store.pool import Database, Tx


@dataclass(frozen=True, slots=True)
class System:
    """The system message of a turn that brings its own.

    Attributes:
        text: said as it is, never a template; blank for none.
        alone: it stands in the place of the agent's, not after it.
    """

    text: str
    alone: bool


class Form(Protocol):
    """A turn's own ways. One for a turn; it may keep what it learns.

    Attributes:
        kind: of the usage that is recorded.
        system: the system message.
        options: what goes into the request to the provider as it is.
        ids: of the entries of the new messages, in their order.
    """

    kind: str
    system: System
    options: JsonObject
    ids: tuple[UUID, ...]

    @property
    def answer_id(self) -> UUID:
        """Of the answer's entry; asked for when the answer is written."""
        ...

    @property
    def round_ids(self) -> Sequence[UUID]:
        """Of the entries of messages whose calls the server ran, in their order; likewise."""
        ...

    async def place(self, database: Database) -> UUID:
        """Make what the turn stands on, before anything else; gives its session."""
        ...

    def writer(self, head: Head, docs: bytes) -> Writer:
        """How its answer is written."""
        ...

    async def store(self, tx: Tx, answer: bytes) -> None:
        """Store what belongs to the turn, in its transaction.

        Raises:
            MenthaError: nothing of the turn shall be stored.
        """
        ...

    async def failed(self, error: BaseException) -> None:
        """Tell that the turn failed, or was cancelled: nothing of it is stored."""
        ...
