"""What commands of executions do: each kind in its file, and around them the limits and the secrets.

    evaluate choose fold   evaluate.py   by the sandbox
    tool                   tool.py       by tools/run.py, or by the client
    prompt                 prompt.py     by a provider, tools/loop.py, and the client
    search embed           search.py     by the operations of the API

No value of a secret comes out of here: results and failures have marks in their place (`workflow/marks.py`).
"""

import asyncio
import traceback
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from uuid import UUID

from mentha import observe
from mentha.auth import caller
from mentha.auth.caller import Work
from mentha.core.errors import ExpressionFailed, MenthaError
from mentha.core.ids import new_id
from mentha.core.json import dumps
from mentha.observe.events import CommandBroke
from mentha.workflow import policy
from mentha.workflow.context import RunContext
from mentha.workflow.effects import evaluate, prompt, search, tool
from mentha.workflow.effects.parts import Job, Parts, Stopped
from mentha.workflow.effects.secrets import Secrets
from mentha.workflow.interpreter import Command
from mentha.workflow.journal import OUTPUT_BYTES_MAX
from mentha.workflow.marks import NOTHING, Hidden
from mentha.workflow.moves import Done, Fail
from mentha.workflow.names import Names
from mentha.workflow.state import State

__all__ = ["Effects", "Parts"]

MESSAGE_CHARS_MAX = 10_000
# Larger results are looked through in a thread.
INLINE_BYTES_MAX = 100_000

_EVALUATING: dict[str, Callable[[Job], Awaitable[Done]]] = {
    "evaluate": evaluate.evaluate,
    "choose": evaluate.choose,
    "fold": evaluate.fold,
}
# These go outside: an execution has so many of them at once, and so much time for each, as the settings say.
_CALLING: dict[str, Callable[[Job], Awaitable[Done]]] = {
    "tool": tool.call,
    "prompt": prompt.ask,
    "search": search.search,
    "embed": search.embed,
}


class Effects:
    """Does what commands say. One for the process; has nothing to close."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._secrets = Secrets(parts.tools.values, parts.vault)
        self._slots: dict[UUID, asyncio.Semaphore] = {}
        self._users: Counter[UUID] = Counter()

    async def run(self, run: RunContext, state: State, command: Command) -> Done | Fail:
        """What a command gives. Never raises but for a cancellation, which stops the call where it is.

        Needs a task of its own: what it does is recorded for its execution (`auth/caller.py`).
        A command whose frame leaves `state` is to be cancelled; what it gives until then counts for nothing.

        Returns:
            JSON without secrets, at most `OUTPUT_BYTES_MAX`; for a fault of ours a `Fail` of kind `internal` with an id that the log has.
        """
        hidden = NOTHING
        try:
            hidden = await self._secrets.of(run)
            frame = state.frames[command.frame]
            names = Names(state, frame, run.around)
            job = Job(self._parts, run, command, hidden, names, frame.step["label"], partial(self._secrets.of, run))
            _account(job)
            result = await self._done(job)
            return await _closed(result, hidden)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure of this step alone
            if command.frame not in state.frames:
                return Fail("the step has ended meanwhile", "gone")
            return _failed(error, command, hidden)

    async def _done(self, job: Job) -> Done:
        try:
            if job.command.kind in _EVALUATING:
                return await _EVALUATING[job.command.kind](job)
            async with self._slot(job.run.execution_id):
                return await self._within_time(job)
        except ExpressionFailed as error:
            raise Stopped(evaluate.failure(error, job)) from None

    async def _within_time(self, job: Job) -> Done:
        limit_s = self._parts.settings.execution_call_timeout_s
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                return await _CALLING[job.command.kind](job)
        except TimeoutError:
            if not limit.expired():
                raise
            message = f"it did not end within {limit_s:g} s; it may have had its effect ({job.place})"
            raise Stopped(Fail(message, "timeout")) from None

    @asynccontextmanager
    async def _slot(self, execution_id: UUID) -> AsyncGenerator[None]:
        at_once = self._parts.settings.execution_calls_at_once_max
        slots = self._slots.setdefault(execution_id, asyncio.Semaphore(at_once))
        self._users[execution_id] += 1
        try:
            async with slots:
                yield
        finally:
            self._users[execution_id] -= 1
            if not self._users[execution_id]:
                del self._users[execution_id], self._slots[execution_id]


def _account(job: Job) -> None:
    """Whatever request happened to wake the worker: from here on it is this execution whose calls are recorded."""
    around = job.run.around
    session_id = UUID(around.session["id"]) if around.session else None
    caller.key_id.set(job.run.key_id)
    caller.work.set(Work(UUID(around.agent["id"]), session_id, job.run.execution_id, job.key))


async def _closed(result: Done, hidden: Hidden) -> Done:
    """A result with marks in the place of secrets.

    Raises:
        Stopped: it is too large, or has a number that JSON can't have.
    """
    try:
        size = len(dumps([result.value, result.metadata]))
    except (TypeError, ValueError) as error:
        raise Stopped(Fail(f"the result is no JSON: {error}", "invalid")) from None
    if size > OUTPUT_BYTES_MAX:
        raise Stopped(Fail(f"the result has {size} bytes as JSON, and at most {OUTPUT_BYTES_MAX} are kept", "too_large"))
    if not hidden.values:
        return result
    close = partial(hidden.closed, [result.value, result.metadata])
    value, metadata = await asyncio.to_thread(close) if size > INLINE_BYTES_MAX else close()
    return Done(value, metadata)


def _failed(error: Exception, command: Command, hidden: Hidden) -> Fail:
    if isinstance(error, Stopped):
        failure = error.failure
    elif isinstance(error, MenthaError):
        failure = policy.of_error(error)
    else:
        failure = _broke(error, command)
    message: str = hidden.closed(failure.message.replace("\x00", ""))
    return replace(failure, message=message[:MESSAGE_CHARS_MAX], metadata=hidden.closed(failure.metadata))


def _broke(error: Exception, command: Command) -> Fail:
    """A fault of ours: what it is stands in the log, without what it failed on."""
    error_id = str(new_id())
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    observe.emit(CommandBroke(id=error_id, kind=command.kind, exception=type(error).__name__, detail=where))
    return Fail(f"the step failed in the server; its log has more under {error_id}", "internal", metadata={"id": error_id})
