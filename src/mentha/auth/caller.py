"""For whom something is done, for what is recorded of it: the key of a request, and the work in whose course it is done. Pure.

The key is set where it is checked, and again where a step of an execution begins; what is started there inherits both.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Work:
    """What something is done in the course of.

    Attributes:
        step: the key of the execution's step.
    """

    agent_id: UUID | None = None
    session_id: UUID | None = None
    execution_id: UUID | None = None
    step: str | None = None


# None outside of a request and of an execution, and for one that came with a token (JWT).
key_id: ContextVar[UUID | None] = ContextVar("key_id", default=None)
work: ContextVar[Work] = ContextVar("work", default=Work())  # noqa: B039 - it is frozen
