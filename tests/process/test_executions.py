"""Executions while their workers are killed and frozen, and PostgreSQL crashes: none is lost or stuck, and every log is as if nothing had been."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import psutil

from mentha.core import config
from mentha.core.errors import MenthaError
from mentha.core.ids import new_id
from mentha.server.runtime import Runtime, open_runtime
from mentha.store import embedded, tenants
from mentha.workflow import change, runs, start
from mentha.workflow.change import Answer
from mentha.workflow.start import Wanted
from tests.support.processes import below
from tests.support.runs import MARKS, evaluate, new_task, over, parallel, sleep, step, tool, wait
from tests.support.server import clean_environ
from tests.support.talk import until

LEASE_S = 1.5
KILLS = 50
FREEZES = 2
CRASHES = 2
DEATHS_MAX = 3
AHEAD = 20
LOG = """SELECT workflow, type, step, output::text AS output FROM transitions
    WHERE execution_id = $1 ORDER BY scope_id = first_value(scope_id) OVER (ORDER BY seq) DESC, workflow, seq"""
UNDONE = "SELECT count(*) FROM executions WHERE finished_at IS NULL"
GAPS = """SELECT count(*) FROM executions x WHERE (x.seq, x.transition_count) IS DISTINCT FROM (
    SELECT (count(*)::int, (count(*) FILTER (WHERE type <> 'note'))::int) FROM transitions t WHERE t.execution_id = x.id)"""
# Steps that one claim has started twice, and those that a later claim has started although their result was written.
TWICE = "SELECT count(*) FROM (SELECT FROM marks GROUP BY execution, key, epoch HAVING count(*) > 1) x"
AFTER = """SELECT count(*) FROM marks m JOIN transitions t ON t.execution_id = m.execution AND t.scope_id::text = split_part(m.key, '/', 1)
    AND t.workflow = split_part(m.key, '/', 2) AND t.step::text = split_part(m.key, '/', 4) AND t.type IN ('step', 'finish', 'finish_branch')
    WHERE m.epoch > t.epoch"""
IN_TRANSACTION = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state LIKE 'idle in%'"""
MAIN = [
    evaluate({"n": "$ _['n'] + 1"}),
    tool("mark", ms=20),
    sleep(0.2),
    parallel([wait(q=1), tool("mark", ms=5)], [tool("mark", ms=30), step("yield", workflow="sub", arguments={"x": 1})]),
    over("$ list(range(12))", tool("mark", ms=10), evaluate({"i": "$ _['ms']"}), at_once=4),
    step("if_else", condition="$ arguments['n'] % 2", then=[step("error", message="odd")], **{"else": [tool("mark", ms=5)]}),
    evaluate({"done": "$ len(outputs)"}),
]
SUB = [tool("mark", ms=5), evaluate({"y": "$ _"})]


class Nest:
    """Makes workers, each a fork of one program that has everything loaded."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pids: list[int] = []

    def spawn(self) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("spawn\n")
        self._process.stdin.flush()
        self.pids.append(int(self._process.stdout.readline()))
        return self.pids[-1]

    def spawn_two(self) -> None:
        self.spawn()
        self.spawn()

    def kill(self, pid: int) -> None:
        self.pids.remove(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextmanager
def nest(home: Path, dsn: str, *, pause_s: float = runs.DEATH_PAUSE_S, deaths_max: int = runs.DEATHS_MAX) -> Generator[Nest]:
    environ = {
        **clean_environ(),
        "MENTHA_HOME": str(home),
        "DATABASE_URL": dsn,
        "MENTHA_LOG_LEVEL": "error",
        "MENTHA_SHUTDOWN_GRACE_S": "0",
    }
    command = [sys.executable, "-m", "tests.support.runs_main", str(LEASE_S), str(pause_s), str(deaths_max)]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        made = Nest(process)
        try:
            yield made
        finally:
            for pid in list(made.pids):
                made.kill(pid)


class Crowd:
    """Executions of one task: begun, answered and compared with one that nothing happened to."""

    def __init__(self, runtime: Runtime, tenant: UUID, task: UUID) -> None:
        self.runtime = runtime
        self.tenant = tenant
        self.task = task
        self.begun: dict[UUID, int] = {}
        self.expected: dict[int, list[Any]] = {}

    async def begin(self, number: int) -> UUID:
        execution = (await start.create(self.runtime, self.tenant, Wanted(self.task, {"n": number}))).id
        self.begun[execution] = number
        return execution

    async def undone(self) -> int:
        async with self.runtime.database.connection() as tx:
            return await tx.fetchval(UNDONE)

    async def all_done(self) -> None:
        await until(self._is_done, limit_s=120)

    async def _is_done(self) -> bool:
        return not await self.undone()

    async def answer_all(self) -> None:
        """Answer every wait, for ever."""
        while True:
            try:
                async with self.runtime.database.connection() as tx:
                    waiting = await tx.fetch(
                        "SELECT DISTINCT execution_id FROM transitions t WHERE type = 'wait' AND NOT EXISTS (SELECT FROM transitions r WHERE r.execution_id = t.execution_id AND r.type = 'resume')"
                    )
                for row in waiting:
                    await change.resume(self.runtime, self.tenant, row["execution_id"], Answer({"a": 1}, {}))
            except MenthaError:
                pass
            await asyncio.sleep(0.05)

    async def feed(self) -> None:
        """Keep some executions under way, for ever."""
        while True:
            try:
                if await self.undone() < AHEAD:
                    await self.begin(len(self.begun) % 2)
            except MenthaError:
                pass
            await asyncio.sleep(0.02)

    async def learn(self) -> None:
        """What the logs must be."""
        for number in (0, 1):
            execution = await self.begin(number)
            await self.all_done()
            self.expected[number] = await self._log(execution)
            assert len(self.expected[number]) > 50

    async def assert_whole(self) -> None:
        async with self.runtime.database.connection() as tx:
            assert await tx.fetchval(GAPS) == 0
            assert await tx.fetchval("SELECT count(*) FROM marks") > len(self.begun)
            assert await tx.fetchval(TWICE) == 0
            assert await tx.fetchval(AFTER) == 0
            counts = await tx.fetch("SELECT status, count(*) FROM executions GROUP BY status")
        assert {row["status"] for row in counts} == {"succeeded", "failed"}
        for execution, number in self.begun.items():
            assert await self._log(execution) == self.expected[number]

    async def _log(self, execution: UUID) -> list[Any]:
        async with self.runtime.database.connection() as tx:
            return [tuple(row) for row in await tx.fetch(LOG, execution)]


@asynccontextmanager
async def crowd(dsn: str, home: Path) -> AsyncGenerator[Crowd]:
    settings = config.load(environ={"DATABASE_URL": dsn}, flags={"home": home})
    async with open_runtime(settings, serves=False) as runtime:
        async with runtime.database.connection() as tx:
            tenant = await tenants.create(tx, f"t-{new_id().hex}")
            await tx.execute(MARKS)
            task = await new_task(tx, tenant, MAIN, sub=SUB)
        yield Crowd(runtime, tenant, task)


@asynccontextmanager
async def busy(crowd: Crowd) -> AsyncGenerator[None]:
    """Executions come and are answered while the block runs, and all of them end after it."""
    answering = asyncio.create_task(crowd.answer_all())
    try:
        await crowd.learn()
        feeding = asyncio.create_task(crowd.feed())
        yield
        feeding.cancel()
        await asyncio.wait([feeding])
        await crowd.all_done()
    finally:
        answering.cancel()
        await asyncio.wait([answering])


async def test_executions_of_workers_that_are_killed_and_frozen_are_done_by_others(home: Path, database_dsn: str, rows: Any) -> None:
    chance = random.Random(5)
    with nest(home, database_dsn) as made:
        made.spawn_two()
        async with crowd(database_dsn, home) as some:
            async with busy(some):
                for number in range(KILLS):
                    await asyncio.sleep(chance.uniform(0.05, 0.5))
                    if number % (KILLS // FREEZES) == 0:
                        # Its lease ends, another one has taken its runs, and that one is killed when it wakes.
                        frozen, other = made.pids
                        await freeze(frozen, rows)
                        await asyncio.sleep(LEASE_S * 1.5)
                        os.kill(frozen, signal.SIGCONT)
                        await asyncio.sleep(0.1)
                        made.kill(other)
                    else:
                        made.kill(chance.choice(made.pids))
                    made.spawn()
            assert len(some.begun) > 20
            await some.assert_whole()


def killed_one(postmaster: int) -> bool:
    """Whether a process of a connection was there, and is killed."""
    for each in below("mentha", of=postmaster):
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
            return True
    return False


async def test_executions_go_on_after_crashes_of_the_database(home: Path) -> None:
    external = await asyncio.to_thread(embedded.acquire, home.with_name("external"))
    try:
        async with crowd(external.dsn, home) as some:
            with nest(home, external.dsn) as made:
                made.spawn_two()
                async with busy(some):
                    for _ in range(CRASHES):
                        await asyncio.sleep(0.7)
                        # A backend that is killed takes all others down with it.
                        await until(lambda: killed_one(external.pid))
                        await until(lambda: is_up(external.dsn))
                await some.assert_whole()
    finally:
        await asyncio.to_thread(external.release)


async def test_worker_that_is_stopped_gives_its_runs_to_others_at_once(home: Path, database_dsn: str, rows: Any) -> None:
    with nest(home, database_dsn) as made:
        first = made.spawn()
        async with crowd(database_dsn, home) as some:
            async with some.runtime.database.connection() as tx:
                some.task = await new_task(tx, some.tenant, [tool("mark", ms=60_000)])
            execution = await some.begin(0)
            await until(lambda: rows.fetchval("SELECT count(*) = 1 FROM marks"))
            os.kill(first, signal.SIGTERM)
            await until(lambda: rows.fetchval("SELECT owner IS NULL AND ready_at IS NOT NULL FROM executions WHERE id = $1", execution))
            assert await rows.fetchval("SELECT count(*) FROM workers") == 0


async def test_execution_that_its_workers_die_with_fails_and_the_others_are_done(home: Path, database_dsn: str, rows: Any) -> None:
    with nest(home, database_dsn, pause_s=0.01, deaths_max=DEATHS_MAX) as made:
        async with crowd(database_dsn, home) as some:
            async with some.runtime.database.connection() as tx:
                deadly = await new_task(tx, some.tenant, [evaluate(1), tool("kill")])
                fine = await new_task(tx, some.tenant, [tool("mark"), sleep(0.2), evaluate(2)])
            bad = (await start.create(some.runtime, some.tenant, Wanted(deadly, {}))).id
            started = 0

            async def is_done() -> bool:
                nonlocal started
                if not made.pids or not psutil.pid_exists(made.pids[-1]):
                    made.pids.clear()
                    made.spawn()
                    started += 1
                return await some.undone() == 0

            await until(is_done, limit_s=60)
            good = (await start.create(some.runtime, some.tenant, Wanted(fine, {}))).id
            await until(is_done, limit_s=60)
            ended = await rows.fetchrow("SELECT status, error, deaths FROM executions WHERE id = $1", bad)
            last = await rows.fetchrow("SELECT type, workflow, step FROM transitions WHERE execution_id = $1 ORDER BY seq DESC", bad)
            assert await rows.fetchval("SELECT status FROM executions WHERE id = $1", good) == "succeeded"
    assert tuple(last) == ("error", "main", 1)
    assert (ended["status"], ended["deaths"]) == ("failed", DEATHS_MAX)
    assert f"{DEATHS_MAX} processes in a row" in ended["error"]
    # The last one has found it, and has not run it.
    assert started == DEATHS_MAX + 1


async def freeze(pid: int, database: Any) -> None:
    """Stop a process where it is in no transaction."""

    async def is_frozen() -> bool:
        os.kill(pid, signal.SIGSTOP)
        # What the database was doing for it comes to its end.
        await asyncio.sleep(0.05)
        if await database.fetchval(IN_TRANSACTION) == 0:
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    await until(is_frozen)


async def is_up(dsn: str) -> bool:
    try:
        connection = await asyncpg.connect(dsn)
    except (asyncpg.PostgresError, OSError):
        return False
    await connection.close()
    return True
