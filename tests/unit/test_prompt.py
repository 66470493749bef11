"""What a turn sends: model, options, tools, messages and the variables of its templates; and what it answers."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from mentha.chat import answer, budget, prompt
from mentha.chat.budget import Budget, Stored
from mentha.chat.context import Context
from mentha.chat.prompt import Drafted
from mentha.chat.recalled import Recalled
from mentha.core.errors import BadRequest, FieldInvalid
from mentha.core.json import loads
from mentha.providers.types import Completion, Usage
from mentha.wire.chat import ChatInput
from mentha.wire.default_template import DEFAULT_SYSTEM_TEMPLATE

SESSION: dict[str, Any] = {
    "id": str(UUID(int=9)),
    "situation": None,
    "system_template": None,
    "render_templates": True,
    "token_budget": None,
    "context_overflow": None,
    "auto_run_tools": False,
    "forward_tool_calls": False,
    "recall_options": None,
    "metadata": {},
}
AGENT: dict[str, Any] = {
    "id": str(UUID(int=1)),
    "name": "Mia",
    "model": "m",
    "default_settings": None,
    "default_system_template": None,
    "tools": None,
}
HEAD = answer.Head(UUID(int=7), datetime(2026, 11, 1, 12, tzinfo=UTC))


def context(*, history: bytes = b"", calls: tuple[str, ...] = (), users: tuple[dict[str, Any], ...] = (), **session: Any) -> Context:
    started = datetime(2026, 11, 1, tzinfo=UTC)
    return Context(started, {**SESSION, **session}, AGENT, [AGENT], list(users), history, 0, 0, calls)


def with_agent(given: Context, **fields: Any) -> Context:
    agent = {**given.agent, **fields}
    return replace(given, agent=agent, agents=[agent])


def request(**fields: Any) -> ChatInput:
    return ChatInput.model_validate({"messages": [{"role": "user", "content": "hi"}], **fields})


def draft(given: Context | None = None, *, default_model: str | None = None, messages_max: int = 10, **fields: Any) -> Drafted:
    return prompt.draft(given or context(), Recalled(), request(**fields), default_model=default_model, messages_max=messages_max)


def spec_tool(name: str, kind: str = "function", spec: Any = None, description: str | None = None) -> dict[str, Any]:
    return {"name": name, "type": kind, "description": description, "spec": spec or {}}


def given_tool(name: str, **function: Any) -> dict[str, Any]:
    return {"name": name, "type": "function", "function": function}


# --- model and options


@pytest.mark.parametrize(
    ("agent_model", "settings", "asked", "default", "model"),
    [
        ("m", None, {}, "d", "m"),
        ("m", {"model": "s"}, {}, "d", "s"),
        ("m", {"model": "s"}, {"model": "r"}, "d", "r"),
        ("m", {"model": "s"}, {"model": None}, "d", "d"),
        ("", None, {}, "d", "d"),
    ],
)
def test_model_is_the_requests_else_the_settings_else_the_agents_else_the_servers(
    agent_model: str, settings: dict[str, Any] | None, asked: dict[str, Any], default: str, model: str
) -> None:
    given = with_agent(context(), model=agent_model, default_settings=settings)
    assert draft(given, default_model=default, **asked).model == model


def test_turn_without_any_model_is_refused() -> None:
    with pytest.raises(BadRequest, match="no model"):
        draft(with_agent(context(), model=""))


def test_options_of_the_request_win_and_null_takes_the_agents_away() -> None:
    settings = {"temperature": 1.5, "max_tokens": 5, "stop": ["x"], "seed": None}
    drafted = draft(with_agent(context(), default_settings=settings), temperature=0, max_tokens=None, top_p=0.5)
    assert drafted.options == {"temperature": 0, "stop": ["x"], "top_p": 0.5}
    assert drafted.variables["settings"] == {"model": "m", **drafted.options}


def test_option_that_the_request_leaves_out_takes_no_default_of_the_shape() -> None:
    assert draft().options == {}
    assert draft(stop=[]).options == {"stop": []}


def test_unknown_setting_of_the_agent_is_left_out_with_a_warning() -> None:
    drafted = draft(with_agent(context(), default_settings={"temprature": 1}))
    assert drafted.options == {}
    assert any("temprature" in warning for warning in drafted.warnings)


def test_too_many_messages_are_a_fault_of_that_field() -> None:
    messages = [{"role": "user", "content": "hi"}] * 3
    with pytest.raises(FieldInvalid) as raised:
        draft(messages_max=2, messages=messages)
    assert raised.value.loc == ("body", "messages")
    assert draft(messages_max=3, messages=messages).messages


# --- tools


def test_tools_of_agent_and_request_are_offered_and_the_agents_count_among_equal_names() -> None:
    own = [spec_tool("a", spec={"parameters": {"own": 1}}, description="d"), spec_tool("b")]
    drafted = draft(
        with_agent(context(), tools=own), tools=[given_tool("a", parameters={"given": 1}), given_tool("c", description="inner")]
    )
    empty = {"type": "object", "properties": {}}
    assert prompt.offered(drafted) == {
        "tools": [
            {"type": "function", "function": {"name": "a", "description": "d", "parameters": {"own": 1}}},
            {"type": "function", "function": {"name": "b", "parameters": empty}},
            {"type": "function", "function": {"name": "c", "description": "inner", "parameters": empty}},
        ]
    }
    assert drafted.warnings == []


def test_tool_of_another_type_is_offered_as_a_function_and_keeps_what_it_is() -> None:
    wiki = {"provider": "wikipedia", "arguments": {"load_max_docs": 3}}
    listing = {"resource": "agent", "operation": "get"}
    drafted = draft(
        with_agent(context(), tools=[spec_tool("w", kind="integration", spec=wiki)]),
        tools=[{"name": "s", "type": "system", "system": listing}],
    )
    names = [(tool["function"]["name"], list(tool["function"]["parameters"]["properties"])) for tool in prompt.offered(drafted)["tools"]]
    assert names == [("w", ["query"]), ("s", ["agent_id"])]
    assert drafted.warnings == []
    assert [tool[tool["type"]] for tool in drafted.tools] == [wiki, listing]


def test_template_sees_tools_without_their_secrets() -> None:
    spec = {"provider": "brave", "setup": {"brave_api_key": "s3cret"}}
    drafted = draft(with_agent(context(), tools=[spec_tool("b", kind="integration", spec=spec)]))
    shown = {
        "name": "b",
        "type": "integration",
        "description": None,
        "integration": {"provider": "brave", "setup": {"brave_api_key": "ENCRYPTED"}},
    }
    assert drafted.variables["tools"] == [shown]
    assert drafted.tools[0]["integration"] == spec


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_tool_choice_is_passed_on_where_tools_are_offered(choice: str) -> None:
    assert prompt.offered(draft(tools=[given_tool("a")], tool_choice=choice))["tool_choice"] == choice


def test_tool_choice_without_tools_has_no_effect_and_says_so() -> None:
    drafted = draft(tool_choice="required")
    assert drafted.tool_choice is None
    assert drafted.warnings == ["tool_choice has no effect: no tool is offered"]


def test_tool_choice_by_name_needs_a_tool_of_that_name() -> None:
    named = {"type": "function", "function": {"name": "a"}}
    assert draft(tools=[given_tool("a")], tool_choice={"function": {"name": "a"}}).tool_choice == named
    with pytest.raises(FieldInvalid) as raised:
        draft(tools=[given_tool("a")], tool_choice={"function": {"name": "b"}})
    assert raised.value.loc == ("body", "tool_choice", "function", "name")


# --- templates


@pytest.mark.parametrize(
    ("session", "agent", "template"),
    [("s", "a", "s"), (None, "a", "a"), (None, None, DEFAULT_SYSTEM_TEMPLATE), ("", "a", "")],
)
def test_system_template_is_the_sessions_else_the_agents_else_the_platforms(session: str | None, agent: str | None, template: str) -> None:
    given = with_agent(context(system_template=session), default_system_template=agent)
    assert draft(given).templates[0] == template


def test_messages_are_templates_only_where_the_session_says_so() -> None:
    messages = [{"role": "system", "content": "{{ a }}"}, {"role": "user", "content": "{{ b }}"}]
    assert draft(messages=messages).templates[1:] == ["{{ a }}"]
    assert draft(context(render_templates=False), messages=messages).templates[1:] == []


def test_variables_name_the_parts_of_the_session_without_what_is_none_of_a_templates_business() -> None:
    user = {"id": "u", "name": "Ann"}
    given = with_agent(context(users=(user,), recall_options={"mode": "text"}, situation="s"), tools=[spec_tool("t")])
    variables = draft(given, metadata={"k": 1}).variables
    assert variables["agent"] == variables["current_agent"] == variables["agents"][0]
    assert "tools" not in variables["agent"]
    assert (variables["user"], variables["users"], variables["metadata"], variables["docs"]) == (user, [user], {"k": 1}, [])
    assert variables["session"]["situation"] == "s"
    assert "recall_options" not in variables["session"]
    assert [tool["name"] for tool in variables["tools"]] == ["t"]
    assert draft().variables["user"] is None
    assert draft().variables["metadata"] == {}


# --- a context that fits


def test_fitted_history_takes_the_place_of_the_whole_one() -> None:
    stored = Stored(b'{"content":"1"},{"content":"2"}', [15, 15], [50, 50], "ua", [1, 2], 2)
    given = context(context_overflow="truncate")
    for tokens, sent in ((200, ["sys", "1", "2", "hi"]), (120, ["sys", "2", "hi"]), (100, ["sys", "hi"])):
        fitted = budget.fit(stored, Budget(tokens, 1.0), 60)
        composed = prompt.compose(given, draft(given), ["sys"], fitted)
        assert [message["content"] for message in loads(composed.messages)] == sent


def test_prompt_with_rounds_of_tools_at_its_end_makes_room_for_them() -> None:
    stored = Stored(b'{"content":"1"},{"content":"2"}', [15, 15], [50, 50], "ua", [1, 2], 2)
    more = b'{"role":"assistant","content":null},{"role":"tool","content":"r"}'
    given = context(context_overflow="truncate")
    composed = prompt.compose(given, draft(given), ["sys"], budget.fit(stored, Budget(200, 1.0), 60))
    assert [message["content"] for message in loads(prompt.extended(composed, more, 40).messages)] == ["sys", "1", "2", "hi", None, "r"]
    assert [message["content"] for message in loads(prompt.extended(composed, more, 91).messages)] == ["sys", "hi", None, "r"]
    with pytest.raises(BadRequest):
        prompt.extended(composed, more, 141)
    whole = prompt.compose(context(history=b'{"content":"1"}'), draft(), ["sys"])
    assert [message["content"] for message in loads(prompt.extended(whole, more, 10**9).messages)] == ["sys", "1", "hi", None, "r"]


def test_answer_tells_its_context_and_its_jobs_whole_streamed_and_replayed() -> None:
    fitted = budget.fit(Stored(b"{}", [2], [900], "u", [5], 5, 4, 4, b"{}", 9), Budget(600, 1.2), 60)
    told = {"budget_tokens": 600, "estimated_tokens": 83, "left_out": 1, "summarised": 4}
    assert answer.context_of(fitted) == told
    assert answer.context_of(None) is None
    notes = answer.Notes(told, (str(UUID(int=3)),))
    body = answer.whole(HEAD, completion(), [], notes=notes)
    chunks = answer.Chunks(HEAD)
    streamed = events([chunks.text("a"), chunks.last("stop", None, [], notes)])
    only = events([answer.Chunks(HEAD).last("stop", None, [], notes)])
    for last in (loads(body), streamed[-1], events(answer.replayed(body))[-1], *only):
        assert (last["jobs"], last["context"]) == ([str(UUID(int=3))], told)
    assert streamed[0]["jobs"] == []


# --- what is asked for and not done yet


@pytest.mark.parametrize(
    ("session", "asked", "word"),
    [
        ({"token_budget": 5}, {}, "token_budget"),
        ({}, {"remember": True}, "remember"),
    ],
)
def test_what_does_not_act_yet_is_a_warning_where_it_is_asked_for(session: dict[str, Any], asked: dict[str, Any], word: str) -> None:
    (warning,) = draft(context(**session), **asked).warnings
    assert warning.startswith(word)
    assert draft(recall=False).warnings == []


def test_what_was_recalled_is_a_variable_and_what_could_not_be_is_a_warning() -> None:
    recalled = Recalled(for_templates=[{"title": "t", "content": ["c"], "metadata": {}}], warnings=["by words alone"])
    drafted = prompt.draft(context(), recalled, request(), default_model=None, messages_max=10)
    assert drafted.variables["docs"] == [{"title": "t", "content": ["c"], "metadata": {}}]
    assert drafted.warnings == ["by words alone"]


# --- the body


def test_messages_are_system_then_history_then_new_and_the_history_stays_as_it_is() -> None:
    history = b'{"role":"user",  "content":"earlier"}'
    given = context(history=history)
    composed = prompt.compose(given, draft(given, messages=[{"role": "assistant", "content": "{{ x }}"}]), ["sys", "rendered"])
    assert history in composed.messages
    assert [message["content"] for message in loads(composed.messages)] == ["sys", "earlier", "rendered"]
    assert [message.message["content"] for message in composed.new] == ["rendered"]


def test_blank_system_message_is_left_out() -> None:
    composed = prompt.compose(context(), draft(), [" \n"])
    assert loads(composed.messages) == [{"role": "user", "content": "hi"}]


def test_rendered_texts_go_to_the_messages_that_they_came_from() -> None:
    messages = [
        {"role": "system", "content": ["{{ a }}", "{{ b }}"]},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "{{ c }}"},
    ]
    drafted = draft(messages=messages)
    composed = prompt.compose(context(), drafted, ["", *(text.upper() for text in drafted.templates[1:])])
    system, user, assistant = loads(composed.messages)
    assert [part["text"] for part in system["content"]] == ["{{ A }}", "{{ B }}"]
    assert (user["content"], assistant["content"]) == ("u", "{{ C }}")


def test_body_has_model_messages_and_options_and_asks_for_usage_in_a_stream() -> None:
    composed = prompt.compose(context(), draft(), [""])
    plain = {"model": 'm"', "messages": [{"role": "user", "content": "hi"}]}
    assert loads(prompt.body('m"', composed, {}, stream=False)) == plain
    assert loads(prompt.body('m"', composed, {"seed": 1}, stream=False)) == {**plain, "seed": 1}
    streamed = {**plain, "stream": True, "stream_options": {"include_usage": True}}
    assert loads(prompt.body('m"', composed, {}, stream=True)) == streamed


# --- the answer


CALLS = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def completion(content: str | None = "hello", *, calls: bool = False, usage: Usage | None = None) -> Completion:
    return Completion("assistant", content, CALLS if calls else [], "tool_calls" if calls else "stop", None, usage, "m")


def events(pieces: list[bytes]) -> list[Any]:
    assert all(piece.startswith(b"data: ") and piece.endswith(b"\n\n") for piece in pieces)
    return [loads(piece[6:]) for piece in pieces]


def test_whole_answer_has_one_choice_with_the_message() -> None:
    body = loads(answer.whole(HEAD, completion(usage=Usage(1, 2, 3)), ["w"]))
    assert (body["id"], body["created_at"], body["jobs"], body["docs"]) == (str(HEAD.id), "2026-11-01T12:00:00.000000Z", [], [])
    assert body["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert body["warnings"] == ["w"]
    (choice,) = body["choices"]
    assert (choice["finish_reason"], choice["message"]["role"], choice["message"]["content"]) == ("stop", "assistant", "hello")


def test_every_chunk_has_a_role_only_the_first_docs_and_only_the_last_usage() -> None:
    chunks = answer.Chunks(HEAD)
    first, second, calls, last = events(
        [chunks.text('a"\n'), chunks.text("b"), chunks.tool_calls(CALLS), chunks.last("stop", Usage(1, 2, 3), ["w"])]
    )
    everything = [first, second, calls, last]
    assert [event["choices"][0]["delta"]["role"] for event in everything] == ["assistant"] * 4
    assert ["docs" in event for event in everything] == [True, False, False, False]
    assert [event["usage"] is not None for event in everything] == [False, False, False, True]
    assert [event["choices"][0]["delta"]["content"] for event in everything] == ['a"\n', "b", None, ""]
    assert calls["choices"][0]["delta"]["tool_calls"] == CALLS
    assert (last["choices"][0]["finish_reason"], last["warnings"]) == ("stop", ["w"])
    assert {event["id"] for event in everything} == {str(HEAD.id)}


def test_failed_stream_ends_with_the_error_beside_a_choice() -> None:
    (event,) = events([answer.failed(HEAD, {"error": {"message": "m"}})])
    assert event["error"] == {"message": "m"}
    assert event["choices"][0]["delta"] == {"role": "assistant", "content": "", "tool_calls": None}


@pytest.mark.parametrize(
    ("kept", "deltas"),
    [
        (completion(usage=Usage(1, 2, 3)), ["hello", ""]),
        (completion(None, calls=True), [None, ""]),
        (completion("both", calls=True), ["both", None, ""]),
        (completion(""), [""]),
    ],
)
def test_kept_answer_is_replayed_as_a_stream_that_says_the_same(kept: Completion, deltas: list[str | None]) -> None:
    replayed = events(answer.replayed(answer.whole(HEAD, kept, ["w"])))
    assert [event["choices"][0]["delta"]["content"] for event in replayed] == deltas
    assert {event["created_at"] for event in replayed} == {"2026-11-01T12:00:00.000000Z"}
    assert (replayed[-1]["choices"][0]["finish_reason"], replayed[-1]["warnings"]) == (kept.finish_reason, ["w"])
    assert (replayed[-1]["usage"] is None) == (kept.usage is None)
    assert "docs" in replayed[0]
