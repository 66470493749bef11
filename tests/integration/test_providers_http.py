"""The calls to providers, against a real HTTP server of ours."""

import asyncio
import traceback
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from mentha.core.config import ProviderSettings, Settings
from mentha.core.errors import ProviderError, ProviderKeyInvalid, ProviderRateLimited, ProviderRefused, ProviderTimeout, ProviderUnavailable
from mentha.core.json import dumps
from mentha.observe import events
from mentha.providers import Delta, Providers, Route, Usage
from tests.support.model_server import (
    ModelServer,
    drop,
    error,
    garbage,
    gated,
    hang,
    raw,
    running_model_server,
    slow,
    spawned_model_server,
    sse_error,
    text,
    tool_calls,
)

KEY = "sk-very-secret-0123456789"
PLAIN = dumps({"model": "gpt-x", "messages": [{"role": "user", "content": "hällo 日本"}]})
STREAMED = dumps(
    {"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}], "stream": True, "stream_options": {"include_usage": True}}
)
LONG_S = 20.0


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as running:
        yield running


@pytest.fixture
async def providers(server: ModelServer) -> AsyncIterator[Providers]:
    made = Providers(settings(server))
    yield made
    await made.close()


@pytest.fixture
def route(providers: Providers) -> Route:
    return providers.route("gpt-x")


@pytest.fixture
def failed() -> Any:
    """The `ProviderFailed` events of the test."""
    seen: list[events.ProviderFailed] = []

    def keep(event: events.Event) -> None:
        if isinstance(event, events.ProviderFailed):
            seen.append(event)

    events.subscribe(keep)
    yield seen
    events.unsubscribe(keep)


def settings(server: ModelServer, **over: Any) -> Settings:
    return Settings(providers={"openai": ProviderSettings(base_url=server.base_url, api_key=SecretStr(KEY))}, **over)


async def collect(providers: Providers, route: Route, body: bytes = STREAMED) -> list[Delta]:
    return [delta async for delta in providers.stream(route, body, timeout_s=LONG_S)]


def content(deltas: list[Delta]) -> str:
    return "".join(delta.content or "" for delta in deltas)


class TestComplete:
    async def test_complete_gives_answer_usage_and_the_real_name(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script("gpt-x", text("hi there", model="gpt-x-2026", finish_reason="eos"))
        made = await providers.complete(route, PLAIN, timeout_s=LONG_S)
        assert (made.content, made.finish_reason, made.model, made.usage) == ("hi there", "stop", "gpt-x-2026", Usage(7, 3, 10))

    async def test_complete_sends_exactly_the_bytes_it_was_given(self, server: ModelServer, providers: Providers, route: Route) -> None:
        odd = PLAIN.replace(b":", b" :  ")
        await providers.complete(route, odd, timeout_s=LONG_S)
        assert server.requests[0].body == odd

    async def test_complete_gives_tool_calls(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, tool_calls([("get_weather", {"city": "Bern"})]))
        made = await providers.complete(route, PLAIN, timeout_s=LONG_S)
        assert made.finish_reason == "tool_calls"
        assert made.content is None
        assert made.tool_calls[0]["function"] == {"name": "get_weather", "arguments": '{"city":"Bern"}'}

    async def test_complete_reuses_its_connection(self, server: ModelServer, providers: Providers, route: Route) -> None:
        for _ in range(3):
            await providers.complete(route, PLAIN, timeout_s=LONG_S)
        assert server.connections == 1

    async def test_complete_after_the_server_closed_the_idle_connection_opens_another(self, providers: Providers, route: Route) -> None:
        seen: list[asyncio.StreamWriter] = []
        answer = b'{"choices":[{"message":{"content":"a"}}]}'

        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(PLAIN))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))
            seen.append(writer)
            writer.close()

        async with await asyncio.start_server(once, "127.0.0.1", 0) as closing:
            there = replace(route, base_url=f"http://127.0.0.1:{closing.sockets[0].getsockname()[1]}/v1")
            for _ in range(3):
                await providers.complete(there, PLAIN, timeout_s=LONG_S)
                await seen[-1].wait_closed()
                # A call elsewhere, in which the loop turns and sees the end of the first connection.
                await providers.complete(route, PLAIN, timeout_s=LONG_S)
        assert len(seen) == 3

    async def test_complete_fifty_at_once_gives_each_its_own_answer(self, server: ModelServer, providers: Providers, route: Route) -> None:
        async def one(number: int) -> str | None:
            body = dumps({"model": "gpt-x", "messages": [{"role": "user", "content": f"number {number}"}]})
            return (await providers.complete(route, body, timeout_s=LONG_S)).content

        assert await asyncio.gather(*map(one, range(50))) == [f"ok: number {number}" for number in range(50)]
        assert len(server.requests) == 50

    async def test_complete_cancelled_closes_its_connection(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, hang())
        running = asyncio.create_task(providers.complete(route, PLAIN, timeout_s=LONG_S))
        await server.until_held(1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await server.until_disconnected(1)

    async def test_complete_removes_what_the_database_cannot_store(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, text("a\x00b"))
        assert (await providers.complete(route, PLAIN, timeout_s=LONG_S)).content == "ab"


class TestRequest:
    async def test_request_has_the_key_as_bearer_and_json_as_type(self, server: ModelServer, providers: Providers, route: Route) -> None:
        await providers.complete(route, PLAIN, timeout_s=LONG_S)
        headers = server.requests[0].headers
        assert headers["authorization"] == f"Bearer {KEY}"
        assert headers["content-type"] == "application/json"
        assert server.requests[0].path == "/v1/chat/completions"

    async def test_request_without_a_key_has_no_authorization(self, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
        monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin-of-the-environment")
        made = Providers(Settings(providers={"own": ProviderSettings(base_url=server.base_url)}))
        await made.complete(made.route("gpt-x"), PLAIN, timeout_s=LONG_S)
        await made.close()
        assert "authorization" not in server.requests[0].headers

    async def test_request_takes_nothing_from_the_sdks_environment(self, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_WEBHOOK_SECRET"):
            monkeypatch.setenv(name, "leaked-value")
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-leaked: leaked-value")
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
        made = Providers(settings(server))
        await made.complete(made.route("gpt-x"), PLAIN, timeout_s=LONG_S)
        await made.close()
        assert "leaked" not in str(server.requests[0].headers)
        assert not [name for name in server.requests[0].headers if name.startswith("x-stainless")]

    async def test_request_goes_through_no_proxy_of_the_environment(self, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        made = Providers(settings(server))
        await made.complete(made.route("gpt-x"), PLAIN, timeout_s=LONG_S)
        await made.close()
        assert len(server.requests) == 1

    async def test_request_does_not_follow_a_redirect(self, server: ModelServer, providers: Providers, route: Route) -> None:
        async with ModelServer() as other:
            server.script(None, error(307, "moved", headers={"location": f"{other.base_url}/chat/completions"}))
            with pytest.raises(ProviderUnavailable, match="redirects"):
                await providers.complete(route, PLAIN, timeout_s=LONG_S)
            assert other.requests == []

    async def test_request_sends_back_no_cookie(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, replace(text("a"), headers={"set-cookie": "session=of-another-tenant; Path=/"}))
        for _ in range(2):
            await providers.complete(route, PLAIN, timeout_s=LONG_S)
        assert "cookie" not in server.requests[1].headers

    async def test_request_is_sent_once_even_when_the_server_fails(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, error(503, "busy"))
        with pytest.raises(ProviderUnavailable):
            await providers.complete(route, PLAIN, timeout_s=LONG_S)
        assert len(server.requests) == 1

    async def test_request_uses_the_callers_key_for_that_request_only(self, server: ModelServer, providers: Providers) -> None:
        await providers.complete(providers.route("gpt-x", custom_key="sk-callers-own"), PLAIN, timeout_s=LONG_S)
        await providers.complete(providers.route("gpt-x"), PLAIN, timeout_s=LONG_S)
        assert [request.headers["authorization"] for request in server.requests] == ["Bearer sk-callers-own", f"Bearer {KEY}"]

    async def test_requests_with_many_keys_keep_each_key_apart(self, server: ModelServer, providers: Providers) -> None:
        keys = [f"sk-of-caller-{number}" for number in range(40)]
        for key in [*keys, *keys]:
            await providers.complete(providers.route("gpt-x", custom_key=key), PLAIN, timeout_s=LONG_S)
        assert [request.headers["authorization"] for request in server.requests] == [f"Bearer {key}" for key in [*keys, *keys]]


class TestStream:
    async def test_stream_gives_the_text_in_pieces_one_reason_and_the_usage(
        self, server: ModelServer, providers: Providers, route: Route
    ) -> None:
        server.script(None, text("one two three", chunks=3, model="real"))
        deltas = await collect(providers, route)
        assert content(deltas) == "one two three"
        assert len([delta for delta in deltas if delta.content]) == 3
        assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]
        assert deltas[-1].usage == Usage(7, 3, 10)
        assert deltas[0].model == "real"

    async def test_stream_gives_tool_calls_as_the_provider_cut_them(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, tool_calls([("f", {"a": 1}), ("g", {"b": 2})]))
        entries = [entry for delta in await collect(providers, route) for entry in delta.tool_calls or []]
        joined = {index: "".join(entry["function"]["arguments"] for entry in entries if entry["index"] == index) for index in (0, 1)}
        assert joined == {0: '{"a":1}', 1: '{"b":2}'}
        assert [entry["id"] for entry in entries if "id" in entry] == ["call_0", "call_1"]

    async def test_stream_gives_each_piece_as_it_comes(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, slow(text("abcd", chunks=2)))
        async with aclosing(providers.stream(route, STREAMED, timeout_s=LONG_S)) as deltas:
            first = asyncio.ensure_future(anext(deltas))
            server.release(2)
            assert (await first).content == "ab"
            server.release(10)
            assert (await anext(deltas)).content == "cd"

    async def test_stream_cut_in_the_middle_of_a_character_is_whole(self, server: ModelServer, providers: Providers, route: Route) -> None:
        event = 'data: {"choices":[{"delta":{"content":"日本語 ✓"}}]}\r\n\r\n'.encode()
        pieces = [event[at : at + 3] for at in range(0, len(event), 3)]
        server.script(None, raw(*pieces, b"data: [DONE]\r\n\r\n"))
        assert content(await collect(providers, route)) == "日本語 ✓"

    async def test_stream_with_comments_and_many_events_in_a_piece_is_whole(
        self, server: ModelServer, providers: Providers, route: Route
    ) -> None:
        one, two = (b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % letter for letter in (b"a", b"b"))
        server.script(None, raw(b": ping\n\n" + one + b": OPENROUTER PROCESSING\n\n" + two + b"data: [DONE]\n\n"))
        deltas = await collect(providers, route)
        assert content(deltas) == "ab"
        assert deltas[-1].finish_reason == "stop"

    async def test_stream_without_done_but_with_a_reason_to_finish_is_complete(
        self, server: ModelServer, providers: Providers, route: Route
    ) -> None:
        server.script(None, text("whole", done=False, usage=None))
        assert content(await collect(providers, route)) == "whole"

    async def test_stream_with_done_but_no_reason_finishes_with_stop(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, text("whole", finish_reason=None, usage=None))
        deltas = await collect(providers, route)
        assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]

    async def test_stream_with_neither_broke_off(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, text("half", finish_reason=None, done=False, usage=None))
        with pytest.raises(ProviderUnavailable, match="broke the stream off"):
            await collect(providers, route)

    async def test_stream_whose_connection_drops_gives_what_came_and_then_fails(
        self, server: ModelServer, providers: Providers, route: Route
    ) -> None:
        server.script(None, drop(after_chunks=3))
        seen: list[Delta] = []

        async def read() -> None:
            async for delta in providers.stream(route, STREAMED, timeout_s=LONG_S):
                seen.append(delta)  # noqa: PERF401 - what came before the error is the point

        with pytest.raises(ProviderUnavailable, match="broke the connection off"):
            await read()
        assert content(seen).startswith("one")

    async def test_stream_with_an_error_event_fails_with_its_words(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, sse_error("the model fell over"))
        with pytest.raises(ProviderUnavailable, match="the model fell over"):
            await collect(providers, route)

    async def test_stream_with_an_error_event_of_a_known_code_has_its_class(
        self, server: ModelServer, providers: Providers, route: Route
    ) -> None:
        server.script(None, sse_error("slow down", code="rate_limit_exceeded"))
        with pytest.raises(ProviderRateLimited):
            await collect(providers, route)

    async def test_stream_of_garbage_is_unavailable(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, garbage())
        with pytest.raises(ProviderUnavailable, match="no JSON"):
            await collect(providers, route)

    async def test_stream_answered_whole_is_one_delta(self, server: ModelServer, providers: Providers, route: Route) -> None:
        whole = dumps({"model": "real", "choices": [{"message": {"content": "all"}, "finish_reason": "length"}]})
        server.script(None, raw(whole, headers={"content-type": "application/json; charset=utf-8"}))
        assert await collect(providers, route) == [Delta(content="all", finish_reason="length", model="real")]

    async def test_stream_refused_raises_before_the_first_delta(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, error(401, "bad key"))
        with pytest.raises(ProviderKeyInvalid):
            await anext(providers.stream(route, STREAMED, timeout_s=LONG_S))

    async def test_stream_closed_early_closes_its_connection(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, slow(text("abcdef", chunks=6)))
        server.release(3)
        async with aclosing(providers.stream(route, STREAMED, timeout_s=LONG_S)) as deltas:
            await anext(deltas)
            await server.until_held(1)
        await server.until_disconnected(1)

    async def test_stream_cancelled_closes_its_connection(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, slow(text("abcdef", chunks=6)))
        running = asyncio.create_task(collect(providers, route))
        await server.until_held(1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await server.until_disconnected(1)

    async def test_stream_read_to_its_end_gives_its_connection_back(self, server: ModelServer, providers: Providers, route: Route) -> None:
        for _ in range(3):
            await collect(providers, route)
        assert server.connections == 1

    async def test_stream_over_time_while_waiting_is_a_timeout(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, slow(text("abcd", chunks=2)))
        server.release(2)
        with pytest.raises(ProviderTimeout):
            async for _ in providers.stream(route, STREAMED, timeout_s=0.3):
                pass
        await server.until_disconnected(1)


class TestLimits:
    async def test_complete_over_time_is_a_timeout_that_is_not_retried(
        self, server: ModelServer, providers: Providers, route: Route
    ) -> None:
        # The first call loads the client, which may take longer than the limit.
        await providers.complete(route, PLAIN, timeout_s=LONG_S)
        server.script(None, hang())
        with pytest.raises(ProviderTimeout, match=r"within 0.5 s") as caught:
            await providers.complete(route, PLAIN, timeout_s=0.5)
        assert caught.value.retry is False
        await server.until_disconnected(1)

    async def test_complete_with_an_answer_over_the_limit_fails(self, server: ModelServer) -> None:
        made = Providers(settings(server, answer_bytes_max=10_000))
        server.script(None, text("x" * 20_000))
        with pytest.raises(ProviderRefused, match="larger than 10000 bytes"):
            await made.complete(made.route("gpt-x"), PLAIN, timeout_s=LONG_S)
        await made.close()

    async def test_stream_with_an_answer_over_the_limit_fails(self, server: ModelServer) -> None:
        made = Providers(settings(server, answer_bytes_max=10_000))
        server.script(None, text("x" * 20_000, chunks=100))
        with pytest.raises(ProviderRefused, match="larger than 10000 bytes"):
            await collect(made, made.route("gpt-x"))
        await made.close()

    async def test_stream_with_a_line_without_end_fails(self, server: ModelServer) -> None:
        made = Providers(settings(server, answer_bytes_max=10_000))
        server.script(None, raw(*[b"data: " + b"x" * 5_000] * 5))
        with pytest.raises(ProviderRefused, match="larger than"):
            await collect(made, made.route("gpt-x"))
        await made.close()

    async def test_stream_of_endless_small_events_fails(self, server: ModelServer) -> None:
        made = Providers(settings(server, answer_bytes_max=10_000))
        server.script(None, raw(*[b'data: {"choices":[]}\n\n' * 4_000] * 20))
        with pytest.raises(ProviderRefused, match="larger than"):
            await collect(made, made.route("gpt-x"))
        await made.close()

    async def test_complete_with_too_many_tool_calls_fails(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, tool_calls([("f", {})] * 129))
        with pytest.raises(ProviderUnavailable, match="128 tool calls"):
            await providers.complete(route, PLAIN, timeout_s=LONG_S)

    async def test_error_with_an_endless_body_is_read_in_part(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, gated(text("never sent")), raw(*[b"x" * 60_000] * 40, status=500, headers={"content-type": "text/plain"}))
        held = asyncio.create_task(providers.complete(route, PLAIN, timeout_s=LONG_S))
        await server.until_held(1)
        with pytest.raises(ProviderUnavailable) as caught:
            await providers.complete(route, PLAIN, timeout_s=LONG_S)
        assert len(caught.value.message) < 700
        server.release()
        await held


class TestFailures:
    @pytest.mark.parametrize(
        ("reply", "expected"),
        [
            (error(401, "bad key"), ProviderKeyInvalid),
            (error(403, "forbidden"), ProviderKeyInvalid),
            (error(404, "no such model"), ProviderRefused),
            (error(400, "bad value"), ProviderRefused),
            (error(413, "too large"), ProviderRefused),
            (error(422, {"detail": [{"msg": "extra_forbidden"}]}), ProviderRefused),
            (error(400, "maximum context length is 8192 tokens", code="context_length_exceeded"), ProviderRefused),
            (error(429, "slow down"), ProviderRateLimited),
            (error(429, "no credit", code="insufficient_quota"), ProviderRefused),
            (error(500, "oops"), ProviderUnavailable),
            (error(503, "busy"), ProviderUnavailable),
            (error(502, ["not", "an", "object"]), ProviderUnavailable),
            (garbage(), ProviderUnavailable),
            (drop(), ProviderUnavailable),
            (drop(after_chunks=1), ProviderUnavailable),
            (sse_error("overloaded"), ProviderUnavailable),
            (error(200, {"choices": []}), ProviderUnavailable),
            (error(200, {"error": {"message": "slow down", "code": 429}}), ProviderRateLimited),
        ],
        ids=lambda value: value.__name__ if isinstance(value, type) else f"{value.kind}-{value.status}",
    )
    async def test_failure_has_its_class_and_is_observed_once(
        self,
        server: ModelServer,
        providers: Providers,
        route: Route,
        failed: list[events.ProviderFailed],
        reply: Any,
        expected: type[ProviderError],
    ) -> None:
        server.script(None, reply)
        with pytest.raises(ProviderError) as caught:
            await providers.complete(route, PLAIN, timeout_s=LONG_S)
        assert type(caught.value) is expected
        assert [(event.provider, event.model, event.reason) for event in failed] == [("openai", "gpt-x", expected.reason)]

    async def test_failure_by_rate_limit_says_how_long_to_wait(self, server: ModelServer, providers: Providers, route: Route) -> None:
        server.script(None, error(429, "slow down", headers={"retry-after": "12"}))
        with pytest.raises(ProviderRateLimited) as caught:
            await providers.complete(route, PLAIN, timeout_s=LONG_S)
        assert caught.value.retry_after_s == 12.0

    async def test_failure_of_a_server_that_is_not_there_is_unavailable(
        self, server: ModelServer, providers: Providers, route: Route
    ) -> None:
        # Port 1 of this machine: nothing listens there.
        with pytest.raises(ProviderUnavailable, match="can't be reached") as caught:
            await providers.complete(replace(route, base_url="http://127.0.0.1:1/v1"), PLAIN, timeout_s=LONG_S)
        assert "base_url" in str(caught.value.fix)

    async def test_failure_of_a_host_that_does_not_exist_is_unavailable(self, providers: Providers, route: Route) -> None:
        with pytest.raises(ProviderUnavailable):
            await providers.complete(replace(route, base_url="http://nowhere.invalid/v1"), PLAIN, timeout_s=LONG_S)

    async def test_failure_shows_the_key_nowhere(
        self, server: ModelServer, providers: Providers, route: Route, failed: list[events.ProviderFailed]
    ) -> None:
        server.script(None, error(401, f"Incorrect API key provided: {KEY}. Header was 'Bearer {KEY}'."))
        with pytest.raises(ProviderKeyInvalid) as caught:
            await providers.complete(route, PLAIN, timeout_s=LONG_S)
        shown = "".join(traceback.format_exception(caught.value))
        assert KEY not in f"{shown}{caught.value!r}{caught.value.fix}{caught.value.details}{failed}"

    async def test_failure_of_ours_is_not_taken_for_the_providers(self, providers: Providers, route: Route) -> None:
        with pytest.raises(TypeError):
            await providers.complete(route, 5, timeout_s=LONG_S)  # type: ignore[arg-type] - the point of the test

    async def test_calls_after_close_fail(self, server: ModelServer) -> None:
        made = Providers(settings(server))
        await made.close()
        with pytest.raises(ProviderUnavailable):
            await made.complete(made.route("gpt-x"), PLAIN, timeout_s=LONG_S)


class TestModels:
    async def test_list_models_has_echo_first_and_the_defaults_names_bare(self, server: ModelServer, providers: Providers) -> None:
        assert await providers.list_models() == ["mentha/echo", "gpt-x", "gpt-y"]

    async def test_list_models_names_other_providers_with_their_prefix(self, server: ModelServer) -> None:
        async with ModelServer(models=["models/other"]) as second:
            table = {
                "openai": ProviderSettings(base_url=server.base_url),
                "second": ProviderSettings(base_url=second.base_url, models=("listed",)),
            }
            made = Providers(Settings(providers=table))
            assert await made.list_models() == ["mentha/echo", "gpt-x", "gpt-y", "second/listed", "second/other"]
            await made.close()

    async def test_list_models_is_cached(self, server: ModelServer, providers: Providers) -> None:
        await asyncio.gather(*(providers.list_models() for _ in range(5)))
        assert len(server.requests) == 1

    async def test_list_models_without_a_cache_asks_again(self, server: ModelServer) -> None:
        made = Providers(settings(server, models_cache_s=0))
        await made.list_models()
        server.models = ["new"]
        assert await made.list_models() == ["mentha/echo", "new"]
        await made.close()

    @pytest.mark.parametrize("reply", [error(500, "oops"), drop(), raw(b"no json"), error(200, {"data": None}), error(401, "bad")])
    async def test_list_models_of_a_failing_provider_has_its_configured_ones(self, server: ModelServer, reply: Any) -> None:
        table = {"own": ProviderSettings(base_url=server.base_url, models=("a", "b"))}
        made = Providers(Settings(providers=table))
        server.script("/models", reply)
        assert await made.list_models() == ["mentha/echo", "a", "b"]
        await made.close()

    async def test_list_models_without_providers_has_echo(self) -> None:
        assert await Providers(Settings()).list_models() == ["mentha/echo"]

    async def test_list_models_with_a_custom_key_shows_it_to_the_default_provider_only(self, server: ModelServer) -> None:
        async with ModelServer() as second:
            table = {"openai": ProviderSettings(base_url=server.base_url), "second": ProviderSettings(base_url=second.base_url)}
            made = Providers(Settings(providers=table))
            assert await made.list_models(custom_key="sk-callers-own") == ["mentha/echo", "gpt-x", "gpt-y"]
            await made.close()
            assert server.requests[0].headers["authorization"] == "Bearer sk-callers-own"
            assert second.requests == []

    async def test_check_of_a_working_provider_is_ok(self, providers: Providers) -> None:
        (check,) = await providers.check()
        assert (check.name, check.ok, check.detail) == ("openai", True, "reachable, key accepted, 2 models")

    @pytest.mark.parametrize(
        ("reply", "ok", "words"), [(error(401, "bad"), False, "does not accept the key"), (error(404, "no"), True, "no list")]
    )
    async def test_check_tells_a_wrong_key_from_a_missing_list(
        self, server: ModelServer, providers: Providers, reply: Any, ok: bool, words: str
    ) -> None:
        server.script("/models", reply)
        (check,) = await providers.check()
        assert check.ok is ok
        assert words in check.detail
        assert KEY not in check.detail

    async def test_check_of_a_provider_that_is_away_is_not_ok(self) -> None:
        made = Providers(Settings(providers={"own": ProviderSettings(base_url="http://127.0.0.1:1/v1")}))
        (check,) = await made.check()
        assert not check.ok
        assert "can't be reached" in check.detail
        await made.close()

    async def test_check_without_providers_says_what_to_set(self) -> None:
        (check,) = await Providers(Settings()).check()
        assert not check.ok
        assert "OPENAI_API_KEY" in check.detail


class TestModelServerForms:
    """The model server in a thread and in a process: what other rings rely on."""

    @pytest.mark.parametrize("form", [running_model_server, spawned_model_server])
    async def test_handle_scripts_waits_releases_and_records(self, form: Any) -> None:
        with form() as handle:
            made = Providers(Settings(providers={"openai": ProviderSettings(base_url=handle.base_url)}))
            handle.script("gpt-x", gated(text("first")), error(429, "slow down"))
            running = asyncio.create_task(made.complete(made.route("gpt-x"), PLAIN, timeout_s=LONG_S))
            await handle.until_arrived(1)
            await handle.until_held(1)
            handle.release()
            assert (await running).content == "first"
            with pytest.raises(ProviderRateLimited):
                await made.complete(made.route("gpt-x"), PLAIN, timeout_s=LONG_S)
            assert [request.body for request in handle.requests] == [PLAIN, PLAIN]
            handle.reset()
            handle.list_models(["other"])
            assert await made.list_models() == ["mentha/echo", "other"]
            with pytest.raises(TimeoutError):
                handle.wait_arrived(1, timeout_s=0.01)
            await made.close()
