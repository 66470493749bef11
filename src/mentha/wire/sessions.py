"""Sessions: agents and users in one remembered conversation.

`CreateSessionRequest` and `Session` match the published page of `POST /sessions` to the letter (a contract test compares them).
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field, StrictBool

from mentha.wire.common import Wire, ours, read_only
from mentha.wire.recall import RecallOptions

ContextOverflow = Literal["truncate", "adaptive"]
PARTICIPANTS_MAX = 100


class _Settings(Wire):
    situation: str | None = None
    system_template: str | None = None
    render_templates: StrictBool = True
    token_budget: int | None = None
    context_overflow: ContextOverflow | None = None
    auto_run_tools: StrictBool = False
    forward_tool_calls: StrictBool = False
    recall_options: RecallOptions | None = None
    metadata: dict[str, Any] | None = None


class CreateSessionRequest(_Settings):
    """Payload for creating a session"""

    user: UUID | None = None
    users: list[UUID] | None = None
    agent: UUID | None = None
    agents: list[UUID] | None = None


class CreateOrUpdateSessionRequest(CreateSessionRequest):
    """Payload for creating a session under an id of one's own, or replacing it. Named participants replace those there were."""


class UpdateSessionRequest(CreateSessionRequest):
    """Payload for replacing the settings of a session. Participants stay unless a field names some."""


class PatchSessionRequest(Wire):
    """Payload for changing some fields of a session. Metadata is merged; recall options are merged within their mode."""

    situation: str | None = None
    system_template: str | None = None
    render_templates: StrictBool | None = None
    token_budget: int | None = None
    context_overflow: ContextOverflow | None = None
    auto_run_tools: StrictBool | None = None
    forward_tool_calls: StrictBool | None = None
    recall_options: RecallOptions | None = None
    metadata: dict[str, Any] | None = None


class Session(Wire):  # noqa: D101 - the published schema has no description
    situation: str | None = None
    system_template: str | None = None
    summary: str | None = Field(default=None, json_schema_extra=read_only())
    render_templates: StrictBool = True
    token_budget: int | None = None
    context_overflow: ContextOverflow | None = None
    auto_run_tools: StrictBool = False
    forward_tool_calls: StrictBool = False
    recall_options: RecallOptions | None = None
    id: UUID = Field(json_schema_extra=read_only())
    metadata: dict[str, Any] | None = None
    created_at: datetime = Field(json_schema_extra=read_only())
    updated_at: datetime = Field(json_schema_extra=read_only())
    kind: str | None = None
    agent: UUID | None = Field(default=None, description="The agent, where there is one", json_schema_extra=ours())
    agents: list[UUID] | None = Field(default=None, description="The agents in the order given", json_schema_extra=ours())
    user: UUID | None = Field(default=None, description="The user, where there is one", json_schema_extra=ours())
    users: list[UUID] | None = Field(default=None, description="The users in the order given", json_schema_extra=ours())


class SessionPage(Wire):
    """A page of sessions."""

    items: list[Session]


def kind_of(agents: int, users: int) -> str | None:
    """The name of a session's constellation; None once all its agents are gone.

    Source: the subclasses of Session in the contract.
    """
    if agents == 0:
        return None
    who = "single_agent" if agents == 1 else "multi_agent"
    whom = {0: "no_user", 1: "single_user"}.get(users, "multi_user")
    return f"{who}_{whom}"
