"""Tasks: workflows of steps, with the tools that they use. `main` is run; every other list of steps at the top is a subworkflow.

A definition is the JSON that a request's shape makes: every default filled in, wire names, steps with their `kind_`. In a database its
tools, those inside of prompts too, stand apart (`apart`), because secrets in them are sealed; `whole` puts them back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field, ModelWrapValidatorHandler, PrivateAttr, StrictBool, model_validator

from mentha.core.json import JsonObject
from mentha.wire import masks
from mentha.wire.common import TEXT_16K_CHARS_MAX, CanonicalName, DisplayName, Metadata, Wire, ours, read_only
from mentha.wire.step_parts import InlineTool
from mentha.wire.step_walk import Path, steps_of, workflows_of
from mentha.wire.steps import Steps, strays_of
from mentha.wire.tools import TOOL_TYPES, TOOLS_MAX, inferred

# What a definition has beside workflows; the rest of RESERVED is what answers have, and what clients send back with them.
FIELDS = ("name", "canonical_name", "description", "main", "input_schema", "tools", "inherit_tools", "metadata")
RESERVED = frozenset(
    {*FIELDS, "id", "created_at", "updated_at", "workflows", "version", "developer_id", "task_id", "agent_id", "warnings"},
)


def _typed(value: Any) -> Any:
    return inferred(value) if isinstance(value, dict) else value


class TaskTool(InlineTool):
    """A tool of a task. `type` may be left out where one of its members says it."""

    inherited: StrictBool = Field(False, description="Whether the tool is the agent's", json_schema_extra=read_only())


Tools = Annotated[list[Annotated[TaskTool, BeforeValidator(_typed)]], Field(max_length=TOOLS_MAX)]
FOR_EXPRESSIONS = ("name", "description", "input_schema", "metadata", "inherit_tools")
Description = Annotated[str, Field(max_length=TEXT_16K_CHARS_MAX)]


class _Workflows(Wire, extra="allow"):
    """What has subworkflows beside its fields. `strays` are the places of what nothing reads: told with what else is wrong."""

    __pydantic_extra__: dict[str, Steps] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride] # narrower by intent
    _strays: tuple[Path, ...] = PrivateAttr(())

    @model_validator(mode="wrap")
    @classmethod
    def _sorted_out(cls, given: Any, handler: ModelWrapValidatorHandler["_Workflows"]) -> "_Workflows":
        if not isinstance(given, dict):
            return handler(given)
        others = {name: value for name, value in given.items() if name not in RESERVED}
        workflows = {name: value for name, value in others.items() if cls._is_workflow(value)}
        made = handler({name: given[name] for name in FIELDS if name in given} | workflows)
        main = {"main": given["main"]} if given.get("main") else {}
        made.strays = (*((str(name),) for name in others if name not in workflows), *strays_of(main | workflows))
        return made

    @classmethod
    def _is_workflow(cls, value: Any) -> bool:
        return isinstance(value, list)

    @property
    def strays(self) -> tuple[Path, ...]:
        """Names at the top that are neither fields nor workflows, then members of steps that steps of their kind don't have."""
        return self._strays

    @strays.setter
    def strays(self, paths: tuple[Path, ...]) -> None:
        self._strays = paths


class UpdateTaskRequest(_Workflows):
    """Payload for replacing a task; without `canonical_name` that stays. Secrets that are sent as `ENCRYPTED` stay."""

    name: DisplayName = Field(description="The name of the task")
    canonical_name: CanonicalName | None = Field(None, description="The canonical name of the task")
    description: Description = Field("", description="The description of the task")
    main: Steps = Field(description="The entrypoint of the task")
    # As metadata: null is taken, and `{}` is what it means.
    input_schema: Metadata = Field(default_factory=dict, description="The schema for the input to the task; null means all are valid")
    tools: Tools = Field(default=[], description="Tools defined specifically for this task not included in the Agent itself")
    inherit_tools: StrictBool = Field(False, description="Whether the agent's tools can be used too")
    metadata: Metadata = Field(default_factory=dict)


class CreateTaskRequest(UpdateTaskRequest):
    """Payload for creating a task."""


class CreateOrUpdateTaskRequest(UpdateTaskRequest):
    """Payload for creating a task under an id of one's own, or replacing it; then its canonical name stays."""


class PatchTaskRequest(_Workflows):
    """Payload for changing some fields of a task. Metadata is merged; a subworkflow that is null is taken away."""

    __pydantic_extra__: dict[str, Steps | None] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride] # wider by intent

    name: DisplayName | None = None
    canonical_name: CanonicalName | None = None
    description: Description | None = None
    main: Steps | None = None
    input_schema: JsonObject | None = None
    tools: Tools | None = None
    inherit_tools: StrictBool | None = None
    metadata: Metadata = None

    @classmethod
    def _is_workflow(cls, value: Any) -> bool:
        return value is None or isinstance(value, list)


class IssueDetails(Wire):
    """More of what was found: its stable name, and the expression that it is about."""

    issue_type: str
    expression: str | None = None


class Issue(Wire):
    """What is wrong, or looks wrong, in a definition."""

    location: str = Field(description="Where, like workflows.main.steps[2].evaluate.key")
    message: str
    severity: Literal["error", "warning"]
    type: Literal["python_expression", "schema", "other"]
    details: IssueDetails
    fix: str | None = None
    line: int | None = Field(None, description="The line, where the definition is YAML")


class Task(UpdateTaskRequest):
    """A task as it is now."""

    id: UUID = Field(json_schema_extra=read_only())
    created_at: datetime = Field(json_schema_extra=read_only())
    updated_at: datetime = Field(json_schema_extra=read_only())
    agent_id: UUID | None = Field(None, description="The agent whose task it is", json_schema_extra=read_only(**ours()))
    version: int | None = Field(None, description="1, and one more with each change", json_schema_extra=read_only(**ours()))
    warnings: list[Issue] = Field(default=[], description="What looks wrong in it", json_schema_extra=read_only(**ours()))


class TaskPage(Wire):
    """A page of tasks."""

    items: list[Task]


class TaskVersion(Wire):
    """One of the definitions that a task has had."""

    version: int
    name: str
    description: str
    created_at: datetime = Field(json_schema_extra=read_only())


class TaskVersionPage(Wire):
    """A page of versions."""

    items: list[TaskVersion]


@dataclass(frozen=True, slots=True)
class Draft:
    """A definition that was checked, ready to be stored.

    Attributes:
        definition: without its tools; where one stood inside of a prompt, there is `{"inline": index}` into `tools`.
        tools: all of them as JSON, those of prompts with `"inline": true`; new secrets as they were sent, others as the marker.
        plan: what is run, without its tools; see `workflow/plan.py`.
        warnings: `Issue`s as JSON.
    """

    canonical_name: str | None
    definition: JsonObject
    tools: list[JsonObject]
    plan: JsonObject
    warnings: list[JsonObject]


def definition_of(task: UpdateTaskRequest) -> JsonObject:
    """A request as a definition. The canonical name is no part of it."""
    return task.model_dump(mode="json", by_alias=True, exclude={"canonical_name"})


def merged(definition: JsonObject, patch: PatchTaskRequest) -> JsonObject:
    """What a PATCH makes of a definition: given fields replace, null sets back to the default, metadata is merged."""
    given = patch.model_dump(mode="json", by_alias=True, exclude={"canonical_name"})
    made = dict(definition)
    # Not by `exclude_unset`: steps would lose their defaults.
    for name, value in ((name, given[name]) for name in given if name in patch.model_fields_set):
        if name == "metadata":
            made[name] = {**(definition.get(name) or {}), **(value or {})}
        elif value is not None:
            made[name] = value
        elif name in _DEFAULTS:
            made[name] = _DEFAULTS[name]
        elif name not in FIELDS:
            made.pop(name, None)
    return made


_DEFAULTS: JsonObject = {"description": "", "input_schema": {}, "tools": [], "inherit_tools": False}


def apart(definition: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
    """A definition without its tools, and these: see `Draft`. Changes what it is given inside of prompts."""
    tools: list[JsonObject] = list(definition["tools"])
    for _, step in steps_of(definition):
        held = _held(step)
        for index, tool in enumerate(held):
            if "ref" not in tool:
                tools.append({**tool, "inline": True})
                held[index] = {"inline": len(tools) - 1}
    return {**definition, "tools": []}, tools


def whole(definition: JsonObject, tools: list[JsonObject], show: Callable[[JsonObject], JsonObject]) -> JsonObject:
    """A stored definition with its tools back in their places, each as `show` gives it. Changes what it is given inside of prompts."""
    own = [show(tool) for tool in tools if not tool.get("inline")]
    if len(own) < len(tools):
        for _, step in steps_of(definition):
            held = _held(step)
            for index, tool in enumerate(held):
                if "inline" in tool:
                    held[index] = show(tools[tool["inline"]])
    return {**definition, "tools": own}


def for_expressions(definition: JsonObject, tools: list[JsonObject]) -> JsonObject:
    """What expressions can ask of a stored definition, secrets masked. Changes what it is given inside of prompts.

    Source: section 2.8 of the tasks' spec, and the original, where a tool has its member under `spec`, and `main` is one of the workflows.
    """
    found = whole(definition, tools, shown)
    return {
        **{name: found[name] for name in FOR_EXPRESSIONS},
        "tools": [{**tool, "spec": tool[tool["type"]]} for tool in found["tools"]],
        "workflows": [{"name": name, "steps": steps} for name, steps in workflows_of(found).items()],
    }


def _held(step: JsonObject) -> list[JsonObject]:
    """The tools that a step has for itself."""
    held = step["tools"] if step["kind_"] == "prompt" else None
    return held if isinstance(held, list) else []


def masked(tool: JsonObject) -> JsonObject:
    """A stored tool as a request would have it: secrets masked. What comes back so keeps them."""
    kind = tool["type"]
    return {"name": tool["name"], "type": kind, "description": tool["description"], kind: masks.shown(kind, tool[kind])}


def shown(tool: JsonObject) -> JsonObject:
    """A stored tool as answers have it: every member, secrets masked."""
    return {**dict.fromkeys(TOOL_TYPES), **masked(tool), **({} if tool.get("inline") else {"inherited": False})}
