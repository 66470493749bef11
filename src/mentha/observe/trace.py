"""Traces for OpenTelemetry, made from events where an endpoint is configured. Spans get their times from the events, so nothing is measured twice.

Needs the extra `mentha[otel]`. Spans leave in batches from a thread of the library's; a collector that is away costs nothing but the spans.
"""

import time
from collections.abc import Callable
from typing import Any

from mentha import __version__
from mentha.core import lazy
from mentha.core.errors import ConfigInvalid
from mentha.observe import events
from mentha.observe.events import Event, ProviderFailed, RequestFinished, TurnFailed, TurnFinished

# Which events become spans, under which name, with which of their fields.
SPANS: dict[type[Event], tuple[str, tuple[str, ...]]] = {
    RequestFinished: ("http.request", ("method", "route", "status")),
    TurnFinished: ("chat.turn", ("model", "provider", "streamed", "finish_reason", "prompt_tokens", "completion_tokens")),
    TurnFailed: ("chat.turn", ("reason", "streamed")),
    ProviderFailed: ("provider.failed", ("provider", "model", "reason")),
}


def install(endpoint: str) -> Callable[[], None]:
    """Send a span for each request and turn from now on.

    Args:
        endpoint: the collector's address; `/v1/traces` is added where it is missing.

    Returns:
        What ends it; it sends what is left, for at most some seconds.

    Raises:
        ConfigInvalid: the extra is not installed.
    """
    try:
        sdk: Any = lazy.load("opentelemetry.sdk.trace")
        export: Any = lazy.load("opentelemetry.sdk.trace.export")
        resources: Any = lazy.load("opentelemetry.sdk.resources")
        otlp: Any = lazy.load("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        propagation: Any = lazy.load("opentelemetry.trace.propagation.tracecontext")
    except ImportError:
        raise ConfigInvalid("MENTHA_OTLP_ENDPOINT is set, but its library is missing: pip install 'mentha[otel]'") from None
    resource = resources.Resource.create({"service.name": "mentha", "service.version": __version__})
    provider = sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
    address = endpoint if endpoint.endswith("/v1/traces") else endpoint.rstrip("/") + "/v1/traces"
    provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter(endpoint=address)))
    tracer = provider.get_tracer("mentha", __version__)
    propagator = propagation.TraceContextTextMapPropagator()

    def show(event: Event) -> None:
        if type(event) in SPANS:
            _span(tracer, propagator, event)

    events.subscribe(show)

    def end() -> None:
        events.unsubscribe(show)
        provider.shutdown()

    return end


def _span(tracer: Any, propagator: Any, event: Event) -> None:
    name, fields = SPANS[type(event)]
    ended_ns = time.time_ns()
    took_s: float = getattr(event, "took_s", 0.0)
    parent = propagator.extract({"traceparent": events.trace_parent.get()})
    attributes = {f"mentha.{field}": getattr(event, field) for field in fields}
    request = events.request_id.get()
    if request:
        attributes["mentha.request_id"] = request
    span = tracer.start_span(name, context=parent, start_time=ended_ns - int(took_s * 1e9), attributes=attributes)
    span.end(end_time=ended_ns)
