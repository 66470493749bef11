"""Events out of pieces of bytes, however TCP cut them."""

import pytest

from mentha.providers.sse import Events


def split(*pieces: bytes, event_bytes_max: int = 10_000) -> list[bytes]:
    events = Events(event_bytes_max)
    found = [data for piece in pieces for data in events.feed(piece)]
    return [*found, *events.end()]


STREAM = 'data: {"a":"häß"}\n\ndata: {"b":"日本"}\n\n: ping\n\nevent: x\ndata: [DONE]\n\n'.encode()
WANTED = ['{"a":"häß"}'.encode(), '{"b":"日本"}'.encode(), b"[DONE]"]


@pytest.mark.parametrize("at", range(1, len(STREAM)))
def test_events_cut_anywhere_are_the_same(at: int) -> None:
    assert split(STREAM[:at], STREAM[at:]) == WANTED


def test_events_byte_by_byte_are_the_same() -> None:
    assert split(*(bytes([byte]) for byte in STREAM)) == WANTED


@pytest.mark.parametrize("at", range(1, len(STREAM) + 8))
def test_events_with_crlf_cut_anywhere_are_the_same(at: int) -> None:
    stream = STREAM.replace(b"\n", b"\r\n")
    assert split(stream[:at], stream[at:]) == WANTED


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data:tight\n\n", [b"tight"]),
        (b"data:  two blanks\n\n", [b" two blanks"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data: last without a blank line\n", [b"last without a blank line"]),
        (b"data: last without a line end", [b"last without a line end"]),
        (b": comment\n\n\n\nid: 7\nretry: 5\n\n", []),
        (b"data\n\ndatabase: no\n\n", []),
        (b"data: {}\n\n\n\ndata: {}\n\n", [b"{}", b"{}"]),
        (b"", []),
    ],
)
def test_events_of_odd_streams(stream: bytes, expected: list[bytes]) -> None:
    assert split(stream) == expected


@pytest.mark.parametrize("pieces", [(b"data: " + b"x" * 200,), (b"x" * 60,) * 3, (b"data: " + b"x" * 60 + b"\n",) * 3])
def test_events_over_the_limit_are_refused_while_they_grow(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(OverflowError):
        split(*pieces, event_bytes_max=100)


def test_events_under_the_limit_each_may_be_more_in_all() -> None:
    assert len(split(*(b"data: " + b"x" * 60 + b"\n\n",) * 50, event_bytes_max=100)) == 50
