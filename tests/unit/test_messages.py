"""New messages of a turn: what a provider is sent, what the history shows, and calls of tools that nobody answered."""

from typing import Any
from uuid import UUID

import pytest

from mentha.chat.context import active_agent, open_calls
from mentha.chat.messages import countable, drafts, templates_of, with_texts
from mentha.core.errors import BadRequest
from mentha.tools.messages import NO_RESULT, Draft, sendable_name
from mentha.wire.chat import Message

IMAGE = {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "auto"}}
TEXT = {"type": "text", "text": "t"}


def message(**fields: Any) -> Message:
    return Message.model_validate({"role": "user", **fields})


def drafted(**fields: Any) -> Draft:
    """The only draft of a message."""
    (draft,) = drafts([message(**fields)], [])
    return draft


def result(call: str, *content: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call, "content": list(content)}


def image_result(media_type: str = "image/png", data: str = "AAAA") -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


# --- what is sent and what is shown


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ("hi", "hi"),
        ("", ""),
        ([TEXT], "t"),
        (["plain"], "plain"),
        (["a", TEXT], [{"type": "text", "text": "a"}, TEXT]),
        ([IMAGE], [IMAGE]),
        ([TEXT, {"image_url": {"url": "https://x/y.png"}}], [TEXT, IMAGE]),
        ([], ""),
    ],
)
def test_content_is_sent_in_a_form_that_providers_take(content: Any, sent: Any) -> None:
    draft = drafted(content=content)
    assert draft.message == {"role": "user", "content": sent}
    assert (draft.content, draft.source) == (None, "api_request")


def test_result_of_a_tool_in_several_texts_is_sent_as_one_and_shown_as_it_was() -> None:
    draft = drafted(role="tool", tool_call_id="c", content=[TEXT, "u"])
    assert draft.message == {"role": "tool", "content": "t\nu", "tool_call_id": "c"}
    assert draft.content == [TEXT, {"type": "text", "text": "u"}]


def test_result_of_a_tool_with_an_image_part_keeps_its_parts() -> None:
    draft = drafted(role="tool", tool_call_id="c", content=[TEXT, IMAGE])
    assert draft.message["content"] == [TEXT, IMAGE]
    assert draft.content is None


def test_calls_of_an_assistant_get_an_id_and_arguments_where_they_have_none() -> None:
    calls = [{"function": {"name": "f"}}, {"id": "c", "type": "function", "function": {"name": "g", "arguments": '{"x": 1}'}}]
    draft = drafted(role="assistant", tool_calls=calls)
    assert draft.message == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "c", "type": "function", "function": {"name": "g", "arguments": '{"x": 1}'}},
        ],
    }


@pytest.mark.parametrize(
    ("name", "sent"),
    [("ann", "ann"), ("Ann Lee", "Ann_Lee"), ("Ünal", "nal"), ("名前", None), ("", None), (None, None), ("_", None), ("x" * 80, "x" * 64)],
)
def test_name_is_sent_as_every_provider_takes_it_and_kept_as_it_was(name: str | None, sent: str | None) -> None:
    assert sendable_name(name) == sent
    draft = drafted(content="hi", name=name)
    assert draft.message.get("name") == sent
    assert draft.name == name


def test_name_of_a_tool_message_is_not_sent() -> None:
    assert "name" not in drafted(role="tool", tool_call_id="c", content="r", name="f").message


# --- results of tools among the parts of a message


def test_tool_results_among_parts_become_messages_of_their_own_before_the_rest() -> None:
    parts = [TEXT, result("c1", {"type": "text", "text": "one"}, {"text": "two"}), result("c2")]
    first, second, rest = drafts([message(content=parts)], [])
    assert first.message == {"role": "tool", "content": "one\ntwo", "tool_call_id": "c1"}
    assert first.content == [result("c1", {"type": "text", "text": "one"}, {"type": "text", "text": "two"})]
    assert second.message == {"role": "tool", "content": "", "tool_call_id": "c2"}
    assert rest.message == {"role": "user", "content": "t"}


def test_tool_result_alone_leaves_no_message_beside_it() -> None:
    (only,) = drafts([message(content=[result("c", {"type": "text", "text": "r"})])], [])
    assert only.role == "tool"


def test_image_in_a_tool_result_is_sent_in_a_message_after_it_that_the_history_does_not_show() -> None:
    tool, attached = drafts([message(content=[result("c", image_result())])], [])
    assert tool.message["content"] == "The result is the image in the next message."
    assert tool.content == [result("c", image_result())]
    url = {"url": "data:image/png;base64,AAAA", "detail": "auto"}
    assert attached.message == {"role": "user", "content": [{"type": "image_url", "image_url": url}]}
    assert (attached.role, attached.source) == ("user", "internal")


def test_image_and_text_in_a_tool_result_keep_the_text_in_the_result() -> None:
    tool, _ = drafts([message(content=[result("c", {"type": "text", "text": "see"}, image_result())])], [])
    assert tool.message["content"] == "see"


# --- calls that were not answered


def test_open_call_that_the_new_messages_leave_open_gets_a_stand_in_before_them() -> None:
    answered, new = {"role": "tool", "tool_call_id": "c1", "content": "r"}, {"role": "user", "content": "go on"}
    found = drafts([message(**answered), message(**new)], ["c1", "c2"])
    assert [draft.message.get("tool_call_id") for draft in found] == ["c2", "c1", None]
    assert found[0].message["content"] == NO_RESULT
    assert found[0].source == "internal"


def test_open_call_that_a_part_answers_needs_no_stand_in() -> None:
    assert len(drafts([message(content=[result("c")])], ["c"])) == 1


def test_open_calls_are_those_without_a_result_in_order() -> None:
    tail: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}, {"id": "b"}, {"id": "c"}]},
        {"role": "tool", "tool_call_id": "b", "content": ""},
        {"role": "assistant", "content": "no calls"},
    ]
    assert open_calls(tail) == ("a", "c")
    assert open_calls([]) == ()


# --- templates


@pytest.mark.parametrize(
    ("fields", "templates"),
    [
        ({"role": "user", "content": "{{ x }}"}, []),
        ({"role": "tool", "tool_call_id": "c", "content": "{{ x }}"}, []),
        ({"role": "system", "content": "{{ x }}"}, ["{{ x }}"]),
        ({"role": "assistant", "content": ["a", IMAGE, "b"]}, ["a", "b"]),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}, []),
    ],
)
def test_templates_are_the_texts_of_system_and_assistant(fields: dict[str, Any], templates: list[str]) -> None:
    assert templates_of(drafted(**fields)) == templates


def test_rendered_texts_take_the_place_of_the_templates_and_nothing_else() -> None:
    plain = drafted(role="system", content="{{ x }}", name="n")
    assert with_texts(plain, ["1"]).message == {"role": "system", "content": "1", "name": "n"}
    parts = drafted(role="system", content=["{{ a }}", IMAGE, "{{ b }}"])
    rendered = with_texts(parts, ["1", "2"])
    assert rendered.message["content"] == [{"type": "text", "text": "1"}, IMAGE, {"type": "text", "text": "2"}]
    assert parts.message["content"][0]["text"] == "{{ a }}"


# --- what counts


@pytest.mark.parametrize(
    ("sent", "text", "images"),
    [
        ({"content": "hi"}, "hi", 0),
        ({"content": None}, "", 0),
        ({}, "", 0),
        ({"content": [TEXT, IMAGE, IMAGE]}, "t", 2),
        ({"content": "a", "tool_calls": [{"function": {"name": "f", "arguments": None}}]}, "a\nf\n", 0),
        ({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, "\nf\n{}", 0),
    ],
)
def test_text_and_images_of_a_message_count(sent: dict[str, Any], text: str, images: int) -> None:
    assert countable(sent) == (text, images)


# --- who answers


def test_agent_that_answers_is_the_wanted_one_else_the_first() -> None:
    agents = [{"id": str(UUID(int=number))} for number in (1, 2)]
    assert active_agent(agents, None) is agents[0]
    assert active_agent(agents, UUID(int=2)) is agents[1]
    with pytest.raises(BadRequest, match="not in this session"):
        active_agent(agents, UUID(int=3))
    with pytest.raises(BadRequest, match="no agent any more"):
        active_agent([], None)
