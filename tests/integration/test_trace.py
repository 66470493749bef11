"""Traces leave for a real collector, as parts of the caller's trace, and never hold a request up."""

import http.server
import threading
from collections.abc import Iterator

import pytest
from mentha import observe
from mentha.observe import trace
from mentha.observe.events import RequestFinished, request_id, trace_parent

pytest.importorskip("opentelemetry.sdk", reason="the extra mentha[otel] is not installed")

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector(http.server.BaseHTTPRequestHandler):
    bodies: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        self.bodies.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    bodies: list[tuple[str, bytes]] = []
    handler = type("Handler", (Collector,), {"bodies": bodies})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", bodies
        server.shutdown()


def test_span_of_a_request_reaches_the_collector_under_the_callers_trace(collector: tuple[str, list[tuple[str, bytes]]]) -> None:
    url, bodies = collector
    end = trace.install(url)
    tokens = trace_parent.set(f"00-{TRACE}-00f067aa0ba902b7-01"), request_id.set("r-1")
    observe.emit(RequestFinished(method="GET", route="/agents", status=200, took_s=0.5))
    trace_parent.reset(tokens[0])
    request_id.reset(tokens[1])
    end()
    ((path, body),) = bodies
    assert path == "/v1/traces"
    assert b"http.request" in body
    assert bytes.fromhex(TRACE) in body
    assert b"r-1" in body


def test_ended_tracing_sends_nothing_more(collector: tuple[str, list[tuple[str, bytes]]]) -> None:
    url, bodies = collector
    trace.install(url)()
    observe.emit(RequestFinished(method="GET", route="/agents", status=200, took_s=0.5))
    assert bodies == []
