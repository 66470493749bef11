"""What effects work with: the parts of the process, and one command with all that belongs to it."""

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from pydantic import SecretStr

from mentha.auth.vault import Vault
from mentha.core.config import Settings
from mentha.core.json import JsonValue
from mentha.providers.service import Providers
from mentha.sandbox.expressions import Expressions, Position
from mentha.store.meter import Meter
from mentha.store.pool import Database
from mentha.tools.attachments import Attachments
from mentha.tools.run import Toolbox
from mentha.workflow.context import RunContext
from mentha.workflow.interpreter import Command
from mentha.workflow.marks import Hidden
from mentha.workflow.moves import Fail
from mentha.workflow.names import Names

KEY_CHARS = 32
ProviderKeys = Callable[[UUID], Awaitable[Mapping[str, SecretStr]]]


@dataclass(frozen=True, slots=True)
class Parts:
    """One for the process.

    Attributes:
        tools: what calls of tools are run with; also searches documents and makes vectors.
        vault: signs the marks that stand for secrets.
        provider_keys: gives a tenant's own keys by provider.
        attachments: reads files that messages name.
        meter: takes what prompts cost.
    """

    settings: Settings
    database: Database
    providers: Providers
    expressions: Expressions
    tools: Toolbox
    vault: Vault
    provider_keys: ProviderKeys
    attachments: Attachments
    meter: Meter


class Stopped(Exception):
    """Ends a command with a failure that is already in words."""

    def __init__(self, failure: Fail) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Given(Mapping[str, JsonValue]):
    """The names of a step with the marks of secrets opened, and `secrets` itself.

    Args:
        secrets: by the names that expressions have for them; those of `hidden` unless told.
    """

    def __init__(self, names: Names, hidden: Hidden, secrets: Mapping[str, str] | None = None) -> None:
        self._names = names
        self._hidden = hidden
        self._opened: dict[str, JsonValue] = {"secrets": hidden.values if secrets is None else dict(secrets)}

    def __getitem__(self, name: str) -> JsonValue:
        if name not in self._opened:
            self._opened[name] = self._hidden.opened(self._names[name])
        return self._opened[name]

    def __iter__(self) -> Iterator[str]:
        yield "secrets"
        yield from self._names

    def __len__(self) -> int:
        return len(self._names) + 1


@dataclass(frozen=True, slots=True)
class Job:
    """One command on its way.

    Attributes:
        hidden: the secrets that the plan can name.
        plain_names: of its step, with marks in the place of secrets.
        label: of its step.
        more_secrets: those of the plan, and those that a value can name.
    """

    parts: Parts
    run: RunContext
    command: Command
    hidden: Hidden
    plain_names: Names
    label: str | None
    more_secrets: Callable[[JsonValue], Awaitable[Hidden]]

    @property
    def names(self) -> Mapping[str, JsonValue]:
        """Of its step, with secrets in the clear: for expressions alone."""
        return Given(self.plain_names, self.hidden)

    @property
    def place(self) -> str:
        """Where its step is, for people."""
        labelled = f", labelled `{self.label}`" if self.label else ""
        return f"step {self.command.step} of {self.command.frame[1]}{labelled}"

    @property
    def key(self) -> str:
        """At most 69 letters, the same for every attempt at this step, on whatever worker, and another for every other step.

        What a call had its effect under, a repetition of it must come with.
        """
        scope, workflow = self.command.frame
        place = hashlib.sha256(f"{scope}/{workflow}/{self.command.step}".encode()).hexdigest()[:KEY_CHARS]
        return f"{self.run.execution_id}/{place}"

    @property
    def opened(self) -> int:
        """The number of the row that began the workflow or the branch of its step: another where a step around it is tried again.

        What that one started is what it failed with, maybe: then it must be started anew.
        """
        return self.plain_names.frame.opened

    async def evaluated(self, value: JsonValue, position: Position = "value") -> JsonValue:
        """A value with its expressions evaluated. Secrets in it are in the clear.

        Raises:
            ExpressionFailed, Unavailable: as `Expressions.evaluate`.
        """
        return await self.parts.expressions.evaluate(self.run.tenant, value, self.names, position=position)
