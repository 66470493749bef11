"""Executions of tasks: what a step costs with few and many of them at once, from a request to its end, and what waits in great numbers.

A step of expressions is written down together with those around it, a step that calls a tool before and after the call: both are measured.
Runs are put into the tables and found by a wake-up, so that the requests that start them are not in the figures of steps.
"""

import asyncio
import time
from uuid import UUID

import orjson

from bench import client
from bench.client import Load
from bench.processes import KEY
from bench.stage import MODEL, Stage
from bench.table import Row
from mentha.core.ids import new_id
from mentha.store import executions, queue, transitions, workers
from mentha.store.executions import NewExecution
from mentha.store.tenants import DEFAULT_ID
from mentha.store.transitions import Fence, Outcome
from mentha.workflow.runs import KIND
from mentha.workflow.state import Row as Line

ECHO = {"name": "echo", "type": "integration", "integration": {"provider": "dummy"}}
# Runs at once, and steps of each.
SIZES = ((1, 200), (10, 100), (100, 50), (1_000, 10))
STEPS_PER_S_MIN = 800
STEP_CPU_MS_MAX = 0.8
LATENCY_MS_MAX = 15.0
LATENCIES = 100
ITEMS = 1_000
PARKED = 100_000
COMMITS = 500
LOOK_S = 0.002
LIMIT_S = 120.0
LEFT = "SELECT count(*) FROM executions WHERE tenant_id = $1 AND task_id = $2 AND finished_at IS NULL"
# As they would be after a wait: parked, and nobody's.
PARK = """
WITH made AS (
    INSERT INTO executions (tenant_id, id, task_id, task_version, agent_id, interpreter, input, status, seq, transition_count, epoch)
    SELECT $1, gen_random_uuid(), $2, 1, $3, 1, '{}', 'awaiting_input', 2, 2, 1 FROM generate_series(1, $4) RETURNING id
)
INSERT INTO transitions (tenant_id, execution_id, seq, type, workflow, step, scope_id, output, epoch, created_at)
SELECT $1, id, seq, type, 'main', 0, id, '{}', 1, now() FROM made, (VALUES (1, 'init'), (2, 'wait')) AS line (seq, type)
"""


async def steps(stage: Stage) -> list[Row]:
    """All figures of executions."""
    agent = await _made(stage, "/agents", {"name": "Ada", "model": MODEL, "tools": [ECHO]})
    rows = [await _floor(stage, agent)]
    for runs, count in SIZES:
        rows.append(await _steps(stage, agent, "of expressions", [{"evaluate": {"a": 1}}] * count, runs))
    for runs, count in SIZES:
        rows.append(await _steps(stage, agent, "with a tool", [{"tool": "echo", "arguments": {"a": 1}}] * count, runs))
    rows += [await _latency(stage, agent, "submit to done, one step"), await _map(stage, agent)]
    return rows + await _parked(stage, agent)


async def _floor(stage: Stage, agent: str) -> Row:
    """The statement that writes a line, alone: what no step can be cheaper than without being written together with others."""
    task = await _task(stage, agent, [{"evaluate": {}}])
    worker, execution = new_id(), new_id()
    line = Line("step", "main", 0, str(new_id()), next={"workflow": "main", "step": 1, "scope_id": str(new_id())}, at=time.time())
    text = ('{"workflow":"main","step":1,"scope_id":"00000000-0000-0000-0000-000000000000"}', '{"a":1}', '{"step_type":"EvaluateStep"}')
    async with stage.database.connection() as tx:
        await _insert(tx, task, agent, [execution])
        await workers.register(tx, worker, lease_s=3_600)
        await tx.execute("UPDATE executions SET owner = $2, ready_at = NULL WHERE id = $1", execution, worker)
        began, cpu = time.perf_counter(), time.process_time()
        for seq in range(COMMITS):
            if await transitions.commit(tx, DEFAULT_ID, execution, Fence(worker, 0, seq), Outcome("running"), [line], [text]) is None:
                raise RuntimeError("the floor was fenced off")
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        await tx.execute("DELETE FROM executions WHERE id = $1", execution)
        await tx.execute("DELETE FROM workers WHERE id = $1", worker)
    return Row(
        figure="floor: one fenced commit of a line",
        value=cpu / COMMITS * 1_000,
        unit="ms",
        p50_ms=took / COMMITS * 1_000,
        per_s=COMMITS / took,
    )


async def _steps(stage: Stage, agent: str, kind: str, main: list[object], runs: int) -> Row:
    task = await _task(stage, agent, main)
    await _run(stage, task, agent, 1)
    before = stage.server.cpu_s()
    took_s = await _run(stage, task, agent, runs)
    count = runs * len(main)
    cpu_ms = (stage.server.cpu_s() - before) / count * 1_000
    strict = runs in (10, 1_000)
    return Row(
        figure=f"a step {kind}, {runs:,} runs of {len(main)} at once: CPU",
        value=cpu_ms,
        unit="ms",
        limit=STEP_CPU_MS_MAX if strict else None,
        per_s=count / took_s,
        errors=int(strict and count / took_s < STEPS_PER_S_MIN),
    )


async def _run(stage: Stage, task: UUID, agent: str, runs: int) -> float:
    """How long it takes until as many have ended, in seconds."""
    async with stage.database.transaction() as tx:
        await _insert(tx, task, agent, [new_id() for _ in range(runs)])
        await queue.wake(tx, KIND, payload=DEFAULT_ID.bytes)
    began = time.perf_counter()
    while time.perf_counter() - began < LIMIT_S:
        async with stage.database.connection() as tx:
            if not await tx.fetchval(LEFT, DEFAULT_ID, task):
                return time.perf_counter() - began
        await asyncio.sleep(LOOK_S * min(runs, 50))
    raise RuntimeError("executions did not end")


async def _insert(tx: object, task: UUID, agent: str, ids: list[UUID]) -> None:
    for execution in ids:
        await executions.create(tx, DEFAULT_ID, NewExecution(execution, task, 1, UUID(agent), 1, {}, {}))


async def _latency(stage: Stage, agent: str, figure: str) -> Row:
    """From a request that starts an execution to the end of its stream."""
    task = await _task(stage, agent, [{"evaluate": {"a": "$ 1 + 1"}}])
    load = Load()
    begin = client.request("POST", f"/tasks/{task}/executions", {"input": {}}, key=KEY)
    async with client.connected(stage.server.port) as connection:
        for number in range(LATENCIES + 10):
            began = time.perf_counter()
            status, body = await connection.exchange(begin)
            follow = client.request("GET", f"/executions/{orjson.loads(body)['id']}/transitions.stream", key=KEY)
            streamed, events = await connection.exchange(follow)
            if number >= 10:
                load.times_s.append(time.perf_counter() - began)
                load.errors += (status, streamed) != (201, 200) or b'"finish"' not in events
    p50_ms = load.quantile_ms(0.5)
    return Row(
        figure=figure, value=p50_ms, unit="ms", limit=LATENCY_MS_MAX, p50_ms=p50_ms, p99_ms=load.quantile_ms(0.99), errors=load.errors
    )


async def _map(stage: Stage, agent: str) -> Row:
    body = {"evaluate": {"n": "$ _ + 1"}}
    task = await _task(stage, agent, [{"over": f"$ list(range({ITEMS}))", "map": body, "parallelism": 100}])
    before = stage.server.cpu_s()
    took_s = await _run(stage, task, agent, 1)
    cpu_ms = (stage.server.cpu_s() - before) / ITEMS * 1_000
    return Row(figure=f"an item of a map over {ITEMS:,}: CPU", value=cpu_ms, unit="ms", per_s=ITEMS / took_s)


async def _parked(stage: Stage, agent: str) -> list[Row]:
    task = await _task(stage, agent, [{"wait_for_input": {"info": {}}}])
    before = stage.server.memory().rss
    async with stage.database.connection() as tx:
        await tx.execute(PARK, DEFAULT_ID, task, UUID(agent), PARKED)
        await tx.execute("ANALYZE executions")
    latency = await _latency(stage, agent, f"submit to done beside {PARKED:,} parked runs")
    async with stage.database.connection() as tx:
        size = await tx.fetchval("SELECT pg_total_relation_size('executions') + pg_total_relation_size('transitions')")
        await tx.execute("DELETE FROM executions WHERE task_id = $1", task)
    return [
        latency,
        Row(figure=f"memory that {PARKED:,} parked runs take in the server", value=stage.server.memory().rss - before, unit="MB"),
        Row(figure="disk that a parked run takes, indexes and two lines", value=size / PARKED / 1_000, unit="kB"),
    ]


async def _task(stage: Stage, agent: str, main: list[object]) -> UUID:
    return UUID(await _made(stage, f"/agents/{agent}/tasks", {"name": "bench", "main": main, "inherit_tools": True}))


async def _made(stage: Stage, path: str, body: object) -> str:
    load = await client.run(stage.server.port, [client.request("POST", path, body, key=KEY)], keep=True)
    if load.errors:
        raise RuntimeError(f"{path}: {load.bodies}")
    return orjson.loads(load.bodies[0])["id"]
