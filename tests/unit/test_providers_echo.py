"""The model that ships with Mentha."""

from typing import Any

import pytest

from mentha.core.errors import ProviderRefused
from mentha.core.json import dumps
from mentha.providers import echo

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}]


def body(*messages: dict[str, Any], **over: Any) -> bytes:
    return dumps({"model": "mentha/echo", "messages": list(messages), **over})


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


async def said(*messages: dict[str, Any], **over: Any) -> str:
    return (await echo.complete(body(*messages, **over))).content or ""


async def test_echo_says_what_it_is_and_repeats_the_last_message_of_the_user() -> None:
    answer = await said({"role": "system", "content": "be nice"}, user("good morning"))
    assert "mentha/echo" in answer
    assert "«good morning»" in answer
    assert "no earlier message" in answer


async def test_echo_counts_earlier_messages_and_quotes_the_first() -> None:
    answer = await said({"role": "system", "content": "s"}, user("my name is Ada"), assistant("hello"), user("who am I?"))
    assert "I remember 2 earlier messages; the first user message was «my name is Ada»" in answer


async def test_echo_reads_content_in_parts() -> None:
    parts = [{"type": "text", "text": "look: "}, {"type": "image_url", "image_url": {"url": "x"}}]
    assert "«look: [image]»" in await said(user(parts))


async def test_echo_is_deterministic() -> None:
    assert await echo.complete(body(user("a"))) == await echo.complete(body(user("a")))


async def test_echo_counts_tokens() -> None:
    usage = (await echo.complete(body(user("good morning")))).usage
    assert usage is not None
    assert usage.prompt_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


async def test_echo_of_a_long_message_is_cut() -> None:
    assert len(await said(user("x" * 50_000))) < 5_000


@pytest.mark.parametrize(("text", "arguments"), [('call:get_weather {"city": "Bern"}', '{"city": "Bern"}'), ("call:get_weather", "{}")])
async def test_echo_calls_an_offered_tool_when_asked(text: str, arguments: str) -> None:
    answer = await echo.complete(body(user(text), tools=TOOLS))
    assert answer.finish_reason == "tool_calls"
    assert answer.content is None
    assert [call["function"] for call in answer.tool_calls] == [{"name": "get_weather", "arguments": arguments}]


@pytest.mark.parametrize("text", ["call:other {}", "please call:get_weather", "call: get_weather"])
async def test_echo_calls_no_tool_that_is_not_offered_or_not_asked_for_in_form(text: str) -> None:
    answer = await echo.complete(body(user(text), tools=TOOLS))
    assert answer.tool_calls == []
    assert answer.finish_reason == "stop"


async def test_echo_tells_what_a_tool_answered() -> None:
    assert "The tool answered: «12 degrees»" in await said(user("call:get_weather"), {"role": "tool", "content": "12 degrees"}, tools=TOOLS)


async def test_echo_streams_the_same_text_in_several_chunks() -> None:
    request = body(user("a rather long message, so that there is something to cut"))
    deltas = [delta async for delta in echo.stream(request)]
    texts = [delta.content for delta in deltas if delta.content]
    assert "".join(texts) == (await echo.complete(request)).content
    assert len(texts) > 2


@pytest.mark.parametrize("request_body", [b"{}", b"no json", b"[]", b'{"messages": ["x"]}', b'{"messages": {}}'])
async def test_echo_of_no_chat_request_is_refused(request_body: bytes) -> None:
    with pytest.raises(ProviderRefused):
        await echo.complete(request_body)
