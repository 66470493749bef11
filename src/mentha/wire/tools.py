"""Tools of agents and of chat requests: seven types, each with a member of the same name that says what such a tool is.

    function                                          wire/tools.py         the client runs it
    computer_… , text_editor_… , bash_20241022        wire/tools.py         the client runs it
    integration                                       wire/integrations.py  the server calls a service that it knows
    system                                            wire/system_calls.py  the server calls this API
    api_call                                          wire/api_calls.py     the server sends an HTTP request

Secrets in a tool are shown as `ENCRYPTED` (`wire/masks.py`).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, get_args
from uuid import UUID

from pydantic import Field, StringConstraints, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from mentha.core.errors import FieldInvalid
from mentha.core.json import JsonObject
from mentha.wire import masks
from mentha.wire.api_calls import ApiCallDef
from mentha.wire.common import Wire, read_only
from mentha.wire.integrations import UINT16_MAX, IntegrationDef, provider_name
from mentha.wire.system_calls import SystemDef

ToolType = Literal["function", "integration", "system", "api_call", "computer_20241022", "text_editor_20241022", "bash_20241022"]
TOOL_TYPES: tuple[str, ...] = get_args(ToolType)

TOOLS_MAX = 128

# Source: the contract's Common.validPythonIdentifier, which pydantic's regex engine reads alike.
TOOL_NAME = r"^[^\W0-9]\w*$"
ToolName = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=TOOL_NAME)]
ToolDescription = Annotated[str, StringConstraints(max_length=16_000)]


class FunctionDef(Wire):
    """A function that the client runs."""

    name: Any | None = Field(None, description="Ignored on input; the tool's name on output")
    description: Any | None = Field(None, description="Used where the tool itself has none")
    parameters: dict[str, Any] | None = Field(None, description="JSON Schema of the arguments")


class Computer20241022Def(Wire):
    """A screen, a keyboard and a mouse that the client has."""

    type: Literal["computer_20241022"] = "computer_20241022"
    name: str = "computer"
    display_width_px: int = Field(1024, ge=600, le=UINT16_MAX, description="Width of the screen")
    display_height_px: int = Field(768, ge=400, le=UINT16_MAX, description="Height of the screen")
    display_number: int = Field(1, ge=1, le=10, description="Number of the screen")


class TextEditor20241022Def(Wire):
    """An editor of files that the client has."""

    type: Literal["text_editor_20241022"] = "text_editor_20241022"
    name: str = "str_replace_editor"


class Bash20241022Def(Wire):
    """A shell that the client has."""

    type: Literal["bash_20241022"] = "bash_20241022"
    name: str = "bash"


class _Members(Wire):
    description: ToolDescription | None = None
    function: FunctionDef | None = None
    integration: IntegrationDef | None = None
    system: SystemDef | None = None
    api_call: ApiCallDef | None = None
    computer_20241022: Computer20241022Def | None = None
    text_editor_20241022: TextEditor20241022Def | None = None
    bash_20241022: Bash20241022Def | None = None


class CreateToolRequest(_Members):
    """Payload for creating a tool. The member that is named like `type` must be there; the others are ignored."""

    # Whether there is a stored tool whose secrets the marker can stand for.
    changes_stored: ClassVar[bool] = False

    name: ToolName
    type: ToolType

    @model_validator(mode="before")
    @classmethod
    def _without_other_members(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("type") not in TOOL_TYPES:
            return given
        return {name: value for name, value in given.items() if name not in TOOL_TYPES or name == given["type"]}

    @model_validator(mode="after")
    def _has_its_member(self) -> "CreateToolRequest":
        if getattr(self, self.type) is None:
            raise PydanticCustomError("missing_member", "A tool of type '{type}' needs the field '{type}'", {"type": self.type})
        if not self.changes_stored and masks.has_marker(self.type, spec_of(self)):
            raise PydanticCustomError("nothing_stored", _NOTHING_STORED, {"marker": masks.MARKER})
        return self


_NOTHING_STORED = "'{marker}' stands for a stored secret, and here is none: send the secret itself"


class UpdateToolRequest(CreateToolRequest):
    """Payload for replacing a tool. Secrets that are sent as `ENCRYPTED` stay."""

    changes_stored: ClassVar[bool] = True


class PatchToolRequest(Wire):
    """Payload for changing some fields of a tool. Fields of its member are merged, null takes one away; another type needs its member."""

    name: ToolName | None = None
    type: ToolType | None = None
    description: ToolDescription | None = None
    function: dict[str, Any] | None = None
    integration: dict[str, Any] | None = None
    system: dict[str, Any] | None = None
    api_call: dict[str, Any] | None = None
    computer_20241022: dict[str, Any] | None = None
    text_editor_20241022: dict[str, Any] | None = None
    bash_20241022: dict[str, Any] | None = None


class Tool(_Members):
    """A tool of an agent."""

    id: UUID = Field(json_schema_extra=read_only())
    created_at: datetime = Field(json_schema_extra=read_only())
    updated_at: datetime = Field(json_schema_extra=read_only())
    name: str
    type: ToolType


class ToolPage(Wire):
    """A page of tools."""

    items: list[Tool]


def inferred(given: JsonObject) -> JsonObject:
    """A tool of a task with its `type`, where one of its members says it."""
    members = [kind for kind in TOOL_TYPES if given.get(kind) is not None]
    return given if given.get("type") is not None or len(members) != 1 else {**given, "type": members[0]}


def spec_of(tool: CreateToolRequest) -> JsonObject:
    """The member that is named like the type, as stored."""
    return getattr(tool, tool.type).model_dump(mode="json", by_alias=True, exclude_none=True)


def plain(tool: CreateToolRequest) -> JsonObject:
    """A tool as a JSON object, like those that a turn reads of its agent."""
    return {"name": tool.name, "type": tool.type, "description": tool.description, tool.type: spec_of(tool)}


def shown(tool: JsonObject) -> JsonObject:
    """A tool as a JSON object without secrets, and without what only the server knows of it."""
    kind = tool["type"]
    return {"name": tool["name"], "type": kind, "description": tool["description"], kind: masks.shown(kind, tool[kind])}


def patched(stored: Mapping[str, Any], patch: PatchToolRequest) -> UpdateToolRequest:
    """What a PATCH makes of a stored tool. The fields of its member are merged; another type or another provider replaces all of them.

    Args:
        stored: its `name`, `type`, `description` and `spec`.

    Raises:
        FieldInvalid: the type changes and its member is not there, or what comes out breaks a rule.
    """
    kind = patch.type or stored["type"]
    member: JsonObject | None = getattr(patch, kind)
    others = [each for each in TOOL_TYPES if getattr(patch, each) is not None]
    if member is None and (kind != stored["type"] or others):
        raise FieldInvalid(f"a tool of type '{kind}' needs the field '{kind}'", loc=("body", kind), kind="missing_member")
    given = member or {}
    spec = {**stored["spec"], **given} if _is_same(kind, {**stored["spec"], **given}, stored) else given
    said = "description" in patch.model_fields_set
    whole = {
        "name": patch.name or stored["name"],
        "type": kind,
        "description": patch.description if said else stored["description"],
        kind: spec,
    }
    try:
        return UpdateToolRequest.model_validate(whole)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        raise FieldInvalid(fault["msg"], loc=("body", *fault["loc"]), kind=fault["type"]) from None


def changed_spec(tool: UpdateToolRequest, stored: Mapping[str, Any], fresh: set[str] | None, seal: masks.Change) -> JsonObject:
    """What to store of a tool that changes: new secrets sealed, those that were sent as they are shown kept.

    Args:
        stored: the tool's `type` and `spec` until now.
        fresh: the fields of the member that the change names; the others come from `stored`, sealed already. None for all.
        seal: what to store in the place of a secret.

    Raises:
        FieldInvalid: a marker stands for nothing.
    """
    kind, spec = tool.type, spec_of(tool)
    is_same = _is_same(kind, spec, stored)
    new = {name: value for name, value in spec.items() if name in fresh} if is_same and fresh is not None else spec
    sealed = {**spec, **masks.each_secret(kind, new, lambda value: value if value == masks.MARKER else seal(value))}
    kept = masks.kept(kind, sealed, stored["spec"]) if is_same else sealed
    if masks.has_marker(kind, kept):
        raise FieldInvalid(_NOTHING_STORED.format(marker=masks.MARKER), loc=("body", kind), kind="nothing_stored")
    return kept


def resealed(kind: str, spec: JsonObject, stored: JsonObject | None, seal: masks.Change, *, loc: tuple[str | int, ...]) -> JsonObject:
    """What to store of a tool of a task: secrets sealed, those that were sent as they are shown taken from `stored`, the tool until now.

    Raises:
        FieldInvalid: a marker stands for nothing.
    """
    made = masks.each_secret(kind, spec, lambda value: value if value == masks.MARKER else seal(value))
    if stored is not None and _is_same(kind, spec, {"type": stored["type"], "spec": stored[stored["type"]]}):
        made = masks.kept(kind, made, stored[kind])
    if masks.has_marker(kind, made):
        raise FieldInvalid(_NOTHING_STORED.format(marker=masks.MARKER), loc=loc, kind="nothing_stored")
    return made


def _is_same(kind: str, spec: JsonObject, stored: Mapping[str, Any]) -> bool:
    """Whether a change leaves a tool what it is: the key of one provider is none for another."""
    return kind == stored["type"] and provider_name(spec.get("provider")) == stored["spec"].get("provider")
