"""Transitions: the log of an execution, line by line, as clients see it."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from mentha.wire.common import Wire, ours, read_only

# `retry` is ours: a failed attempt that will be repeated.
TransitionType = Literal["init", "init_branch", "finish", "finish_branch", "wait", "resume", "error", "step", "cancelled", "retry"]
# A line's id is the execution's with its number in the last bits.
SEQ_MASK = 0x7FFF_FFFF


class TransitionTarget(Wire):
    """A step of a workflow, in one of its calls."""

    workflow: str
    step: int
    scope_id: UUID


class Transition(Wire):
    """One step forward of an execution."""

    id: UUID = Field(json_schema_extra=read_only())
    execution_id: UUID = Field(json_schema_extra=read_only())
    type: TransitionType = Field(description="`retry` is ours: a failed attempt that is repeated", json_schema_extra=read_only())
    current: TransitionTarget = Field(json_schema_extra=read_only())
    next: TransitionTarget | None = Field(None, description="Where it goes on, where it does", json_schema_extra=read_only())
    output: Any = Field(None, json_schema_extra=read_only())
    step_label: str | None = Field(None, description="Label of the step", json_schema_extra=read_only())
    metadata: dict[str, Any] | None = Field(None, description="A wait has its `task_token` here, a prompt what it used")
    seq: int = Field(0, description="Place in the log; some numbers are left out", json_schema_extra=ours())
    created_at: datetime = Field(json_schema_extra=read_only())
    updated_at: datetime = Field(json_schema_extra=read_only())


class TransitionPage(Wire):
    """A page of transitions."""

    items: list[Transition]


def id_of(execution_id: UUID, seq: int) -> UUID:
    """The id of a line of an execution's log."""
    return UUID(int=execution_id.int ^ seq)


def seq_of(execution_id: UUID, transition_id: UUID) -> int | None:
    """The number of the line with this id; None where no line of this execution can have it."""
    seq = execution_id.int ^ transition_id.int
    return seq if 0 < seq <= SEQ_MASK else None
