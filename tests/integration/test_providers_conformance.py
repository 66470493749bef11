"""What every model keeps to, whoever serves it: the echo model and a real HTTP server give the same guarantees."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from mentha.core.config import ProviderSettings, Settings
from mentha.core.json import dumps, loads
from mentha.providers import Delta, Providers, Route
from tests.support.model_server import ModelServer, text, tool_calls

TIMEOUT_S = 20.0
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


@dataclass
class Case:
    providers: Providers
    route: Route
    server: ModelServer

    def body(self, said: str, **over: Any) -> bytes:
        return dumps({"model": self.route.model, "messages": [{"role": "user", "content": said}], **over})

    def streamed(self, said: str, **over: Any) -> bytes:
        return self.body(said, stream=True, stream_options={"include_usage": True}, **over)

    async def deltas(self, said: str, **over: Any) -> list[Delta]:
        return [delta async for delta in self.providers.stream(self.route, self.streamed(said, **over), timeout_s=TIMEOUT_S)]


@pytest.fixture(params=["mentha/echo", "gpt-x"])
async def case(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    async with ModelServer() as server:
        providers = Providers(Settings(providers={"own": ProviderSettings(base_url=server.base_url)}))
        yield Case(providers, providers.route(request.param), server)
        await providers.close()


async def test_model_answers_with_text_that_holds_what_was_said(case: Case) -> None:
    made = await case.providers.complete(case.route, case.body("good morning"), timeout_s=TIMEOUT_S)
    assert "good morning" in (made.content or "")
    assert made.role == "assistant"
    assert made.finish_reason == "stop"
    assert made.tool_calls == []
    assert made.model == case.route.model


async def test_model_counts_tokens(case: Case) -> None:
    usage = (await case.providers.complete(case.route, case.body("hi"), timeout_s=TIMEOUT_S)).usage
    assert usage is not None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


async def test_model_streams_the_text_that_it_answers(case: Case) -> None:
    case.server.script(None, text("ok: good morning", chunks=4))
    deltas = await case.deltas("good morning")
    whole = await case.providers.complete(case.route, case.body("good morning"), timeout_s=TIMEOUT_S)
    assert "".join(delta.content or "" for delta in deltas) == whole.content
    assert len([delta for delta in deltas if delta.content]) > 1


async def test_model_stream_has_one_reason_to_finish_and_one_usage(case: Case) -> None:
    deltas = await case.deltas("hi")
    assert len([delta for delta in deltas if delta.finish_reason]) == 1
    assert len([delta for delta in deltas if delta.usage]) == 1


async def test_model_stream_names_the_model(case: Case) -> None:
    assert {delta.model for delta in await case.deltas("hi")} == {case.route.model}


async def test_model_calls_a_tool(case: Case) -> None:
    case.server.script(None, tool_calls([("add", {"a": 1})]))
    made = await case.providers.complete(case.route, case.body('call:add {"a": 1}', tools=TOOLS), timeout_s=TIMEOUT_S)
    (call,) = made.tool_calls
    assert made.finish_reason == "tool_calls"
    assert call["id"]
    assert call["function"]["name"] == "add"
    assert loads(call["function"]["arguments"]) == {"a": 1}


async def test_model_streams_a_tool_call_that_joins_to_the_same(case: Case) -> None:
    case.server.script(None, tool_calls([("add", {"a": 1})]))
    deltas = await case.deltas('call:add {"a": 1}', tools=TOOLS)
    entries = [entry for delta in deltas for entry in delta.tool_calls or []]
    assert {entry["index"] for entry in entries} == {0}
    assert loads("".join(entry["function"]["arguments"] for entry in entries)) == {"a": 1}
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["tool_calls"]


async def test_model_stream_may_be_left_in_the_middle(case: Case) -> None:
    case.server.script(None, text("one two three four", chunks=4))
    stream = case.providers.stream(case.route, case.streamed("one two three four"), timeout_s=TIMEOUT_S)
    await anext(stream)
    await stream.aclose()
    made = await case.providers.complete(case.route, case.body("again"), timeout_s=TIMEOUT_S)
    assert "again" in (made.content or "")
