"""What is found in definitions before they run: each fault in its place, and nothing where there is none."""

from collections import Counter
from typing import Any

import pytest
from pydantic import ValidationError

from mentha.core.errors import TaskInvalid
from mentha.core.yaml import YamlInvalid, loads_yaml
from mentha.wire.step_kinds import KINDS
from mentha.wire.steps import STRAYS_MAX
from mentha.wire.tasks import CreateTaskRequest, definition_of
from mentha.workflow.checks import NESTING_MAX_LEVELS, draft_of, faults
from tests.support import shared

LOG: Any = {"log": "x"}
CALL: Any = {"name": "call", "api_call": {"method": "GET", "url": "https://x.example", "headers": {}}}


def found(main: list[Any], agent_tools: tuple[str, ...] = (), **more: Any) -> list[tuple[str, str, str]]:
    """Severity, stable name and place of all faults."""
    task = CreateTaskRequest.model_validate({"name": "T", "main": main, **more})
    return [
        (each.severity[0], each.issue_type, ".".join(map(str, each.path)))
        for each in faults(definition_of(task), strays=task.strays, agent_tools=agent_tools)
    ]


@pytest.mark.parametrize(
    ("step", "places"),
    [
        ({**LOG, "save_as": "y"}, ["save_as"]),
        ({**LOG, "name": "y", "description": "z"}, ["name", "description"]),
        ({"try": LOG, "except": LOG}, ["except"]),
        ({"if": "$ _", "then": {**LOG, "arguments": {}}, "else": [LOG, {**LOG, "do": 1}]}, ["then.arguments", "else.1.do"]),
        ({"foreach": {"in": "$ _", "do": {**LOG, "a": 1}}, "on_error": {**LOG, "b": 1}}, ["foreach.do.a", "on_error.b"]),
        ({"switch": [{"case": "_", "then": {**LOG, "a": 1}}]}, ["switch.0.then.a"]),
        ({"parallel": {"x": {**LOG, "a": 1}}}, ["parallel.x.a"]),
        ({"map_reduce": {"over": "$ _", "map": {**LOG, "a": 1}}}, ["map.a"]),
        # What answers have, and data of an author that looks like a step.
        ({**LOG, "kind_": "log", "label": None, "on_error": None}, []),
        ({"evaluate": {"log": "x", "save_as": "y"}}, []),
    ],
)
def test_member_that_no_such_step_has_is_warned_of_in_its_place(step: Any, places: list[str]) -> None:
    assert found([step]) == [("w", "unknown_member", f"main.0.{place}") for place in places]


def test_member_that_no_such_step_has_is_told_with_the_one_that_may_be_meant() -> None:
    task = CreateTaskRequest.model_validate({"name": "T", "main": [{**LOG, "on_eror": LOG}, {**LOG, "zzz": 1}]})
    near, far = faults(definition_of(task), strays=task.strays)
    assert (near.message, near.fix) == ("`on_eror` is no member of a step with `log`, so nothing reads it", "did you mean 'on_error'?")
    assert far.fix == "take it out; such a step has `label`, `log`, `on_error`, `retry`, `timeout`"


def test_members_that_no_step_has_are_told_up_to_a_limit() -> None:
    task = CreateTaskRequest.model_validate({"name": "T", "main": [{**LOG, **{f"m{number}": 1 for number in range(STRAYS_MAX + 1)}}]})
    assert len(task.strays) == STRAYS_MAX


BROKEN = "$ 1 +"


@pytest.mark.parametrize(
    ("step", "place"),
    [
        ({"evaluate": BROKEN}, "evaluate"),
        ({"evaluate": [{"a": BROKEN}]}, "evaluate.0.a"),
        ({"set": {"a": BROKEN}}, "set.a"),
        ({"return": {"a": [BROKEN]}}, "return.a.0"),
        ({"log": BROKEN}, "log"),
        ({"error": BROKEN}, "error"),
        ({"tool": "call", "arguments": {"a": BROKEN}}, "arguments.a"),
        ({"tool": "call", "arguments": BROKEN}, "arguments"),
        ({"workflow": "sub", "arguments": [BROKEN]}, "arguments.0"),
        ({"prompt": BROKEN}, "prompt"),
        ({"prompt": [{"role": BROKEN, "content": "x"}]}, "prompt.0.role"),
        ({"prompt": [{"role": "user", "content": [{"type": "text", "text": BROKEN}]}]}, "prompt.0.content.0.text"),
        ({"prompt": "x", "settings": {"model": BROKEN}}, "settings.model"),
        ({"sleep": {"hours": BROKEN}}, "sleep.hours"),
        ({"wait_for_input": {"info": {"a": BROKEN}}}, "wait_for_input.info.a"),
        ({"if": BROKEN, "then": LOG}, "if"),
        ({"if": "$ _", "then": LOG, "else": [{"log": BROKEN}]}, "else.0.log"),
        ({"switch": [{"case": "_", "then": LOG}, {"case": BROKEN, "then": LOG}]}, "switch.1.case"),
        ({"switch": [{"case": "_", "then": {"log": BROKEN}}]}, "switch.0.then.log"),
        ({"foreach": {"in": BROKEN, "do": LOG}}, "foreach.in"),
        ({"foreach": {"in": ["a", BROKEN], "do": LOG}}, "foreach.in.1"),
        ({"over": BROKEN, "map": LOG}, "over"),
        ({"over": "$ _", "map": {"log": BROKEN}}, "map.log"),
        ({"over": "$ _", "map": LOG, "reduce": BROKEN}, "reduce"),
        ({"over": "$ _", "map": LOG, "reduce": "results +"}, "reduce"),
        ({"parallel": {"a": [{"log": BROKEN}]}}, "parallel.a.0.log"),
        ({"try": {"log": BROKEN}}, "try.log"),
        ({"try": LOG, "catch": [{"log": BROKEN}]}, "catch.0.log"),
        ({"log": "x", "on_error": {"log": BROKEN}}, "on_error.log"),
        ({"search": {"text": BROKEN}}, "search.text"),
        ({"embed": ["x", BROKEN]}, "embed.1"),
    ],
)
def test_broken_expression_is_found_wherever_one_can_stand(step: Any, place: str) -> None:
    assert found([step], tools=[CALL], sub=[LOG]) == [("e", "syntax", f"main.0.{place}")]
    assert found([LOG], tools=[CALL], sub=[step]) == [("e", "syntax", f"sub.0.{place}")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$ steps[3].output", "`steps[3]` comes after this step, so it has not run yet"),
        ("{{steps[9].output}} and {{steps[9].input}}", "`steps[9]` is no step: the workflow has 4, counted from 0"),
        ("$ steps[-1].output", "`steps[-1]` counts from the end, which steps are not counted from"),
        ("$ steps[2]['output']", "`steps[2]` is this step itself, which has no output yet"),
        ("$ steps['frist'].output", "no step of the workflow has the label 'frist'"),
        ("$ [x for x in steps['last'].output]", "`steps['last']` comes after this step, so it has not run yet"),
        *((text, None) for text in ("$ steps[1].output", "$ steps[2].input", "$ steps['first'].output", "$ steps['inner'].input")),
        *(
            (text, None)
            for text in ("$ steps[_].output", "$ steps['0'].output", "$ steps.first", "$ (lambda steps: steps[7])([])", "steps[7]x")
        ),
    ],
)
def test_step_that_can_not_have_run_is_warned_of_where_it_is_named(text: str, message: str | None) -> None:
    inner: Any = {"if": "$ _", "then": {**LOG, "label": "inner"}, "else": {"evaluate": {"a": text}}}
    main: Any = [{**LOG, "label": "first"}, LOG, inner, {**LOG, "label": "last"}]
    # Labels and numbers are those of the workflow of the step.
    other: Any = [{**LOG, "label": "frist"}]
    task = CreateTaskRequest.model_validate({"name": "T", "main": main, "other": other})
    told = [each for each in faults(definition_of(task)) if each.issue_type == "step_not_run"]
    assert [(each.path, each.message, each.severity) for each in told] == (
        [(("main", 2, "else", "evaluate", "a"), message, "warning")] if message else []
    )


def test_label_that_is_not_there_is_told_with_the_one_that_may_be_meant_else_with_what_to_write() -> None:
    first, second, third = {**LOG, "label": "first"}, {"log": "$ steps['frist']"}, {"log": "$ steps['zzz']"}
    task = CreateTaskRequest.model_validate({"name": "T", "main": [first, second, third]})
    near, far = [each.fix for each in faults(definition_of(task))]
    assert near == "did you mean 'first'?"
    assert far == "give the step that is meant `label: zzz`, or name it by its number"


def test_text_that_is_not_evaluated_may_say_anything() -> None:
    steps: list[Any] = [
        {"get": BROKEN},
        {"over": "$ _", "map": LOG, "initial": BROKEN, "reduce": "results + [_]"},
        {"log": "x", "label": BROKEN},
    ]
    assert found(steps, description=BROKEN, metadata={"a": BROKEN}) == []


def test_tool_is_set_up_with_secrets_alone() -> None:
    def tool(**more: Any) -> Any:
        return {"name": "call", "api_call": {**CALL["api_call"], **more}}

    assert found([LOG], tools=[tool(headers={"A": "$ f'Bearer {secrets.k}'"}, json={"literal": "{braces} and {{more}}"})]) == []
    assert found([LOG], tools=[tool(headers={"A": "$ agent.name"})]) == [("e", "undefined_name", "tools.0.api_call.headers.A")]
    assert found([{"prompt": "x", "tools": [tool(params={"a": "$ ("})]}]) == [("e", "syntax", "main.0.tools.0.api_call.params.a")]


def test_tools_count_as_the_task_can_reach_them() -> None:
    steps: list[Any] = [{"tool": "call"}, {"prompt": "x", "tools": [{"ref": {"name": "call"}}, {"ref": {"id": "any"}}]}]
    places = ["main.0.tool", "main.1.tools.0.ref.name"]
    assert found(steps, tools=[CALL]) == []
    assert found(steps) == [("e", "unknown_tool", place) for place in places]
    assert found(steps, ("call",)) == [("e", "unknown_tool", place) for place in places]
    assert found(steps, ("call",), inherit_tools=True) == []
    # The agent may get it before the task is run.
    assert found(steps, inherit_tools=True) == [("w", "unknown_tool", place) for place in places]
    assert found([LOG], tools=[CALL, CALL]) == [("e", "tool_name_taken", f"tools.{index}.name") for index in (0, 1)]
    # A tool of a prompt is for that alone.
    assert found([{"prompt": "x", "tools": [CALL]}, {"tool": "call"}]) == [("e", "unknown_tool", "main.1.tool")]


def test_steps_that_never_run_and_returns_beside_others_are_warned_of() -> None:
    ended: Any = [{"return": 1}, LOG, LOG]
    assert found([{"if": "$ _", "then": ended}]) == [("w", "unreachable", "main.0.then.1")]
    assert found([{"error": "x"}, LOG]) == [("w", "unreachable", "main.1")]
    back: Any = {"if": "$ _", "then": {"return": 1}}
    assert found([{"parallel": [back]}]) == [("w", "return_at_once", "main.0.parallel.0.then.return")]
    assert found([{"over": "$ _", "map": back}]) == [("w", "return_at_once", "main.0.map.then.return")]
    assert found([{"over": "$ _", "map": back, "parallelism": 1}, {"foreach": {"in": "$ _", "do": back}}]) == []


@pytest.mark.parametrize(
    ("sleep", "is_good"),
    [({"seconds": 1}, True), ({"seconds": 0}, False), ({"days": 31}, True), ({"days": 31, "seconds": 1}, False), ({"days": "$ 99"}, True)],
)
def test_sleep_is_longer_than_nothing_and_no_longer_than_a_month(sleep: Any, is_good: bool) -> None:
    assert found([{"sleep": sleep}]) == ([] if is_good else [("e", "sleep_length", "main.0.sleep")])


def test_schemas_are_compiled_before_they_are_needed() -> None:
    assert found([{"wait_for_input": {"info": 1, "schema": {"type": "x"}}}]) == [("e", "schema_invalid", "main.0.wait_for_input.schema")]
    assert found([LOG], input_schema={"$ref": "file:///etc/passwd"}) == [("e", "schema_invalid", "input_schema")]
    assert found([LOG], input_schema={"type": "object"}) == []


def test_names_of_workflows_leave_room_for_those_of_branches() -> None:
    assert [kind for _, kind, _ in found([LOG], (), **{"a`b": [LOG], "x" * 121: [LOG], "with space": [LOG]})] == ["workflow_name"] * 2


def test_label_is_taken_once_in_a_workflow_and_again_in_another() -> None:
    labelled: Any = {**LOG, "label": "l"}
    assert found([labelled, {"if": "$ _", "then": labelled}], sub=[labelled]) == []
    assert [place for _, _, place in found([labelled, LOG, labelled])] == ["main.0.label", "main.2.label"]


def test_nesting_ends_where_the_limit_is() -> None:
    def nested(levels: int) -> Any:
        return LOG if levels == 0 else {"if": "$ _", "then": nested(levels - 1)}

    assert found([nested(NESTING_MAX_LEVELS)]) == []
    assert [kind for _, kind, _ in found([nested(NESTING_MAX_LEVELS + 5)])] == ["too_deep"]


@pytest.mark.parametrize(
    "name", ["match", "while", "for", "map", "then", "catch", "yield", "transform", "api_call", "prompts", "evaluates", "x"]
)
def test_what_is_no_kind_of_step_is_told_with_what_to_write(name: str) -> None:
    with pytest.raises(ValidationError) as raised:
        CreateTaskRequest.model_validate({"name": "T", "main": [{name: {}, "label": "l"}]})
    fault: Any = raised.value.errors()[0]
    assert (fault["type"], fault["loc"]) == ("step_kind", ("main", 0))
    assert any(f"`{kind}" in fault["ctx"]["fix"] for kind in (*KINDS, "tools"))
    assert len(raised.value.errors()) == 1


def test_kind_that_is_null_counts_only_alone() -> None:
    assert found([{"prompt": None, "log": "x"}, {"return": None}]) == []


def test_definition_beyond_its_limits_is_looked_at_no_further() -> None:
    many: Any = {"evaluate": {str(number): BROKEN for number in range(3_001)}}
    assert found([many]) == [("e", "too_many_expressions", "main")]
    assert found([LOG] * 1_000, sub=[{"log": BROKEN}]) == [("e", "too_many_steps", "main")]
    assert len(found([{"evaluate": [BROKEN] * 3_000}])) == 100


# --- the corpus: definitions that were published


UNKNOWN_TOOLS = "calls a tool that neither it nor, without inherit_tools, its agent has: the original failed when it came to it"
UNDEFINED = "names what no expression can name: the original failed when it came to it"
REFUSED = {
    "documentation-documentation-advanced-python-expression-mdx-block7": ("unknown_tool", UNKNOWN_TOOLS),
    "documentation-documentation-concepts-tasks-mdx-block14": ("undefined_name", "an expression that was cut off after `$ f`"),
    "documentation-documentation-concepts-tools-mdx-block0": ("unknown_tool", UNKNOWN_TOOLS),
    "documentation-documentation-concepts-tools-mdx-block13": ("undefined_name", UNDEFINED),
    "documentation-documentation-concepts-tools-mdx-block3": ("undefined_name", UNDEFINED),
    "documentation-documentation-sdks-nodejs-tasks-mdx-block0": ("unknown_tool", UNKNOWN_TOOLS),
    "documentation-documentation-sdks-nodejs-tasks-mdx-block1": ("unknown_tool", UNKNOWN_TOOLS),
    "documentation-documentation-sdks-nodejs-tools-integration-mdx-block7": ("unknown_tool", UNKNOWN_TOOLS),
    "documentation-documentation-sdks-python-advanced-usage-mdx-block1": ("unknown_tool", UNKNOWN_TOOLS),
    "documentation-documentation-sdks-python-tasks-mdx-block4": ("unknown_tool", UNKNOWN_TOOLS),
    "documentation-documentation-tutorials-hacker-news-newsletter-mdx-block9": ("syntax", "the same quotes inside of an f-string"),
    "documentation-documentation-tutorials-julep-assistant-mdx-block2": ("string_type", "`{spider_api_key}` without quotes is an object"),
    "documentation-documentation-tutorials-julep-assistant-mdx-block3": ("unknown_tool", "a piece of a definition, without its tools"),
    "sample-tasks-src-agents-api-tests-sample-tasks-integration-example": ("missing", "a tool without a name, a provider that nobody has"),
}


def test_published_definition_is_taken_or_refused_for_its_own_fault() -> None:
    told: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for file in sorted(shared.path("corpus/tasks").glob("*.yaml")):
        seen["files"] += 1
        try:
            # Pieces of pages lack the name.
            given = {"name": "T", **loads_yaml(file.read_bytes(), depth_max_levels=64).value}
            task = CreateTaskRequest.model_validate(given)
            draft_of(definition_of(task), canonical_name=None, strays=task.strays, agent_tools=())
        except YamlInvalid as error:
            told[file.stem] = str(error)
        except ValidationError as error:
            told[file.stem] = error.errors()[0]["type"]
        except TaskInvalid as error:
            told[file.stem] = error.issues[0]["details"]["issue_type"]
    assert told == {name: kind for name, (kind, _) in REFUSED.items()}
    assert seen["files"] == 65
