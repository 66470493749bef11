"""Definitions of tasks by the official SDK and by plain HTTP: made, replaced, changed, listed, deleted; in JSON and in YAML. Section 1 of the tasks' spec."""

from typing import Any

import pytest
from julep import AsyncJulep, BadRequestError, ConflictError, Julep, NotFoundError, UnprocessableEntityError

from mentha.wire.masks import MARKER
from tests.support.talk import Client

SECRET = "s3cret-0123456789"
MAIN: list[Any] = [
    {"evaluate": {"topic": "$ _.topic"}, "label": "topic"},
    {"workflow": "shout", "arguments": {"text": "$ _.topic"}},
    {"if": "$ len(_.text) > 3", "then": {"log": "long"}, "else": {"sleep": {"seconds": 1}}},
    # The SDK, when it is strict, knows no other case.
    {"switch": [{"case": "_", "then": {"set": {"key": "$ 1"}}}]},
    {"foreach": {"in": "$ range(3)", "do": {"evaluate": {"n": "$ _"}}}},
    {"over": "$ [1, 2]", "map": {"evaluate": {"n": "$ _"}}, "reduce": "$ results + [_]", "parallelism": 2},
    {"parallel": [{"evaluate": {"n": "$ 1"}}, {"log": "x"}]},
    {"wait_for_input": {"info": {"question": "$ 'how?'"}}},
    {"prompt": [{"role": "user", "content": "Hello"}], "unwrap": True, "settings": {"temperature": 0}},
    {"tool": "look", "arguments": {"query": "$ _"}},
    {"return": {"text": "$ _"}},
]
SHOUT: list[Any] = [{"return": {"text": "$ _.text.upper()"}}]
KINDS = "evaluate yield if_else switch foreach map_reduce parallel wait_for_input prompt tool_call return".split()
LOOK: Any = {"name": "look", "type": "integration", "integration": {"provider": "brave", "setup": {"brave_api_key": SECRET}}}
YAML = """
name: From YAML   # a comment
input_schema: {type: object, properties: {when: {type: string}}}
main:
- evaluate:
    day: 2024-01-02
    at: 12:30
    yes: on
- &again
  log: >-
    several
    lines
- *again
other:
- return: $ _.x
"""


@pytest.fixture
async def agent(sdk: AsyncJulep) -> str:
    """The id of an agent without tools."""
    return (await sdk.agents.create(name="Mia", model="gpt-x")).id


def body(**more: Any) -> Any:
    return {"name": "T", "main": [{"log": "x"}], **more}


async def issues(raw: Client, agent: str, **more: Any) -> list[Any]:
    """The issues of a definition that is refused."""
    answer = await raw.post(f"/agents/{agent}/tasks", json=body(**more))
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["type"], error["reason"]) == ("http_400", "http_error", "task_invalid")
    return error["details"]["issues"]


def test_task_with_every_kind_of_step_comes_back_whole_to_the_sdk_that_blocks(blocking: Julep) -> None:
    agent = blocking.agents.create(name="Mia", model="gpt-x").id
    # Its blocking methods take subworkflows as further arguments.
    made: Any = blocking.tasks.create(agent, name="T", main=MAIN, shout=SHOUT, tools=[LOOK], description="d", metadata={"a": 1})  # type: ignore[call-arg]
    assert [step.to_dict()["kind_"] for step in made.main] == KINDS
    assert (made.description, made.input_schema, made.metadata, made.inherit_tools, made.version) == ("d", {}, {"a": 1}, False, 1)
    assert [step["kind_"] for step in made.shout] == ["return"]
    first, condition = made.main[0].to_dict(), made.main[2].to_dict()
    assert first == {"kind_": "evaluate", "label": "topic", "evaluate": {"topic": "$ _.topic"}}
    assert (condition["if"], condition["then"]["log"], condition["else"]["sleep"]["minutes"]) == ("$ len(_.text) > 3", "long", 0)
    assert made.tools[0].integration.setup.brave_api_key == MARKER
    assert made.tools[0].inherited is False
    again: Any = blocking.tasks.get(made.id)
    assert again.to_dict() == made.to_dict()
    assert [task.to_dict() for task in blocking.tasks.list(agent)] == [made.to_dict()]
    replaced: Any = blocking.tasks.create_or_update(made.id, agent_id=agent, name="U", main=[{"workflow": "sub"}], sub=[{"log": "x"}])  # type: ignore[call-arg]
    assert (replaced.name, replaced.id, replaced.canonical_name, replaced.version) == ("U", made.id, made.canonical_name, 2)
    assert (replaced.description, replaced.tools) == ("", [])
    assert not hasattr(replaced, "shout")


async def test_task_is_created_under_a_chosen_id_and_replaced_by_the_sdk_that_does_not_block(sdk: AsyncJulep, agent: str) -> None:
    chosen = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"
    made: Any = await sdk.tasks.create_or_update(
        chosen, agent_id=agent, name="T", main=[{"workflow": "sub"}], canonical_name="mine", extra_body={"sub": SHOUT}
    )
    assert (made.id, made.canonical_name, made.sub[0]["kind_"]) == (chosen, "mine", "return")
    again: Any = await sdk.tasks.create_or_update(chosen, agent_id=agent, name="T", main=[{"log": "x"}], canonical_name="other")
    assert (again.canonical_name, again.version) == ("mine", 2)
    assert again.updated_at > made.updated_at
    assert again.created_at == made.created_at
    assert not hasattr(again, "sub")
    other = (await sdk.agents.create(name="other")).id
    with pytest.raises(ConflictError):
        await sdk.tasks.create_or_update(chosen, agent_id=other, name="T", main=[{"log": "x"}])


async def test_name_is_taken_whatever_its_case_for_every_way_to_it(sdk: AsyncJulep, raw: Client, agent: str) -> None:
    first: Any = await sdk.tasks.create(agent, **body(canonical_name="Taken"))
    other: Any = await sdk.tasks.create(agent, **body())
    assert first.canonical_name != other.canonical_name
    with pytest.raises(ConflictError, match="canonical_name"):
        await sdk.tasks.create(agent, **body(canonical_name="tAKEN"))
    for method in ("PUT", "PATCH"):
        answer = await raw.request(method, f"/agents/{agent}/tasks/{other.id}", json=body(canonical_name="taken"))
        assert (answer.status_code, answer.headers["x-should-retry"]) == (409, "false")


async def test_replacing_takes_all_away_and_changing_keeps_what_it_does_not_name(raw: Client, agent: str) -> None:
    given = body(description="d", metadata={"a": 1}, input_schema={"type": "object"}, sub=SHOUT, tools=[LOOK], inherit_tools=True)
    made = (await raw.post(f"/agents/{agent}/tasks", json=given)).json()
    path = f"/agents/{agent}/tasks/{made['id']}"
    changed = (await raw.patch(path, json={"name": "N", "metadata": {"b": 2}, "more": SHOUT, "description": None})).json()
    assert changed == {
        **made,
        **{name: changed[name] for name in ("updated_at", "more")},
        "name": "N",
        "metadata": {"a": 1, "b": 2},
        "description": "",
        "version": 2,
    }
    without = (await raw.patch(path, json={"sub": None, "main": [{"workflow": "more"}]})).json()
    assert "sub" not in without
    assert without["main"][0]["workflow"] == "more"
    replaced = (await raw.put(path, json=body(canonical_name="anew"))).json()
    assert (replaced["canonical_name"], replaced["version"]) == ("anew", 4)
    assert [replaced[name] for name in ("description", "metadata", "input_schema", "tools", "inherit_tools")] == ["", {}, {}, [], False]
    assert "more" not in replaced
    refused = await raw.patch(path, json={"main": [{"workflow": "gone"}]})
    assert refused.status_code == 400
    assert (await raw.get(f"/tasks/{made['id']}")).json() == replaced


async def test_every_version_can_be_read_as_it_was(raw: Client, agent: str) -> None:
    path = f"/agents/{agent}/tasks/" + (made := (await raw.post(f"/agents/{agent}/tasks", json=body(name="one", sub=SHOUT))).json())["id"]
    await raw.put(path, json=body(name="two"))
    task = f"/tasks/{made['id']}"
    listed = (await raw.get(f"{task}/versions")).json()["items"]
    assert [(each["version"], each["name"]) for each in listed] == [(2, "two"), (1, "one")]
    assert (await raw.get(f"{task}/versions", params={"limit": 1, "direction": "asc"})).json()["items"] == listed[1:]
    assert (await raw.get(f"{task}/versions/1")).json() == made
    assert (await raw.get(f"{task}/versions/2")).json() == (await raw.get(task)).json()
    assert [(await raw.get(f"{task}/versions/{number}")).status_code for number in (3, 0, "x")] == [404, 422, 422]


async def test_tasks_of_an_agent_are_listed_once_each_whole_and_filtered(sdk: AsyncJulep, raw: Client, agent: str) -> None:
    made = [(await raw.post(f"/agents/{agent}/tasks", json=body(name=f"t{n}", metadata={"n": n}, sub=SHOUT))).json() for n in range(3)]
    await raw.put(f"/agents/{agent}/tasks/{made[0]['id']}", json=body(name="changed"))
    assert [task.name async for task in sdk.tasks.list(agent, limit=2)] == ["t2", "t1", "changed"]
    page = {"sort_by": "updated_at", "direction": "desc", "limit": 1}
    assert [task["name"] for task in (await raw.get(f"/agents/{agent}/tasks", params=page)).json()["items"]] == ["changed"]
    found = (await raw.get(f"/agents/{agent}/tasks", params={"metadata_filter": '{"n": 1}'})).json()["items"]
    assert found == [made[1]]
    other = (await sdk.agents.create(name="other")).id
    assert [task async for task in sdk.tasks.list(other)] == []


async def test_task_that_is_not_there_is_not_found_for_every_operation(sdk: AsyncJulep, raw: Client, agent: str) -> None:
    other = (await sdk.agents.create(name="other")).id
    made = (await sdk.tasks.create(agent, **body())).id
    for method, given in (("PUT", body()), ("PATCH", {"name": "x"}), ("DELETE", None)):
        answer = await raw.request(method, f"/agents/{other}/tasks/{made}", json=given)
        assert answer.status_code == 404
    assert (await raw.delete(f"/agents/{agent}/tasks/{made}")).status_code == 202
    with pytest.raises(NotFoundError):
        await sdk.tasks.get(made)
    for path in (f"/tasks/{made}/versions", f"/tasks/{made}/versions/1"):
        assert (await raw.get(path)).status_code == 404
    await sdk.tasks.create(agent, **body())
    await sdk.agents.delete(agent)
    for work in (sdk.tasks.create(agent, **body()), sdk.tasks.create_or_update(made, agent_id=agent, **body())):
        with pytest.raises(NotFoundError):
            await work
    assert (await raw.get(f"/agents/{agent}/tasks")).status_code == 404


# --- secrets


async def test_secret_of_a_tool_is_in_no_answer_and_survives_what_sends_it_back(raw: Client, agent: str, rows: Any) -> None:
    inline = {"name": "call", "api_call": {"method": "GET", "url": "https://x.example", "headers": {"X-Api-Key": SECRET}}}
    main = [{"if": "$ _", "then": [{"prompt": "x", "tools": [inline, {"ref": {"name": "look"}}]}]}]
    answers = [await raw.post(f"/agents/{agent}/tasks", json=body(main=main, tools=[LOOK]))]
    made = answers[0].json()
    path = f"/agents/{agent}/tasks/{made['id']}"
    answers.append(await raw.put(path, json={**made, "name": "back"}))
    answers.append(await raw.patch(path, json={"description": "d", "tools": made["tools"]}))
    answers += [await raw.get(f"/tasks/{made['id']}"), await raw.get(f"/tasks/{made['id']}/versions/1")]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 200]
    assert not any(SECRET in answer.text for answer in answers)
    assert answers[2].json()["main"] == made["main"]
    assert made["main"][0]["then"][0]["tools"][0]["api_call"]["headers"] == {"X-Api-Key": MARKER}
    stored = await rows.fetch("SELECT definition, tools::text, plan FROM task_versions WHERE task_id = $1 ORDER BY version", made["id"])
    assert [row["tools"].count('"sealed.') for row in stored] == [2, 2, 2]
    # The same ciphertext: nothing was opened to be kept.
    assert len({row["tools"] for row in stored}) == 1
    assert not any("sealed." in str(row["definition"]) + str(row["plan"]) for row in stored)
    hollow = await raw.put(path, json=body(tools=[{**made["tools"][0], "name": "another"}]))
    assert (hollow.status_code, hollow.json()["error"]["details"][0]["loc"]) == (422, "tools[0].integration")


# --- refusals


async def test_fault_of_a_step_is_told_once_with_place_and_fix(raw: Client, agent: str) -> None:
    faulty: list[Any] = [
        {"match": {}},
        {"if": "$ _", "then": [{"log": 5}]},
        {"tool": "a", "retry": {"max_attempts": 0}},
        {"evaluate": {}, "log": "x"},
        {"tool": "my-tool"},
        {"log": "x", "label": "1"},
    ]
    answer = await raw.post(f"/agents/{agent}/tasks", json={"main": faulty, "canonical_name": "a-b"})
    assert answer.status_code == 422
    told = {fault["loc"]: fault for fault in answer.json()["error"]["details"]}
    places = ["main[0]", "main[1].then[0].log", "main[2].retry.max_attempts", "main[3]", "main[4].tool", "main[5].label"]
    assert sorted(told) == [*sorted(["canonical_name", *places]), "name"]
    assert "`switch:" in told["main[0]"]["fix"]
    assert "`evaluate` and `log`" in told["main[3]"]["msg"]
    # What a pattern says is said in words too.
    assert "no digit first" in told["main[4].tool"]["fix"]
    assert "no digit" in told["main[5].label"]["fix"]
    assert "a letter first" in told["canonical_name"]["fix"]


@pytest.mark.parametrize(
    ("given", "location", "kind", "word"),
    [
        ({"main": [{"workflow": "shuot"}], "shout": SHOUT}, "workflows.main.steps[0].workflow", "unknown_workflow", "shout"),
        ({"main": [{"workflow": "main"}]}, "workflows.main.steps[0].workflow", "calls_main", "subworkflow"),
        ({"main": [{"tool": "lok"}], "tools": [LOOK]}, "workflows.main.steps[0].tool", "unknown_tool", "look"),
        ({"main": [{"evaluate": {"a": {"b": "$ 1 +"}}}]}, "workflows.main.steps[0].evaluate.a.b", "syntax", "expression"),
        ({"main": [{"return": ["$ nobody"]}]}, "workflows.main.steps[0].return[0]", "undefined_name", "agent"),
        ({"main": [{"sleep": {}}]}, "workflows.main.steps[0].sleep", "sleep_length", "seconds"),
        ({"input_schema": {"type": 5}}, "input_schema", "schema_invalid", ""),
        ({"output_schema": {"a": 1}}, "output_schema", "no_workflow", "list of steps"),
        ({"sub": [{"log": "a", "label": "l"}, {"log": "b", "label": "l"}]}, "workflows.sub.steps[0].label", "label_taken", "its own"),
    ],
)
async def test_definition_that_cannot_work_is_refused_at_its_place(
    raw: Client, agent: str, given: Any, location: str, kind: str, word: str
) -> None:
    first = (await issues(raw, agent, **given))[0]
    assert (first["location"], first["details"]["issue_type"], first["severity"]) == (location, kind, "error")
    assert word in (first.get("fix") or "") + first["message"]


async def test_message_of_a_refusal_is_text_that_the_sdk_shows(sdk: AsyncJulep, agent: str) -> None:
    with pytest.raises(BadRequestError, match=r"workflows\.main\.steps\[0\]\.evaluate\.a"):
        await sdk.tasks.create(agent, name="T", main=[{"evaluate": {"a": "$ ("}}])
    with pytest.raises(BadRequestError, match="Invalid input schema"):
        await sdk.tasks.create(agent, **body(input_schema={"type": "nothing"}))
    with pytest.raises(UnprocessableEntityError, match=r"main"):
        await sdk.tasks.create(agent, name="T", main=[])


async def test_what_looks_wrong_is_stored_and_shown_as_warnings(raw: Client, agent: str) -> None:
    await raw.post(f"/agents/{agent}/tools", json={"name": "hers", "type": "function", "function": {}})
    main: list[Any] = [{"tool": "hers"}, {"tool": "later"}, {"return": 1}, {"log": "never"}]
    made = (await raw.post(f"/agents/{agent}/tasks", json=body(main=main, inherit_tools=True))).json()
    assert [(each["location"], each["details"]["issue_type"]) for each in made["warnings"]] == [
        ("workflows.main.steps[1].tool", "unknown_tool"),
        ("workflows.main.steps[3]", "unreachable"),
    ]
    assert (await raw.get(f"/tasks/{made['id']}")).json()["warnings"] == made["warnings"]
    mended = await raw.patch(f"/agents/{agent}/tasks/{made['id']}", json={"main": main[:1]})
    assert mended.json()["warnings"] == []


# --- YAML


@pytest.mark.parametrize(
    "kind", ["application/x-yaml", "application/yaml", "text/yaml", "text/x-yaml", "Text/YAML; charset=utf-8", "application/vnd.yaml"]
)
async def test_definition_in_yaml_is_what_the_same_json_is(raw: Client, agent: str, kind: str) -> None:
    answer = await raw.post(f"/agents/{agent}/tasks", content=YAML.encode(), headers={"Content-Type": kind})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["main"][0]["evaluate"] == {"day": "2024-01-02", "at": "12:30", "yes": True}
    assert made["main"][1] == made["main"][2] == {"kind_": "log", "label": None, "log": "several lines"}
    assert made["other"][0]["return"] == "$ _.x"


async def test_fault_in_yaml_is_told_with_its_line(raw: Client, agent: str) -> None:
    async def refused(text: str) -> Any:
        answer = await raw.post(f"/agents/{agent}/tasks", content=text.encode(), headers={"Content-Type": "text/yaml"})
        return answer.status_code, answer.json()["error"]["details"]

    status, details = await refused("name: T\nmain:\n- log: x\n- if: $ _\n  then:\n  - lgo: y\n")
    assert (status, details[0]["loc"], details[0]["line"]) == (422, "main[1].then[0]", 6)
    status, details = await refused("name: T\nmain:\n- log: x\n- evaluate:\n    a: $ 1\n    b: $ (\n")
    assert (status, details["issues"][0]["line"]) == (400, 6)
    status, details = await refused("name: T\nmain: [\n")
    assert (status, details[0]["type"]) == (422, "yaml_invalid")
    assert details[0]["msg"].startswith("line 3: ")
    assert (await refused(""))[0] == 422


async def test_definition_that_is_too_large_is_refused_by_its_size(raw: Client, agent: str) -> None:
    text = "x" * 1_000_001
    answer = await raw.post(f"/agents/{agent}/tasks", json=body(main=[{"log": text}]))
    assert (answer.status_code, answer.json()["error"]["reason"]) == (413, "body_too_large")
    (issue,) = await issues(raw, agent, main=[{"log": "x"}] * 1_000, more=[{"log": "x"}])
    assert issue["details"]["issue_type"] == "too_many_steps"


async def test_templates_that_can_not_be_rendered_are_refused_at_their_place_and_unknown_names_warned_of(raw: Client, agent: str) -> None:
    main: Any = [
        {"prompt": [{"role": "user", "content": "Hello\n{% if _.a %}there"}]},
        {"log": "{% for x in _ %}{{ x | shout }}{% endfor %}"},
        {"evaluate": {"a": "$ 1", "b": {"c": "{% include 'x' %}"}}},
        {
            "set": {
                "d": "{{ stats | upper }} {{ maybe | default('-') }} {% if other is defined %}{{ other }}{% endif %} {{ range(2) | list }}"
            }
        },
    ]
    found = await issues(raw, agent, main=main)
    assert [(each["location"], each["severity"]) for each in found] == [
        ("workflows.main.steps[0].prompt[0].content", "error"),
        ("workflows.main.steps[1].log", "error"),
        ("workflows.main.steps[2].evaluate.b.c", "error"),
        ("workflows.main.steps[3].set.d", "warning"),
    ]
    assert ["endif" in found[0]["message"], "(line 2)" in found[0]["message"], "'shout'" in found[1]["message"]] == [True] * 3
    assert ("`stats`" in found[3]["message"], found[3]["fix"]) == (True, "did you mean `state`?")
    made = (await raw.post(f"/agents/{agent}/tasks", json=body(main=main[3:]))).raise_for_status().json()
    assert [each["location"] for each in made["warnings"]] == ["workflows.main.steps[0].set.d"]
    answer = await raw.patch(f"/agents/{agent}/tasks/{made['id']}", json={"main": main[:1]})
    assert (answer.status_code, len(answer.json()["error"]["details"]["issues"])) == (400, 1)
