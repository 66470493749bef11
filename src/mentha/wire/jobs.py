"""Background work, as its owner sees it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from mentha.wire.common import Wire, read_only

JobState = Literal["pending", "in_progress", "retrying", "succeeded", "aborted", "failed", "unknown"]


class JobStatus(Wire):
    """State of a job."""

    id: UUID = Field(json_schema_extra=read_only())
    created_at: datetime = Field(json_schema_extra=read_only())
    updated_at: datetime = Field(json_schema_extra=read_only())
    name: str = Field("", description="Name of the job")
    reason: str = Field("", description="Reason for the current state of the job")
    has_progress: bool = Field(False, description="Whether this job tells its progress")
    progress: float = Field(0.0, ge=0, le=100, description="Progress percentage")
    state: JobState = Field("pending", description="Current state of the job")
