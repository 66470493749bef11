"""Agents: a model, instructions and tools under a name."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from mentha.wire.common import CanonicalName, DisplayName, Metadata, Wire, ours, read_only
from mentha.wire.default_template import DEFAULT_SYSTEM_TEMPLATE
from mentha.wire.tools import TOOLS_MAX, CreateToolRequest

INSTRUCTIONS_MAX = 1_000


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _not_too_many(value: list[str]) -> list[str]:
    if len(value) > INSTRUCTIONS_MAX:
        raise PydanticCustomError("too_long", "An agent has at most {limit} instructions", {"limit": INSTRUCTIONS_MAX})
    return value


# A string is stored, and answered, as a list of one.
Instructions = Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=str | list[str]), AfterValidator(_not_too_many)]


class _Fields(Wire):
    name: DisplayName = Field(description="Name of the agent")
    project: CanonicalName | None = Field(None, description="Canonical name of the project of the agent")
    canonical_name: CanonicalName | None = Field(None, description="Canonical name of the agent")
    about: str = Field("", description="About the agent")
    model: str = Field("", description="Model name to use")
    instructions: Instructions = Field(default=[], description="Instructions for the agent")
    default_settings: dict[str, Any] | None = Field(None, description="Settings of every session's turns, unless a request says otherwise")
    default_system_template: str = Field(DEFAULT_SYSTEM_TEMPLATE, description="System template of sessions that have none")


class Agent(_Fields):
    """Agent model."""

    id: UUID = Field(json_schema_extra=read_only())
    metadata: Metadata = None
    created_at: datetime = Field(json_schema_extra=read_only())
    updated_at: datetime = Field(json_schema_extra=read_only())


class UpdateAgentRequest(_Fields):
    """Payload for replacing an agent; without `canonical_name` or `project` these stay."""

    metadata: Metadata = Field(default_factory=dict)


class CreateAgentRequest(_Fields):
    """Payload for creating an agent."""

    metadata: Metadata = Field(default_factory=dict)
    tools: list[CreateToolRequest] | None = Field(
        None, max_length=TOOLS_MAX, description="Tools to create with it", json_schema_extra=ours()
    )


class CreateOrUpdateAgentRequest(CreateAgentRequest):
    """Payload for creating an agent under an id of one's own, or replacing it. `tools`, where given, replace all tools it has."""


class PatchAgentRequest(Wire):
    """Payload for changing some fields of an agent. Metadata is merged; `default_settings` are replaced."""

    metadata: Metadata = None
    name: DisplayName | None = None
    project: CanonicalName | None = None
    canonical_name: CanonicalName | None = None
    about: str | None = None
    model: str | None = None
    instructions: Instructions | None = None
    default_settings: dict[str, Any] | None = None
    default_system_template: str | None = None


class AgentPage(Wire):
    """A page of agents."""

    items: list[Agent]


class ModelInfo(Wire):
    """One model."""

    id: str = Field(description="The ID/name of the model")


class ListModelsResponse(Wire):
    """Response for the list models endpoint."""

    models: list[ModelInfo] = Field(description="List of available models")
