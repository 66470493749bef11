"""Log lines: what they look like, what they never do."""

import io
import json
import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mentha.observe import emit, events, log, redact_with

REQUEST = events.RequestFinished(method="GET", route="/agents/{agent_id}", status=200, took_s=0.0031)


@contextmanager
def logging_to(stream: Any, fmt: Literal["text", "json"] = "json", level: str = "info") -> Iterator[None]:
    end = log.install(fmt=fmt, level=level, stream=stream)
    try:
        yield
    finally:
        end()


def lines_of(event: events.Event, fmt: Literal["text", "json"]) -> list[str]:
    stream = io.StringIO()
    with logging_to(stream, fmt):
        emit(event)
    return stream.getvalue().removesuffix("\n").split("\n")


def objects(text: str | bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def failed(detail: str) -> events.ProviderFailed:
    return events.ProviderFailed(provider="openai", model="gpt-x", reason="llm_api_error", detail=detail)


def test_text_line_tells_time_level_event_and_fields() -> None:
    (line,) = lines_of(REQUEST, "text")
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} info    request finished  method=GET route=/agents/\{agent_id\} status=200 took_ms=3\.1", line
    )


def test_json_line_is_one_object_with_time_level_event_and_fields() -> None:
    (line,) = lines_of(REQUEST, "json")
    told = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", told.pop("time"))
    assert told == {
        "level": "info",
        "event": "request finished",
        "method": "GET",
        "route": "/agents/{agent_id}",
        "status": 200,
        "took_ms": 3.1,
    }


@pytest.mark.parametrize(("fmt", "told"), [("text", "request=0a1b2c3d"), ("json", '"request_id":"0a1b2c3d"')])
def test_line_of_a_request_has_its_id(fmt: Literal["text", "json"], told: str) -> None:
    def within() -> list[str]:
        events.request_id.set("0a1b2c3d")
        return lines_of(REQUEST, fmt)

    assert told in copy_context().run(within)[0]


@pytest.mark.parametrize(("level", "shown"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_level_decides_which_events_are_shown(level: str, shown: int) -> None:
    stream = io.StringIO()
    with logging_to(stream, level=level):
        emit(events.TemplateWorkerStarted(pid=1))
        emit(REQUEST)
        emit(failed("x"))
    assert len(stream.getvalue().splitlines()) == shown


@pytest.mark.parametrize("mark", ["\n", "\r", "\x1b[2J", "\x00", "\x85", "\x9b", "\u2028", "\u202e", "\u2066"])
@pytest.mark.parametrize("fmt", ["text", "json"])
def test_value_with_a_control_character_stays_within_its_line(fmt: Literal["text", "json"], mark: str) -> None:
    stream = io.StringIO()
    with logging_to(stream, fmt):
        emit(failed(f"before{mark}after"))
    if fmt == "text":
        assert stream.getvalue().endswith("\n")
        assert mark not in stream.getvalue()[:-1]
    else:
        assert stream.getvalue().count("\n") == 1
        assert json.loads(stream.getvalue())["detail"] == f"before{mark}after"


@pytest.mark.parametrize("fmt", ["text", "json"])
@given(name=st.text())
def test_event_with_any_text_stays_one_line(fmt: Literal["text", "json"], name: str) -> None:
    (line,) = lines_of(events.KeyMade(tenant="t", name=name), fmt)
    assert "\r" not in line


def test_text_value_that_looks_like_fields_is_quoted() -> None:
    (line,) = lines_of(failed('x status=500 "quoted"'), "text")
    assert line.endswith(r'detail="x status=500 \"quoted\""')


@pytest.mark.parametrize("fmt", ["text", "json"])
def test_text_that_is_no_unicode_is_shown_all_the_same(fmt: Literal["text", "json"]) -> None:
    (line,) = lines_of(failed("folder \udcff"), fmt)
    assert "folder" in line
    assert "udcff" in line


def test_no_event_has_a_field_that_would_hide_another_of_the_line() -> None:
    for kind in events.Event.__subclasses__():
        assert not {field.name for field in fields(kind)} & {"time", "level", "event", "request_id"}, kind.__name__


def test_warning_of_a_library_comes_in_the_same_form() -> None:
    stream = io.StringIO()
    with logging_to(stream):
        logging.getLogger("uvicorn.error").warning("Invalid %s", "request")
        logging.getLogger("uvicorn.error").info("not shown")
    (told,) = objects(stream.getvalue())
    assert (told["level"], told["event"], told["message"]) == ("warning", "uvicorn.error", "Invalid request")


def test_error_of_a_library_comes_with_its_traceback() -> None:
    stream = io.StringIO()
    with logging_to(stream):
        try:
            raise RuntimeError("broken")
        except RuntimeError:
            logging.getLogger("asyncio").exception("failed")
    (told,) = objects(stream.getvalue())
    assert told["level"] == "error"
    assert told["traceback"].endswith("RuntimeError: broken")


def test_python_warning_comes_in_the_same_form() -> None:
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with logging_to(stream):
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    (told,) = objects(stream.getvalue())
    assert told["event"] == "py.warnings"
    assert "DeprecationWarning: old" in told["message"]


def test_record_whose_arguments_do_not_fit_does_not_raise() -> None:
    stream = io.StringIO()
    record = logging.LogRecord("library", logging.WARNING, "file.py", 1, "%d of %d", ("one",), None)
    with logging_to(stream):
        logging.getLogger().handlers[-1].handle(record)  # not by a logger: pytest's own handler does raise
    assert objects(stream.getvalue())[0]["message"] == "%d of %d"


@pytest.fixture
def redacting() -> Iterator[None]:
    """Takes the word `hunter2` out of what is told."""
    redact_with(lambda text: text.replace("hunter2", "[secret]"))
    yield
    redact_with(None)


@pytest.mark.parametrize("fmt", ["text", "json"])
def test_event_that_quotes_a_secret_in_use_is_told_without_it(fmt: Literal["text", "json"], redacting: None) -> None:
    stream = io.StringIO()
    with logging_to(stream, fmt):
        emit(failed('refused "hunter2"'))
        emit(events.RequestFailed(error_id="1", route="/x", exception="E", traceback="x" * 9_000 + "hunter2"))
        emit(REQUEST)
    assert "hunter2" not in stream.getvalue()
    assert stream.getvalue().count("[secret]") == (2 if fmt == "json" else 1)
    assert len(stream.getvalue().splitlines()) == 3


def test_every_subscriber_gets_an_event_without_secrets(redacting: None) -> None:
    told: list[events.Event] = []
    events.subscribe(told.append)
    try:
        emit(failed("hunter2"))
    finally:
        events.unsubscribe(told.append)
    assert told == [failed("[secret]")]


def test_line_of_a_library_that_quotes_a_secret_in_use_is_told_without_it(redacting: None) -> None:
    stream = io.StringIO()
    with logging_to(stream):
        logging.getLogger("library").warning("bad header %s", "hunter2" + "x" * 8_000)
        try:
            raise RuntimeError("hunter2")
        except RuntimeError:
            logging.getLogger("library").exception("failed")
    assert "hunter2" not in stream.getvalue()
    assert stream.getvalue().count("[secret]") == 3  # the traceback shows the line that raised as well


def test_nothing_is_written_after_the_end() -> None:
    stream = io.StringIO()
    with logging_to(stream):
        emit(REQUEST)
    emit(REQUEST)
    logging.getLogger("library").warning("late")
    assert len(stream.getvalue().splitlines()) == 1


def test_stream_that_nobody_reads_any_more_does_not_raise() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", closefd=False) as stream, logging_to(stream):
        emit(REQUEST)
    os.close(writing)


def test_closed_stream_does_not_raise() -> None:
    stream = io.StringIO()
    with logging_to(stream):
        stream.close()
        emit(REQUEST)


def test_reader_that_is_slow_gets_every_line_up_to_the_backlog_and_then_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipe is full after some 64 kB; the server must go on, so the rest waits in the backlog, and what exceeds that is counted."""
    monkeypatch.setattr(log, "BACKLOG_BYTES_MAX", 20_000)
    reading, writing = os.pipe()
    received = bytearray()

    def read_all() -> None:
        while piece := os.read(reading, 65_536):
            received.extend(piece)

    with os.fdopen(writing, "w") as stream, logging_to(stream):
        for number in range(2_000):
            emit(events.TemplateWorkerEnded(pid=number, why="idle"))  # below the level: costs nothing
            emit(failed(f"{number} " + "x" * 100))
        reader = threading.Thread(target=read_all)
        reader.start()
    reader.join()
    os.close(reading)
    told = objects(bytes(received))
    lost = told.pop()
    numbers = [int(each["detail"].split()[0]) for each in told]
    assert lost["event"] == "log lines lost"
    assert numbers == list(range(len(numbers)))
    assert len(numbers) + lost["count"] == 2_000


def test_line_longer_than_a_pipe_takes_at_once_arrives_whole() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, logging_to(stream):
        emit(failed("x" * 30_000))
    with os.fdopen(reading, "rb") as source:
        assert objects(source.read())[0]["detail"] == "x" * 30_000


def test_lines_of_several_threads_do_not_mix(tmp_path: Path) -> None:
    def work(name: str) -> None:
        for _ in range(200):
            emit(failed(name * 5_000))

    with (tmp_path / "log").open("w") as stream, logging_to(stream):
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    details = [each["detail"] for each in objects((tmp_path / "log").read_text())]
    assert len(details) == 800
    assert {len(set(detail)) for detail in details} == {1}
