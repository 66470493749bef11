"""Compressed bodies, decompressed piece by piece, so that whoever counts can stop in time. Pure.

Source: RFC 9110 section 8.4.1 for the codings; bare `deflate` data, without the header that the standard asks for, is sent by some servers.
"""

import zlib
from collections.abc import Iterator

# A few kilobytes can become gigabytes; nobody sees more than this of it at once.
PIECE_BYTES_MAX = 262_144
CODINGS = frozenset({"gzip", "x-gzip", "deflate"})


class Broken(Exception):
    """The data is not of its coding, or ends too early."""


class Inflater:
    """Decompresses one body. What stands behind the end of the compressed data is ignored."""

    def __init__(self, coding: str) -> None:
        self._bare_possible = coding == "deflate"
        self._first = b""
        self._inner = zlib.decompressobj(zlib.MAX_WBITS if self._bare_possible else zlib.MAX_WBITS | 16)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes out of some more data, in pieces of at most `PIECE_BYTES_MAX`.

        Raises:
            Broken: it is not of this coding.
        """
        if self._bare_possible:
            data = self._first = self._first + data
            if len(data) < 2:
                return
            self._bare_possible = False
            if data[0] & 0x0F != 8 or int.from_bytes(data[:2]) % 31:
                self._inner = zlib.decompressobj(-zlib.MAX_WBITS)
        while data and not self._inner.eof:
            try:
                piece = self._inner.decompress(data, PIECE_BYTES_MAX)
            except zlib.error:
                raise Broken from None
            data = self._inner.unconsumed_tail
            yield piece

    def end(self) -> None:
        """Say that there is no more data.

        Raises:
            Broken: the compressed data has not ended.
        """
        if not self._inner.eof:
            raise Broken
