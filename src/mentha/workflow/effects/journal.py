"""What a prompt has done with tools, so that neither a crash nor another attempt repeats a call that has ended.

Like every row, it has marks in the place of secrets.
"""

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid5

from mentha.providers.types import Completion
from mentha.store.tool_calls import Run
from mentha.tools.calls import Call
from mentha.tools.journal import Kept, open_run
from mentha.workflow.effects.parts import Job
from mentha.workflow.marks import Hidden


class Rounds:
    """The journal of one turn of a prompt."""

    def __init__(self, kept: Kept, hidden: Hidden) -> None:
        self._kept = kept
        self._hidden = hidden

    def completion(self, number: int) -> Completion | None:
        """See `tools.loop.Journal`."""
        before = self._kept.completion(number)
        return _with(before, self._hidden.opened([before.content, before.tool_calls])) if before else None

    async def begin(self, number: int, completion: Completion, calls: Sequence[Call]) -> Completion:
        """See `tools.loop.Journal`."""
        written = _with(completion, self._hidden.closed([completion.content, completion.tool_calls]))
        counts = await self._kept.begin(number, written, calls)
        return completion if counts is written else _with(counts, self._hidden.opened([counts.content, counts.tool_calls]))

    def result(self, number: int, call: Call) -> str | None:
        """See `tools.loop.Journal`."""
        return self._hidden.opened(self._kept.result(number, call))

    async def end(self, number: int, call: Call, text: str) -> None:
        """See `tools.loop.Journal`."""
        await self._kept.end(number, call, self._hidden.closed(text))


async def open_rounds(job: Job) -> Rounds:
    """The journal of a prompt's turn: that of an earlier attempt or worker, where there was one.

    Raises:
        Unavailable: the database is away.
    """
    run = Run(uuid5(job.run.execution_id, f"{job.key}/{len(job.command.args['turns'])}"), execution_id=job.run.execution_id)
    return Rounds(await open_run(job.parts.database, job.run.tenant, run), job.hidden)


def _with(completion: Completion, said: list[object]) -> Completion:
    return replace(completion, content=said[0], tool_calls=said[1])
