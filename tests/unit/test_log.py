"""Log lines: one an event, nothing that a client sent can make a second one."""

import io
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mentha import observe
from mentha.core.json import loads
from mentha.observe import log
from mentha.observe.events import KeyMade, RequestFinished, TemplateWorkerStarted, request_id


@pytest.fixture
def stream(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    written = io.StringIO()
    end = log.install(fmt=request.param, level="info", stream=written)
    yield written
    end()


FINISHED = RequestFinished(method="GET", route="/agents", status=200, took_s=0.0031)


@pytest.mark.parametrize("stream", ["json"], indirect=True)
def test_event_in_json_has_its_fields_and_the_request(stream: io.StringIO) -> None:
    token = request_id.set("r1")
    observe.emit(FINISHED)
    request_id.reset(token)
    line = loads(stream.getvalue())
    assert line["event"] == "request finished"
    assert (line["route"], line["status"], line["took_ms"], line["request_id"]) == ("/agents", 200, 3.1, "r1")


@pytest.mark.parametrize("stream", ["text"], indirect=True)
def test_event_in_text_is_one_readable_line(stream: io.StringIO) -> None:
    observe.emit(FINISHED)
    assert stream.getvalue().endswith("info    request finished  method=GET route=/agents status=200 took_ms=3.1\n")


@pytest.mark.parametrize("stream", ["text"], indirect=True)
def test_event_below_the_level_is_not_written(stream: io.StringIO) -> None:
    observe.emit(TemplateWorkerStarted(pid=1))
    assert stream.getvalue() == ""


@pytest.mark.parametrize("stream", ["text", "json"], indirect=True)
def test_warning_of_a_library_comes_out_in_the_same_form(stream: io.StringIO) -> None:
    logging.getLogger("some.library").warning("careful\nnow")
    assert "careful" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("fmt", ["text", "json"])
@given(name=st.text())
def test_event_with_any_text_stays_one_line(fmt: Literal["text", "json"], name: str) -> None:
    written = io.StringIO()
    end = log.install(fmt=fmt, level="info", stream=written)
    observe.emit(KeyMade(tenant="t", name=name))
    end()
    assert written.getvalue().count("\n") == 1
    assert "\r" not in written.getvalue()


def test_log_to_a_closed_stream_does_not_raise() -> None:
    written = io.StringIO()
    end = log.install(fmt="text", level="info", stream=written)
    written.close()
    observe.emit(FINISHED)
    end()
