"""One execution on one worker: what follows is done, what was done is written down, until it ends or waits.

    read the log → [ what follows → rows → write → commands → wait for one ] … → park

Rows are applied to the state when they are made and written in batches: before any command whose effect could be seen (a tool, a model),
before parking, and every few milliseconds. What has not been written when a process dies is made again from the log. A commit that writes
nothing tells that the log has grown (an answer came in) or that the run is no longer this worker's; then the log is read again, and the
results that were not written yet are put to it once more. No connection is held while a command runs.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

from mentha import observe
from mentha.core.errors import Unavailable
from mentha.core.ids import new_id
from mentha.core.json import dumps
from mentha.observe.events import CommandBroke
from mentha.store import delivery, executions, transitions
from mentha.store.pool import Database, Tx
from mentha.store.transitions import Fence, Outcome
from mentha.store.workers import Claimed
from mentha.workflow import interpreter, journal
from mentha.workflow import state as states
from mentha.workflow.context import RunContext
from mentha.workflow.interpreter import Command, Following
from mentha.workflow.journal import Draft, Held, Memory, NotJson
from mentha.workflow.moves import Done, Fail
from mentha.workflow.state import Row, State
from mentha.workflow.watch import Watch

# Commands without an effect that anybody could see: doing them again after a crash does no harm.
PURE = frozenset(("evaluate", "choose", "fold"))
COMMANDS_AT_ONCE_MAX = 100
# Rows that wait for being written, and how long.
DRAFT_ROWS_MAX = 100
DRAFT_S = 0.02
# A row that can't be written, its handler that can't either, and the end.
REFUSALS_MAX = 3
# A pause that is shorter is waited for; one that is longer parks the run.
STAY_S = 1.0
# Rows between two snapshots, and one more for so many bytes of a snapshot, so that a large state is not written again and again.
SNAPSHOT_ROWS = 500
SNAPSHOT_BYTES_A_ROW = 2_000
# The database is away.
PAUSE_S = 0.2
PAUSE_S_MAX = 3.0

T = TypeVar("T")


class Lost(Exception):
    """The run is another worker's, or has ended, or is gone: nothing more can be written."""


class Effects(Protocol):
    """Carries out commands: `workflow/effects`."""

    async def run(self, run: RunContext, state: State, command: Command) -> Done | Fail:
        """What a command gives: JSON without secrets, or why it failed. Ended by cancelling it.

        The command's frame is in `state` as long as it is not cancelled.
        """
        ...


class Clock:
    """The time of the database, as far as it is known here."""

    def __init__(self) -> None:
        self._offset_s = 0.0

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time() + self._offset_s

    def set(self, database_s: float) -> None:
        """What the database has just said."""
        self._offset_s = database_s - time.time()


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs work with.

    Attributes:
        rows_max: of one execution; with more it fails.
        memory: what all of them keep.
    """

    database: Database
    effects: Effects
    watch: Watch
    clock: Clock
    rows_max: int
    memory: Memory


class Run:
    """One execution that this worker has; `advance` does everything.

    Attributes:
        due: when it wants to be run on, in seconds since 1970, where it was parked until then.
    """

    def __init__(self, parts: Parts, context: RunContext, claimed: Claimed, worker: UUID) -> None:
        self.context = context
        self.due: float | None = None
        self.state = states.start(context.plan, claimed.id, claimed.input)
        self.ended_as: str | None = None
        self._parts = parts
        self._claimed = claimed
        self._worker = worker
        self._written_seq = claimed.seq
        self._written_at = time.monotonic()
        self._snapshot_seq = claimed.snapshot_seq
        self._snapshot_rows = SNAPSHOT_ROWS
        self._draft = Draft(Held(parts.memory))
        self._draft_since = 0.0
        self._flying: dict[str, asyncio.Task[None]] = {}
        self._landed: deque[tuple[Command, Done | Fail]] = deque()
        # Results whose rows are not written yet.
        self._unwritten: list[tuple[Command, Done | Fail]] = []
        self._news = asyncio.Event()
        self._is_stale = False
        self._is_stopping = False

    @property
    def key(self) -> tuple[UUID, UUID]:
        """Tenant and id."""
        return self.context.tenant, self.context.execution_id

    async def advance(self) -> None:
        """Run until it ends, waits, or is no longer this worker's."""
        try:
            if self._claimed.seq:
                self.state = await self._patiently(lambda tx: journal.read(tx, self.context.tenant, self._claimed, self.context.plan))
                self._draft.held.begin(self.state)
            while not await self._round():
                pass
        except Lost:
            self.ended_as = None
        finally:
            self._draft.held.release()
            for task in self._flying.values():
                task.cancel()

    def hear(self, epoch: int | None, seq: int | None, owner: UUID | None) -> bool:
        """How the run stands by the tables. Returns whether it is still this worker's."""
        if epoch != self.context.epoch or owner != self._worker:
            return False
        if seq is not None and seq > self._written_seq:
            self.look_again()
        return True

    def look_again(self) -> None:
        """Its log has grown: somebody has answered."""
        self._is_stale = True
        self._news.set()

    def stop(self) -> None:
        """Begin nothing more, and let go when what runs has ended."""
        self._is_stopping = True
        self._news.set()

    @property
    def quiet_s(self) -> float:
        """Since when nothing was written, in seconds: so long it may have missed that it was lost."""
        return time.monotonic() - self._written_at

    async def _round(self) -> bool:
        """What follows, once; True where the run is parked."""
        self._news.clear()
        if self._is_stale:
            await self._read_again()
        if self.state.seq > self._parts.rows_max and not self.state.ended:
            message = f"its log has more than {self._parts.rows_max:,} lines, which is the most: `execution_transitions_max` of the server"
            self._follow([interpreter.stopped(self.state, message, "too_long", self._parts.clock.now())])
        after = self._settle()
        if after is None:
            await self._write("running")
            return False
        self._keep(after.commands)
        if self._is_idle(after):
            return await self._park(after)
        if self._draft.rows and self._must_write(after) and not await self._write(interpreter.status(self.state, after)):
            return False
        if not self._is_stopping:
            self._launch(after.commands)
        await self._wait(after.due)
        return False

    def _settle(self) -> Following | None:
        """Apply all rows that follow, and what has ended; None where so many wait that they must be written first."""
        while True:
            # Asking what follows looks at every branch: all that has ended is put in before.
            while self._landed and self._is_asked(self._landed[0][0]) and not self._is_full:
                self._land(*self._landed.popleft())
            if self._is_full:
                return None
            after = interpreter.following(self.state, self._parts.clock.now())
            if after.rows:
                self._follow(after.rows)
            elif not self._landed:
                return after
            elif not self._is_asked(self._landed[0][0]):
                # What it was for has gone.
                self._landed.popleft()

    @property
    def _is_full(self) -> bool:
        return len(self._draft.rows) >= DRAFT_ROWS_MAX and not self.state.ended

    def _is_asked(self, command: Command) -> bool:
        """Whether the interpreter has asked for something where this was done; after the log was read again it must be asked first."""
        frame = self.state.frames.get(command.frame)
        return frame is not None and frame.command is not None

    def _land(self, command: Command, result: Done | Fail) -> None:
        self._unwritten.append((command, result))
        now = self._parts.clock.now()
        try:
            self._add(interpreter.ended(self.state, command, result, now))
        except NotJson as error:
            self._unwritten[-1] = (command, Fail(f"the step failed: {error}", "invalid"))
            self._follow(interpreter.ended(self.state, *self._unwritten[-1], now))

    def _follow(self, rows: Sequence[Row]) -> None:
        """Add rows; where one can't be written, what follows from that. What a loop gathers may be too much as a whole."""
        for _ in range(REFUSALS_MAX):
            try:
                return self._add(rows)
            except NotJson as error:
                rows = interpreter.refused(self.state, error.row, f"the step failed: {error}", self._parts.clock.now())
        return self._add(rows)

    def _add(self, rows: Sequence[Row]) -> None:
        if rows and not self._draft.rows:
            self._draft_since = time.monotonic()
        self._draft.add(self.context.tenant, self.state, rows)

    def _keep(self, wanted: Sequence[Command]) -> None:
        """Stop what is no longer asked for."""
        if self._flying:
            keys = {command.key for command in wanted}
            for key in [key for key in self._flying if key not in keys]:
                self._flying.pop(key).cancel()

    def _is_idle(self, after: Following) -> bool:
        if self._flying or (after.commands and not self._is_stopping):
            return False
        return self._is_stopping or self.state.ended is not None or after.due is None or after.due > self._parts.clock.now() + STAY_S

    def _must_write(self, after: Following) -> bool:
        if len(self._draft.rows) >= DRAFT_ROWS_MAX or time.monotonic() - self._draft_since >= DRAFT_S:
            return True
        return not after.commands or not all(command.kind in PURE for command in after.commands)

    async def _park(self, after: Following) -> bool:
        status = interpreter.status(self.state, after)
        if self.state.ended:
            ready_at = None
        elif after.commands:
            # It was only stopped.
            ready_at = self._parts.clock.now()
        else:
            ready_at = after.due
        if not await self._write(status, parks=True, ready_at=ready_at):
            return False
        self.due, self.ended_as = ready_at, self.state.ended
        return True

    async def _write(self, status: str, *, parks: bool = False, ready_at: float | None = None) -> bool:
        """Write what waits for it; False where nothing was written, and the log is to be read again."""
        draft, tenant = self._draft, self.context.tenant
        fence = Fence(self._worker, self.context.epoch, self._written_seq)
        prompt, completion, cost = journal.used(draft.rows)
        ended = self.state.ended
        outcome = Outcome(status, self.state.error, ended is not None, parks or ended is not None, ready_at, prompt, completion, cost)
        try:
            async with self._parts.database.connection() as tx:
                now = await transitions.commit(tx, tenant, self.context.execution_id, fence, outcome, draft.rows, draft.texts)
        except Unavailable:
            # Whether it was written is not known.
            now = None
            await asyncio.sleep(PAUSE_S)
        if now is None:
            self._is_stale = True
            return False
        self._parts.clock.set(now)
        self._written_seq, self._written_at = self.state.seq, time.monotonic()
        draft.clear()
        self._unwritten.clear()
        self._parts.watch.tell(tenant, self.context.execution_id)
        if not ended and self._written_seq - self._snapshot_seq >= self._snapshot_rows:
            await self._save_snapshot(fence)
        return True

    async def _save_snapshot(self, fence: Fence) -> None:
        text = dumps(states.dump(self.state)).decode()
        fence = Fence(fence.worker, fence.epoch, self._written_seq)
        with contextlib.suppress(Unavailable):
            async with self._parts.database.connection() as tx:
                await transitions.save_snapshot(tx, self.context.tenant, self.context.execution_id, fence, text)
        self._snapshot_seq = self._written_seq
        self._snapshot_rows = max(SNAPSHOT_ROWS, len(text) // SNAPSHOT_BYTES_A_ROW)

    async def _read_again(self) -> None:
        """Start from what the log says, and put the results that were not written to it once more.

        Raises:
            Lost: the run is no longer this worker's.
        """
        self._is_stale = False
        tenant, execution_id = self.key

        async def read(tx: Tx) -> State:
            held = await executions.look(tx, tenant, execution_id)
            if held is None or (held.epoch, held.owner) != (self.context.epoch, self._worker):
                raise Lost
            return await journal.read(tx, tenant, held, self.context.plan)

        self.state = await self._patiently(read)
        self._draft.held.begin(self.state)
        self._written_seq = self.state.seq
        self._landed.extendleft(reversed(self._unwritten))
        self._unwritten = []
        self._draft.clear()

    async def _patiently(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        """What `work` gives, as soon as the database is there: whether the run is lost meanwhile, others find out."""
        pause_s = PAUSE_S
        while True:
            try:
                async with self._parts.database.connection() as tx:
                    return await work(tx)
            except Unavailable:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, PAUSE_S_MAX)

    def _launch(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if len(self._flying) >= COMMANDS_AT_ONCE_MAX:
                return
            if command.key not in self._flying:
                self._flying[command.key] = asyncio.create_task(self._do(command, self.state))

    async def _do(self, command: Command, state: State) -> None:
        try:
            result = await self._parts.effects.run(self.context, state, command)
        except Exception as error:  # noqa: BLE001 - a fault of ours fails the step, not the worker
            error_id = str(new_id())
            reason, detail = delivery.reason_of(error)
            observe.emit(CommandBroke(id=error_id, kind=command.kind, exception=reason, detail=detail))
            result = Fail(f"something went wrong in the server; its log has more under {error_id}", "internal")
        self._flying.pop(command.key, None)
        self._landed.append((command, result))
        self._news.set()

    async def _wait(self, due: float | None) -> None:
        """Until a command ends, somebody answers, or it is time."""
        if self._news.is_set() or self._landed:
            return
        until_s = [due - self._parts.clock.now()] if due is not None else []
        if self._draft.rows:
            until_s.append(self._draft_since + DRAFT_S - time.monotonic())
        timer = asyncio.get_running_loop().call_later(max(0.0, min(until_s)), self._news.set) if until_s else None
        try:
            await self._news.wait()
        finally:
            if timer is not None:
                timer.cancel()
