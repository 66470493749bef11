"""What a turn, or a step of an execution, has done with tools, kept while it runs: cut short, it goes on where it was.

A later run of the same request is told from a mere repetition of its words like everywhere else (ruling 12): it says that it is a retry, or
carries the same `Idempotency-Key`. Only turns that run tools on the server write here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from mentha.core.json import dumps, loads
from mentha.providers.types import Completion, Usage
from mentha.store import tool_calls
from mentha.store.pool import Database
from mentha.store.tool_calls import NewCall, Run, StoredRound
from mentha.tools.calls import Call


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose calls are kept: the turn, and what tells that a request is the same one."""

    tenant: UUID
    id: UUID
    session_id: UUID
    fingerprint: bytes
    idempotency_key: str | None
    retried: bool


class Kept:
    """A journal in the database. Make it with `open_journal`, or with `open_run`.

    Args:
        run: its id is that of the turn that began it, which an earlier process may have done.

    Attributes:
        number: of the round that is under way.
    """

    def __init__(self, database: Database, tenant: UUID, run: Run, rounds: dict[int, StoredRound]) -> None:
        self._database = database
        self._tenant = tenant
        self._run = run
        self._rounds = rounds
        self._is_begun = bool(rounds)
        self.number = 0

    def key_of(self, call: Call) -> str:
        """What tells a call of the round that is under way from every other; the same in each process that takes the run up."""
        return f"{self._run.id}/{self.number}/{call.position}"

    def completion(self, number: int) -> Completion | None:
        """What the model said in this round before. With it a round begins."""
        self.number = number
        before = self._rounds.get(number)
        return _completion(before.message) if before else None

    async def begin(self, number: int, completion: Completion, calls: Sequence[Call]) -> Completion:
        """Write a round before its calls are made.

        Raises:
            Unavailable: the database is away; nothing is run that could not be remembered.
        """
        new = [NewCall(call.position, call.id, call.name, call.digest) for call in calls]
        first, self._is_begun = not self._is_begun, True
        async with self._database.connection() as connection:
            if await tool_calls.begin_round(connection, self._tenant, self._run, number, _written(completion), new, first=first):
                return completion
            # Another process goes on with the same turn, and was first; or the session is gone, and nothing will be stored of this turn.
            self._rounds = await tool_calls.read(connection, self._tenant, self._run.id)
        return self.completion(number) or completion

    def result(self, number: int, call: Call) -> str | None:
        """The text of a call that has ended before."""
        before = self._rounds.get(number)
        found = before.results.get(call.position) if before else None
        return None if found is None else found.decode()

    async def end(self, number: int, call: Call, text: str) -> None:
        """Write the result of a call.

        Raises:
            Unavailable: the database is away.
        """
        async with self._database.connection() as connection:
            await tool_calls.finish(connection, self._tenant, self._run.id, number, call.position, text.encode())


async def open_journal(database: Database, turn: Turn, *, within_s: float) -> Kept:
    """The journal of a turn: that of its earlier run where there was one, not older than `within_s`.

    Raises:
        Unavailable: the database is away.
    """
    if turn.retried or turn.idempotency_key:
        async with database.connection() as connection:
            before = await tool_calls.find(
                connection,
                turn.tenant,
                turn.fingerprint,
                retried=turn.retried,
                idempotency_key=turn.idempotency_key,
                within_s=within_s,
            )
            if before is not None:
                return Kept(database, turn.tenant, _run_of(turn, before), await tool_calls.read(connection, turn.tenant, before))
    return Kept(database, turn.tenant, _run_of(turn, turn.id), {})


async def open_run(database: Database, tenant: UUID, run: Run) -> Kept:
    """The journal of a run whose id is the same whenever it is begun anew: that of an execution's step.

    Raises:
        Unavailable: the database is away.
    """
    async with database.connection() as connection:
        return Kept(database, tenant, run, await tool_calls.read(connection, tenant, run.id))


def _run_of(turn: Turn, run_id: UUID) -> Run:
    return Run(run_id, turn.session_id, turn.fingerprint, turn.idempotency_key)


def _written(completion: Completion) -> bytes:
    usage = completion.usage
    counted = [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens] if usage else None
    return dumps(
        {
            "role": completion.role,
            "content": completion.content,
            "tool_calls": completion.tool_calls,
            "finish_reason": completion.finish_reason,
            "usage": counted,
            "model": completion.model,
        }
    )


def _completion(written: bytes) -> Completion:
    known = loads(written)
    usage = Usage(*known.pop("usage")) if known["usage"] else known.pop("usage")
    return Completion(**known, usage=usage, logprobs=None)
