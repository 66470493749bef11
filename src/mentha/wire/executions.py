"""Executions: a task that runs, or has run, with an input."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Discriminator, Field, Tag

from mentha.wire.common import Metadata, Page, Wire, ours, read_only

ExecutionStatus = Literal["queued", "starting", "running", "awaiting_input", "succeeded", "failed", "cancelled"]
ENDED: frozenset[str] = frozenset(("succeeded", "failed", "cancelled"))
REASON_CHARS_MAX = 2_000


class Execution(Wire):
    """A task that runs, or has run, with an input."""

    id: UUID = Field(json_schema_extra=read_only())
    task_id: UUID = Field(description="The ID of the task that the execution is running", json_schema_extra=read_only())
    status: ExecutionStatus = Field(description="The status of the execution", json_schema_extra=read_only())
    input: dict[str, Any] = Field(description="The input to the execution")
    output: Any = Field(None, description="What its last transition gave: in the end, the result")
    error: str | None = Field(None, description="Why it failed, where it did")
    transition_count: int = Field(0, description="How many transitions it has")
    metadata: Metadata = None
    created_at: datetime = Field(json_schema_extra=read_only())
    updated_at: datetime = Field(json_schema_extra=read_only())
    task_version: int = Field(1, description="The version of the task that it runs", json_schema_extra=ours())
    session_id: UUID | None = Field(None, description="The session that it can see", json_schema_extra=ours())
    user_id: UUID | None = Field(None, description="The user that it can see", json_schema_extra=ours())
    schedule_id: UUID | None = Field(None, description="The schedule that started it", json_schema_extra=ours())
    prompt_tokens: int = Field(0, description="Tokens sent to models so far", json_schema_extra=ours())
    completion_tokens: int = Field(0, description="Tokens got from models so far", json_schema_extra=ours())
    cost: float = Field(0.0, description="What providers said that these cost, in their currency", json_schema_extra=ours())
    finished_at: datetime | None = Field(None, description="When it ended", json_schema_extra=ours())


class ExecutionPage(Wire):
    """A page of executions."""

    items: list[Execution]


class ExecutionsPage(Page):
    """How to list executions; `status` is one to filter by, or None for all."""

    status: ExecutionStatus | None = None


class CreateExecutionRequest(Wire):
    """Payload for creating an execution"""

    input: dict[str, Any] = Field(description="The input to the execution, which must fit the task's `input_schema`")
    metadata: Metadata = Field(default_factory=dict)
    session_id: UUID | None = Field(None, description="A session that its steps can see", json_schema_extra=ours())
    user_id: UUID | None = Field(None, description="A user that its steps can see", json_schema_extra=ours())


class ResumeExecutionRequest(Wire):
    """Payload for giving an execution what it waits for. Where several branches wait, say which one's it is."""

    status: Literal["running"] = "running"
    input: Any = Field(None, description="The input to resume the execution with")
    transition_id: UUID | None = Field(None, description="The `wait` transition that this answers", json_schema_extra=ours())
    scope_id: UUID | None = Field(None, description="The scope that waits", json_schema_extra=ours())
    workflow: str | None = Field(None, description="The workflow or branch that waits", json_schema_extra=ours())
    step: int | None = Field(None, description="The step that waits", json_schema_extra=ours())


class StopExecutionRequest(Wire):
    """Payload for stopping an execution"""

    status: Literal["cancelled"]
    reason: str | None = Field(None, max_length=REASON_CHARS_MAX, description="The reason for stopping the execution")


def _status_of(value: Any) -> str:
    status = value.get("status", "running") if isinstance(value, dict) else getattr(value, "status", "running")
    return "cancelled" if status == "cancelled" else "running"


UpdateExecutionRequest = Annotated[
    Annotated[ResumeExecutionRequest, Tag("running")] | Annotated[StopExecutionRequest, Tag("cancelled")], Discriminator(_status_of)
]


class TaskTokenResumeExecutionRequest(Wire):
    """Payload for answering a wait by its task token."""

    status: Literal["running"] = "running"
    input: Any = Field(None, description="The input to resume the execution with")
