"""The engine of executions in one process, with effects of the tests' own: from an input to an end, through waits, pauses and changes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from mentha.core import config
from mentha.core.errors import BadRequest, Conflict, NotFound, Unavailable
from mentha.core.ids import new_id
from mentha.server.runtime import Runtime, open_runtime
from mentha.server.worker import HANDLERS, SWEEPS, Worker
from mentha.store import executions, jobs, paging, schedules, tenants, transitions
from mentha.store.executions import NewExecution
from mentha.wire.executions import Execution, ExecutionsPage
from mentha.wire.schedules import CreateScheduleRequest
from mentha.wire.transitions import Transition
from mentha.workflow import change, journal, runs, start
from mentha.workflow import schedules as firing
from mentha.workflow import watch as watching
from mentha.workflow.change import Answer
from mentha.workflow.start import Wanted
from mentha.workflow.watch import Watch
from tests.support.databases import Cluster
from tests.support.runs import MARKS, StandIn, evaluate, new_task, over, parallel, sleep, step, tool, wait
from tests.support.talk import until

LOOP = "module"
pytestmark = pytest.mark.asyncio(loop_scope=LOOP)


class Engine:
    """A runtime that runs executions."""

    def __init__(self, runtime: Runtime, effects: StandIn) -> None:
        self.runtime = runtime
        self.effects = effects

    async def tenant(self) -> UUID:
        async with self.runtime.database.connection() as tx:
            return await tenants.create(tx, f"t-{new_id().hex}")

    async def start(self, tenant: UUID, *main: Any, given: Any = None, **more: Any) -> UUID:
        async with self.runtime.database.transaction() as tx:
            task = await new_task(tx, tenant, list(main), **more)
        return (await start.create(self.runtime, tenant, Wanted(task, given or {}))).id

    async def get(self, tenant: UUID, execution: UUID) -> Execution:
        async with self.runtime.database.connection() as tx:
            return await executions.get(tx, tenant, execution)

    async def log(self, tenant: UUID, execution: UUID) -> list[Transition]:
        async with self.runtime.database.connection() as tx:
            return await transitions.list_(tx, tenant, execution, limit=1_000, offset=0, direction="asc")

    async def until(self, tenant: UUID, execution: UUID, status: str) -> Execution:
        async def is_so() -> bool:
            return (await self.get(tenant, execution)).status == status

        await until(is_so)
        return await self.get(tenant, execution)


@pytest.fixture(scope="module")
def engine_dsn(cluster: Cluster) -> Iterator[str]:
    with cluster.cloned() as dsn:
        yield dsn


@pytest_asyncio.fixture(scope="module", loop_scope=LOOP)
async def engine(engine_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    flags = {"home": tmp_path_factory.mktemp("engine"), "executions_per_tenant_max": 8}
    settings = config.load(environ={"DATABASE_URL": engine_dsn}, flags=flags)
    async with open_runtime(settings, serves=False) as runtime, Worker(runtime, handlers=HANDLERS) as worker:
        effects = runtime.runs.effects = StandIn(runtime.database)
        async with runtime.database.connection() as tx:
            await tx.execute(MARKS)
        worker.start()
        await until(lambda: runtime.runs.has_room)
        yield Engine(runtime, effects)


@pytest_asyncio.fixture(loop_scope=LOOP)
async def tenant(engine: Engine) -> UUID:
    return await engine.tenant()


def types(log: list[Transition]) -> list[str]:
    return [line.type for line in log]


async def test_execution_of_several_steps_succeeds_with_the_last_output(engine: Engine, tenant: UUID) -> None:
    run = await engine.start(
        tenant, evaluate({"n": "$ _['n'] + 1"}), tool("model", n="$ _['n']"), evaluate({"n": "$ _['n'] * 2"}), given={"n": 1}
    )
    done = await engine.until(tenant, run, "succeeded")
    assert (done.output, done.error, done.transition_count) == ({"n": 4}, None, 4)
    assert (done.prompt_tokens, done.completion_tokens, done.cost) == (3, 2, 0.5)
    log = await engine.log(tenant, run)
    assert types(log) == ["init", "step", "step", "finish"]
    assert [line.seq for line in log] == [1, 2, 3, 4]
    assert (log[2].metadata or {})["usage"]["prompt_tokens"] == 3
    async with engine.runtime.database.connection() as tx:
        assert (await jobs.get(tx, tenant, run)).state == "succeeded"
        assert await transitions.get(tx, tenant, run, log[1].id) == log[1]


@pytest.mark.parametrize(
    ("main", "message"), [([tool("fail")], "it failed"), ([tool("broken")], "something went wrong"), ([tool("huge")], "larger than")]
)
async def test_execution_whose_step_fails_ends_failed_with_the_message(engine: Engine, tenant: UUID, main: Any, message: str) -> None:
    done = await engine.until(tenant, await engine.start(tenant, *main, evaluate(1)), "failed")
    assert message in (done.error or "")
    assert done.output == done.error


async def test_list_that_is_too_large_as_a_whole_fails_its_loop_and_can_be_handled(
    engine: Engine, tenant: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "OUTPUT_BYTES_MAX", 1_000)
    loop = over("$ [1, 2, 3]", evaluate("$ 'x' * 400"))
    failed = await engine.until(tenant, await engine.start(tenant, loop), "failed")
    assert "larger than 1,000 bytes" in (failed.error or "")
    handled = {**loop, "on_error": [evaluate("$ _['error']['kind']")]}
    assert (await engine.until(tenant, await engine.start(tenant, handled), "succeeded")).output == "invalid"
    # There is no room for the input beside the error.
    ended = await engine.start(tenant, {**tool("fail"), "on_error": [evaluate(1)]}, given={"a": "x" * 980})
    assert "larger than" in ((await engine.until(tenant, ended, "failed")).error or "")


async def test_loop_that_gathers_too_much_fails_before_it_has_gathered_all(
    engine: Engine, tenant: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "OUTPUT_BYTES_MAX", 50_000)
    monkeypatch.setattr(journal, "HELD_BYTES_MAX", 100_000)
    large = evaluate("$ 'x' * 9_000")
    loop = await engine.start(tenant, over("$ list(range(1_000))", large, at_once=1))
    steps = await engine.start(tenant, *[large] * 20)
    # Each of these lets go of what it had.
    fine = await engine.start(tenant, over("$ list(range(40))", over("$ [1, 2, 3]", large), evaluate("$ 1"), at_once=1))
    failed = await engine.until(tenant, loop, "failed")
    assert "larger than 50,000 bytes" in (failed.error or "")
    assert failed.transition_count < 20
    assert "larger than 100,000 bytes" in ((await engine.until(tenant, steps, "failed")).error or "")
    assert (await engine.until(tenant, fine, "succeeded")).output == [1] * 40


async def test_process_that_is_full_lets_no_large_execution_grow_until_another_has_let_go(
    engine: Engine, tenant: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = journal.Memory(100_000, 20_000)
    monkeypatch.setattr(engine.runtime.runs, "_memory", memory)
    large, small = evaluate("$ 'x' * 9_000"), evaluate("$ 'x' * 4_000")
    # What it keeps counts as well after it was parked, and read again.
    first = await engine.start(tenant, *[large] * 10, wait(q=1), tool("gate", name="full"), evaluate(1))
    await engine.until(tenant, first, "awaiting_input")
    await until(lambda: memory.held_bytes == 0)
    await change.resume(engine.runtime, tenant, first, Answer({"a": 1}, {}))
    await until(lambda: engine.effects.held["full"] == 1)
    assert memory.held_bytes > 90_000
    failed = await engine.until(tenant, await engine.start(tenant, *[large] * 5, evaluate(1)), "failed")
    assert "larger than 100,000 bytes" in (failed.error or "")
    await engine.until(tenant, await engine.start(tenant, *[small] * 3, evaluate(1)), "succeeded")
    engine.effects.gates["full"].set()
    await engine.until(tenant, first, "succeeded")
    await until(lambda: memory.held_bytes == 0)
    await engine.until(tenant, await engine.start(tenant, *[large] * 5, evaluate(1)), "succeeded")


async def test_execution_with_too_many_transitions_fails_whatever_handles_errors(
    engine: Engine, tenant: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.runtime.runs, "_settings", engine.runtime.settings.model_copy(update={"execution_transitions_max": 500}))
    loop = over("$ list(range(1_000))", evaluate("$ _"))
    endless = await engine.start(tenant, {**step("try_catch", **{"try": [loop], "catch": [evaluate(1)]}), "on_error": [evaluate(2)]})
    fine = await engine.start(tenant, over("$ list(range(200))", evaluate("$ _")))
    failed = await engine.until(tenant, endless, "failed")
    assert "more than 500 lines" in (failed.error or "")
    assert 500 <= (failed.transition_count or 0) < 1_000
    log = await engine.log(tenant, endless)
    assert (log[-1].type, log[-1].metadata["error"]["kind"]) == ("error", "too_long")
    await engine.until(tenant, fine, "succeeded")


async def test_step_that_fails_for_a_passing_reason_is_repeated(engine: Engine, tenant: UUID) -> None:
    retried = {**tool("flaky"), "retry": {"attempts_max": 3, "delay_s": 0.01, "factor": 1, "delay_max_s": 1}}
    run = await engine.start(tenant, retried)
    await engine.until(tenant, run, "succeeded")
    assert types(await engine.log(tenant, run)) == ["init", "retry", "finish"]


async def test_execution_that_waits_is_parked_until_it_is_answered(engine: Engine, tenant: UUID) -> None:
    run = await engine.start(tenant, wait(q="ok?"), evaluate({"got": "$ _"}))
    waiting = await engine.until(tenant, run, "awaiting_input")
    assert waiting.output == {"q": "ok?"}
    await until(lambda: engine.runtime.runs.count == 0)
    answered = await change.resume(engine.runtime, tenant, run, Answer({"yes": 1}, {}))
    assert answered.status == "running"
    done = await engine.until(tenant, run, "succeeded")
    assert done.output == {"got": {"yes": 1}}
    assert types(await engine.log(tenant, run)) == ["init", "wait", "resume", "step", "finish"]


async def test_answer_to_one_of_several_waits_goes_to_the_one_that_it_names(engine: Engine, tenant: UUID) -> None:
    run = await engine.start(tenant, parallel([wait(q=1)], [wait(q=2)]))
    await engine.until(tenant, run, "awaiting_input")
    with pytest.raises(Conflict, match="several branches"):
        await change.resume(engine.runtime, tenant, run, Answer("x", {}))
    waits = [line for line in await engine.log(tenant, run) if line.type == "wait"]
    second = next(line for line in waits if line.output == {"q": 2})
    await change.resume(engine.runtime, tenant, run, Answer("two", {}, transition_id=second.id))
    await change.resume(engine.runtime, tenant, run, Answer("two", {}, transition_id=second.id))
    with pytest.raises(Conflict, match="has ended"):
        await change.resume(engine.runtime, tenant, run, Answer("other", {}, transition_id=second.id))
    first = next(line for line in waits if line.output == {"q": 1})
    await change.resume(engine.runtime, tenant, run, Answer("one", {"workflow": first.current.workflow}))
    assert (await engine.until(tenant, run, "succeeded")).output == ["one", "two"]


async def test_answer_that_comes_while_another_branch_works_is_not_lost(engine: Engine, tenant: UUID) -> None:
    run = await engine.start(tenant, parallel([wait(q=1)], [tool("gate", name="busy"), tool("echo", x=1)]))
    await until(lambda: engine.effects.held["busy"] == 1)
    await change.resume(engine.runtime, tenant, run, Answer("early", {}))
    engine.effects.gates["busy"].set()
    assert (await engine.until(tenant, run, "succeeded")).output == ["early", {"x": 1}]
    assert engine.effects.calls["gate"] >= 1


async def test_wait_is_answered_by_its_token_and_by_no_other(engine: Engine, tenant: UUID) -> None:
    run = await engine.start(tenant, tool("client", ask=1))
    await engine.until(tenant, run, "awaiting_input")
    token = ((await engine.log(tenant, run))[-1].metadata or {})["task_token"]
    for wrong in ("x", token[:-4] + "AAAA"):
        with pytest.raises(NotFound):
            await change.resume(engine.runtime, tenant, run, Answer(1, {}, token=wrong))
    await change.resume(engine.runtime, tenant, run, Answer({"a": 1}, {}, token=token))
    assert (await engine.until(tenant, run, "succeeded")).output == {"a": 1}


async def test_answer_that_does_not_fit_the_schema_is_refused(engine: Engine, tenant: UUID) -> None:
    run = await engine.start(tenant, step("wait_for_input", info={}, schema={"type": "object", "required": ["a"]}))
    await engine.until(tenant, run, "awaiting_input")
    with pytest.raises(BadRequest, match='"a" is a required'):
        await change.resume(engine.runtime, tenant, run, Answer({}, {}))
    await change.resume(engine.runtime, tenant, run, Answer({"a": 1}, {}))
    await engine.until(tenant, run, "succeeded")


async def test_repeated_answer_is_told_from_an_answer_to_the_next_wait(engine: Engine, tenant: UUID) -> None:
    run = await engine.start(tenant, wait(q=1), wait(q=2))
    await engine.until(tenant, run, "awaiting_input")
    await change.resume(engine.runtime, tenant, run, Answer("same", {}))
    await until(lambda: _is_at(engine, tenant, run, {"q": 2}))
    with pytest.raises(Conflict, match="the same answer"):
        await change.resume(engine.runtime, tenant, run, Answer("same", {}, retried=True))
    await change.resume(engine.runtime, tenant, run, Answer("same", {}))
    await engine.until(tenant, run, "succeeded")
    with pytest.raises(Conflict, match="has ended"):
        await change.resume(engine.runtime, tenant, run, Answer("same", {}))


async def _is_at(engine: Engine, tenant: UUID, run: UUID, output: Any) -> bool:
    return (await engine.get(tenant, run)).output == output


async def test_sleep_holds_no_worker_and_ends_in_time(engine: Engine, tenant: UUID) -> None:
    short, long = await engine.start(tenant, sleep(0.05), evaluate(1)), await engine.start(tenant, sleep(1.5), evaluate(2))
    await engine.until(tenant, short, "succeeded")

    async def is_taken() -> bool:
        return (await engine.get(tenant, long)).status != "queued"

    await until(is_taken)
    await until(lambda: engine.runtime.runs.count == 0)
    done = await engine.until(tenant, long, "succeeded")
    log = await engine.log(tenant, long)
    assert (done.output, types(log)) == (2, ["init", "step", "finish"])
    assert (log[1].created_at - log[0].created_at).total_seconds() >= 1.5


async def test_cancelling_ends_what_is_in_flight_at_once(engine: Engine, tenant: UUID) -> None:
    run = await engine.start(tenant, tool("gate", name="cancelled"))
    await until(lambda: engine.effects.held["cancelled"] == 1)
    cancelled = await change.cancel(engine.runtime, tenant, run, reason="enough")
    assert (cancelled.status, cancelled.output) == ("cancelled", "Workflow Cancelled")
    await until(lambda: engine.effects.cancelled["cancelled"] == 1)
    assert (await change.cancel(engine.runtime, tenant, run, reason=None)).status == "cancelled"
    log = await engine.log(tenant, run)
    assert (types(log), log[-1].metadata) == (["init", "cancelled"], {"reason": "enough"})
    done = await engine.start(tenant, evaluate(1))
    await engine.until(tenant, done, "succeeded")
    with pytest.raises(Conflict):
        await change.cancel(engine.runtime, tenant, done, reason=None)


async def test_map_over_many_items_keeps_their_order_and_its_log_has_no_gap(engine: Engine, tenant: UUID) -> None:
    run = await engine.start(tenant, over("$ list(range(300))", evaluate({"n": "$ _ + 1"}), at_once=10))
    done = await engine.until(tenant, run, "succeeded")
    assert [each["n"] for each in done.output] == list(range(1, 301))
    async with engine.runtime.database.connection() as tx:
        row = await tx.fetchrow("SELECT count(*) AS n, max(seq) AS last FROM transitions WHERE execution_id = $1", run)
        kept = await tx.fetchrow("SELECT seq, snapshot_seq, snapshot IS NOT NULL AS is_kept FROM executions WHERE id = $1", run)
    # The list of items is a note, which clients don't see.
    assert row["n"] == row["last"] == kept["seq"] == done.transition_count + 1
    assert kept["is_kept"]
    assert 0 < kept["snapshot_seq"] <= kept["seq"]


async def test_execution_goes_on_from_its_snapshot(engine: Engine, tenant: UUID) -> None:
    run = await engine.start(
        tenant, over("$ list(range(300))", evaluate({"n": "$ _"})), wait(q=1), evaluate({"n": "$ len(outputs[0])", "a": "$ _"})
    )
    await engine.until(tenant, run, "awaiting_input")
    # What the snapshot stands for is not read again.
    async with engine.runtime.database.connection() as tx:
        await tx.execute(
            "UPDATE transitions SET type = 'wrong' WHERE execution_id = $1 AND seq <= (SELECT snapshot_seq FROM executions WHERE id = $1)",
            run,
        )
    await change.resume(engine.runtime, tenant, run, Answer("x", {}))
    assert (await engine.until(tenant, run, "succeeded")).output == {"n": 300, "a": "x"}


async def test_tenant_has_no_more_runs_at_once_than_it_may(engine: Engine, tenant: UUID) -> None:
    async with engine.runtime.database.transaction() as tx:
        task = await new_task(tx, tenant, [tool("gate", name="cap")])
    runs = [(await start.create(engine.runtime, tenant, Wanted(task, {}))).id for _ in range(20)]
    await until(lambda: engine.effects.held["cap"] == 8)
    other = await engine.tenant()
    await engine.until(other, await engine.start(other, evaluate(1)), "succeeded")
    assert engine.effects.held["cap"] == 8
    engine.effects.gates["cap"].set()
    for run in runs:
        await engine.until(tenant, run, "succeeded")


async def test_nul_characters_of_a_result_are_dropped_and_what_follows_sees_them_dropped(engine: Engine, tenant: UUID) -> None:
    run = await engine.start(tenant, evaluate({"a": "$ 'x' + chr(0) + 'y'"}), evaluate({"n": "$ len(_['a'])"}))
    assert (await engine.until(tenant, run, "succeeded")).output == {"n": 2}


async def test_input_that_does_not_fit_is_refused_with_its_place(engine: Engine, tenant: UUID) -> None:
    with pytest.raises(BadRequest, match="at `/n`"):
        await engine.start(tenant, evaluate(1), given={"n": "x"}, input_schema={"properties": {"n": {"type": "integer"}}})


async def test_request_with_the_key_of_another_gets_its_execution_and_with_another_body_none(engine: Engine, tenant: UUID) -> None:
    async with engine.runtime.database.transaction() as tx:
        task = await new_task(tx, tenant, [evaluate(1)])
    first = Wanted(task, {"a": 1}, idempotency_key="k", digest=b"1")
    made = await asyncio.gather(*[start.create(engine.runtime, tenant, first) for _ in range(5)])
    assert len({each.id for each in made}) == 1
    with pytest.raises(Conflict):
        await start.create(engine.runtime, tenant, Wanted(task, {"a": 2}, idempotency_key="k", digest=b"2"))


async def test_schedule_that_is_due_starts_its_task_once_however_many_look(engine: Engine, tenant: UUID) -> None:
    async with engine.runtime.database.transaction() as tx:
        task = await new_task(tx, tenant, [evaluate({"n": "$ _['n']"})], input_schema={"properties": {"n": {"type": "integer"}}})
        made = [await schedules.create(tx, tenant, task, _every_minute(n=n), next_at=datetime(2020, 1, 1, tzinfo=UTC)) for n in (7, "x")]
    await asyncio.gather(*[firing.sweep(engine.runtime) for _ in range(8)])
    async with engine.runtime.database.connection() as tx:
        (run,) = await executions.list_(tx, tenant, task, ExecutionsPage())
        fired, failed = [await schedules.get(tx, tenant, task, each.id) for each in made]
    assert (await engine.until(tenant, run.id, "succeeded")).output == {"n": 7}
    assert (run.schedule_id, run.metadata) == (fired.id, {"by": "cron"})
    assert fired.last_at == datetime(2020, 1, 1, tzinfo=UTC)
    # What was missed since then is made up for once.
    assert fired.next_at is not None
    assert fired.next_at > datetime.now(UTC)
    assert (fired.last_error, "does not fit" in (failed.last_error or "")) == (None, True)


async def test_time_of_a_schedule_that_was_dealt_with_starts_nothing_again(engine: Engine, tenant: UUID) -> None:
    async with engine.runtime.database.transaction() as tx:
        task = await new_task(tx, tenant, [evaluate(1)])
        made = await schedules.create(tx, tenant, task, _every_minute(), next_at=datetime(2020, 1, 1, tzinfo=UTC))
    for _ in range(2):
        await firing.sweep(engine.runtime)
        async with engine.runtime.database.connection() as tx:
            await tx.execute("UPDATE schedules SET next_at = '2020-01-01T00:00Z' WHERE id = $1", made.id)
    async with engine.runtime.database.connection() as tx:
        assert len(await executions.list_(tx, tenant, task, ExecutionsPage())) == 1


async def test_schedule_that_breaks_the_server_keeps_no_other_from_being_started(
    engine: Engine, tenant: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine.runtime.database.transaction() as tx:
        task = await new_task(tx, tenant, [evaluate(1)])
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        broken, unknown, good = [await schedules.create(tx, tenant, task, _every_minute(n=n), next_at=long_ago) for n in range(3)]
        # As on a machine that knows more time zones.
        await tx.execute("UPDATE schedules SET timezone = 'Mars/Olympus' WHERE id = $1", unknown.id)
    create = start.create_in

    async def create_in(tx: Any, tenant: UUID, wanted: Wanted, plans: Any) -> Any:
        if wanted.schedule_id == broken.id:
            raise KeyError("ours")
        return await create(tx, tenant, wanted, plans)

    monkeypatch.setattr(start, "create_in", create_in)
    await firing.sweep(engine.runtime)
    async with engine.runtime.database.connection() as tx:
        runs_ = await executions.list_(tx, tenant, task, ExecutionsPage())
        told = [await schedules.get(tx, tenant, task, each.id) for each in (broken, unknown, good)]
    assert {run.schedule_id for run in runs_} == {unknown.id, good.id}
    assert "something went wrong" in (told[0].last_error or "")
    assert told[0].next_at is not None
    assert "no such time zone" in (told[1].last_error or "")
    assert (told[1].next_at, told[2].last_error) == (None, None)


def _every_minute(**given: Any) -> CreateScheduleRequest:
    return CreateScheduleRequest.model_validate({"cron": "* * * * *", "input": given, "metadata": {"by": "cron"}})


async def test_execution_that_the_server_can_not_run_fails_after_some_attempts(
    engine: Engine, tenant: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "FAULT_PAUSE_S", 0.001)
    run = await engine.start(tenant, evaluate(1), step("unheard_of"))
    failed = await engine.until(tenant, run, "failed")
    assert "something went wrong in the server" in (failed.error or "")
    assert types(await engine.log(tenant, run))[-1] == "error"


async def test_execution_that_nothing_can_be_read_for_keeps_no_other_that_is_taken_with_it(
    engine: Engine, tenant: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "FAULT_PAUSE_S", 0.001)
    async with engine.runtime.database.transaction() as tx:
        broken, fine = await new_task(tx, tenant, [evaluate(1)]), await new_task(tx, tenant, [evaluate(2)])
        await tx.execute("UPDATE task_versions SET tools = '[1]' WHERE task_id = $1", broken)
        ids = [new_id() for _ in range(4)]
        for execution, task in zip(ids, [broken, fine, broken, fine], strict=True):
            await executions.create(tx, tenant, NewExecution(execution, task, 1, new_id(), 1, {}, {}))
    engine.runtime.runs.nudge(tenant)
    assert [(await engine.until(tenant, execution, "succeeded")).output for execution in (ids[1], ids[3])] == [2, 2]
    for execution in (ids[0], ids[2]):
        assert "something went wrong in the server" in ((await engine.until(tenant, execution, "failed")).error or "")


async def test_watcher_is_told_of_what_another_process_wrote_and_of_the_end_of_watching(engine: Engine, tenant: UUID) -> None:
    run = await engine.start(tenant, wait(q=1))
    await engine.until(tenant, run, "awaiting_input")
    watch = Watch(engine.runtime.database)
    with watch.watching(tenant, run) as watcher:
        # How it is now, and what the first look finds.
        assert await watcher.wait(limit_s=5)
        assert await watcher.wait(limit_s=5)
        assert not await watcher.wait(limit_s=0.4)
        await change.resume(engine.runtime, tenant, run, Answer(1, {}))
        assert await watcher.wait(limit_s=5)
        watch.close()
        assert watcher.is_over
    with pytest.raises(Unavailable), watch.watching(tenant, run):
        pass


async def test_tenant_with_all_its_streams_open_leaves_streams_to_others(
    engine: Engine, tenant: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "TENANT_WATCHERS_MAX", 2)
    watch = Watch(engine.runtime.database)
    with watch.watching(tenant, new_id()), watch.watching(tenant, new_id()):
        with pytest.raises(Unavailable), watch.watching(tenant, new_id()):
            pass
        with watch.watching(await engine.tenant(), new_id()):
            pass
    with watch.watching(tenant, new_id()):
        pass
    watch.close()


async def test_page_of_large_lines_ends_early_and_the_next_one_goes_on(
    engine: Engine, tenant: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await engine.start(tenant, *[evaluate("$ 'x' * 1_000_000")] * 5, evaluate(1))
    await engine.until(tenant, run, "succeeded")
    whole = await engine.log(tenant, run)
    monkeypatch.setattr(transitions, "PAGE_BYTES_MAX", 2_500_000)
    async with engine.runtime.database.connection() as tx:
        sizes: list[int] = []
        found: list[Transition] = []
        while page := await transitions.list_(tx, tenant, run, limit=100, offset=len(found), direction="asc"):
            sizes.append(len(page))
            found += page
        read: list[Transition] = []
        while batch := await transitions.after(tx, tenant, run, read[-1].seq if read else 0, limit=100):
            read += batch
        monkeypatch.setattr(transitions, "PAGE_BYTES_MAX", 10)
        (one,) = await transitions.list_(tx, tenant, run, limit=100, offset=1, direction="asc")
    assert (found, read, one) == (whole, whole, whole[1])
    # The input and two, two, the last of the five and what came after.
    assert sizes == [3, 2, 2]


async def test_page_of_large_executions_ends_early_and_the_next_one_goes_on(
    engine: Engine, tenant: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await engine.start(tenant, evaluate("$ 'x' * 1_000_000"))
    await engine.until(tenant, run, "succeeded")
    async with engine.runtime.database.connection() as tx:
        task = (await executions.get(tx, tenant, run)).task_id
    runs = [run, *[(await start.create(engine.runtime, tenant, Wanted(task, {}, {}))).id for _ in range(4)]]
    for each in runs:
        await engine.until(tenant, each, "succeeded")
    monkeypatch.setattr(paging, "PAGE_BYTES_MAX", 2_500_000)
    async with engine.runtime.database.connection() as tx:
        sizes: list[int] = []
        found: list[UUID] = []
        while page := await executions.list_(tx, tenant, task, ExecutionsPage(limit=100, offset=len(found), direction="asc")):
            sizes.append(len(page))
            found += [each.id for each in page]
        monkeypatch.setattr(paging, "PAGE_BYTES_MAX", 10)
        (one,) = await executions.list_(tx, tenant, task, ExecutionsPage(limit=100, offset=1, direction="asc"))
    assert (found, sizes, one.id) == (runs, [2, 2, 1], runs[1])


async def test_purge_drops_executions_that_ended_long_ago_with_their_logs(engine: Engine, tenant: UUID) -> None:
    old, new = [await engine.start(tenant, evaluate(1)) for _ in range(2)]
    for run in (old, new):
        await engine.until(tenant, run, "succeeded")
    async with engine.runtime.database.connection() as tx:
        await tx.execute("UPDATE executions SET finished_at = now() - interval '1 y' WHERE id = $1", old)
    await SWEEPS["purge executions"].work(engine.runtime)
    async with engine.runtime.database.connection() as tx:
        left = {row["execution_id"] for row in await tx.fetch("SELECT DISTINCT execution_id FROM transitions WHERE tenant_id = $1", tenant)}
    assert left == {new}
    with pytest.raises(NotFound):
        await engine.get(tenant, old)


async def test_execution_of_a_task_that_is_deleted_goes_with_it(engine: Engine, tenant: UUID) -> None:
    run = await engine.start(tenant, tool("gate", name="deleted"))
    await until(lambda: engine.effects.held["deleted"] == 1)
    async with engine.runtime.database.connection() as tx:
        await tx.execute("DELETE FROM tasks WHERE tenant_id = $1", tenant)
    await until(lambda: engine.effects.cancelled["deleted"] == 1)
    with pytest.raises(NotFound):
        await engine.get(tenant, run)
