"""The work of folding a session: taken by one at a time, stored once, and refused to whoever lost it."""

from typing import Any
from uuid import UUID

import pytest

from mentha.core.ids import new_id
from mentha.core.json import loads
from mentha.store import entries, folds, jobs, sessions, turns
from mentha.store.folds import Claimed, Fold
from mentha.wire.sessions import PatchSessionRequest
from tests.integration.store.test_budgets import SOURCES, TOKENS, entry, fill, newest, session

__all__ = ["session"]
LEASE_S = 60.0


async def scheduled(connection: Any, tenant: UUID, session: UUID) -> UUID:
    """The job of a session with ten entries that is to be folded."""
    await sessions.patch(connection, tenant, session, PatchSessionRequest(context_overflow="adaptive"))
    await fill(connection, tenant, session, [entry("assistant" if number % 2 else "user", str(number)) for number in range(10)])
    job = new_id()
    assert await folds.schedule(connection, tenant, session, job, kind="summarise", keep_tokens=40, step_tokens=500, model="m")
    return job


async def claim(connection: Any) -> tuple[Claimed, UUID]:
    mark = new_id()
    claimed = await folds.claim(connection, mark, lease_s=LEASE_S)
    assert claimed is not None
    return claimed, mark


def fold(after_seq: int, to_seq: int, text: str = "a summary") -> Fold:
    message = f'{{"role":"system","content":"{text}"}}'
    return Fold(after_seq, to_seq, to_seq - after_seq, text, new_id(), message, "m", "t", 5)


async def save(connection: Any, claimed: Claimed, mark: UUID, made: Fold) -> bool:
    return await folds.save(connection, claimed.tenant_id, claimed.session_id, mark, made, lease_s=LEASE_S)


async def state(connection: Any, tenant: UUID, job: UUID) -> str | None:
    return (await jobs.get(connection, tenant, job)).state


async def test_session_is_scheduled_once_with_a_job_that_tells_of_it(connection: Any, tenant: UUID, session: UUID) -> None:
    job = await scheduled(connection, tenant, session)
    assert await state(connection, tenant, job) == "pending"
    other = new_id()
    assert not await folds.schedule(connection, tenant, session, other, kind="summarise", keep_tokens=1, step_tokens=1, model="x")
    assert (await turns.load(connection, tenant, session, sources=SOURCES)).fold_job_id == job
    assert await folds.any_due(connection)


async def test_claimed_session_is_nobody_elses_until_its_lease_ends(connection: Any, tenant: UUID, session: UUID) -> None:
    job = await scheduled(connection, tenant, session)
    claimed, _ = await claim(connection)
    assert (claimed.session_id, claimed.job_id, claimed.folded_seq, claimed.last_seq, claimed.attempts) == (session, job, 0, 10, 1)
    assert claimed.is_adaptive
    assert await state(connection, tenant, job) == "in_progress"
    assert await folds.claim(connection, new_id(), lease_s=LEASE_S) is None
    assert not await folds.any_due(connection)
    await connection.execute("UPDATE sessions SET fold_due_at = now() WHERE id = $1", session)
    again, _ = await claim(connection)
    assert again.attempts == 2


async def test_summary_stands_before_what_remains_and_each_takes_in_the_one_before(connection: Any, tenant: UUID, session: UUID) -> None:
    await scheduled(connection, tenant, session)
    claimed, mark = await claim(connection)
    first, second = fold(0, 4, "first"), fold(4, 6, "second")
    assert await save(connection, claimed, mark, first)
    assert await save(connection, claimed, mark, second)
    found = await newest(connection, tenant, session, 1_000)
    assert (loads(found.summary)["content"], found.summary_tokens, found.folded_seq, found.folded_count) == ("second", 5, 6, 6)
    assert list(found.seqs) == [7, 8, 9, 10]
    assert (await sessions.get(connection, tenant, session)).summary == "second"
    # The same without a budget: what is folded is hidden, and the summary comes first.
    await sessions.patch(connection, tenant, session, PatchSessionRequest(context_overflow=None))
    row = await turns.load(connection, tenant, session, sources=SOURCES)
    assert [message["content"] for message in loads(b"[" + row.history + b"]")] == ["second", "6", "7", "8", "9"]
    # Everything is still there to be read.
    batch = await entries.read(connection, tenant, session, sources=SOURCES)
    assert batch.count == 12
    relations = loads(f"[{batch.relations}]")
    assert sorted(relation["tail"] == str(second.entry_id) for relation in relations) == [False] * 4 + [True] * 3
    assert {"head": str(first.entry_id), "relation": "summarized_as", "tail": str(second.entry_id)} in relations


async def test_summary_of_a_worker_that_lost_its_session_is_refused(connection: Any, tenant: UUID, session: UUID) -> None:
    await scheduled(connection, tenant, session)
    frozen, mark = await claim(connection)
    await connection.execute("UPDATE sessions SET fold_due_at = now() WHERE id = $1", session)
    taker, other = await claim(connection)
    assert not await save(connection, frozen, mark, fold(0, 4))
    assert await save(connection, taker, other, fold(0, 6))
    # Nor does it fit any more where another one has folded meanwhile.
    assert not await save(connection, taker, other, fold(0, 8))
    await folds.finish(connection, tenant, frozen, mark, state="succeeded")
    await folds.fail(connection, tenant, frozen, mark, reason="r", retry_after_s=9, step_tokens=1)
    assert await connection.fetchval("SELECT fold_claim FROM sessions WHERE id = $1", session) == other


async def test_turn_that_is_stored_meanwhile_stays_after_the_summary(connection: Any, tenant: UUID, session: UUID) -> None:
    await scheduled(connection, tenant, session)
    claimed, mark = await claim(connection)
    await fill(connection, tenant, session, [entry("user", "meanwhile")])
    assert await save(connection, claimed, mark, fold(0, 10))
    found = await newest(connection, tenant, session, 1_000)
    assert [message["content"] for message in loads(b"[" + found.messages + b"]")] == ["meanwhile"]


async def test_finished_and_failed_work_says_so_in_its_job(connection: Any, tenant: UUID, session: UUID) -> None:
    job = await scheduled(connection, tenant, session)
    claimed, mark = await claim(connection)
    await folds.fail(connection, tenant, claimed, mark, reason="llm_timeout: slow", retry_after_s=0, step_tokens=250)
    told = await jobs.get(connection, tenant, job)
    assert (told.state, told.reason) == ("retrying", "llm_timeout: slow")
    claimed, mark = await claim(connection)
    assert (claimed.step_tokens, claimed.attempts) == (250, 2)
    await folds.tell_progress(connection, tenant, job, 50.0)
    assert (await jobs.get(connection, tenant, job)).progress == 50.0
    await folds.finish(connection, tenant, claimed, mark, state="succeeded")
    assert await state(connection, tenant, job) == "succeeded"
    assert (await turns.load(connection, tenant, session, sources=SOURCES)).fold_job_id is None
    assert not await folds.any_due(connection)


async def test_worker_that_stops_gives_its_session_back_as_if_untouched(connection: Any, tenant: UUID, session: UUID) -> None:
    await scheduled(connection, tenant, session)
    claimed, mark = await claim(connection)
    await folds.release(connection, tenant, session, mark)
    again, _ = await claim(connection)
    assert again.attempts == claimed.attempts


async def test_deleted_history_ends_the_work_and_refuses_its_summary(connection: Any, tenant: UUID, session: UUID) -> None:
    job = await scheduled(connection, tenant, session)
    claimed, mark = await claim(connection)
    assert await save(connection, claimed, mark, fold(0, 4))
    await entries.delete(connection, tenant, session)
    assert await state(connection, tenant, job) == "aborted"
    assert not await save(connection, claimed, mark, fold(4, 6))
    assert (await sessions.get(connection, tenant, session)).summary is None
    found = await newest(connection, tenant, session, 1_000)
    assert (found.summary, found.seqs, found.folded_seq, found.folded_count) == (b"", (), 10, 0)
    # What is said from now on is a history of its own, and can be folded again.
    await fill(connection, tenant, session, [entry("user", "new")])
    assert list((await newest(connection, tenant, session, 1_000)).seqs) == [11]
    assert await folds.schedule(connection, tenant, session, new_id(), kind="summarise", keep_tokens=1, step_tokens=9, model="m")


async def test_deleted_session_ends_its_job(connection: Any, tenant: UUID, session: UUID) -> None:
    job = await scheduled(connection, tenant, session)
    claimed, mark = await claim(connection)
    await sessions.delete(connection, tenant, session)
    assert await state(connection, tenant, job) == "aborted"
    assert not await save(connection, claimed, mark, fold(0, 4))


@pytest.mark.parametrize(
    ("after", "before", "seqs", "kinds"), [(0, 5, [1, 2, 3, 4], "uaua"), (4, 99, [5, 6, 7, 8, 9, 10], "uauaua"), (10, 99, [], "")]
)
async def test_oldest_entries_are_those_between_two_numbers(
    connection: Any, tenant: UUID, session: UUID, after: int, before: int, seqs: list[int], kinds: str
) -> None:
    await scheduled(connection, tenant, session)
    oldest = await folds.oldest(connection, tenant, session, after_seq=after, before_seq=before)
    assert (oldest.seqs, oldest.kinds) == (seqs, kinds)
    assert oldest.counts == [TOKENS] * len(seqs)
    read = await folds.read(connection, tenant, session, after_seq=after, to_seq=after + 2)
    assert [message["content"] for _, message in read] == [str(seq - 1) for seq in seqs[:2]]
