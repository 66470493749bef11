"""The steps of tasks, one shape a kind. Their authors name no kind: it is told by what a step is written with (`wire/step_kinds.py`).

    evaluate set get return log error      values          wire/steps.py
    tool workflow prompt search embed      calls           and wire/step_parts.py for what prompts are made of
    sleep wait_for_input                   waiting
    if switch foreach over parallel try    steps of steps

A step or a list of steps is the body of another. Everything takes any JSON where the original took certain forms only; `search`, `embed`,
`try`, `retry`, `timeout` and `on_error` are ours.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, SerializerFunctionWrapHandler, StrictBool, Tag, model_serializer
from typing_extensions import TypeAliasType

from mentha.core.json import JsonObject, JsonValue
from mentha.wire.common import Wire, ours, read_only
from mentha.wire.step_kinds import KINDS, kind_of, picked, tag_of
from mentha.wire.step_parts import (
    WAIT_S_MAX,
    Arguments,
    Condition,
    Prompt,
    PromptTools,
    RetryOrNumber,
    SleepFor,
    StepLabel,
    ToolChoice,
    by_form,
)
from mentha.wire.step_walk import Path, bodies_of, items_of
from mentha.wire.tools import ToolName

STEPS_MAX = 1_000
BRANCHES_MAX = 100
PARALLELISM_MAX = 100
KEYS_MAX = 100
TEXTS_MAX = 100
STRAYS_MAX = 100
_OURS = ("retry", "timeout", "on_error")


class Step(Wire):
    """What every step has, beside its `kind_`."""

    label: StepLabel | None = Field(None, description="The label of this step for referencing it from other steps")
    retry: RetryOrNumber | None = Field(None, description="Try again where it fails", json_schema_extra=ours())
    timeout: float | None = Field(None, gt=0, le=WAIT_S_MAX, description="Time limit in seconds", json_schema_extra=ours())
    on_error: "Body | None" = Field(None, description="What to run where it fails in the end", json_schema_extra=ours())

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> JsonObject:
        # What only we have is not shown unless it is used: steps look as they did with the original.
        return {name: value for name, value in handler(self).items() if value is not None or name not in _OURS}


class EvaluateStep(Step):
    """Gives a value with every expression in it evaluated."""

    kind_: Literal["evaluate"] = Field("evaluate", json_schema_extra=read_only())
    evaluate: JsonValue = Field(description="The expression to evaluate")


class ToolCallStep(Step):
    """Gives what a tool gives."""

    kind_: Literal["tool_call"] = Field("tool_call", json_schema_extra=read_only())
    tool: ToolName = Field(description="The tool to run")
    arguments: Arguments = Field("_", description="The input parameters for the tool (defaults to last step output)")


class PromptStep(Step):
    """Gives what a model says."""

    kind_: Literal["prompt"] = Field("prompt", json_schema_extra=read_only())
    prompt: Prompt = Field(description="The prompt to run")
    tools: PromptTools | None = Field("all", description="The tools to use for the prompt")
    tool_choice: ToolChoice | None = Field(None, description="The tool choice for the prompt")
    settings: JsonObject | None = Field(None, description="Settings for the prompt")
    unwrap: StrictBool = Field(False, description="Whether to give the text alone")
    auto_run_tools: StrictBool = Field(False, description="Whether the server runs the tools that the model asks for")
    disable_cache: StrictBool = Field(False, description="Whether to disable caching for the prompt step")


class GetStep(Step):
    """Gives what was set."""

    kind_: Literal["get"] = Field("get", json_schema_extra=read_only())
    get: Annotated[
        Annotated[str, Tag("~text")] | Annotated[list[str], Field(min_length=1, max_length=KEYS_MAX), Tag("~list")], Discriminator(by_form)
    ] = Field(description="The key to get, or several: then an object comes out")


class SetStep(Step):
    """Sets values for later steps of the same workflow."""

    kind_: Literal["set"] = Field("set", json_schema_extra=read_only())
    set: JsonObject = Field(description="The value to set")


class LogStep(Step):
    """Writes a text into the log of the execution; its input is passed on."""

    kind_: Literal["log"] = Field("log", json_schema_extra=read_only())
    log: str = Field(description="The value to log")


class ReturnStep(Step):
    """Ends the workflow with a value."""

    kind_: Literal["return"] = Field("return", json_schema_extra=read_only())
    return_: JsonValue = Field(alias="return", description="The value to return")


class ErrorStep(Step):
    """Fails."""

    kind_: Literal["error"] = Field("error", json_schema_extra=read_only())
    error: str = Field(description="The error message")


class SleepStep(Step):
    """Waits; its input is passed on."""

    kind_: Literal["sleep"] = Field("sleep", json_schema_extra=read_only())
    sleep: SleepFor = Field(description="The duration to sleep for (max 31 days)")


class WaitForInputInfo(Wire):
    """What the client is told while it is waited for, and what it must send."""

    info: JsonValue = Field(description="Any additional info or data")
    schema_: JsonObject | None = Field(None, alias="schema", description="JSON Schema of the input", json_schema_extra=ours())


class WaitForInputStep(Step):
    """Waits for the client; gives what it sends."""

    kind_: Literal["wait_for_input"] = Field("wait_for_input", json_schema_extra=read_only())
    wait_for_input: WaitForInputInfo = Field(description="Any additional info or data")


class YieldStep(Step):
    """Gives what a subworkflow returns."""

    kind_: Literal["yield"] = Field("yield", json_schema_extra=read_only())
    workflow: str = Field(description="The subworkflow to run")
    arguments: JsonValue = Field("_", description="The input of the subworkflow (defaults to last step output)")


class IfElseStep(Step):
    """One of two bodies."""

    kind_: Literal["if_else"] = Field("if_else", json_schema_extra=read_only())
    if_: Condition = Field(alias="if", description="The condition to evaluate")
    then: "Body" = Field(description="The steps to run if the condition is true")
    else_: "Body | None" = Field(None, alias="else", description="The steps to run if the condition is false")


class CaseThen(Wire):
    """One case of a switch; `_` stands for every other."""

    case: Condition = Field(description="The condition to evaluate")
    then: "Body" = Field(description="The steps to run if the condition is true")


class SwitchStep(Step):
    """The first body whose case is true."""

    kind_: Literal["switch"] = Field("switch", json_schema_extra=read_only())
    switch: list[CaseThen] = Field(min_length=1, max_length=BRANCHES_MAX, description="The cond tree")


class ForeachDo(Wire):
    """What to run over, and what to run."""

    in_: JsonValue = Field(alias="in", description="The items: an expression or a list")
    do: "Body" = Field(description="The steps to run for each iteration")


class ForeachStep(Step):
    """A body for each item, one after the other; gives the list of what comes out."""

    kind_: Literal["foreach"] = Field("foreach", json_schema_extra=read_only())
    foreach: ForeachDo = Field(description="The steps to run for each iteration")


class MapReduceStep(Step):
    """A body for each item, some at a time; gives the list of what comes out, or what `reduce` makes of it."""

    kind_: Literal["map_reduce"] = Field("map_reduce", json_schema_extra=read_only())
    over: JsonValue = Field(description="The items: an expression or a list")
    map: "Body" = Field(description="The steps to run for each iteration")
    reduce: str | None = Field(None, description="An expression of `results`, what there is so far, and `_`, what comes out of an item")
    initial: JsonValue = Field(default=[], description="The initial value of the reduce expression")
    parallelism: int | None = Field(None, ge=1, le=PARALLELISM_MAX, description="How many items to run at a time")


class ParallelStep(Step):
    """All bodies at once; gives the list of what comes out, or an object where they have names."""

    kind_: Literal["parallel"] = Field("parallel", json_schema_extra=read_only())
    parallel: Annotated[
        Annotated[list["Body"], Field(min_length=1, max_length=BRANCHES_MAX), Tag("~list")]
        | Annotated[dict[str, "Body"], Field(min_length=1, max_length=BRANCHES_MAX), Tag("~object")],
        Discriminator(lambda value: "~object" if isinstance(value, dict) else "~list"),
    ] = Field(description="The steps to run in parallel, or steps by name")


class TryCatchStep(Step):
    """A body, and another one where it fails."""

    kind_: Literal["try_catch"] = Field("try_catch", json_schema_extra=read_only())
    try_: "Body" = Field(alias="try", description="The steps to run")
    catch: "Body | None" = Field(None, description="The steps to run where one of them fails; `_` is what went wrong and the input")


class SearchFor(Wire):
    """What to look for, and in whose documents: the agent's own, unless an id is given. Every member takes an expression."""

    text: JsonValue = Field(None, description="What to look for")
    vector: JsonValue = Field(None, description="A vector of one's own")
    mode: JsonValue = Field(None, description="text, vector or hybrid")
    agent_id: str | None = Field(None, description="Another agent")
    user_id: str | None = Field(None, description="A user")
    limit: JsonValue = Field(None, description="How many at most")
    lang: JsonValue = None
    confidence: JsonValue = None
    alpha: JsonValue = None
    mmr_strength: JsonValue = None
    metadata_filter: JsonValue = None


def _search(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


class SearchStep(Step):
    """Gives what documents say."""

    kind_: Literal["search"] = Field("search", json_schema_extra=read_only())
    search: Annotated[SearchFor, BeforeValidator(_search, json_schema_input_type=SearchFor | str)]


class EmbedStep(Step):
    """Gives the vectors of texts."""

    kind_: Literal["embed"] = Field("embed", json_schema_extra=read_only())
    embed: Annotated[
        Annotated[str, Tag("~text")] | Annotated[list[str], Field(min_length=1, max_length=TEXTS_MAX), Tag("~list")], Discriminator(by_form)
    ]


AnyStep = TypeAliasType(
    "AnyStep",
    Annotated[
        Annotated[EvaluateStep, Tag("~evaluate")]
        | Annotated[ToolCallStep, Tag("~tool_call")]
        | Annotated[PromptStep, Tag("~prompt")]
        | Annotated[GetStep, Tag("~get")]
        | Annotated[SetStep, Tag("~set")]
        | Annotated[LogStep, Tag("~log")]
        | Annotated[YieldStep, Tag("~yield")]
        | Annotated[ReturnStep, Tag("~return")]
        | Annotated[SleepStep, Tag("~sleep")]
        | Annotated[ErrorStep, Tag("~error")]
        | Annotated[WaitForInputStep, Tag("~wait_for_input")]
        | Annotated[IfElseStep, Tag("~if_else")]
        | Annotated[SwitchStep, Tag("~switch")]
        | Annotated[ForeachStep, Tag("~foreach")]
        | Annotated[ParallelStep, Tag("~parallel")]
        | Annotated[MapReduceStep, Tag("~map_reduce")]
        | Annotated[TryCatchStep, Tag("~try_catch")]
        | Annotated[SearchStep, Tag("~search")]
        | Annotated[EmbedStep, Tag("~embed")],
        Discriminator(tag_of),
        BeforeValidator(picked),
    ],
)
Steps = Annotated[list[AnyStep], Field(min_length=1, max_length=STEPS_MAX)]
Body = TypeAliasType(
    "Body",
    Annotated[
        Annotated[Steps, Tag("~list")] | Annotated[AnyStep, Tag("~step")],
        Discriminator(lambda value: "~list" if isinstance(value, list) else "~step"),
    ],
)

for _model in (*Step.__subclasses__(), CaseThen, ForeachDo):
    _model.model_rebuild()

# `kind_` → what a step of this kind can have.
MEMBERS: Mapping[str, frozenset[str]] = {
    model.model_fields["kind_"].default: frozenset(field.alias or name for name, field in model.model_fields.items())
    for model in Step.__subclasses__()
}
# `kind_` → what such a step begins with.
BEGINNINGS: Mapping[str, str] = {kind: name for name, kind in KINDS.items()}


def strays_of(workflows: Mapping[str, Any]) -> list[Path]:
    """Where steps have members that no step of their kind has, `STRAYS_MAX` at most. Nothing reads these.

    Args:
        workflows: as they were sent; they must have been found valid.
    """
    found = (path for name, steps in workflows.items() for path in _strays((name,), steps))
    return list(islice(found, STRAYS_MAX))


def _strays(path: Path, body: Any) -> Iterator[Path]:
    # A PATCH has null in the place of a workflow that goes.
    for at, given in items_of(path, body) if body is not None else ():
        step = picked(given)
        kind = kind_of(step)
        yield from ((*at, name) for name, value in step.items() if value is not None and name not in MEMBERS[kind])
        for inner, held in bodies_of({**step, "kind_": kind}):
            yield from _strays((*at, *inner), held)
