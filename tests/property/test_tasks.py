"""Definitions of any shape: what is stored comes back the same, its plan is well-formed, and every fault has a place in it."""

import json
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mentha.core.yaml import YamlInvalid, loads_yaml
from mentha.wire.step_walk import steps_of
from mentha.wire.tasks import CreateTaskRequest, apart, definition_of, masked, shown, whole
from mentha.workflow.checks import faults
from mentha.workflow.faults import issue_of
from mentha.workflow.plan import assembled, make_plan

EXAMPLES = 60
BODIES = ("then", "else", "do", "map", "try", "catch", "on_error")

texts = st.sampled_from(("x", "$ _", "$ _.a + 1", "$ (", "_", "{{ _.a }}", "{_}", "$ nobody", ""))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("a", "kind_", "tools", "inline")), inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(st.sampled_from(("a", "b")), values, max_size=2)
tools = st.sampled_from(
    (
        {"name": "f", "type": "function", "function": {"parameters": {}}},
        {"name": "c", "api_call": {"method": "GET", "url": "https://x.example/?token=t", "headers": {"A": "$ secrets.x", "X-Key": "k"}}},
        {"name": "i", "integration": {"provider": "dummy", "arguments": {"a": 1}}},
    )
)
common = {
    "label": st.sampled_from(("one", "two")),
    "retry": st.integers(1, 3) | st.just({"delay": 2}),
    "timeout": st.integers(1, 9),
    # Ignored, as the original ignored it.
    "save_as": st.just("x"),
}


def some(required: dict[str, Any], **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional={**optional, **common})


plain = st.one_of(
    some({"evaluate": values}),
    some({"set": objects}),
    some({"return": values}),
    some({"get": st.just("a") | st.just(["a", "b"])}),
    some({"log": texts}),
    some({"error": texts}),
    some({"sleep": st.fixed_dictionaries({}, optional={"seconds": st.integers(0, 99), "days": texts | st.floats(0, 40)})}),
    some(
        {"wait_for_input": st.fixed_dictionaries({"info": values}, optional={"schema": st.just({"type": "object"}) | st.just({"type": 1})})}
    ),
    some({"tool": st.sampled_from("fcz")}, arguments=objects | texts),
    some({"workflow": st.sampled_from(("sub", "main", "gone"))}, arguments=values),
    some(
        {"prompt": texts | st.just([{"role": "user", "content": "$ _"}])},
        tools=st.lists(tools | st.just({"ref": {"name": "f"}}), max_size=3) | st.just("all") | st.none(),
        settings=objects,
        unwrap=st.booleans(),
    ),
    some({"search": texts | st.fixed_dictionaries({"text": texts}, optional={"user_id": texts, "limit": values})}),
    some({"embed": texts | st.lists(texts, min_size=1, max_size=2)}),
)


def compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    body = inner | st.lists(inner, min_size=1, max_size=2)
    return st.one_of(
        some({"if": texts | st.booleans(), "then": body}, **{"else": body}),
        some({"switch": st.lists(st.fixed_dictionaries({"case": texts, "then": body}), min_size=1, max_size=2)}),
        some({"foreach": st.fixed_dictionaries({"in": values, "do": body})}),
        some({"over": values, "map": body}, reduce=texts, initial=values, parallelism=st.integers(1, 100)),
        some({"map_reduce": st.fixed_dictionaries({"over": values, "map": body})}),
        some({"parallel": st.lists(body, min_size=1, max_size=2) | st.dictionaries(st.sampled_from("ab"), body, min_size=1, max_size=2)}),
        some({"try": body}, catch=body),
        some({"log": texts}, on_error=body),
    )


steps = st.recursive(plain, compound, max_leaves=6)
workflows = st.lists(steps, min_size=1, max_size=3)
definitions = st.fixed_dictionaries(
    {"name": st.just("T"), "main": workflows},
    optional={
        "sub": workflows,
        "other": st.just(5),
        "tools": st.lists(tools, max_size=2),
        "inherit_tools": st.booleans(),
        "metadata": objects,
        "input_schema": st.sampled_from(({}, {"type": "object"}, {"type": 5}, None)),
        "description": texts,
    },
)


def parsed(given_: Any) -> tuple[Any, tuple[Any, ...]]:
    task = CreateTaskRequest.model_validate(given_)
    return definition_of(task), task.strays


def plan_steps(bodies: Any) -> Iterator[Any]:
    for body in bodies:
        assert isinstance(body, list)
        for step in body:
            yield step
            yield from plan_steps(step[name] for name in BODIES if step.get(name) is not None)
            yield from plan_steps(case["then"] for case in step.get("cases", ()))
            yield from plan_steps(step.get("branches", ()))


@settings(max_examples=EXAMPLES, deadline=None)
@given(definitions)
def test_definition_that_was_stored_and_shown_means_the_same_when_it_comes_back(given_: Any) -> None:
    definition, strays = parsed(given_)
    once = json.dumps(definition)
    assert [path for path in strays if len(path) == 1] == ([("other",)] if "other" in given_ else [])
    stored, held = apart(json.loads(once))
    kept = json.dumps(stored)
    assert json.dumps(whole(json.loads(kept), held, lambda tool: {name: tool[name] for name in tool if name != "inline"})) == once
    again, _ = parsed(whole(json.loads(kept), held, shown))
    assert again == whole(json.loads(kept), held, masked)
    # Whatever is a secret is in neither.
    assert not re.search(r'token=t\b|"X-Key": "k"', json.dumps(again) + kept)


@settings(max_examples=EXAMPLES, deadline=None)
@given(definitions)
def test_plan_of_a_definition_has_every_step_once_and_all_members_of_its_kind(given_: Any) -> None:
    definition, _ = parsed(given_)
    kinds = sorted(step["kind_"] for _, step in steps_of(definition))
    stored, held = apart(definition)
    plan = json.loads(json.dumps(make_plan(stored, grammar="1")))
    plan = assembled(plan, [{"id": str(index), **tool} for index, tool in enumerate(held)], {})
    found = list(plan_steps(plan["workflows"].values()))
    assert sorted(step["kind"] for step in found) == kinds
    assert {"kind", "label", "retry", "timeout_s", "on_error"} <= set.intersection(*(set(step) for step in found))
    for step in found:
        offered = step.get("tools")
        for tool in offered if isinstance(offered, list) else ():
            assert "ref" in tool or {"id", "name", "type", tool["type"]} <= set(tool)
    assert not any(tool.get("inline") for tool in plan["tools"])


@settings(max_examples=EXAMPLES, deadline=None)
@given(definitions)
def test_fault_of_a_definition_has_a_place_that_is_there(given_: Any) -> None:
    definition, strays = parsed(given_)
    for fault in faults(definition, strays=strays, agent_tools=("f",)):
        issue = issue_of(fault)
        assert issue["message"]
        assert issue["location"].startswith(("workflows.main.steps[", "workflows.sub.steps[", "tools[", "input_schema", "other"))
        part: Any = {**definition, "other": 5}
        # What nothing reads is in the request alone, and its step in both.
        for key in fault.path[:-1] if fault.issue_type == "unknown_member" else fault.path:
            part = part[key]


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.recursive(
        values,
        lambda inner: st.dictionaries(
            st.sampled_from((*common, "log", "if", "then", "switch", "match", "over")), inner | st.lists(inner), max_size=3
        ),
    )
)
def test_anything_in_the_place_of_a_step_is_a_step_or_told_at_its_place(anything: Any) -> None:
    told: list[Any] = []
    try:
        CreateTaskRequest.model_validate({"name": "T", "main": [anything]})
    except ValidationError as error:
        told = error.errors()
    assert all(fault["loc"][:2] == ("main", 0) and fault["msg"] for fault in told)


@settings(max_examples=EXAMPLES, deadline=None)
@given(values)
def test_json_is_yaml_that_means_the_same(value: Any) -> None:
    assert loads_yaml(json.dumps(value).encode(), depth_max_levels=64).value == value


@settings(max_examples=EXAMPLES * 2, deadline=None)
@given(st.text("ab:- \n[]{},&*!|>#'\"\\?%@`~1.", max_size=60) | st.binary(max_size=30))
def test_any_text_is_yaml_or_told_with_a_line(text: str | bytes) -> None:
    raw = text if isinstance(text, bytes) else text.encode()
    line = 1
    try:
        json.dumps(loads_yaml(raw, depth_max_levels=64).value)
    except YamlInvalid as error:
        line = error.line
    assert 1 <= line <= raw.count(b"\n") + raw.count(b"\r") + 2
