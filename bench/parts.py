"""What is measured, part by part. Each part takes the stage that `__main__` has set, and gives rows."""

import asyncio
import os
import signal
import time
from dataclasses import dataclass

import orjson

from bench import client
from bench.client import Load, connected
from bench.processes import KEY, serving
from bench.stage import Stage, create_request, history_request, turn_request
from bench.table import Row

HISTORY = 200
LONG = 10_000
AT_ONCE = 32
BLOCK_MS_MAX = 20
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Run:
    """A run of requests and the server's CPU time for each, in ms."""

    load: Load
    cpu_ms: float


async def create(stage: Stage) -> list[Row]:
    """Sessions made; they serve the next part."""
    one = create_request(stage.agent)
    load = await client.run(stage.server.port, [one] * 600, at_once=AT_ONCE, keep=True)
    stage.sessions = [orjson.loads(body)["id"] for body in load.bodies]
    runs = await _rounds(stage, [one] * 300, [one] * 1_000)
    return _rows("create a session", runs, cpu_max_ms=1.0, floor=stage.floor["insert"].cpu_ms, per_s_min=1_000)


async def young(stage: Stage) -> list[Row]:
    """Turns of sessions with a few messages."""
    sessions = stage.sessions or await stage.sessions_with(2, count=600)
    turns = [turn_request(session) for session in sessions]
    await client.run(stage.server.port, turns, at_once=AT_ONCE)
    runs = await _rounds(stage, turns[:150], turns)
    return _rows("a turn, a young session", runs, cpu_max_ms=3.0, floor=_turn_floor(stage, "young"), per_s_min=300)


async def grown(stage: Stage) -> list[Row]:
    """Turns of sessions with 200 messages, and reading those."""
    sessions = await stage.sessions_with(HISTORY, count=64)
    reads, turns = [history_request(session) for session in sessions], [turn_request(session) for session in sessions]
    await client.run(stage.server.port, reads, at_once=AT_ONCE)
    read = await _rounds(stage, reads * 2, reads * 5)
    await client.run(stage.server.port, turns, at_once=AT_ONCE)
    answered = await _rounds(stage, turns * 2, turns * 5)
    return [
        *_rows(f"a turn, {HISTORY} earlier messages", answered, cpu_max_ms=4.0, floor=_turn_floor(stage, "grown")),
        *_rows(f"read a history of {HISTORY}", read, cpu_max_ms=1.5, floor=stage.floor["dumps history"].cpu_ms),
    ]


async def long(stage: Stage) -> list[Row]:
    """Turns of sessions with 10,000 messages."""
    turns = [turn_request(session) for session in await stage.sessions_with(LONG, count=4)]
    await client.run(stage.server.port, turns)
    runs = await _rounds(stage, turns * 4, turns * 16)
    return _rows(f"a turn, {LONG:,} earlier messages", runs, cpu_max_ms=15.0, floor=_turn_floor(stage, "long"))


async def block(stage: Stage) -> list[Row]:
    """How long the event loop is held while such turns run: a second server of the same database, with a probe in it."""
    sessions = await stage.sessions_with(LONG, count=2)
    file = stage.home.parent / "probe.json"
    with serving(stage.home, {**stage.environ, "BENCH_PROBE_FILE": str(file)}, module="bench.probed") as server:
        await client.run(server.port, map(turn_request, sessions * 2))
        os.kill(server.pid, signal.SIGUSR1)
        light = asyncio.create_task(_light_requests(server.port))
        await client.run(server.port, map(turn_request, sessions * 12))
        light.cancel()
        times_ms = sorted(await light)
        os.kill(server.pid, signal.SIGUSR2)
        async with asyncio.timeout(10):
            while not file.exists():
                await asyncio.sleep(0.01)
        probe = orjson.loads(file.read_bytes())
    p50, p99 = (times_ms[int(len(times_ms) * share)] for share in (0.5, 0.99))
    return [
        Row(figure="longest block of the event loop, CPU", value=probe["cpu_ms"], unit="ms", limit=BLOCK_MS_MAX),
        Row(figure="longest block of the event loop, clock", value=probe["wall_ms"], unit="ms", limit=BLOCK_MS_MAX),
        Row(figure="a full collection of garbage", value=probe["gc_ms"], unit="ms", limit=BLOCK_MS_MAX),
        Row(figure="slowest light request meanwhile", value=times_ms[-1], unit="ms", p50_ms=p50, p99_ms=p99),
    ]


async def _light_requests(port: int) -> list[float]:
    """Ask, one after another until cancelled, for what costs the server nothing: a path that it does not have."""
    times_ms: list[float] = []
    raw = client.request("GET", "/there-is-no-such-path", key=KEY)
    async with connected(port) as connection:
        try:
            while True:
                began = time.perf_counter()
                await connection.exchange(raw)
                times_ms.append((time.perf_counter() - began) * 1000)
                await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            return times_ms


async def _rounds(stage: Stage, single: list[bytes], many: list[bytes]) -> tuple[Run, Run]:
    """One at a time and many at once, in turn some times; of each the round that cost least: the one that was disturbed least."""
    singles: list[Run] = []
    manies: list[Run] = []
    for _ in range(ROUNDS):
        singles.append(Run(*await stage.measured(single)))
        manies.append(Run(*await stage.measured(many, at_once=AT_ONCE)))
    return _quietest(singles), _quietest(manies)


def _quietest(runs: list[Run]) -> Run:
    quietest = min(runs, key=lambda run: run.cpu_ms)
    quietest.load.errors = sum(run.load.errors for run in runs)
    return quietest


def _turn_floor(stage: Stage, name: str) -> float:
    return sum(stage.floor[part].cpu_ms for part in (f"dumps {name}", f"post {name}", "insert"))


def _rows(figure: str, runs: tuple[Run, Run], *, cpu_max_ms: float, floor: float, per_s_min: float | None = None) -> list[Row]:
    rows = [
        Row(
            figure=f"{figure}, {at_once} at once: CPU",
            value=run.cpu_ms,
            unit="ms",
            limit=cpu_max_ms,
            floor=floor,
            p50_ms=run.load.quantile_ms(0.5),
            p99_ms=run.load.quantile_ms(0.99),
            per_s=run.load.per_s,
            errors=run.load.errors,
        )
        for run, at_once in zip(runs, (1, AT_ONCE), strict=True)
    ]
    if per_s_min is not None:
        many = runs[1].load
        rows.append(
            Row(
                figure=f"{figure}, {AT_ONCE} at once", value=many.per_s, unit="/s", limit=per_s_min, more_is_better=True, errors=many.errors
            )
        )
    return rows
