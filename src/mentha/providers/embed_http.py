"""Embeddings from any OpenAI-compatible endpoint of the configured providers, over the connections that chat uses.

A call is cut into requests of some texts each, a few of them under way at once. Nothing is tried again here: bulk work belongs to a
background job, which knows how to wait. What comes back is checked, since it is kept for years: as many vectors as texts, each in its
place, all of one size, finite and not zero.

Source: https://platform.openai.com/docs/api-reference/embeddings.
"""

import asyncio
import base64
import binascii
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from mentha.core import lazy, prices, tokens
from mentha.core.config import Settings
from mentha.core.errors import (
    ConfigInvalid,
    EmbedderTimeout,
    ProviderError,
    ProviderKeyInvalid,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from mentha.core.json import JsonInvalid, JsonValue, dumps, loads_hostile
from mentha.observe.events import ProviderFailed, emit
from mentha.providers import failures, routing, transport
from mentha.providers.answers import BadAnswer, ErrorAnswer
from mentha.providers.transport import BodyTooLarge, Transport
from mentha.providers.types import EmbedderCall, Route
from mentha.providers.vectors import Vectors, prepared, slices

# Text models take 8,000 tokens or so, and a character of a rare script can be one.
CHARS_MAX = 8_000
# Of one request: vendors limit the tokens of all its texts together, OpenAI to 300,000.
REQUEST_CHARS_MAX = 100_000
# Bulk requests under way at once; queries come on top.
REQUESTS_AT_ONCE_MAX = 4
# What the index of the database takes.
DIMENSIONS_MAX = 4_000
ANSWER_BYTES_MAX = 32_000_000
LEVELS_UNCHECKED = 1_024
# A larger answer is parsed in a thread: 64 vectors of 1,536 numbers as text take 11 ms.
INLINE_BYTES_MAX = 100_000
# Of one request; what says more is no count.
TOKENS_MAX = 1_000_000_000
# These are known to have `base64`, which takes a quarter of the time and half of the bytes. Others get the format that every server has;
# it is always named, since some servers refuse a request that leaves it out.
BASE64_ADDRESSES = ("https://api.openai.com/",)

# The setting that limits a request.
Limit = Literal["embedder_query_timeout_s", "embedder_timeout_s"]
HINT = "check the name of the model, and that the provider serves `/embeddings`"


class Pace:
    """Spreads bulk requests evenly, so that at most so many leave in a minute. Queries count, and never wait: bulk work waits for them too.

    Args:
        per_minute_max: `None` means no limit.
        clock, sleep: for tests.
    """

    def __init__(
        self,
        per_minute_max: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._every_s = 60 / per_minute_max if per_minute_max else 0.0
        self._clock = clock
        self._sleep = sleep
        self._free_at = -math.inf

    def count(self) -> float:
        """Take the next place; gives how many seconds away it is."""
        now = self._clock()
        place = max(now, self._free_at)
        self._free_at = place + self._every_s
        return place - now

    async def wait(self) -> None:
        """Take the next place and wait for it."""
        if (seconds := self.count()) > 0:
            await self._sleep(seconds)


@dataclass(frozen=True, slots=True)
class _Part:
    """Texts of one request, and which of all the first one is."""

    first: int
    texts: list[str]


class HttpEmbedder:
    """A model behind an endpoint.

    Args:
        name: `provider/model`.
        pace: shared by all embedders of the process.

    Raises:
        ConfigInvalid: the provider is not configured.
    """

    chars_max: int = CHARS_MAX

    def __init__(self, name: str, settings: Settings, connections: Transport, pace: Pace) -> None:
        provider, _, self._model = name.partition("/")
        if provider not in settings.providers:
            raise ConfigInvalid(
                f"the embedder `{name}` needs the provider `{provider}`, which is not configured", fix=routing.how_to_configure(provider)
            )
        self.name = name
        self._provider = provider
        self._settings = settings
        self._connections = connections
        self._pace = pace
        # Asked for under today's settings only: an embedder of older ones is used as its provider has it.
        self._asked = settings.embedder_dimensions if name == settings.embedder else None
        self.dimensions: int | None = self._asked
        self._at_once = asyncio.Semaphore(REQUESTS_AT_ONCE_MAX)

    async def queries(self, texts: Sequence[str], *, instruction: str = "", calls: list[EmbedderCall] | None = None) -> Vectors:
        """See `embedders.Embedder`. One request after the other, each within `embedder_query_timeout_s`."""
        made: list[Vectors] = []
        for part in self._parts(texts, instruction):
            self._pace.count()
            made.append(await self._request(part, "embedder_query_timeout_s", calls))
        return await _joined(made, self.dimensions)

    async def documents(self, texts: Sequence[str], *, instruction: str = "", calls: list[EmbedderCall] | None = None) -> Vectors:
        """See `embedders.Embedder`. Some requests at once, each within `embedder_timeout_s`; where one fails, the others are cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                made = [group.create_task(self._bulk(part, calls)) for part in self._parts(texts, instruction)]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return await _joined([task.result() for task in made], self.dimensions)

    async def close(self) -> None:
        """Nothing: the connections are the providers'."""

    def _parts(self, texts: Sequence[str], instruction: str) -> Iterator[_Part]:
        ready, first = prepared(texts, instruction, CHARS_MAX), 0
        for part in slices(ready, texts_max=self._settings.embedder_batch_texts_max, chars_max=REQUEST_CHARS_MAX):
            yield _Part(first, part)
            first += len(part)

    async def _bulk(self, part: _Part, calls: list[EmbedderCall] | None) -> Vectors:
        async with self._at_once:
            await self._pace.wait()
            return await self._request(part, "embedder_timeout_s", calls)

    async def _request(self, part: _Part, limit: Limit, calls: list[EmbedderCall] | None) -> Vectors:
        route = replace(routing.to_provider(self._settings, self._provider), model=self._model, requested=self.name)
        call = EmbedderCall(route.provider, route.model, ok=False, first=part.first, chars=tuple(map(len, part.texts)))
        try:
            async with asyncio.timeout(getattr(self._settings, limit)):
                response = await self._connections.post_embeddings(route, self._body(route, part.texts))
                raw = await transport.read(response, ANSWER_BYTES_MAX)
            vectors, told = await _decoded(raw, len(part.texts))
            call = await self._answered(call, route, part, told)
            self._check_size(vectors.shape[1], route)
        except Exception as error:  # noqa: BLE001 - what is not a provider's failure is raised again by `_failure`
            raise self._failure(error, route, limit) from None
        finally:
            if calls is not None:
                calls.append(call)
        return vectors

    async def _answered(self, call: EmbedderCall, route: Route, part: _Part, told: int | None) -> EmbedderCall:
        counted = sum(await tokens.count_many(part.texts)) if told is None else told
        price = prices.price_of(route.provider, route.model, route.requested, self._settings.model_prices)
        return replace(call, ok=True, tokens=counted, estimated=told is None, cost=prices.cost(price, counted, 0))

    def _body(self, route: Route, texts: list[str]) -> bytes:
        form = "base64" if route.base_url.startswith(BASE64_ADDRESSES) else "float"
        asked = {"dimensions": self._asked} if self._asked else {}
        return dumps({"model": self._model, "input": texts, "encoding_format": form, **asked})

    def _check_size(self, size: int, route: Route) -> None:
        """Keep the size of the first answer; refuse any other. Vectors cut in silence would be worse than they look."""
        facts: dict[str, Any] = {"provider": route.provider, "model": routing.shown(route.model), "cause": f"{size} dimensions"}
        if size > DIMENSIONS_MAX:
            raise ProviderRefused(
                f"the embedder `{self.name}` gives vectors of {size} numbers, and at most {DIMENSIONS_MAX} can be searched",
                fix="set MENTHA_EMBEDDER_DIMENSIONS, where the model can give shorter ones, or use another model",
                **facts,
            )
        if self.dimensions is not None and size != self.dimensions:
            told = "MENTHA_EMBEDDER_DIMENSIONS says" if self._asked else "it gave before"
            raise ProviderRefused(
                f"the embedder `{self.name}` gives vectors of {size} numbers, not of {self.dimensions} as {told}",
                fix=f"set MENTHA_EMBEDDER_DIMENSIONS to {size}, or use a model that can give {self.dimensions}",
                **facts,
            )
        self.dimensions = size

    def _failure(self, error: Exception, route: Route, limit: Limit) -> ProviderError:
        """What `error` means, told to the observers. Raises `error` itself where it is no failure of a provider."""
        failure = _mapped(error, route, limit, getattr(self._settings, limit))
        cause = str(failure.details.get("cause", ""))
        emit(ProviderFailed(provider=route.provider, model=routing.shown(route.model), reason=failure.reason, detail=cause))
        return failure


def decoded(numpy: Any, raw: bytes, count: int) -> tuple[Vectors, int | None]:
    """The vectors in the body of an answer to `count` texts, each scaled to length 1, and the tokens that it tells of.

    Raises:
        BadAnswer: it has no clear meaning, or a vector that is none.
        ErrorAnswer: it is an error under a status of 200.
    """
    body = _body(raw)
    rows = [_row(numpy, row) for row in _in_order(_items(body), count)]
    if len({row.size for row in rows}) != 1 or not rows[0].size:
        raise BadAnswer("the vectors are not of one size, or empty")
    vectors = numpy.stack(rows)
    # In double precision: the squares of large numbers must not become infinite.
    lengths = numpy.sqrt(numpy.einsum("ij,ij->i", vectors, vectors, dtype=numpy.float64))[:, None]
    if not (numpy.isfinite(lengths).all() and lengths.all()):
        raise BadAnswer("a vector has no length: it is zero, or not finite")
    return (vectors / lengths).astype(numpy.float32), _tokens(body)


def _body(raw: bytes) -> JsonValue:
    try:
        # The parser itself ends at 1,024 levels, and nothing here goes down: no reason to walk over every number.
        return loads_hostile(raw, depth_max_levels=LEVELS_UNCHECKED)
    except JsonInvalid:
        raise BadAnswer("the answer is no JSON") from None


def _tokens(body: JsonValue) -> int | None:
    usage = body.get("usage") if isinstance(body, dict) else None
    told = usage.get("prompt_tokens", usage.get("total_tokens")) if isinstance(usage, dict) else None
    return told if isinstance(told, int) and 0 <= told <= TOKENS_MAX else None


def _items(body: JsonValue) -> list[JsonValue]:
    if isinstance(body, dict) and "data" not in body and "error" in body:
        raise ErrorAnswer(body)
    items = body.get("data") if isinstance(body, dict) else None
    if not isinstance(items, list):
        raise BadAnswer("the answer has no `data`")
    return items


def _in_order(items: list[JsonValue], count: int) -> list[JsonValue]:
    """The embeddings by `index`; where a server leaves that out, as they stand."""
    if len(items) != count:
        raise BadAnswer(f"{len(items)} vectors came for {count} texts")
    if not all(isinstance(item, dict) for item in items):
        raise BadAnswer("an entry of `data` is no object")
    places = [item.get("index", position) for position, item in enumerate(items)]
    if not all(isinstance(place, int) for place in places) or sorted(places) != list(range(count)):
        raise BadAnswer("the vectors are not numbered as the texts are")
    return [items[position].get("embedding") for position in sorted(range(count), key=places.__getitem__)]


def _row(numpy: Any, value: JsonValue) -> Any:
    try:
        if isinstance(value, str):
            return numpy.frombuffer(base64.b64decode(value, validate=True), dtype="<f4").astype(numpy.float64)
        row = numpy.array(value if isinstance(value, list) else [], dtype=numpy.float64)
    except (ValueError, TypeError, OverflowError, binascii.Error):
        raise BadAnswer("a vector holds something else than numbers") from None
    if row.ndim != 1:
        raise BadAnswer("a vector is no list of numbers")
    return row


async def _joined(parts: list[Vectors], dimensions: int | None) -> Vectors:
    if len(parts) == 1:
        return parts[0]
    numpy = await _numpy()
    return numpy.concatenate(parts) if parts else numpy.empty((0, dimensions or 0), numpy.float32)


async def _numpy() -> Any:
    # In a thread, since the first time takes 0.1 s.
    return await asyncio.to_thread(lazy.load, "numpy")


async def _decoded(raw: bytes, count: int) -> tuple[Vectors, int | None]:
    numpy = await _numpy()
    return decoded(numpy, raw, count) if len(raw) <= INLINE_BYTES_MAX else await asyncio.to_thread(decoded, numpy, raw, count)


def _mapped(error: Exception, route: Route, limit: Limit, timeout_s: float) -> ProviderError:
    if isinstance(error, (BodyTooLarge, OverflowError)):
        return ProviderRefused(
            f"the answer of `{routing.shown(route.model)}` is larger than {ANSWER_BYTES_MAX} bytes",
            fix="lower MENTHA_EMBEDDER_BATCH_TEXTS_MAX or MENTHA_EMBEDDER_DIMENSIONS",
            provider=route.provider,
            model=routing.shown(route.model),
            cause="answer too large",
        )
    failure = error if isinstance(error, ProviderError) else failures.from_exception(error, route, timeout_s=timeout_s, hint=HINT)
    made: type[ProviderError] = type(failure)
    fix = failure.fix
    if isinstance(failure, ProviderTimeout):
        # Unlike a turn, it may simply be sent again.
        made, fix = EmbedderTimeout, f"raise MENTHA_{limit.upper()}, or lower MENTHA_EMBEDDER_BATCH_TEXTS_MAX"
    elif isinstance(failure, ProviderKeyInvalid):
        fix = f"check {route.provider.upper()}_API_KEY (or `providers.{route.provider}.api_key`)"
    elif failure.details.get("code") == "context_length_exceeded":
        fix = "use a model that takes longer texts, or store shorter ones"
    elif isinstance(failure, ProviderUnavailable) and "another model" in (fix or ""):
        fix = "try again"
    return made(failure.message, fix=fix, retry_after_s=failure.retry_after_s, **failure.details)
