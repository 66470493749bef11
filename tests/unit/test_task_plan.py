"""What a definition of every kind of step becomes: the plan that is run."""

from typing import Any

from mentha.expr.checks import GRAMMAR
from mentha.wire.tasks import UpdateTaskRequest, definition_of
from mentha.workflow.checks import draft_of
from mentha.workflow.plan import INTERPRETER, assembled

COMMON = {"label": None, "retry": None, "timeout_s": None, "on_error": None}
GET: Any = {"name": "call", "api_call": {"method": "GET", "url": "https://x.example"}}
LOG: Any = {"kind": "log", **COMMON, "text": "x"}


def draft(main: list[Any], **more: Any) -> Any:
    task = UpdateTaskRequest.model_validate({"name": "T", "main": main, **more})
    return draft_of(definition_of(task), canonical_name=None, strays=task.strays, agent_tools=())


def step(given: Any, **more: Any) -> Any:
    """What one step becomes, without what is the same for all."""
    (made,) = draft([given], **more).plan["workflows"]["main"]
    assert {name: made.pop(name) for name in COMMON} == COMMON
    return made


def test_steps_with_values_keep_them_as_they_are() -> None:
    value = {"a": [1, None, "$ _"], "b": {"c": True}}
    assert step({"evaluate": value}) == {"kind": "evaluate", "value": value}
    assert step({"set": value}) == {"kind": "set", "value": value}
    assert step({"return": "$ _.x"}) == {"kind": "return", "value": "$ _.x"}
    assert step({"get": ["a", "b"]}) == {"kind": "get", "key": ["a", "b"]}
    assert step({"log": "x"}) == {"kind": "log", "text": "x"}
    assert step({"error": "x"}) == {"kind": "error", "message": "x"}


def test_steps_that_wait_have_whole_durations_and_schemas() -> None:
    assert step({"sleep": {"minutes": "$ 1"}}) == {"kind": "sleep", "duration": {"seconds": 0, "minutes": "$ 1", "hours": 0, "days": 0}}
    assert step({"wait_for_input": {"info": [1]}}) == {"kind": "wait_for_input", "info": [1], "schema": None}


def test_steps_that_call_have_their_defaults() -> None:
    assert step({"tool": "call"}, tools=[GET]) == {"kind": "tool_call", "tool": "call", "arguments": "_"}
    assert step({"workflow": "sub"}, sub=[{"log": "x"}]) == {"kind": "yield", "workflow": "sub", "arguments": "_"}
    assert step({"prompt": "x"}) == {
        "kind": "prompt",
        "prompt": "x",
        "tools": "all",
        "tool_choice": None,
        "settings": {},
        "unwrap": False,
        "auto_run_tools": False,
        "disable_cache": False,
    }
    assert step({"prompt": {"role": "user", "content": {"type": "text", "text": "x"}}})["prompt"][0]["content"] == [
        {"type": "text", "text": "x"}
    ]
    assert step({"embed": "x"}) == {"kind": "embed", "text": "x"}
    assert step({"search": "x"}) == {"kind": "search", "owner": "agent", "owner_id": None, "query": {"text": "x"}}
    asked = {"text": "$ _", "user_id": "$ user.id", "limit": "$ 3", "mode": "hybrid"}
    assert step({"search": asked}) == {
        "kind": "search",
        "owner": "user",
        "owner_id": "$ user.id",
        "query": {"text": "$ _", "mode": "hybrid", "limit": "$ 3"},
    }


def test_bodies_are_lists_however_they_were_written() -> None:
    log = {"log": "x"}
    assert step({"if": True, "then": log}) == {"kind": "if_else", "condition": "$ True", "then": [LOG], "else": None}
    assert step({"if": "$ _", "then": [log], "else": [log, log]})["else"] == [LOG, LOG]
    assert step({"switch": [{"case": "$ _", "then": log}, {"case": " _ ", "then": [log]}]})["cases"] == [
        {"case": "$ _", "then": [LOG]},
        {"case": "_", "then": [LOG]},
    ]
    assert step({"foreach": {"in": "$ _", "do": log}}) == {"kind": "foreach", "in": "$ _", "do": [LOG]}
    mapped = {"kind": "map_reduce", "over": [1], "map": [LOG], "reduce": None, "initial": [], "parallelism": None}
    assert step({"over": [1], "map": log}) == step({"map_reduce": {"over": [1], "map": [log]}}) == mapped
    assert step({"parallel": [log, [log]]}) == {"kind": "parallel", "branches": [[LOG], [LOG]], "names": None}
    assert step({"parallel": {"a": log, "b": [log]}}) == {"kind": "parallel", "branches": [[LOG], [LOG]], "names": ["a", "b"]}
    assert step({"try": log}) == {"kind": "try_catch", "try": [LOG], "catch": None}
    assert step({"try": [log], "catch": log})["catch"] == [LOG]


def test_what_every_step_may_have_is_in_the_plan_with_its_units() -> None:
    (made,) = draft([{"log": "x", "label": "l", "retry": 5, "timeout": 2, "on_error": {"log": "x"}}]).plan["workflows"]["main"]
    assert {name: made[name] for name in COMMON} == {
        "label": "l",
        "retry": {"attempts_max": 5, "delay_s": 1.0, "factor": 2.0, "delay_max_s": 60.0},
        "timeout_s": 2.0,
        "on_error": [LOG],
    }


def test_plan_is_whole_when_its_tools_are_put_in_and_looks_like_nothing_else() -> None:
    # Data of an author that looks like a prompt with tools is data.
    trap = {"kind": "prompt", "kind_": "prompt", "tools": [{"inline": 0}]}
    held = {"prompt": "x", "tools": [{**GET, "name": "own"}, {"ref": {"name": "call"}}]}
    made = draft(
        [{"evaluate": trap}, {"parallel": {"tools": [{"over": "$ _", "map": [held]}]}}], tools=[GET], inherit_tools=True, sub=[held]
    )
    assert made.plan["interpreter"] == INTERPRETER
    assert made.plan["grammar"] == GRAMMAR
    tools = [{"id": str(index), **tool} for index, tool in enumerate(made.tools)]
    assert [(tool["name"], tool.get("inline")) for tool in tools] == [("call", None), ("own", True), ("own", True)]
    plan = assembled(made.plan, tools, {"name": "T"})
    assert (plan["tools"], plan["task"], plan["inherit_tools"]) == (tools[:1], {"name": "T"}, True)
    assert list(plan["workflows"]) == ["main", "sub"]
    first, second = plan["workflows"]["main"]
    assert first["value"] == trap
    inner = second["branches"][0][0]["map"][0]["tools"]
    assert [tool.get("id") for tool in (*inner, *plan["workflows"]["sub"][0]["tools"])] == ["1", None, "2", None]
    assert "inline" not in inner[0]
