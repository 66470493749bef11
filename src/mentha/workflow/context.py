"""What the steps of one execution are run with, on the worker that owns it."""

from dataclasses import dataclass
from uuid import UUID

from mentha.core.json import JsonObject
from mentha.workflow.names import Surroundings


@dataclass(frozen=True, slots=True)
class RunContext:
    """One execution, as its effects see it. Made when a worker takes it; nothing in it changes from then on.

    Attributes:
        plan: as stored with the execution; secrets in its tools are sealed.
        around: what expressions can name of the surroundings; no secret in it is open.
        epoch: of the claim, for what has to tell two workers apart.
        depth: how many executions stand above it, each started by a tool of the one above.
        key_id: what it costs counts for this key.
    """

    tenant: UUID
    execution_id: UUID
    plan: JsonObject
    around: Surroundings
    epoch: int = 0
    depth: int = 0
    key_id: UUID | None = None
