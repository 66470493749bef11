"""Server-sent events out of pieces of bytes. Pure; it sees pieces as TCP cut them: in the middle of lines, of characters, of line ends.

Only what chat streams use: `data` fields; comments, other fields and blank events are passed over. A line may end in LF or CRLF; a lone
CR is no line end here (JSON cannot hold one unescaped, so none of our data is cut wrongly). An event whose last line ends the stream
without a blank line counts, since some servers end so.

Source: the event stream format of the HTML standard, section 9.2.
"""

from collections.abc import Iterator


class Events:
    """The splitter for one stream.

    Args:
        event_bytes_max: most bytes of one event; checked while it grows, so that a line without end is noticed.
    """

    __slots__ = ("_data", "_event_bytes_max", "_held_bytes", "_parts")

    def __init__(self, event_bytes_max: int) -> None:
        self._event_bytes_max = event_bytes_max
        self._parts: list[bytes] = []
        self._data: list[bytes] = []
        self._held_bytes = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The data of each event that `piece` completes, in order; data of several lines is joined by LF.

        Raises:
            OverflowError: an event exceeds the limit.
        """
        if b"\n" not in piece:
            self._hold(self._parts, piece)
            return
        if self._parts:
            # Joined only when a line ends: adding piece to piece would copy a long line again and again.
            piece = b"".join((*self._parts, piece))
            self._parts.clear()
            self._held_bytes = sum(map(len, self._data))
        *lines, rest = piece.split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._hold(self._data, _value(line))
            elif line in (b"", b"\r") and self._data:
                yield self._flush()
        if rest:
            self._hold(self._parts, rest)

    def end(self) -> Iterator[bytes]:
        """What the stream ended with: an event that no blank line closed."""
        line = b"".join(self._parts)
        if line.startswith(b"data:"):
            self._data.append(_value(line))
        if self._data:
            yield self._flush()

    def _flush(self) -> bytes:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data.clear()
        self._held_bytes = 0
        return data

    def _hold(self, where: list[bytes], piece: bytes) -> None:
        where.append(piece)
        self._held_bytes += len(piece)
        if self._held_bytes > self._event_bytes_max:
            raise OverflowError(f"an event of the stream is larger than {self._event_bytes_max} bytes")


def _value(line: bytes) -> bytes:
    value = line[6:] if line[5:6] == b" " else line[5:]
    return value[:-1] if value.endswith(b"\r") else value
