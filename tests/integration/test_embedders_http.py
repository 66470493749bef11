"""Embeddings over HTTP, against a real server of ours: what is sent, what is taken, and what is refused."""

import asyncio
import base64
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from mentha.core.config import ProviderSettings, Settings
from mentha.core.errors import EmbedderTimeout, ProviderError, ProviderKeyInvalid, ProviderRateLimited, ProviderRefused, ProviderUnavailable
from mentha.core.json import dumps
from mentha.observe import events
from mentha.providers import Providers, routing
from mentha.providers.embed_http import BASE64_ADDRESSES, DIMENSIONS_MAX, REQUESTS_AT_ONCE_MAX, HttpEmbedder, Pace
from mentha.providers.embedders import QUERIES_KEPT, Embedder, Embedders
from tests.support.model_server import (
    DIMENSIONS,
    ModelServer,
    Reply,
    drop,
    embedding,
    embeddings_answer,
    error,
    garbage,
    gated,
    hang,
    raw,
    sse_error,
)

KEY = "sk-very-secret-0123456789"
NAME = "own/embed-x"
Make = Callable[..., Embedder]


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as running:
        yield running


@pytest.fixture
async def make(server: ModelServer) -> AsyncIterator[Make]:
    """Makes the embedder for some settings."""
    opened: list[Providers] = []

    def made(**over: Any) -> Embedder:
        settings = settings_for(server, **over)
        opened.append(Providers(settings))
        return Embedders(settings, opened[-1]).get(NAME)

    yield made
    for providers in opened:
        await providers.close()


@pytest.fixture
def embedder(make: Make) -> Embedder:
    return make()


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


def settings_for(server: ModelServer, **over: Any) -> Settings:
    own = ProviderSettings(base_url=server.base_url, api_key=SecretStr(KEY))
    return Settings(**{"providers": {"own": own}, "embedder": NAME, **over})


def answer(*vectors: Any, indexes: list[Any] | None = None) -> Reply:
    """An answer with these vectors, in the place of the server's own."""
    numbers = list(range(len(vectors))) if indexes is None else indexes
    entries = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in zip(numbers, vectors, strict=True)]
    return error(200, {"object": "list", "data": entries})


class TestSending:
    async def test_request_has_the_openai_form(self, server: ModelServer, embedder: Embedder) -> None:
        made = await embedder.documents(["first", "second 日本"])
        (request,) = server.requests
        assert (request.method, request.path) == ("POST", "/v1/embeddings")
        assert request.json == {"model": "embed-x", "input": ["first", "second 日本"], "encoding_format": "float"}
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert made == pytest.approx(np.array([embedding("first"), embedding("second 日本")]), abs=1e-6)

    async def test_dimensions_of_the_settings_are_asked_for(self, server: ModelServer, make: Make) -> None:
        embedder = make(embedder_dimensions=16)
        assert embedder.dimensions == 16
        assert (await embedder.documents(["first"])).shape == (1, 16)
        assert server.requests[0].json["dimensions"] == 16

    async def test_dimensions_are_not_asked_of_an_embedder_of_older_settings(self, server: ModelServer, make: Make) -> None:
        embedder = make(embedder="local", embedder_dimensions=16)
        assert (await embedder.documents(["first"])).shape == (1, DIMENSIONS)
        assert "dimensions" not in server.requests[0].json

    async def test_bulk_is_cut_into_requests_by_texts(self, server: ModelServer, make: Make) -> None:
        texts = [f"text {number}" for number in range(10)]
        made = await make(embedder_batch_texts_max=4).documents(texts)
        assert sorted(len(request.json["input"]) for request in server.requests) == [2, 4, 4]
        assert made == pytest.approx(np.array([embedding(said) for said in texts]), abs=1e-6)

    async def test_bulk_is_cut_into_requests_by_characters(self, server: ModelServer, embedder: Embedder) -> None:
        made = await embedder.documents(["word " * 2_000] * 20)
        assert {len(said) for request in server.requests for said in request.json["input"]} == {embedder.chars_max}
        assert max(len(request.body) for request in server.requests) < 110_000
        assert len(server.requests) == 2
        assert len(made) == 20

    async def test_bulk_has_few_requests_at_once(self, server: ModelServer, make: Make) -> None:
        server.script("/embeddings", *[hang()] * 10)
        running = asyncio.create_task(make(embedder_batch_texts_max=1).documents([f"text {number}" for number in range(10)]))
        await server.until_held(REQUESTS_AT_ONCE_MAX)
        assert len(server.requests) == REQUESTS_AT_ONCE_MAX
        for done in range(10 - REQUESTS_AT_ONCE_MAX):
            server.release(1)
            await server.until_embedded(REQUESTS_AT_ONCE_MAX + done + 1)
            await server.until_held(REQUESTS_AT_ONCE_MAX)
            assert len(server.requests) == REQUESTS_AT_ONCE_MAX + done + 1
        server.release()
        assert len(await running) == 10

    async def test_query_goes_past_bulk_that_waits(self, server: ModelServer, make: Make) -> None:
        embedder = make(embedder_batch_texts_max=1)
        server.script("/embeddings", *[hang()] * REQUESTS_AT_ONCE_MAX)
        running = asyncio.create_task(embedder.documents(["text"] * 2 * REQUESTS_AT_ONCE_MAX))
        await server.until_held(REQUESTS_AT_ONCE_MAX)
        assert len(await embedder.queries(["quick"])) == 1
        server.release()
        await running

    async def test_base64_is_asked_of_openai_alone(self, server: ModelServer) -> None:
        settings = settings_for(server)
        embedder = HttpEmbedder(NAME, settings, Providers(settings).transport, Pace(None))
        openai = routing.to_provider(Settings(providers={"openai": ProviderSettings(base_url="https://api.openai.com/v1")}), "openai")
        assert openai.base_url.startswith(BASE64_ADDRESSES)
        assert b'"base64"' in embedder._body(openai, ["a"])
        assert b'"float"' in embedder._body(routing.to_provider(settings, "own"), ["a"])

    async def test_cancelled_bulk_closes_its_connections(self, server: ModelServer, make: Make) -> None:
        server.script("/embeddings", *[hang()] * 3)
        running = asyncio.create_task(make(embedder_batch_texts_max=1).documents(["a", "b", "c"]))
        await server.until_held(3)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await server.until_disconnected(3)

    async def test_chat_and_embeddings_share_a_connection(self, server: ModelServer) -> None:
        providers = Providers(settings := settings_for(server))
        await Embedders(settings, providers).get(NAME).documents(["a"])
        route = providers.route("own/gpt-x")
        await providers.complete(route, dumps({"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]}), timeout_s=20)
        assert server.connections == 1
        await providers.close()


class Clock:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 100.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.at += seconds


class TestPace:
    @pytest.fixture
    async def paced(self, server: ModelServer) -> AsyncIterator[Callable[[Clock, int], HttpEmbedder]]:
        """Makes an embedder that sends one text a request, at most so many a minute of this clock."""
        settings = settings_for(server, embedder_batch_texts_max=1)
        providers = Providers(settings)
        yield lambda clock, most: HttpEmbedder(NAME, settings, providers.transport, Pace(most, clock=clock.now, sleep=clock.sleep))
        await providers.close()

    async def test_pace_spreads_bulk_evenly_over_the_minute(self, server: ModelServer, paced: Any) -> None:
        clock = Clock()
        await paced(clock, 60).documents([f"text {number}" for number in range(5)])
        assert clock.slept == [1, 1, 1, 1]
        assert len(server.requests) == 5

    async def test_pace_lets_queries_through_and_makes_bulk_wait_for_them(self, paced: Any) -> None:
        clock = Clock()
        embedder = paced(clock, 6)
        for number in range(3):
            await embedder.queries([f"query {number}"])
        assert clock.slept == []
        await embedder.documents(["text"])
        assert clock.slept == [30]

    async def test_pace_after_a_pause_saves_nothing_up(self) -> None:
        clock = Clock()
        pace = Pace(60, clock=clock.now, sleep=clock.sleep)
        await pace.wait()
        clock.at += 3_600
        for _ in range(3):
            await pace.wait()
        assert clock.slept == [1, 1]

    async def test_pace_without_a_limit_never_waits(self) -> None:
        clock = Clock()
        pace = Pace(None, clock=clock.now, sleep=clock.sleep)
        for _ in range(1_000):
            await pace.wait()
        assert clock.slept == []


class TestTaking:
    async def test_vectors_are_put_in_their_places(self, server: ModelServer, embedder: Embedder) -> None:
        server.script("/embeddings", answer([0, 2], [3, 0], indexes=[1, 0]))
        assert (await embedder.documents(["a", "b"])).tolist() == [[1, 0], [0, 1]]

    async def test_vectors_without_numbers_are_taken_as_they_stand(self, server: ModelServer, embedder: Embedder) -> None:
        server.script("/embeddings", error(200, {"data": [{"embedding": [2, 0]}, {"embedding": [0, 3]}]}))
        assert (await embedder.documents(["a", "b"])).tolist() == [[1, 0], [0, 1]]

    async def test_vectors_as_base64_are_taken(self, server: ModelServer, embedder: Embedder) -> None:
        packed = base64.b64encode(struct.pack("<3f", 0.5, 0, 0)).decode()
        server.script("/embeddings", answer(packed, [0, 0.25, 0]))
        assert (await embedder.documents(["a", "b"])).tolist() == [[1, 0, 0], [0, 1, 0]]

    async def test_large_and_small_numbers_keep_their_direction(self, server: ModelServer, embedder: Embedder) -> None:
        server.script("/embeddings", answer([3e30, 4e30], [3e-30, 4e-30]))
        assert await embedder.documents(["a", "b"]) == pytest.approx(np.array([[0.6, 0.8], [0.6, 0.8]]))

    async def test_large_answer_is_taken_whole(self, server: ModelServer, make: Make) -> None:
        texts = [f"text {number}" for number in range(200)]
        made = await make(embedder_batch_texts_max=200, embedder_dimensions=512).documents(texts)
        assert len(server.requests) == 1
        assert made == pytest.approx(np.array([embedding(said, 512) for said in texts]), abs=1e-6)

    @pytest.mark.parametrize(
        ("reply", "words"),
        [
            (answer([1, 0]), "1 vectors came for 2 texts"),
            (answer([1, 0], [0, 1], [1, 1]), "3 vectors came for 2 texts"),
            (answer([1, 0], [0, 0]), "no length"),
            (answer([1, 0], [0, None]), "no length"),
            (answer([1, 0], ["NaN", 1]), "no length"),
            (answer([1, 0], base64.b64encode(struct.pack("<2f", float("inf"), 0)).decode()), "no length"),
            (raw(b'{"data":[{"embedding":[1,0]},{"embedding":[1e999,0]}]}'), "no JSON"),
            (answer([1, 0], [0, 1, 0]), "not of one size"),
            (answer([], []), "not of one size, or empty"),
            (answer([1, 0], None), "not of one size"),
            (answer([1, 0], [[0], [1]]), "no list of numbers"),
            (answer([1, 0], ["one", "two"]), "something else than numbers"),
            (answer([1, 0], [{"a": 1}, 2]), "something else than numbers"),
            (answer([1, 0], "no base64!"), "something else than numbers"),
            (answer([1, 0], base64.b64encode(b"12345").decode()), "something else than numbers"),
            (answer([1, 0], [0, 1], indexes=[0, 0]), "not numbered as the texts are"),
            (answer([1, 0], [0, 1], indexes=[1, 2]), "not numbered as the texts are"),
            (answer([1, 0], [0, 1], indexes=["a", "b"]), "not numbered as the texts are"),
            (answer([1, 0], [0, 1], indexes=[[], {}]), "not numbered as the texts are"),
            (error(200, {"data": [[1, 0], [0, 1]]}), "no object"),
            (error(200, {"object": "list"}), "no `data`"),
            (error(200, []), "no `data`"),
            (garbage(), "no JSON"),
            (raw(b"[" * 5_000), "no JSON"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_answer_without_clear_meaning_is_refused(self, server: ModelServer, embedder: Embedder, reply: Reply, words: str) -> None:
        server.script("/embeddings", reply)
        with pytest.raises(ProviderUnavailable, match="unusable") as caught:
            await embedder.documents(["a", "b"])
        assert words in caught.value.message
        assert caught.value.retry
        # And the next answer is taken: nothing of the bad one was kept.
        assert (await embedder.documents(["a"])).shape == (1, DIMENSIONS)

    async def test_size_other_than_the_settings_say_is_refused_and_not_cut(self, server: ModelServer, make: Make) -> None:
        server.script("/embeddings", answer([1, 0, 0, 0, 0, 0, 0, 0, 0]))
        with pytest.raises(ProviderRefused, match="9 numbers, not of 8 as MENTHA_EMBEDDER_DIMENSIONS says") as caught:
            await make(embedder_dimensions=8).documents(["a"])
        assert "set MENTHA_EMBEDDER_DIMENSIONS to 9" in (caught.value.fix or "")
        assert not caught.value.retry

    async def test_size_that_changes_is_refused(self, server: ModelServer, embedder: Embedder) -> None:
        assert embedder.dimensions is None
        await embedder.documents(["a"])
        assert embedder.dimensions == DIMENSIONS
        server.script("/embeddings", answer([1, 0]))
        with pytest.raises(ProviderRefused, match=f"2 numbers, not of {DIMENSIONS} as it gave before"):
            await embedder.queries(["b"])

    async def test_size_that_cannot_be_searched_is_refused(self, server: ModelServer, embedder: Embedder) -> None:
        server.script("/embeddings", answer([1] * (DIMENSIONS_MAX + 1)))
        with pytest.raises(ProviderRefused, match="at most 4000 can be searched"):
            await embedder.documents(["a"])
        assert embedder.dimensions is None


class TestFailing:
    @pytest.mark.parametrize(
        ("reply", "kind", "retry", "words"),
        [
            (error(429, "slow down", headers={"retry-after": "7"}), ProviderRateLimited, True, "slow down"),
            (error(401, "bad key"), ProviderKeyInvalid, False, "does not accept the key"),
            (error(404, "no such model"), ProviderRefused, False, "has no model `embed-x`"),
            (error(400, "maximum context length is 8192 tokens", code="context_length_exceeded"), ProviderRefused, False, "too long"),
            (error(400, "unknown parameter: dimensions"), ProviderRefused, False, "unknown parameter"),
            (error(402, "pay"), ProviderRefused, False, "no credit"),
            (error(500, "oops"), ProviderUnavailable, True, "HTTP 500"),
            (error(503, "busy"), ProviderUnavailable, True, "HTTP 503"),
            (error(302, {}), ProviderUnavailable, True, "redirects"),
            (error(408, "took long"), EmbedderTimeout, True, "gave up waiting"),
            (error(200, {"error": {"message": "overloaded", "type": "overloaded_error"}}), ProviderUnavailable, True, "HTTP 503"),
            (sse_error("it broke"), ProviderUnavailable, True, "it broke"),
            (drop(), ProviderUnavailable, True, "broke the connection off"),
            (drop(after_chunks=1), ProviderUnavailable, True, "broke the connection off"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_failure_says_what_it_is_and_is_not_tried_again(
        self, server: ModelServer, embedder: Embedder, failed: Any, reply: Reply, kind: type[ProviderError], retry: bool, words: str
    ) -> None:
        server.script("/embeddings", reply)
        with pytest.raises(kind) as caught:
            await embedder.documents(["a"])
        assert type(caught.value) is kind
        assert caught.value.retry is retry
        assert words in caught.value.message
        assert len(server.requests) == 1
        assert [(event.provider, event.model, event.reason) for event in failed] == [("own", "embed-x", caught.value.reason)]
        told = f"{caught.value.message} {caught.value.fix} {caught.value.details}"
        assert KEY not in told
        # The remedies of chat are none here.
        assert not any(word in told for word in ("max_tokens", "MENTHA_TURN", "X-Custom-Api-Key", "token_budget", "another model"))

    async def test_failure_of_rate_says_how_long_to_wait(self, server: ModelServer, embedder: Embedder) -> None:
        server.script("/embeddings", error(429, "slow down", headers={"retry-after": "7"}))
        with pytest.raises(ProviderRateLimited) as caught:
            await embedder.queries(["a"])
        assert caught.value.retry_after_s == 7

    async def test_failure_of_one_request_ends_the_others(self, server: ModelServer, make: Make) -> None:
        server.script("/embeddings", gated(error(500, "oops")), hang(), hang())
        running = asyncio.create_task(make(embedder_batch_texts_max=1).documents(["a", "b", "c"]))
        await server.until_held(3)
        server.release(1)
        with pytest.raises(ProviderUnavailable, match="oops"):
            await running
        await server.until_disconnected(2)

    @pytest.mark.parametrize("setting", ["embedder_timeout_s", "embedder_query_timeout_s"])
    async def test_silence_ends_by_the_limit_of_its_kind(self, server: ModelServer, make: Make, setting: str) -> None:
        embedder = make(**{setting: 0.05})
        server.script("/embeddings", hang())
        with pytest.raises(EmbedderTimeout, match=r"within 0\.05 s") as caught:
            await (embedder.documents if setting == "embedder_timeout_s" else embedder.queries)(["a"])
        assert f"MENTHA_{setting.upper()}" in (caught.value.fix or "")
        assert caught.value.retry

    async def test_address_where_nobody_listens_is_unavailable(self, make: Make) -> None:
        nobody = ProviderSettings(base_url="http://127.0.0.1:1/v1")
        with pytest.raises(ProviderUnavailable, match="can't be reached"):
            await make(providers={"own": nobody}).documents(["a"])


class TestRemembering:
    async def test_query_that_was_asked_before_is_not_sent(self, server: ModelServer, embedder: Embedder) -> None:
        first = await embedder.queries(["one", "two"])
        again = await embedder.queries(["two", "three", "one"])
        assert [request.json["input"] for request in server.requests] == [["one", "two"], ["three"]]
        assert (again[[2, 0]] == first).all()

    async def test_query_twice_in_one_call_is_sent_once(self, server: ModelServer, embedder: Embedder) -> None:
        made = await embedder.queries(["one", "one"])
        assert server.requests[0].json["input"] == ["one"]
        assert made.shape == (2, DIMENSIONS)

    async def test_query_with_another_instruction_is_another_query(self, server: ModelServer, embedder: Embedder) -> None:
        await embedder.queries(["one"])
        await embedder.queries(["one"], instruction="Find")
        assert [request.json["input"] for request in server.requests] == [["one"], ["Find\none"]]

    async def test_document_is_not_kept(self, server: ModelServer, embedder: Embedder) -> None:
        await embedder.documents(["one"])
        await embedder.documents(["one"])
        await embedder.queries(["one"])
        assert len(server.requests) == 3

    async def test_oldest_queries_make_room(self, server: ModelServer, embedder: Embedder) -> None:
        await embedder.queries(["first", "second"])
        await embedder.queries(["first"])
        for start in range(0, QUERIES_KEPT - 1, 50):
            await embedder.queries([f"query {number}" for number in range(start, min(start + 50, QUERIES_KEPT - 1))])
        sent = len(server.requests)
        await embedder.queries(["first"])
        assert len(server.requests) == sent
        await embedder.queries(["second"])
        assert len(server.requests) == sent + 1


def test_server_gives_openais_shape() -> None:
    """The test's own server: its vectors are those that a client of OpenAI would read."""
    asked = {"model": "m", "input": ["red apple", "green apple"], "dimensions": 8}
    plain, packed = embeddings_answer(asked), embeddings_answer({**asked, "encoding_format": "base64"})
    for one, other in zip(plain["data"], packed["data"], strict=True):
        assert struct.unpack("<8f", base64.b64decode(other["embedding"])) == pytest.approx(one["embedding"], abs=1e-6)
    near = np.array([embedding(said) for said in ("red apple pie", "apple pie with cream", "snow on the road")])
    assert near[0] @ near[1] > near[0] @ near[2]
