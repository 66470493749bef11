"""What whoever carries out commands is given of an execution, and what it has to be."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from mentha.core.json import JsonObject
from mentha.workflow.interpreter import Command
from mentha.workflow.moves import Done, Fail
from mentha.workflow.state import State


@dataclass(frozen=True, slots=True)
class RunContext:
    """What does not change while a worker runs an execution.

    Attributes:
        agent, session, user: as the API shows them; `agent` is empty where it was deleted meanwhile.
        execution: its record as it was when this worker took it.
        epoch: rises each time that a worker takes it.
    """

    tenant: UUID
    execution_id: UUID
    plan: JsonObject
    agent: JsonObject
    session: JsonObject | None
    user: JsonObject | None
    execution: JsonObject
    epoch: int


class Effects(Protocol):
    """Carries out commands: evaluates, calls tools and models, searches."""

    async def run(self, run: RunContext, state: State, command: Command) -> Done | Fail:
        """What a command gives. Its value is JSON, without secrets; a failure is a value as well. Ended by cancelling it.

        `state` moves on meanwhile: what is needed of it is to be read before the first wait.
        """
        ...


class NoEffects:
    """Stands where nothing can be carried out: every command fails."""

    async def run(self, run: RunContext, state: State, command: Command) -> Done | Fail:  # noqa: ARG002 - as the protocol
        """Fail."""
        return Fail(f"this server can't carry out `{command.kind}`", "not_served")
