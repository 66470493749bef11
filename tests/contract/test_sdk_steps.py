"""Every kind of step by the official SDK against a real server: what each gives, alone and inside of others. Sections 2 and 3 of the tasks' spec.

Cases of a table run at once, each as a task of its own: main, input, output. What fails is told by its case.
"""

import asyncio
from typing import Any

import julep
import pytest
from julep import AsyncJulep

from tests.contract.test_sdk_executions import until_is
from tests.support import published
from tests.support.model_server import ModelServerHandle, text, tool_calls
from tests.support.sdk import Account, asked, async_sdk
from tests.support.server import ServerProcess
from tests.support.talk import Client, until

Case = tuple[Any, Any, Any]
FAILED = "failed: "


async def ended(sdk: AsyncJulep, execution_id: str) -> Any:
    """The execution when it has ended."""
    last: Any = None
    async for last in await sdk.executions.status.stream(execution_id):
        pass
    return last


async def started(sdk: AsyncJulep, agent: str, main: Any, given: Any = None, **more: Any) -> str:
    """The id of an execution of a new task."""
    name = more.pop("name", "t")
    task = await sdk.tasks.create(agent, name=name, main=main if isinstance(main, list) else [main], extra_body=more)
    return (await sdk.executions.create(task.id, input={} if given is None else given)).id


async def outcome(sdk: AsyncJulep, agent: str, case: Any) -> Any:
    """The output of a case, or its error."""
    main, given, more = case
    done = await ended(sdk, await started(sdk, agent, main, given, **more))
    return done.output if done.status == "succeeded" else f"{FAILED}{done.error}"


async def check(sdk: AsyncJulep, agent: str, *cases: Case, **more: Any) -> None:
    """Run all cases at once; `more` is what their tasks have beside main."""
    got = await asyncio.gather(*(outcome(sdk, agent, (main, given, more)) for main, given, _ in cases))
    wrong = [(main, expected, given) for (main, _, expected), given in zip(cases, got, strict=True) if not _fits(expected, given)]
    assert wrong == []


def _fits(expected: Any, got: Any) -> bool:
    if isinstance(expected, str) and expected.startswith(FAILED):
        return isinstance(got, str) and got.startswith(FAILED) and expected.removeprefix(FAILED) in got
    return got == expected and type(got) is type(expected)


@pytest.fixture
async def free(server: ServerProcess, account: Account) -> Any:
    """The official client as people use it: it takes steps beyond the published shapes, which a strict one refuses to read."""
    async with async_sdk(server.url, account.key, _strict_response_validation=False) as client:
        yield client


@pytest.fixture
async def agent(free: AsyncJulep) -> str:
    """The id of an agent."""
    return (await free.agents.create(name="Mia", about="An agent", model="gpt-x", metadata={"colour": "green"})).id


async def test_values_of_every_form_come_out_as_json(free: AsyncJulep, agent: str) -> None:
    await check(
        free,
        agent,
        ({"evaluate": {"a": "$ _.n + 1", "b": {"c": ["$ _.n", 2, None, True]}}}, {"n": 1}, {"a": 2, "b": {"c": [1, 2, None, True]}}),
        ({"evaluate": ["$ 1", "text", 2.5]}, {}, [1, "text", 2.5]),
        ({"evaluate": "$ _.n"}, {"n": None}, None),
        ({"evaluate": 7}, {}, 7),
        (
            {"evaluate": "$ (1, {2}, zip([1], 'a'), range(2), map(str, [3]), enumerate('b'))"},
            {},
            [1, [2], [[1, "a"]], [0, 1], ["3"], [[0, "b"]]],
        ),
        ({"evaluate": "$ datetime.datetime(2024, 1, 2, 3, 4)"}, {}, "2024-01-02T03:04:00"),
        ({"evaluate": {"t": "$ _.t + 'é\\u4e2d'"}}, {"t": "ß😀\u0000"}, {"t": "ß😀é中"}),
        ({"evaluate": {"ключ": "$ _['ключ']"}}, {"ключ": "да"}, {"ключ": "да"}),
        ({"evaluate": "$ {'items': _.items, 'pairs': list(_.items())}"}, {"items": [1]}, {"items": [1], "pairs": [["items", [1]]]}),
        ({"evaluate": "$ sorted([x for x in _.l if isinstance(x, int)], key=lambda x: -x)"}, {"l": [1, "a", 3]}, [3, 1]),
        ({"evaluate": "$ load_json(extract_json(_.t)) if False else extract_json(_.t)"}, {"t": 'x ```json\n{"a": 1}\n```'}, {"a": 1}),
        ({"return": 5}, {}, 5),
        ({"return": ["$ _.a", {"b": "$ _.a"}]}, {"a": 1}, [1, {"b": 1}]),
        ({"return": "$ _.a"}, {"a": "x"}, "x"),
        ({"evaluate": "$ _.missing"}, {"found": 1}, f"{FAILED}`_.missing`: there is no 'missing'"),
        ({"evaluate": "$ 1 / _.n"}, {"n": 0}, f"{FAILED}`1 / _.n`: ZeroDivisionError"),
    )


async def test_texts_are_rendered_by_the_form_that_they_have(free: AsyncJulep, agent: str) -> None:
    both = {"name": "Ann", "l": [1, 2]}
    await check(
        free,
        agent,
        ({"evaluate": "Hi {{ _.name }}, {{ len(_.l) }}!"}, both, "Hi Ann, 2!"),
        ({"evaluate": "{{ _.l }}"}, both, "[1, 2]"),
        ({"evaluate": "{{ _.l | tojson }} {{ _.name|upper }}"}, both, "[1, 2] ANN"),
        ({"evaluate": "{% for n in _.l %}{{ n }};{% endfor %}"}, both, "1;2;"),
        ({"evaluate": "Hi {_.name} {agent.name}"}, both, "Hi Ann Mia"),
        ({"evaluate": 'Say {"name": "Ann"} or {this}'}, both, 'Say {"name": "Ann"} or {this}'),
        ({"evaluate": "it's $5 and $x"}, both, "it's $5 and $x"),
        ({"evaluate": "_.name"}, both, "Ann"),
        ({"evaluate": "[n + 1 for n in _.l]"}, both, [2, 3]),
        ({"evaluate": "$ f'''{_.name}\n{NEWLINE}'''"}, both, "Ann\n\n"),
        ([{"evaluate": "$ 1"}, {"evaluate": "outputs[0] + 1"}, {"evaluate": "$ [outputs[1], inputs[0].name, _]"}], both, [2, "Ann", 2]),
    )


async def test_task_tells_of_its_tools_without_their_secrets_and_of_its_workflows(free: AsyncJulep, agent: str) -> None:
    headers = {"Authorization": "Bearer t0p", "X-Plain": "p"}
    call = {"name": "call", "type": "api_call", "api_call": {"method": "GET", "url": "https://example.com", "headers": headers}}
    inside = {"name": "inside", "type": "api_call", "api_call": {"method": "GET", "url": "https://example.com", "headers": headers}}
    prompt = {"prompt": "hi", "tools": [inside]}
    main = [
        {
            "evaluate": {
                "tools": "$ [[t.name, t.type, t.spec.method, t.api_call == t.spec, t.inherited] for t in task.tools]",
                "workflows": "$ [[w.name, [s.kind_ for s in w.steps]] for w in task.workflows]",
                "inner": "$ task.workflows[1].steps[0].tools[0].name",
                "plain": "$ task.tools[0].spec.headers['X-Plain']",
                "has_secret": "$ 't0p' in dump_json([task.tools, task.workflows[1]])",
                "inherit_tools": "$ task.inherit_tools",
            }
        }
    ]
    told = {
        "tools": [["call", "api_call", "GET", True, False]],
        "workflows": [["main", ["evaluate"]], ["sub", ["prompt"]]],
        "inner": "inside",
        "plain": "p",
        "has_secret": False,
        "inherit_tools": False,
    }
    await check(free, agent, (main, {}, told), tools=[call], sub=[prompt])


async def test_names_tell_of_the_steps_before_and_of_what_is_around(free: AsyncJulep, agent: str) -> None:
    around = {
        "agent": "$ [agent.name, agent.metadata.colour]",
        "task": "$ task.name",
        "execution": "$ execution.input == arguments and execution.status",
        "ids": "$ len(developer_id) == 36 and len(execution.id) == 36",
        "nobody": "$ [user, session]",
    }
    told = {"agent": ["Mia", "green"], "task": "t", "execution": "queued", "ids": True, "nobody": [None, None]}
    labelled: Any = [
        {"evaluate": {"n": "$ _.n"}, "label": "first"},
        {"if": "$ True", "then": [{"log": "x"}, {"evaluate": "$ steps['first'].output.n + len(steps)"}]},
        {"evaluate": "$ [steps[0].input.n, steps['first'].output.n, steps[1].output, inputs[1].n]"},
    ]
    numbered = [{"0": 1}, 1, [0, 1, 2], 1]
    state: Any = [
        {"set": {"a": 1, "b": "$ _.n"}},
        {"foreach": {"in": "$ [1, 2]", "do": {"set": {"last": "$ _"}}}},
        {"workflow": "look"},
        {"evaluate": {"inside": "$ _", "state": "$ state"}},
        {"set": {"all": "$ _"}},
        {"get": ["a", "last", "all"]},
    ]
    await check(
        free,
        agent,
        ({"evaluate": around}, {"n": 1}, told),
        ([{"if": "$ True", "then": {"evaluate": 5, "label": "inside"}}, {"evaluate": "$ steps['inside'].output"}], {}, 5),
        (labelled, {"n": 5}, [5, 5, 8, 5]),
        (state, {"n": 2}, {"a": 1, "last": 2, "all": {"inside": None, "state": {"a": 1, "b": 2, "last": 2}}}),
        ([{"set": {"k": "v"}}, {"get": "k"}], {}, "v"),
        ([{"set": {"k": 1}}, {"evaluate": "$ state"}, {"set": {"all": "$ _"}}, {"evaluate": "$ state"}], {}, {"k": 1, "all": {"k": 1}}),
        # What is numbered has texts for keys once it is JSON, in the process that made it too.
        ([{"evaluate": 1}, {"evaluate": "$ outputs"}, {"evaluate": "$ [_, _['0'], list(steps), steps[0].output]"}], {}, numbered),
        ([{"log": "$ f'{_.n}'"}, {"return": {"n": "$ _.n"}}], {"n": 3}, {"n": 3}),
        look=[{"get": "a"}],
    )


async def test_task_in_expressions_has_its_tools_without_their_secrets(free: AsyncJulep, agent: str) -> None:
    call = {"method": "GET", "url": "https://x.example", "headers": {"Authorization": "Bearer hidden-value"}}
    tools = [{"name": "call", "type": "api_call", "api_call": call}, {"name": "ask", "type": "function", "function": {"parameters": {}}}]
    named = [{"evaluate": "$ [[tool.name, tool.type] for tool in task.tools]"}, [["call", "api_call"], ["ask", "function"]]]
    hidden = [{"evaluate": "$ task.tools[0].api_call.headers.Authorization"}, "ENCRYPTED"]
    cases: list[Case] = [(main, {}, told) for main, told in (named, hidden, [{"evaluate": "$ task.inherit_tools"}, False])]
    await check(free, agent, *cases, tools=tools)


async def test_branches_are_taken_by_condition_and_case(free: AsyncJulep, agent: str) -> None:
    cases = [{"case": "$ _.n > 5", "then": {"evaluate": "big"}}, {"case": "$ _.n == 5", "then": [{"log": "x"}, {"evaluate": "five"}]}]
    falsy = [{"evaluate": "$ []"}, {"switch": [{"case": "$ _", "then": {"return": 1}}, {"case": "_", "then": {"evaluate": "always"}}]}]
    await check(
        free,
        agent,
        ({"if": "$ _.n", "then": {"evaluate": "yes"}, "else": {"evaluate": "no"}}, {"n": [0]}, "yes"),
        ({"if": "$ _.n", "then": {"evaluate": "yes"}, "else": {"evaluate": "no"}}, {"n": []}, "no"),
        ({"if": "$ _.n", "then": {"evaluate": "yes"}}, {"n": 0}, {"output": {"n": 0}}),
        ({"switch": cases}, {"n": 6}, "big"),
        ({"switch": cases}, {"n": 5}, "five"),
        ({"switch": cases}, {"n": 1}, f"{FAILED}no case of the switch is true"),
        (falsy, {}, "always"),
        ([{"if": "$ True", "then": {"switch": [{"case": "_", "then": [{"return": "early"}]}]}}, {"evaluate": "late"}], {}, "early"),
        ([{"foreach": {"in": "$ [1, 2, 3]", "do": {"if": "$ _ == 2", "then": {"return": "$ _"}}}}, {"evaluate": "late"}], {}, 2),
        ([{"over": "$ [1, 2]", "map": [{"try": {"return": "$ _"}}], "parallelism": 1}, {"evaluate": "late"}], {}, 1),
        ([{"workflow": "early", "arguments": {"n": 4}}, {"evaluate": {"got": "$ _"}}], {}, {"got": {"n": 4}}),
        early=[{"if": "$ _.n", "then": {"return": {"n": "$ _.n"}}}, {"error": "too late"}],
    )


async def test_loops_give_lists_in_order_and_folds_what_reduce_says(free: AsyncJulep, agent: str) -> None:
    double: Any = {"evaluate": "$ _ * 2"}
    nested = {"over": "$ [[1, 2], [3]]", "map": {"foreach": {"in": "$ _", "do": [{"log": "x"}, double]}}}
    await check(
        free,
        agent,
        ({"foreach": {"in": "$ range(3)", "do": double}}, {}, [0, 2, 4]),
        ({"foreach": {"in": "$ _.nothing", "do": double}}, {"nothing": []}, []),
        ({"foreach": {"in": "_.l", "do": {"workflow": "twice"}}}, {"l": [1, 2]}, [2, 4]),
        ({"over": "$ _.d", "map": {"evaluate": "$ _"}}, {"d": {"a": 1, "b": 2}}, ["a", "b"]),
        ({"over": "$ 'ab'", "map": {"evaluate": "$ _ + '!'"}}, {}, ["a!", "b!"]),
        ({"over": "$ range(30)", "map": double, "parallelism": 7}, {}, [n * 2 for n in range(30)]),
        ({"over": "$ [1, 2, 3]", "map": double, "reduce": "results + [_]"}, {}, [2, 4, 6]),
        ({"over": "$ [1, 2, 3]", "map": double, "reduce": "$ results + _", "initial": 10, "parallelism": 3}, {}, 22),
        ({"over": "$ [1, 2, 3]", "map": double, "reduce": "$ results + [_item for _item in [_]]", "parallelism": 1}, {}, [2, 4, 6]),
        ({"over": "$ []", "map": double, "reduce": "$ results + _", "initial": 7}, {}, 7),
        ({"over": "$ [3, 4]", "map": {"workflow": "twice"}}, {}, [6, 8]),
        (nested, {}, [[2, 4], [6]]),
        ({"over": "$ [1, 0]", "map": {"evaluate": "$ 1 / _"}}, {}, f"{FAILED}`1 / _`"),
        ({"over": "$ 5", "map": double}, {}, FAILED),
        ({"parallel": [double, [{"evaluate": "$ _ * 3"}, double]]}, None, FAILED),
        ([{"evaluate": 2}, {"parallel": [double, [{"evaluate": "$ _ * 3"}, double]]}], {}, [4, 12]),
        ([{"evaluate": 2}, {"parallel": {"a": double, "b": [{"parallel": [double]}]}}], {}, {"a": 4, "b": [4]}),
        twice=[{"return": "$ _ * 2"}],
    )


async def test_workflow_calls_itself_until_it_ends_and_no_deeper_than_it_may(free: AsyncJulep, agent: str) -> None:
    down = [
        {
            "if": "$ _.n > 0",
            "then": {"workflow": "down", "arguments": {"n": "$ _.n - 1", "l": "$ _.l + [_.n]"}},
            "else": {"return": "$ _.l"},
        }
    ]
    await check(
        free,
        agent,
        ({"workflow": "down", "arguments": {"n": 20, "l": []}}, {}, list(range(20, 0, -1))),
        ({"workflow": "endless"}, {}, f"{FAILED}workflows and branches are nested deeper than"),
        down=down,
        endless=[{"workflow": "endless"}],
    )


async def test_errors_are_caught_handled_repeated_or_end_the_execution(free: AsyncJulep, agent: str) -> None:
    bad: Any = {"evaluate": "$ 1 / 0"}
    kinds = {"evaluate": "$ [_.error.kind, _.error.step, _.error.workflow, _.input.n]"}
    await check(
        free,
        agent,
        ([{"log": "x"}, {"error": "$ 'no ' + _.n"}], {"n": "way"}, f"{FAILED}Error raised by ErrorWorkflowStep: no way"),
        ({"try": [{"log": "x"}, bad], "catch": kinds}, {"n": 1}, ["expression", 1, "`main`[0].try", 1]),
        ({"try": {"evaluate": 5}, "catch": {"error": "never"}}, {}, 5),
        ({"try": bad, "catch": {"error": "again"}}, {}, f"{FAILED}Error raised by ErrorWorkflowStep: again"),
        ({**bad, "on_error": [{"log": "x"}, kinds]}, {"n": 2}, ["expression", 0, "main", 2]),
        ({**bad, "retry": {"max_attempts": 2, "delay": 0.01}, "on_error": {"evaluate": "given up"}}, {}, "given up"),
        ({"sleep": {"seconds": 30}, "timeout": 0.2, "on_error": {"evaluate": "$ _.error.kind"}}, {}, "timeout"),
        ({"wait_for_input": {"info": {}}, "timeout": 0.2, "on_error": {"evaluate": "nobody came"}}, {}, "nobody came"),
        ({"workflow": "fails", "on_error": {"evaluate": "$ _.error.workflow"}}, {}, "fails"),
        ({"over": "$ [1, 0]", "map": {"evaluate": "$ 1 / _", "on_error": {"evaluate": -1}}}, {}, [1.0, -1]),
        ([{"sleep": {"seconds": "$ _.s"}}, {"evaluate": "$ _.s"}], {"s": 0.1}, 0.1),
        ({"sleep": {"seconds": "$ -1"}}, {}, f"{FAILED}a sleep takes more than 0 s"),
        fails=[{"error": "x"}],
    )


# --- what waits for the client


async def test_branches_wait_at_once_and_each_gets_its_answer(free: AsyncJulep, agent: str) -> None:
    ask: Any = {"wait_for_input": {"info": {"who": "$ _"}}}
    main: Any = [{"over": "$ ['a', 'b', 'c']", "map": [ask, {"evaluate": "$ [_.said]"}]}, {"evaluate": {"all": "$ _"}}]
    made = await started(free, agent, main)
    await until_is(free, made, "awaiting_input")
    waits = [each async for each in await free.executions.transitions.list(made, direction="asc") if each.type == "wait"]
    assert [each.output for each in waits] == [{"who": "a"}, {"who": "b"}, {"who": "c"}]
    with pytest.raises(julep.ConflictError):
        await free.executions.change_status(made, input={"said": 0})
    by_id = {"transition_id": waits[2].id}
    await free.executions.change_status(made, input={"said": 3}, extra_body=by_id)
    place = waits[0].current
    await free.executions.change_status(made, input={"said": 1}, extra_body={"scope_id": place.scope_id, "workflow": place.workflow})
    # The last one needs no name.
    await until_is(free, made, "awaiting_input")
    await free.executions.change_status(made, input={"said": 2})
    assert (await ended(free, made)).output == {"all": [[1], [2], [3]]}
    types = [each.type async for each in await free.executions.transitions.list(made, direction="asc")]
    assert (types.count("wait"), types.count("resume"), types[-1]) == (3, 3, "finish")


async def test_answer_is_checked_by_the_schema_of_the_wait(free: AsyncJulep, agent: str) -> None:
    schema = {"type": "object", "required": ["yes"], "properties": {"yes": {"type": "boolean"}}}
    made = await started(free, agent, [{"wait_for_input": {"info": "$ 'sure?'", "schema": schema}}, {"evaluate": "$ _.yes"}])
    assert (await until_is(free, made, "awaiting_input")).output == "sure?"
    with pytest.raises(julep.BadRequestError):
        await free.executions.change_status(made, input={"yes": "perhaps"})
    await free.executions.change_status(made, input={"yes": True})
    assert (await ended(free, made)).output is True


# --- tools


async def test_tools_of_every_type_are_called_by_a_step(
    free: AsyncJulep, agent: str, services: published.Services, models: ModelServerHandle
) -> None:
    url = f"{services.url}/news"
    await free.agents.tools.create(agent_id=agent, name="hers", type="function", function={"parameters": {"type": "object"}})
    tools: list[Any] = [
        {"name": "story", "type": "api_call", "api_call": {"method": "GET", "url": url + "/v0/item/{number}.json"}},
        {"name": "search", "type": "integration", "integration": {"provider": "brave", "setup": services.setups_of("brave")}},
        {"name": "same", "integration": {"provider": "dummy", "arguments": {"b": 2}}},
        {"name": "docs", "type": "system", "system": {"resource": "agent", "subresource": "doc", "operation": "list"}},
        {"name": "gone", "type": "api_call", "api_call": {"method": "GET", "url": f"{services.url}/nothing"}},
    ]
    failing = {"tool": "gone", "on_error": {"evaluate": "$ _.error.kind"}}
    await check(
        free,
        agent,
        (
            [{"tool": "story", "arguments": {"number": "$ _.n"}}, {"evaluate": "$ [_.status_code, _.json.title]"}],
            {"n": "2"},
            [200, "Tea 2"],
        ),
        ([{"tool": "search", "arguments": {"query": "tea", "count": 1}}, {"evaluate": "$ _.result[0].title"}], {}, "tea & 0"),
        ({"tool": "same", "arguments": {"a": "$ _.a"}}, {"a": 1}, {"a": 1, "b": 2}),
        ({"tool": "same", "arguments": "_"}, {"a": 1}, {"a": 1, "b": 2}),
        ({"tool": "same"}, {"a": 1}, {"a": 1, "b": 2}),
        ({"tool": "docs", "arguments": {"agent_id": "$ str(agent.id)"}}, {}, []),
        ([{"tool": "story", "arguments": {"url": f"{url}/v0/item/1.json"}}, {"evaluate": "$ _.json.title"}], {}, "Tea 1"),
        (failing, {}, "http_404"),
        ({"over": "$ [1, 2]", "map": {"tool": "same", "arguments": {"a": "$ _"}}}, {}, [{"a": 1, "b": 2}, {"a": 2, "b": 2}]),
        tools=tools,
    )
    made = await started(free, agent, {"tool": "hers", "arguments": {"n": "$ 1 + 1"}}, inherit_tools=True)
    shown: Any = (await until_is(free, made, "awaiting_input")).output
    assert (shown["type"], shown["function"], shown["id"][:5]) == ("function", {"name": "hers", "arguments": {"n": 2}}, "call_")
    await free.executions.change_status(made, input={"done": True})
    assert (await ended(free, made)).output == {"done": True}


async def test_documents_are_searched_and_texts_embedded_by_steps(free: AsyncJulep, agent: str) -> None:
    doc: Any = await free.agents.docs.create(agent, title="Tea", content="Tea is made of leaves.", metadata={"kind": "drink"})
    await until(lambda: _is_ready(free, doc.jobs[0]))
    found: Any = [
        {"search": {"text": "$ _.q", "limit": 1, "metadata_filter": {"kind": "drink"}}},
        {"evaluate": "$ [d.title for d in _.docs]"},
    ]
    await check(
        free,
        agent,
        (found, {"q": "leaves"}, ["Tea"]),
        ([{"search": "$ _.q"}, {"evaluate": "$ len(_.docs)"}], {"q": "tea"}, 1),
        ([{"embed": ["$ _.q", "x"]}, {"evaluate": "$ [len(_.vectors), len(_.vectors[0]) > 10]"}], {"q": "tea"}, [2, True]),
    )


async def _is_ready(sdk: AsyncJulep, job: str) -> bool:
    return (await sdk.jobs.get(job)).state == "succeeded"


# --- prompts


ADD: Any = {"name": "add", "type": "function", "function": {"parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}}
SAME: Any = {"name": "same", "type": "integration", "integration": {"provider": "dummy"}}


async def test_prompts_give_the_completion_or_its_text(free: AsyncJulep, agent: str, models: ModelServerHandle) -> None:
    said: Any = [{"role": "system", "content": "Be {{ _.how }}."}, {"role": "user", "content": [{"type": "text", "text": "$ _.q"}]}]
    made: Any = [{"evaluate": {"messages": "$ [{'role': 'user', 'content': _.q}]"}}, {"prompt": "$ _.messages", "unwrap": True}]
    given = {"how": "short", "q": "why?"}
    await check(
        free,
        agent,
        ({"prompt": "Say {{ _.q }}", "unwrap": True}, given, "ok: Say why?"),
        ({"prompt": said, "unwrap": True}, given, "ok: why?"),
        ([{"prompt": said}, {"evaluate": "$ _.choices[0].message.content"}], given, "ok: why?"),
        ([{"prompt": said}, {"evaluate": "$ _['choices'][0]['message']['role'] + str(_.usage.total_tokens)"}], given, "assistant10"),
        (made, given, "ok: why?"),
        ({"prompt": 'JSON like {"a": 1}', "unwrap": True}, given, 'ok: JSON like {"a": 1}'),
        ({"over": "$ ['a', 'b']", "map": {"prompt": "$ _", "unwrap": True}, "parallelism": 2}, {}, ["ok: a", "ok: b"]),
        ({"prompt": "x", "settings": {"model": "gone/x"}, "retry": 1, "on_error": {"evaluate": "$ _.error.kind"}}, {}, "llm_api_error"),
    )
    models.reset()
    settings = {"model": "gpt-y", "temperature": "$ 0.5", "max_tokens": 9}
    await check(free, agent, ({"prompt": said, "settings": settings, "unwrap": True}, given, "ok: why?"))
    (body,) = asked(models)
    assert (body["model"], body["temperature"], body["max_tokens"], "tools" in body) == ("gpt-y", 0.5, 9, False)
    assert body["messages"][0] == {"role": "system", "content": "Be short."}


async def test_prompt_waits_for_its_client_as_often_as_the_model_asks(free: AsyncJulep, agent: str, models: ModelServerHandle) -> None:
    models.script("gpt-x", tool_calls([("same", {"a": 1}), ("add", {"a": 2})]), tool_calls([("add", {"a": 3})]), text("5"))
    main: Any = [{"prompt": "Add", "auto_run_tools": True}, {"evaluate": "$ [_.choices[0].message.content, [m.role for m in _.messages]]"}]
    made = await started(free, agent, main, tools=[ADD, SAME])
    for given, answer in ((2, {"call_1": {"sum": 2}}), (3, {"tool_outputs": [{"tool_call_id": "call_0", "output": 5}]})):

        async def asks(given: int = given) -> bool:
            now = await free.executions.get(made)
            return now.status == "awaiting_input" and f'"a":{given}' in str(now.output).replace(" ", "")

        await until(asks)
        await free.executions.change_status(made, input=answer)
    assert (await ended(free, made)).output == ["5", ["user", *("assistant", "tool") * 3, "assistant"]]
    roles = [message["role"] for message in asked(models)[-1]["messages"]]
    # What the server runs is run before the client is asked.
    assert roles == ["user", *("assistant", "tool") * 3]


async def test_prompt_chooses_among_tools_that_it_names(free: AsyncJulep, agent: str, models: ModelServerHandle) -> None:
    models.script("gpt-x", tool_calls([("add", {"a": 1})]))
    step = {"prompt": "Add", "tools": [{"ref": {"name": "add"}}], "tool_choice": {"function": {"name": "add"}}}
    calls: Any = [step, {"evaluate": "$ load_json(_.choices[0].message.tool_calls[0].function.arguments)"}]
    await check(free, agent, (calls, {}, {"a": 1}), tools=[ADD, SAME])
    (body,) = asked(models)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["add"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "add"}}


# --- sizes and times


async def test_large_output_goes_from_step_to_step_and_to_the_client(free: AsyncJulep, raw: Client, agent: str) -> None:
    letters = 19_000_000
    main: Any = [{"evaluate": f"$ ['x' * 1_000_000 for _ in range({letters // 1_000_000})]"}, {"evaluate": "$ len(''.join(_))"}]
    made = await started(free, agent, main)
    assert (await ended(free, made)).output == letters
    newest = (await raw.get(f"/executions/{made}/transitions", params={"limit": 2})).json()["items"]
    assert sum(map(len, newest[1]["output"])) == letters


async def test_schedule_starts_its_task_when_its_time_has_come(free: AsyncJulep, raw: Client, rows: Any, agent: str) -> None:
    task = await free.tasks.create(agent, name="t", main=[{"evaluate": {"n": "$ _.n"}}])
    made = (await raw.post(f"/tasks/{task.id}/schedules", json={"cron": "0 9 * * *", "input": {"n": 7}})).json()
    await rows.execute("UPDATE schedules SET next_at = now() WHERE id = $1", made["id"])

    async def has_run() -> bool:
        return [each.output async for each in free.executions.list(task.id)] == [{"n": 7}]

    await until(has_run)
