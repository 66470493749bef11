"""The sockets below the HTTP client: the library's own, with a cheap answer to "has the server hung up?".

At the start and at the end of every request the pool asks this of every idle connection. The library's answer costs 15-25 µs for each of
them, so that a hundred idle connections make every request 4 ms slower. Here one system call answers for all of them.
See `docs/decisions/0003-openai-sdk-as-transport.md` for the measurement.
"""

import select
import time
from functools import cache
from typing import Any

from mentha.core import lazy

# The pool asks for all connections in one go; within this time they get the answer of one system call.
ANSWER_KEPT_S = 0.001


class Watch:
    """Which of the registered sockets have something to read. For an idle HTTP connection that is its end."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._readable: frozenset[int] = frozenset()
        self._asked_at = 0.0

    def add(self, descriptor: int) -> None:
        """Watch this socket too. Adding one twice is one watch."""
        self._poll.register(descriptor, select.POLLIN)

    def remove(self, descriptor: int) -> None:
        """Stop watching; nothing happens where it was not watched. Call it before the socket closes: its number may be used again."""
        try:
            self._poll.unregister(descriptor)
        except KeyError:
            return

    def readable(self, descriptor: int) -> bool:
        """Whether there is something to read now, or was up to `ANSWER_KEPT_S` ago."""
        now = time.monotonic()
        if now - self._asked_at > ANSWER_KEPT_S:
            self._readable = frozenset(ready for ready, _ in self._poll.poll(0))
            self._asked_at = now
        return descriptor in self._readable


@cache
def backend_class() -> Any:
    """A network backend for `httpcore2` pools. Made here, since its base classes load late."""
    httpcore2 = lazy.load("httpcore2")

    class Stream(httpcore2.AsyncNetworkStream):
        def __init__(self, inner: Any, watch: Watch) -> None:
            self._inner = inner
            self._watch = watch
            self._descriptor: int = inner.get_extra_info("socket").fileno()
            watch.add(self._descriptor)
            self.read = inner.read
            self.write = inner.write

        async def aclose(self) -> None:
            self._watch.remove(self._descriptor)
            await self._inner.aclose()

        async def start_tls(self, *arguments: Any, **options: Any) -> "Stream":
            return Stream(await self._inner.start_tls(*arguments, **options), self._watch)

        def get_extra_info(self, info: str) -> Any:
            return self._watch.readable(self._descriptor) if info == "is_readable" else self._inner.get_extra_info(info)

    class Backend(httpcore2.AnyIOBackend):
        def __init__(self) -> None:
            self._watch = Watch()

        async def connect_tcp(self, *arguments: Any, **options: Any) -> Any:
            return Stream(await super().connect_tcp(*arguments, **options), self._watch)

    return Backend
