"""Turns in flight. A turn runs in a task of its own, so that it goes on, and is stored, when its client hangs up.

A request that is sent again (ruling 12) joins the running turn, or gets the stored answer of a finished one. Laws: a turn that runs is in
`_by_fingerprint` until it ended; a stream's chunks are kept until then, so that whoever joins gets all of them from the first.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from uuid import UUID

from mentha import observe
from mentha.chat import answer, turn
from mentha.chat.turn import Parts, TurnRequest
from mentha.core.errors import FieldInvalid, MenthaError, Unavailable
from mentha.observe.events import TurnFailed, TurnJoined
from mentha.store import turns

# A comment, which every client of server-sent events skips.
PING = b": ping\n\n"


class Running:
    """One turn in flight: its task, and the chunks that it has made so far."""

    def __init__(self, request: TurnRequest) -> None:
        self.request = request
        self.task: asyncio.Task[bytes] | None = None
        self.listeners = 0
        self._chunks: list[bytes] = []
        self._changed = asyncio.Event()

    def push(self, chunk: bytes) -> None:
        """Add a chunk and wake whoever follows."""
        self._chunks.append(chunk)
        self._changed.set()

    def wake(self) -> None:
        """Wake whoever follows: the turn ended."""
        self._changed.set()

    @property
    def done(self) -> bool:
        """Whether the turn ended, well or not."""
        return self.task is not None and self.task.done()

    async def answer(self) -> bytes:
        """The whole answer; the turn goes on if the caller is cancelled.

        Raises:
            MenthaError: what the turn failed with.
        """
        if self.task is None:
            raise RuntimeError("a turn is followed only after its start")
        try:
            return await asyncio.shield(self.task)
        except asyncio.CancelledError:
            # The turn was cancelled, not the one who waits for it.
            if self.task.cancelled():
                raise Unavailable("the turn was cut off: the server is stopping", retry_after_s=5) from None
            raise

    async def first(self) -> None:
        """Wait until there is a chunk, or the turn ended.

        Raises:
            MenthaError: the turn failed before its first chunk.
        """
        while not self._chunks and not self.done:
            await self._wait()
        if not self._chunks:
            await self.answer()

    async def follow(self, *, ping_s: float) -> AsyncIterator[bytes]:
        """The chunks from the first to the last, those that came together in one piece, and a comment line after each silent `ping_s`.

        Raises:
            MenthaError: what the turn failed with, after its chunks.
        """
        position = 0
        silence = _Silence(ping_s, self.wake)
        try:
            while position < len(self._chunks) or not self.done:
                if position < len(self._chunks):
                    ready = self._chunks[position:]
                    position += len(ready)
                    yield b"".join(ready)
                    silence.broken()
                elif silence.over():
                    yield PING
                    silence.broken()
                else:
                    await self._wait()
        finally:
            silence.end()
        await self.answer()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class _Silence:
    """Tells when nothing was sent for a time. One timer for many chunks: a limit around each wait cost as much as passing a chunk on."""

    def __init__(self, limit_s: float, wake: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit_s = limit_s
        self._wake = wake
        self._since = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def broken(self) -> None:
        """Something was sent."""
        self._since = self._loop.time()

    def over(self) -> bool:
        """Whether the silence has lasted long enough; otherwise `wake` is called when it may have."""
        left_s = self._since + self._limit_s - self._loop.time()
        if left_s > 0 and self._timer is None:
            self._timer = self._loop.call_later(left_s, self._ring)
        return left_s <= 0

    def end(self) -> None:
        """Wake nobody any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self._timer = None
        self._wake()


class Turns:
    """All turns of this process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._running: set[Running] = set()
        self._by_fingerprint: dict[tuple[UUID, bytes], Running] = {}
        self._by_key: dict[tuple[UUID, str], Running] = {}
        self._draining = False

    @property
    def parts(self) -> Parts:
        """What turns work with."""
        return self._parts

    @property
    def draining(self) -> bool:
        """Whether the server is stopping: no new turn is taken."""
        return self._draining

    @property
    def count(self) -> int:
        """How many turns run now."""
        return len(self._running)

    async def begin(self, request: TurnRequest) -> Running | bytes:
        """Start a turn, join the one that the request repeats, or give the kept answer of that.

        Returns:
            A running turn, or the body of a stored answer.

        Raises:
            FieldInvalid: the `Idempotency-Key` was used for another request.
            Unavailable: too many turns run, or the server is stopping.
        """
        if request.retried or request.idempotency_key:
            known = self._joinable(request) or await self._stored(request)
            if known is not None:
                observe.emit(TurnJoined(stored=isinstance(known, bytes)))
                return known
            # The look-up took a moment in which the same request may have come in on another connection.
            if joined := self._joinable(request):
                return joined
        return self._start(request)

    def leave(self, running: Running) -> None:
        """Say that a client has gone. The turn goes on, unless it was its last one and the setting `hangup_cancels` says otherwise."""
        running.listeners -= 1
        if running.listeners <= 0 and self._parts.settings.hangup_cancels and running.task and not running.task.done():
            running.task.cancel()

    def cancel(self, tenant: UUID, turn_id: UUID) -> None:
        """Cancel a turn, where it runs in this process."""
        for running in self._running:
            if running.request.tenant == tenant and running.request.head.id == turn_id and running.task:
                running.task.cancel()

    async def drain(self, grace_s: float) -> int:
        """Take no more turns, wait for those that run, cancel what is left after `grace_s`. Returns how many were cancelled."""
        self._draining = True
        tasks = {running.task for running in self._running if running.task}
        if not tasks:
            return 0
        _, left = await asyncio.wait(tasks, timeout=grace_s)
        if left:
            self.cut_off()
            await asyncio.wait(left, timeout=5)
        return sum(task.cancelled() or not task.done() for task in tasks)

    def cut_off(self) -> None:
        """Cancel all turns that run. A `drain` that waits for them ends."""
        for running in self._running:
            if running.task:
                running.task.cancel()

    def _joinable(self, request: TurnRequest) -> Running | None:
        if request.idempotency_key:
            running = self._by_key.get((request.tenant, request.idempotency_key))
            if running is not None and running.request.fingerprint != request.fingerprint:
                raise _key_reused()
            if running is not None:
                return running
        return self._by_fingerprint.get((request.tenant, request.fingerprint)) if request.retried else None

    async def _stored(self, request: TurnRequest) -> bytes | None:
        replay_s = self._parts.settings.turn_replay_s
        async with self._parts.database.connection() as connection:
            if request.idempotency_key:
                found = await turns.find_key(connection, request.tenant, request.idempotency_key, within_s=replay_s)
                if found is not None and found[0] != request.fingerprint:
                    raise _key_reused()
                if found is not None:
                    return found[1]
            if request.retried:
                return await turns.find(connection, request.tenant, request.fingerprint, within_s=replay_s)
        return None

    def _start(self, request: TurnRequest) -> Running:
        if self._draining:
            raise Unavailable("the server is stopping", retry_after_s=5)
        if len(self._running) >= self._parts.settings.turns_at_once_max:
            raise Unavailable(f"{len(self._running)} turns are running, which is the most at once", retry_after_s=2)
        running = Running(request)
        running.task = asyncio.create_task(self._run(running), name="turn")
        # A failure that nobody waits for any more was told by an event; asyncio must not tell it again.
        running.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._running.add(running)
        self._by_fingerprint[(request.tenant, request.fingerprint)] = running
        if request.idempotency_key:
            self._by_key[(request.tenant, request.idempotency_key)] = running
        running.task.add_done_callback(lambda _: self._ended(running))
        return running

    async def _run(self, running: Running) -> bytes:
        began = time.perf_counter()
        request = running.request
        try:
            return await turn.run(self._parts, request, running.push if request.chat.stream else None)
        except BaseException as error:
            reason = error.reason if isinstance(error, MenthaError) else type(error).__name__
            observe.emit(TurnFailed(reason=reason, streamed=request.chat.stream, took_s=time.perf_counter() - began))
            if request.form is not None:
                await request.form.failed(error)
            raise

    def _ended(self, running: Running) -> None:
        request = running.request
        self._running.discard(running)
        if self._by_fingerprint.get((request.tenant, request.fingerprint)) is running:
            del self._by_fingerprint[(request.tenant, request.fingerprint)]
        if request.idempotency_key and self._by_key.get((request.tenant, request.idempotency_key)) is running:
            del self._by_key[(request.tenant, request.idempotency_key)]
        running.wake()


def replay(body: bytes) -> list[bytes]:
    """A kept answer as the chunks of a stream."""
    return answer.replayed(body)


def _key_reused() -> FieldInvalid:
    return FieldInvalid(
        "this Idempotency-Key was used for another request",
        loc=("header", "Idempotency-Key"),
        kind="idempotency_key_reused",
        fix="use a new key",
    )
