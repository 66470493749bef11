"""Schedules: when to start which task, and with what. Ours: the published API has none."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StrictBool, StringConstraints

from mentha.core.cron import EXPRESSION_CHARS_MAX, TIMEZONE_CHARS_MAX
from mentha.wire.common import Metadata, Wire, ours, read_only

# Of one task.
SCHEDULES_MAX = 100
Name = Annotated[str, StringConstraints(max_length=255)]
Cron = Annotated[str, StringConstraints(min_length=1, max_length=EXPRESSION_CHARS_MAX)]
Timezone = Annotated[str, StringConstraints(min_length=1, max_length=TIMEZONE_CHARS_MAX)]
_CRON = "Minute, hour, day of month, month and day of week, like `0 9 * * MON-FRI`"
_ZONE = "The time zone that they are meant in, like `Europe/Berlin`"


class _Fields(Wire):
    name: Name = Field("", description="Name of the schedule")
    cron: Cron = Field(description=_CRON)
    timezone: Timezone = Field("UTC", description=_ZONE)
    input: dict[str, Any] = Field(default_factory=dict, description="The input of the executions that it starts")
    metadata: Metadata = Field(default_factory=dict, description="The metadata of the executions that it starts")
    paused: StrictBool = Field(False, description="Whether it starts nothing for now")


class Schedule(_Fields):
    """When a task is started by itself. A time that passes while no server runs is made up for once."""

    model_config = Wire.model_config | {"json_schema_extra": ours()}

    id: UUID = Field(json_schema_extra=read_only())
    task_id: UUID = Field(json_schema_extra=read_only())
    next_at: datetime | None = Field(None, description="When it starts the task next", json_schema_extra=read_only())
    last_at: datetime | None = Field(None, description="The time that it last started the task for", json_schema_extra=read_only())
    last_error: str | None = Field(None, description="Why it could not start the task then", json_schema_extra=read_only())
    created_at: datetime = Field(json_schema_extra=read_only())
    updated_at: datetime = Field(json_schema_extra=read_only())


class CreateScheduleRequest(_Fields):
    """Payload for creating a schedule of a task, or replacing one."""


class PatchScheduleRequest(Wire):
    """Payload for changing some fields of a schedule. Metadata and input are replaced as a whole."""

    name: Name | None = None
    cron: Cron | None = None
    timezone: Timezone | None = None
    input: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    paused: StrictBool | None = None


class SchedulePage(Wire):
    """A page of schedules."""

    items: list[Schedule]
