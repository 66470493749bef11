"""Third stage of a turn: ask the model. A stream is passed on piece by piece while it is put together for the answer that is stored."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mentha.chat.answer import Writer
from mentha.core.errors import ProviderUnavailable
from mentha.core.json import JsonObject, JsonValue
from mentha.providers.service import Providers
from mentha.providers.types import Completion, FinishReason, Route, Usage

TOOL_CALLS_MAX = 128


async def ask(providers: Providers, route: Route, body: bytes, *, timeout_s: float) -> Completion:
    """The model's whole answer.

    Raises:
        ProviderError: it failed, in one of the ways of `core/errors.py`.
    """
    return await providers.complete(route, body, timeout_s=timeout_s)


async def ask_streaming(
    providers: Providers, route: Route, body: bytes, *, timeout_s: float, chunks: Writer, push: Callable[[bytes], None]
) -> Completion:
    """The model's whole answer; each piece of text goes to `push` as it comes. Calls of tools are left to whoever knows who runs them.

    Raises:
        ProviderError: it failed; what was pushed until then stays pushed.
    """
    joined = _Joined()
    async for delta in providers.stream(route, body, timeout_s=timeout_s):
        if delta.content:
            joined.texts.append(delta.content)
            push(chunks.text(delta.content))
        for call in delta.tool_calls or ():
            joined.add_call(call)
        joined.finish_reason = delta.finish_reason or joined.finish_reason
        joined.usage = delta.usage or joined.usage
        joined.model = delta.model or joined.model
        joined.add_logprobs(delta.logprobs)
    return joined.completion(route)


@dataclass(slots=True)
class _Joined:
    texts: list[str] = field(default_factory=list[str])
    calls: dict[int, JsonObject] = field(default_factory=dict[int, JsonObject])
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    model: str | None = None
    logprobs: list[JsonValue] = field(default_factory=list[JsonValue])

    def add_call(self, piece: JsonObject) -> None:
        """Join one piece of a call: the first has id and name, each adds to the arguments."""
        place = int(piece["index"])
        if place not in self.calls and len(self.calls) >= TOOL_CALLS_MAX:
            raise ProviderUnavailable(f"the model made more than {TOOL_CALLS_MAX} calls of tools at once")
        call = self.calls.setdefault(place, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        call["id"] = call["id"] or piece.get("id") or ""
        function = piece.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""

    def add_logprobs(self, logprobs: JsonValue | None) -> None:
        if isinstance(logprobs, dict):
            self.logprobs += logprobs.get("content") or []

    def completion(self, route: Route) -> Completion:
        calls = [{**call, "id": call["id"] or f"call_{place}"} for place, call in sorted(self.calls.items())]
        finish: FinishReason = self.finish_reason or "stop"
        return Completion(
            role="assistant",
            content="".join(self.texts) if self.texts or not calls else None,
            tool_calls=calls,
            finish_reason="tool_calls" if calls and finish == "stop" else finish,
            logprobs={"content": self.logprobs} if self.logprobs else None,
            usage=self.usage,
            model=self.model or route.model,
        )
