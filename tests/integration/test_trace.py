"""Spans, as a collector gets them: a real HTTP receiver on loopback reads what OpenTelemetry's exporter sends."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mentha.core import lazy
from mentha.core.errors import ConfigInvalid
from mentha.observe import emit, events, trace

proto = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason="the extra otel is not installed", exc_type=ImportError
)

REQUEST = events.RequestFinished(method="POST", route="/sessions/{session_id}/chat", status=200, took_s=0.25)
TURN = events.TurnFinished(
    model="gpt-x",
    provider="openai",
    streamed=False,
    saved=True,
    finish_reason="stop",
    prompt_tokens=12,
    completion_tokens=3,
    took_s=0.2,
    model_s=0.15,
)
REQUEST_ID = "0192f0c12a3b7c4d8e5f60718293a4b5"
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Collector:
    """What was received."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.paths: list[str] = []
        self.resources: list[Any] = []
        self.spans: list[Any] = []

    def take(self, path: str, body: bytes) -> None:
        self.paths.append(path)
        for part in proto.ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(part.resource)
            self.spans += [span for scope in part.scope_spans for span in scope.spans]

    def named(self, name: str) -> Any:
        (span,) = [span for span in self.spans if span.name == name]
        return span


@pytest.fixture
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: the test looks at what came, not at lines."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield received
        server.shutdown()
        thread.join()


@contextmanager
def tracing(endpoint: str) -> Iterator[None]:
    """Spans go to `endpoint`; at the end of the block all have arrived."""
    end = trace.install(endpoint)
    try:
        yield
    finally:
        end()


def in_request(work: Callable[[], object], *, request_id: str = REQUEST_ID, trace_parent: str = "") -> None:
    """Do `work` as if inside of a request."""

    def within() -> None:
        events.request_id.set(request_id)
        events.trace_parent.set(trace_parent)
        work()

    copy_context().run(within)


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def test_span_of_a_request_has_its_times_and_names(collector: Collector) -> None:
    with tracing(collector.address):
        in_request(lambda: emit(REQUEST))
    span = collector.named("POST /sessions/{session_id}/chat")
    assert collector.paths == ["/v1/traces"]
    assert span.end_time_unix_nano - span.start_time_unix_nano == 250_000_000
    assert span.kind == span.SPAN_KIND_SERVER
    assert attributes(span) == {
        "http.request.method": "POST",
        "http.route": "/sessions/{session_id}/chat",
        "http.response.status_code": 200,
        "mentha.request_id": REQUEST_ID,
    }
    assert {each.key: each.value.string_value for each in collector.resources[0].attributes}["service.name"] == "mentha"


def test_turn_is_a_child_of_its_request(collector: Collector) -> None:
    with tracing(collector.address):
        in_request(lambda: (emit(TURN), emit(REQUEST)))
    turn, request = collector.named("chat"), collector.named("POST /sessions/{session_id}/chat")
    assert request.parent_span_id == b""
    assert turn.parent_span_id == request.span_id
    assert turn.trace_id == request.trace_id
    assert attributes(turn)["gen_ai.usage.input_tokens"] == 12


def test_request_with_a_traceparent_joins_the_trace_of_its_caller(collector: Collector) -> None:
    with tracing(collector.address + "/v1/traces"):
        in_request(lambda: (emit(TURN), emit(REQUEST)), trace_parent=CALLER)
    turn, request = collector.named("chat"), collector.named("POST /sessions/{session_id}/chat")
    assert collector.paths == ["/v1/traces"]
    assert {request.trace_id.hex(), turn.trace_id.hex()} == {"0af7651916cd43dd8448eb211c80319c"}
    assert request.parent_span_id.hex() == "b7ad6b7169203331"
    assert turn.parent_span_id == request.span_id


def test_request_that_its_caller_does_not_sample_leaves_no_span(collector: Collector) -> None:
    with tracing(collector.address):
        in_request(lambda: (emit(TURN), emit(REQUEST)), trace_parent=CALLER.removesuffix("01") + "00")
    assert collector.spans == []


@pytest.mark.parametrize("header", ["", "00-0-0-01", "no such thing", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "\x00" * 55])
def test_request_with_a_broken_traceparent_begins_its_own_trace(collector: Collector, header: str) -> None:
    with tracing(collector.address):
        in_request(lambda: emit(REQUEST), trace_parent=header)
    assert collector.spans[0].parent_span_id == b""


def test_requests_have_traces_of_their_own(collector: Collector) -> None:
    with tracing(collector.address):
        for number in range(3):
            in_request(lambda: emit(REQUEST), request_id=f"request-{number}")
    assert len({span.trace_id for span in collector.spans}) == len({span.span_id for span in collector.spans}) == 3


def test_failure_is_marked_as_one(collector: Collector) -> None:
    with tracing(collector.address):
        emit(events.TurnFailed(reason="llm_timeout", streamed=True, took_s=1.0))
        emit(events.RequestFinished(method="GET", route="/agents", status=503, took_s=0.1))
        emit(events.RequestFinished(method="GET", route="/users", status=404, took_s=0.1))
    error = collector.spans[0].status.STATUS_CODE_ERROR
    assert {span.name: span.status.code == error for span in collector.spans} == {"chat": True, "GET /agents": True, "GET /users": False}
    assert attributes(collector.named("chat"))["error.type"] == "llm_timeout"


def test_ended_tracing_sends_nothing_more(collector: Collector) -> None:
    with tracing(collector.address):
        emit(REQUEST)
    emit(REQUEST)
    assert len(collector.spans) == 1


def test_collector_that_is_away_stops_neither_events_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "END_WAIT_S", 0.2)
    with tracing("http://127.0.0.1:9"):
        in_request(lambda: emit(REQUEST))


def test_missing_library_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(lazy, "load", missing)
    with pytest.raises(ConfigInvalid, match=r"pip install '.\[otel\]'"):
        trace.install("http://127.0.0.1:4318")
