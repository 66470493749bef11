"""Spans for OpenTelemetry, made from events where a collector is configured.

A span gets its times from its event, so nothing is measured twice. A turn is told before the request that it belongs to, yet is its child:
the id of a request's span follows from the id of the request. A request without a `traceparent` header begins a trace of its own.
Names of attributes: OpenTelemetry's semantic conventions for HTTP and for generative AI; the rest begin with `mentha.`.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mentha import __version__
from mentha.core import lazy
from mentha.core.errors import ConfigInvalid
from mentha.observe import events
from mentha.observe.events import Event, ProviderFailed, RequestFinished, TurnFailed, TurnFinished, TurnJoined

EXPORT_TIMEOUT_S = 5
END_WAIT_S = 3.0


@dataclass(frozen=True, slots=True)
class Shape:
    """How an event becomes a span.

    Attributes:
        name: its name; fields of the event stand in braces.
        kind: a member of OpenTelemetry's `SpanKind`.
        attributes: field of the event → attribute of the span.
        constant: attributes that every such span has.
    """

    name: str
    kind: str
    attributes: dict[str, str]
    constant: dict[str, str] = field(default_factory=dict[str, str])


CHAT = {"gen_ai.operation.name": "chat"}
SHAPES: dict[type[Event], Shape] = {
    RequestFinished: Shape(
        "{method} {route}", "SERVER", {"method": "http.request.method", "route": "http.route", "status": "http.response.status_code"}
    ),
    TurnFinished: Shape(
        "chat",
        "INTERNAL",
        {
            "model": "gen_ai.request.model",
            "provider": "gen_ai.provider.name",
            "prompt_tokens": "gen_ai.usage.input_tokens",
            "completion_tokens": "gen_ai.usage.output_tokens",
            "finish_reason": "mentha.finish_reason",
            "streamed": "mentha.streamed",
            "saved": "mentha.saved",
            "model_s": "mentha.model_s",
        },
        CHAT,
    ),
    TurnFailed: Shape("chat", "INTERNAL", {"reason": "error.type", "streamed": "mentha.streamed"}, CHAT),
    TurnJoined: Shape("chat joined", "INTERNAL", {"stored": "mentha.stored"}),
    ProviderFailed: Shape(
        "provider failed",
        "INTERNAL",
        {"model": "gen_ai.request.model", "provider": "gen_ai.provider.name", "reason": "error.type", "detail": "mentha.detail"},
    ),
}


def install(endpoint: str) -> Callable[[], None]:
    """Send spans for requests and turns from now on, in batches, from a thread. A collector that is away costs nothing but the spans.

    Args:
        endpoint: the collector's address; `/v1/traces` is added where it is missing.

    Returns:
        What ends it; it sends what is left, for at most `END_WAIT_S`.

    Raises:
        ConfigInvalid: the extra is not installed.
    """
    try:
        api: Any = lazy.load("opentelemetry.trace")
        sdk: Any = lazy.load("opentelemetry.sdk.trace")
        export: Any = lazy.load("opentelemetry.sdk.trace.export")
        resources: Any = lazy.load("opentelemetry.sdk.resources")
        otlp: Any = lazy.load("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        propagation: Any = lazy.load("opentelemetry.trace.propagation.tracecontext")
    except ImportError:
        raise ConfigInvalid("MENTHA_OTLP_ENDPOINT is set, but its library is missing: pip install '.[otel]'") from None
    ids = _Ids()
    resource = resources.Resource.create({"service.name": "mentha", "service.version": __version__})
    provider = sdk.TracerProvider(resource=resource, shutdown_on_exit=False, id_generator=ids)
    address = endpoint if endpoint.endswith("/v1/traces") else endpoint.rstrip("/") + "/v1/traces"
    provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter(endpoint=address, timeout=EXPORT_TIMEOUT_S)))
    spans = _Spans(api, provider.get_tracer("mentha", __version__), propagation.TraceContextTextMapPropagator(), ids)
    events.subscribe(spans.show)

    def end() -> None:
        events.unsubscribe(spans.show)
        # The library waits for as long as a collector keeps it waiting: a server that stops must not.
        last = threading.Thread(target=provider.shutdown, daemon=True)
        last.start()
        last.join(END_WAIT_S)

    return end


class _Ids(threading.local):
    """Random ids for the library, but for the span of a request: `of_request` (trace, span), taken once."""

    of_request: tuple[int, int] | None = None

    def generate_trace_id(self) -> int:
        return self.of_request[0] if self.of_request else secrets.randbits(128)

    def generate_span_id(self) -> int:
        given, self.of_request = self.of_request, None
        return given[1] if given else secrets.randbits(64)

    def is_trace_id_random(self) -> bool:
        return True


class _Spans:
    """Makes spans. `show` is the subscriber of events."""

    def __init__(self, api: Any, tracer: Any, propagator: Any, ids: _Ids) -> None:
        self._api = api
        self._tracer = tracer
        self._propagator = propagator
        self._ids = ids

    def show(self, event: Event) -> None:
        shape = SHAPES.get(type(event))
        if shape is None:
            return
        ended_ns = time.time_ns()
        values = {name: getattr(event, name) for name in shape.attributes}
        attributes = {**shape.constant, **{shape.attributes[name]: value for name, value in values.items()}}
        request = events.request_id.get()
        if request:
            attributes["mentha.request_id"] = request
        span = self._tracer.start_span(
            shape.name.format_map(values),
            context=self._context(request, itself=isinstance(event, RequestFinished)),
            kind=self._api.SpanKind[shape.kind],
            start_time=ended_ns - int(getattr(event, "took_s", 0.0) * 1e9),
            attributes=attributes,
        )
        if _failed(event):
            span.set_status(self._api.StatusCode.ERROR)
        span.end(end_time=ended_ns)

    def _context(self, request: str, *, itself: bool) -> Any:
        """What the span hangs on: the caller's span for a request itself, the request's for what happened in it."""
        calling = self._propagator.extract({"traceparent": events.trace_parent.get()})
        if not request:
            return calling
        own = _ids_of(request)
        if itself:
            self._ids.of_request = own
            return calling
        caller = self._api.get_current_span(calling).get_span_context()
        trace_id, flags = (caller.trace_id, caller.trace_flags) if caller.is_valid else (own[0], self._api.TraceFlags(1))
        parent = self._api.SpanContext(trace_id, own[1], is_remote=False, trace_flags=flags)
        return self._api.set_span_in_context(self._api.NonRecordingSpan(parent))


def _ids_of(request: str) -> tuple[int, int]:
    """The ids of the trace (where the caller has none) and of the span of a request."""
    digest = hashlib.blake2b(request.encode(), digest_size=24).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:])


def _failed(event: Event) -> bool:
    return event.status >= 500 if isinstance(event, RequestFinished) else isinstance(event, TurnFailed | ProviderFailed)
