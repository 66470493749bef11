"""Chat requests as they pass through to a provider: no session, no agent; bytes through, and what they cost recorded.

Law: what was answered was recorded. The last bytes of an answer go out after its usage is stored; of a stream that a client leaves, or that
breaks, what had come until then is recorded as an estimate.
"""

from collections.abc import AsyncGenerator
from uuid import UUID

from mentha.core import tokens
from mentha.core.config import Settings
from mentha.core.errors import Unavailable
from mentha.core.json import JsonObject, dumps
from mentha.providers import answers
from mentha.providers.service import Providers
from mentha.providers.types import Route, Usage
from mentha.store.meter import Meter
from mentha.store.usage import NewUsage

DONE = b"data: [DONE]\n\n"
# A rule of thumb for English.
BYTES_PER_TOKEN = 4


class Gateway:
    """All requests that pass through this process."""

    def __init__(self, settings: Settings, providers: Providers, meter: Meter) -> None:
        self._settings = settings
        self._providers = providers
        self._meter = meter
        self._running = 0

    async def whole(self, tenant: UUID, route: Route, body: JsonObject) -> bytes:
        """The provider's answer, as it came.

        Raises:
            ProviderError: the provider failed.
            Unavailable: too many requests pass through, or the answer could not be recorded.
        """
        self._enter()
        try:
            raw, completion = await self._providers.forward(
                route, dumps({**body, "model": route.model}), timeout_s=self._settings.turn_timeout_s
            )
        except BaseException:
            self._meter.later(tenant, [self._row(route, None, ok=False)])
            raise
        finally:
            self._running -= 1
        usage, said = completion.usage, completion.content or ""
        row = self._row(route, usage or await _estimate(body, said), estimated=usage is None)
        await self._record(tenant, row)
        return raw

    async def stream(self, tenant: UUID, route: Route, body: JsonObject) -> AsyncGenerator[bytes]:
        """The provider's events, as they came. The first item comes with the first event, so that a failure before it can have a status.

        Raises:
            ProviderError: the provider failed, before or after some events.
            Unavailable: too many requests pass through, or the answer could not be recorded.
        """
        wanted = (body.get("stream_options") or {}).get("include_usage")
        # Without it few providers tell what a stream has cost.
        options = {**(body.get("stream_options") or {}), "include_usage": True}
        sent = dumps({**body, "model": route.model, "stream_options": options})
        self._enter()
        seen = _Seen()
        try:
            async for data, chunk in self._providers.forward_stream(route, sent, timeout_s=self._settings.turn_timeout_s):
                if seen.look(chunk) and not wanted:
                    continue
                # Data of several lines is one event only where each line says so.
                yield b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"
            row = self._row(route, seen.usage or await _estimate(body, seen.text), estimated=seen.usage is None)
            seen.is_recorded = True
            await self._record(tenant, row)
            yield DONE
        finally:
            self._running -= 1
            if not seen.is_recorded:
                estimate = seen.usage or Usage(_roughly(body), seen.pieces, 0) if seen.pieces else None
                self._meter.later(tenant, [self._row(route, estimate, ok=False, estimated=seen.usage is None)])

    async def _record(self, tenant: UUID, row: NewUsage) -> None:
        """Record a call that was answered, now; where the database is away, as soon as it is back. Its provider has billed it already.

        Raises:
            Unavailable: it is not recorded yet.
        """
        try:
            await self._meter.write(tenant, [row])
        except Unavailable:
            self._meter.later(tenant, [row])
            raise

    def _enter(self) -> None:
        if self._running >= self._settings.turns_at_once_max:
            raise Unavailable(f"{self._running} requests pass through, which is the most at once", retry_after_s=2)
        self._running += 1

    def _row(self, route: Route, usage: Usage | None, *, ok: bool = True, estimated: bool = False) -> NewUsage:
        prompt, said = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
        return NewUsage(
            kind="gateway",
            ok=ok,
            provider=route.provider,
            model=route.model,
            prompt_tokens=prompt,
            completion_tokens=said,
            estimated=estimated and usage is not None,
            cost=self._providers.cost(route, prompt, said),
        )


class _Seen:
    """What of a stream tells its usage."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.is_recorded = False
        self.pieces = 0
        self._texts: list[str] = []

    @property
    def text(self) -> str:
        """What was said."""
        return "".join(self._texts)

    def look(self, chunk: JsonObject) -> bool:
        """Look at an event; true where it tells of nothing but usage."""
        self.pieces += 1
        self.usage = answers.usage(chunk.get("usage")) or self.usage
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta")
            said = delta.get("content") if isinstance(delta, dict) else None
            if isinstance(said, str):
                self._texts.append(said)
        return bool(chunk.get("usage")) and not chunk.get("choices")


def _roughly(body: JsonObject) -> int:
    """Tokens of a prompt. Nothing can be waited for where a stream breaks off, so a long one is not counted but measured."""
    said = dumps(body["messages"])
    return tokens.count(said.decode()) if len(said) <= tokens.INLINE_CHARS_MAX else len(said) // BYTES_PER_TOKEN


async def _estimate(body: JsonObject, said: str) -> Usage:
    prompt, answered = await tokens.count_many([dumps(body["messages"]).decode(), said])
    return Usage(prompt, answered, prompt + answered)
