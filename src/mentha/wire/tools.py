"""Tools of agents and of chat requests. This version serves the type `function`; the contract's other types are known by name."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from mentha.wire.common import Wire, read_only

ToolType = Literal["function", "integration", "system", "api_call", "computer_20241022", "text_editor_20241022", "bash_20241022"]

TOOL_TYPES_SERVED: frozenset[str] = frozenset({"function"})
TOOLS_MAX = 128

# Source: the contract's Common.validPythonIdentifier, which pydantic's regex engine reads alike.
ToolName = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[^\W0-9]\w*$")]
ToolDescription = Annotated[str, StringConstraints(max_length=16_000)]


class FunctionDef(Wire):
    """A function that the client runs."""

    name: Any | None = Field(None, description="Ignored on input; the tool's name on output")
    description: Any | None = Field(None, description="Used where the tool itself has none")
    parameters: dict[str, Any] | None = Field(None, description="JSON Schema of the arguments")


class CreateToolRequest(Wire):
    """Payload for creating a tool. The member that is named like `type` must be there."""

    name: ToolName
    type: ToolType
    description: ToolDescription | None = None
    function: FunctionDef | None = None
    integration: Any | None = None
    system: Any | None = None
    api_call: Any | None = None
    computer_20241022: Any | None = None
    text_editor_20241022: Any | None = None
    bash_20241022: Any | None = None

    @model_validator(mode="after")
    def _has_its_member(self) -> "CreateToolRequest":
        if getattr(self, self.type) is None:
            raise PydanticCustomError("missing_member", "A tool of type '{type}' needs the field '{type}'", {"type": self.type})
        return self


class Tool(Wire):
    """A tool of an agent."""

    id: UUID = Field(json_schema_extra=read_only())
    created_at: datetime = Field(json_schema_extra=read_only())
    updated_at: datetime = Field(json_schema_extra=read_only())
    name: str
    type: ToolType
    description: str | None = None
    function: FunctionDef | None = None
    integration: Any | None = None
    system: Any | None = None
    api_call: Any | None = None
    computer_20241022: Any | None = None
    text_editor_20241022: Any | None = None
    bash_20241022: Any | None = None


class ToolPage(Wire):
    """A page of tools."""

    items: list[Tool]
