"""The one entrance to models: `chat` builds a body, this sends it and gives back the answer, whole or in pieces.

    route (pure) → options (pure) → complete | stream

Whatever fails comes out as a `ProviderError` and as one `ProviderFailed` event; a cancelled call closes its connection and raises nothing
but the cancellation.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import SecretStr

from mentha.core import prices
from mentha.core.config import Settings
from mentha.core.errors import ProviderError
from mentha.core.json import JsonInvalid, JsonObject, JsonValue, dumps, loads, loads_hostile
from mentha.observe.events import ProviderFailed, emit
from mentha.providers import answers, echo, failures, profiles, routing, transport
from mentha.providers.answers import BadAnswer
from mentha.providers.catalogue import Catalogue
from mentha.providers.sse import Events
from mentha.providers.transport import BodyTooLarge, Transport
from mentha.providers.types import ECHO_PROVIDER, Completion, Delta, Options, ProviderCheck, Route

if TYPE_CHECKING:
    import httpx2

# In a stream each few letters come in an event of some hundred bytes: this much more may come over the wire than the answer is long.
STREAM_OVERHEAD = 100
# After the last event the server still has to end the body, or the connection can't be used again. Well-behaved ones do it at once.
DRAIN_S = 0.25
DONE = b"[DONE]"


class Providers:
    """All model providers of this process. Nothing is loaded or connected before the first call.

    Raises:
        ConfigInvalid: the providers' part of the settings makes no sense.
    """

    def __init__(self, settings: Settings) -> None:
        routing.validate(settings)
        self._settings = settings
        self._transport = Transport(settings)
        self._catalogue = Catalogue(settings, self._transport)

    def route(self, model: str, *, custom_key: str | None = None, own_keys: Mapping[str, SecretStr] | None = None) -> Route:
        """Where requests for `model` go; see `routing`.

        Raises:
            ProviderRefused: no provider serves it.
            ProviderKeyInvalid: the key cannot be one.
        """
        return routing.route(self._settings, model, custom_key=custom_key, own_keys=own_keys)

    def options(self, route: Route, options: JsonObject) -> Options:
        """Mentha's chat options as the provider of `route` takes them, with warnings for those that it does not take; see `profiles`."""
        return profiles.options(route, options)

    def window(self, route: Route) -> int | None:
        """How many tokens the model of `route` takes, question and answer together; None where that is not known."""
        return profiles.window(route, self._settings.model_windows)

    def cost(self, route: Route, prompt_tokens: int, completion_tokens: int) -> float | None:
        """US dollars for a call; None where the price is not known. See `core/prices.py`."""
        price = prices.price_of(route.provider, route.model, route.requested, self._settings.model_prices)
        return prices.cost(price, prompt_tokens, completion_tokens)

    async def complete(self, route: Route, body: bytes, *, timeout_s: float) -> Completion:
        """Send a chat request and wait for the whole answer.

        Args:
            body: the JSON of a chat request without `stream`; sent as it is.
            timeout_s: for everything, from connecting to the last byte; > 0.

        Raises:
            ProviderError: one of its classes; each says what to do.
        """
        if route.provider == ECHO_PROVIDER:
            return await echo.complete(body)
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._transport.post(route, body)
                return await self._whole(route, response)
        except Exception as error:  # noqa: BLE001 - what is not a provider's failure is raised again by `_failure`
            raise self._failure(error, route, timeout_s) from None

    async def stream(self, route: Route, body: bytes, *, timeout_s: float) -> AsyncGenerator[Delta]:
        """Send a chat request and give the answer piece by piece.

        Closing the generator, or cancelling the task that waits for it, closes the connection. A stream that ends without an error has
        had exactly one delta with a `finish_reason`.

        Args:
            body: the JSON of a chat request with `"stream": true`; sent as it is.
            timeout_s: for everything, the time that the caller takes between two deltas included; > 0.

        Raises:
            ProviderError: as for `complete`; after some deltas too, when the stream breaks.
        """
        if route.provider == ECHO_PROVIDER:
            async for delta in echo.stream(body):
                yield delta
            return
        deadline = asyncio.get_running_loop().time() + timeout_s
        response = None
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._transport.post(route, body)
            if response.headers.get("content-type", "").startswith("application/json"):
                async with asyncio.timeout_at(deadline):
                    yielded = await self._unstreamed(route, response)
                yield yielded
                return
            # A limit of reading, not of this block: that would cut off whoever reads the deltas.
            limit = transport.limit(response, deadline)
            try:
                async for delta in self._deltas(route, response):
                    yield delta
            finally:
                limit.cancel()
        except Exception as error:  # noqa: BLE001 - what is not a provider's failure is raised again by `_failure`
            raise self._failure(error, route, timeout_s) from None
        finally:
            if response is not None:
                await response.aclose()

    async def forward(self, route: Route, body: bytes, *, timeout_s: float) -> tuple[bytes, Completion]:
        """Send a chat request; gives the answer's bytes as they came, and what they mean.

        Raises:
            ProviderError: as for `complete`.
        """
        if route.provider == ECHO_PROVIDER:
            completion = await echo.complete(body)
            return dumps(echo.shown(completion)), completion
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._transport.post(route, body)
                raw = await transport.read(response, self._settings.answer_bytes_max)
                return raw, answers.completion(_json(raw), route.model)
        except Exception as error:  # noqa: BLE001 - what is not a provider's failure is raised again by `_failure`
            raise self._failure(error, route, timeout_s) from None

    async def forward_stream(self, route: Route, body: bytes, *, timeout_s: float) -> AsyncGenerator[tuple[bytes, JsonObject]]:
        """Send a chat request for a stream; gives the data of each event as it came, and parsed, without the last one, `[DONE]`.

        Raises:
            ProviderError: as for `stream`.
        """
        if route.provider == ECHO_PROVIDER:
            for data in await echo.events(body):
                yield data, loads(data)
            return
        deadline = asyncio.get_running_loop().time() + timeout_s
        response = None
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._transport.post(route, body)
                if response.headers.get("content-type", "").startswith("application/json"):
                    await self._whole(route, response)
                    raise BadAnswer("the provider does not stream")  # noqa: TRY301 - what it means is told below
            limit = transport.limit(response, deadline)
            try:
                async for event in self._events(response, route):
                    yield event
            finally:
                limit.cancel()
        except Exception as error:  # noqa: BLE001 - what is not a provider's failure is raised again by `_failure`
            raise self._failure(error, route, timeout_s) from None
        finally:
            if response is not None:
                await response.aclose()

    async def list_models(self, *, custom_key: str | None = None, own_keys: Mapping[str, SecretStr] | None = None) -> list[str]:
        """Every model name that can be asked for, as far as the providers tell; see `Catalogue.list_models`."""
        return await self._catalogue.list_models(custom_key=custom_key, own_keys=own_keys)

    async def check(self) -> list[ProviderCheck]:
        """Whether each configured provider can be reached and accepts its key; asks them now. Never raises for a provider's fault."""
        return await self._catalogue.check()

    @property
    def transport(self) -> Transport:
        """The connections, for the embedders of the same process."""
        return self._transport

    async def close(self) -> None:
        """Close all connections; running calls fail."""
        await self._transport.close()

    async def _whole(self, route: Route, response: "httpx2.Response") -> Completion:
        raw = await transport.read(response, self._settings.answer_bytes_max)
        return answers.completion(_json(raw), route.model)

    async def _unstreamed(self, route: Route, response: "httpx2.Response") -> Delta:
        """The one delta for a server that answers whole although a stream was asked for; most often it is an error."""
        whole = await self._whole(route, response)
        calls = [{**call, "index": index} for index, call in enumerate(whole.tool_calls)]
        return Delta(whole.content, calls or None, whole.finish_reason, whole.usage, whole.model, whole.logprobs)

    async def _deltas(self, route: Route, response: "httpx2.Response") -> AsyncIterator[Delta]:
        bytes_max = self._settings.answer_bytes_max
        events, chunks = Events(bytes_max), answers.Chunks()
        wire_bytes = answer_bytes = 0
        done = False
        pieces = transport.pieces(response)
        while not done:
            piece = await anext(pieces, b"")
            wire_bytes += len(piece)
            for data in events.feed(piece) if piece else events.end():
                if data == DONE:
                    done = True
                    break
                delta = chunks.delta(_json(data))
                if delta is None:
                    continue
                answer_bytes += len(data) if delta.tool_calls else len(delta.content or "")
                yield delta
            if answer_bytes > bytes_max or wire_bytes > bytes_max * STREAM_OVERHEAD:
                raise BodyTooLarge
            if not piece:
                break
        if not done and not chunks.finished:
            raise failures.broke_off(route)
        if (last := chunks.close()) is not None:
            yield last
        await _drain(pieces)

    async def _events(self, response: "httpx2.Response", route: Route) -> AsyncIterator[tuple[bytes, JsonObject]]:
        bytes_max = self._settings.answer_bytes_max
        events, wire_bytes, finished = Events(bytes_max), 0, False
        pieces = transport.pieces(response)
        while True:
            piece = await anext(pieces, b"")
            wire_bytes += len(piece)
            for data in events.feed(piece) if piece else events.end():
                if data == DONE:
                    await _drain(pieces)
                    return
                chunk = answers.chunk(_json(data))
                finished = finished or any(choice.get("finish_reason") for choice in chunk.get("choices") or ())
                yield data, chunk
            if wire_bytes > bytes_max * STREAM_OVERHEAD:
                raise BodyTooLarge
            if not piece:
                break
        if not finished:
            raise failures.broke_off(route)

    def _failure(self, error: Exception, route: Route, timeout_s: float) -> ProviderError:
        """What `error` means, told to the observers. Raises `error` itself where it is no failure of a provider."""
        if isinstance(error, ProviderError):
            failure = error
        elif isinstance(error, (BodyTooLarge, OverflowError)):
            failure = failures.too_large(route, self._settings.answer_bytes_max)
        else:
            hint = routing.remedy(self._settings, route.requested)
            failure = failures.from_exception(error, route, timeout_s=timeout_s, hint=hint)
        cause = str(failure.details.get("cause", ""))
        emit(ProviderFailed(provider=route.provider, model=routing.shown(route.model), reason=failure.reason, detail=cause))
        return failure


def _json(raw: bytes) -> JsonValue:
    try:
        return loads_hostile(raw)
    except JsonInvalid:
        raise BadAnswer("the answer is no JSON, or nested too deep") from None


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read to the end of the body, so that the connection goes back to the pool; give up soon: the answer is complete already."""
    with suppress(Exception):
        async with asyncio.timeout(DRAIN_S):
            async for _ in pieces:
                pass
