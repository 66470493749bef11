"""What is measured, part by part. Each part takes the stage that `__main__` has set, and gives rows."""

import asyncio
import os
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from mentha.chat.prompt import DEFAULT_SYSTEM_TEMPLATE
from tests.support import model_server
from tests.support.model_server import ModelServer, ModelServerHandle

from bench import client, seed
from bench.client import Load, connected
from bench.floor import Cost
from bench.processes import KEY, Server, serving
from bench.table import Row
from mentha.store.pool import Database

MODEL = "gpt-bench"
CHUNKS = 400
HISTORY = 200
LONG = 10_000
AT_ONCE = 32
BLOCK_MS_MAX = 20
STREAMS_AT_ONCE = 16
PIECE_EVERY_S = 0.005


@dataclass(slots=True)
class Stage:
    """What parts work with.

    Attributes:
        models: the fake model server in a process of its own.
        own_models: another one in this process, for parts that let each piece of a stream go at its time.
        sessions: young sessions, filled by `create`.
        floor: filled by `__main__` before the parts that compare with it.
    """

    home: Path
    environ: dict[str, str]
    server: Server
    database: Database
    models: ModelServerHandle
    own_models: ModelServer
    agent: str
    sessions: list[str] = field(default_factory=list)
    floor: dict[str, Cost] = field(default_factory=dict)

    async def measured(self, requests: Iterable[bytes], *, at_once: int = 1, keep: bool = False) -> tuple[Load, float]:
        """A run of requests and the server's CPU time for each, in ms."""
        before = self.server.cpu_s()
        load = await client.run(self.server.port, requests, at_once=at_once, keep=keep)
        return load, (self.server.cpu_s() - before) / max(load.count, 1) * 1000

    async def sessions_with(self, messages: int, *, count: int) -> list[str]:
        """New sessions with a history."""
        load = await client.run(self.server.port, [create_request(self.agent)] * count, keep=True)
        made = [orjson.loads(body)["id"] for body in load.bodies]
        for session in made:
            await seed.history(self.database, UUID(session), messages)
        # As autovacuum would have done by the time that a session has so many messages.
        async with self.database.connection() as connection:
            await connection.execute("ANALYZE entries")
        return made


def create_request(agent: str) -> bytes:
    """Make a session."""
    return client.request("POST", "/sessions", session_body(agent), key=KEY)


def session_body(agent: str) -> dict[str, Any]:
    """The body of the request that makes a session."""
    return {"agent": agent, "situation": "A friendly talk about the figures of the quarter.", "metadata": {"source": "bench", "round": 1}}


def turn_request(session: str, **more: Any) -> bytes:
    """Say something in a session."""
    return client.request("POST", f"/sessions/{session}/chat", turn_body() | more, key=KEY)


def turn_body() -> dict[str, Any]:
    """The body of the request of a turn."""
    return {"messages": [{"role": "user", "content": f"{seed.SAID} this month?"}]}


def provider_body(messages: int) -> dict[str, Any]:
    """What a provider gets for a turn with that many earlier messages."""
    system = {"role": "system", "content": DEFAULT_SYSTEM_TEMPLATE[:600]}
    return {"model": MODEL, "messages": [system, *(seed.message(number) for number in range(messages)), *turn_body()["messages"]]}


def history_request(session: str) -> bytes:
    """Read the history of a session."""
    return client.request("GET", f"/sessions/{session}/history", key=KEY)


async def create(stage: Stage) -> list[Row]:
    """Sessions made; they serve the next part."""
    one = create_request(stage.agent)
    await client.run(stage.server.port, [one] * 100)
    single, single_cpu = await stage.measured([one] * 600, keep=True)
    many, many_cpu = await stage.measured([one] * 2_400, at_once=AT_ONCE, keep=True)
    stage.sessions = [orjson.loads(body)["id"] for body in (*single.bodies, *many.bodies)]
    floor = stage.floor["insert"].cpu_ms
    return [*_rows("create a session", single, single_cpu, many, many_cpu, cpu_max_ms=1.0, floor=floor, per_s_min=1_000)]


async def young(stage: Stage) -> list[Row]:
    """Turns of sessions with a few messages."""
    sessions = stage.sessions[:600] or await stage.sessions_with(2, count=300)
    await client.run(stage.server.port, map(turn_request, sessions), at_once=AT_ONCE)
    single, single_cpu = await stage.measured(map(turn_request, sessions[:300]))
    many, many_cpu = await stage.measured(map(turn_request, sessions * 2), at_once=AT_ONCE)
    floor = _turn_floor(stage, "young")
    return [*_rows("a turn, 2-6 earlier messages", single, single_cpu, many, many_cpu, cpu_max_ms=3.0, floor=floor, per_s_min=300)]


async def grown(stage: Stage) -> list[Row]:
    """Turns of sessions with 200 messages, and reading those."""
    sessions = await stage.sessions_with(HISTORY, count=64)
    await client.run(stage.server.port, map(history_request, sessions))
    read, read_cpu = await stage.measured(map(history_request, sessions * 6))
    reads, reads_cpu = await stage.measured(map(history_request, sessions * 12), at_once=AT_ONCE)
    await client.run(stage.server.port, map(turn_request, sessions), at_once=AT_ONCE)
    single, single_cpu = await stage.measured(map(turn_request, sessions * 4))
    many, many_cpu = await stage.measured(map(turn_request, sessions * 10), at_once=AT_ONCE)
    return [
        *_rows(f"a turn, {HISTORY} earlier messages", single, single_cpu, many, many_cpu, cpu_max_ms=4.0, floor=_turn_floor(stage, "grown")),
        *_rows(f"read a history of {HISTORY}", read, read_cpu, reads, reads_cpu, cpu_max_ms=1.5, floor=stage.floor["dumps history"].cpu_ms),
    ]


async def long(stage: Stage) -> list[Row]:
    """Turns of sessions with 10,000 messages."""
    sessions = await stage.sessions_with(LONG, count=4)
    await client.run(stage.server.port, map(turn_request, sessions))
    single, single_cpu = await stage.measured(map(turn_request, sessions * 8))
    many, many_cpu = await stage.measured(map(turn_request, sessions * 24), at_once=AT_ONCE)
    floor = _turn_floor(stage, "long")
    return [*_rows(f"a turn, {LONG:,} earlier messages", single, single_cpu, many, many_cpu, cpu_max_ms=15.0, floor=floor)]


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


async def stream(stage: Stage) -> list[Row]:
    """Streams: in bursts, as fast as they come, and with each piece of the provider alone on the wire."""
    sessions = stage.sessions[:24] or await stage.sessions_with(2, count=24)
    answer = " ".join(f"word{number % 10}" for number in range(CHUNKS))
    await client.run(stage.server.port, map(turn_request, sessions))
    stage.models.script(MODEL, *[model_server.text(answer, chunks=CHUNKS)] * len(sessions))
    burst, burst_cpu = await stage.measured(turn_request(session, stream=True) for session in sessions)
    paced, paced_cpu = await _paced(stage, sessions[:STREAMS_AT_ONCE], answer)
    firsts = sorted([await _first(stage, session, answer) for session in sessions[:6]])
    direct = sorted([await _direct(stage.own_models, answer) for _ in range(6)])
    middle = len(firsts) // 2
    return [
        Row(figure="a stream, pieces in bursts: CPU a chunk", value=burst_cpu / CHUNKS, unit="ms", limit=0.08, errors=burst.errors),
        Row(figure=f"{STREAMS_AT_ONCE} streams, pieces one by one: CPU a chunk", value=paced_cpu / CHUNKS, unit="ms", limit=0.08, errors=paced.errors),
        Row(figure="first token after the provider's", value=firsts[middle], unit="ms", limit=3.0, floor=direct[middle], p99_ms=firsts[-1]),
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


async def _paced(stage: Stage, sessions: list[str], answer: str) -> tuple[Load, float]:
    """Streams at once, of each of which the provider sends one piece every `PIECE_EVERY_S`."""
    models = stage.own_models
    models.reset()
    models.script(MODEL, *[model_server.slow(model_server.text(answer, chunks=CHUNKS))] * len(sessions))
    requests = (turn_request(session, stream=True, model=f"vllm/{MODEL}") for session in sessions)
    streams = asyncio.create_task(stage.measured(requests, at_once=len(sessions)))
    await models.until_held(len(sessions))
    while not streams.done():
        models.release()
        await asyncio.sleep(PIECE_EVERY_S)
    return await streams


async def _first(stage: Stage, session: str, answer: str) -> float:
    """The time from the provider's first token to the client's, in ms."""
    models = stage.own_models
    models.reset()
    models.script(MODEL, model_server.slow(model_server.text(answer, chunks=4)))
    # The provider's first piece has only a role, of which the client sees nothing.
    return await _first_after(models, stage.server.port, turn_request(session, stream=True, model=f"vllm/{MODEL}"), silent=1)


async def _direct(models: ModelServer, answer: str) -> float:
    """The same without a server of ours between."""
    models.reset()
    models.script(MODEL, model_server.slow(model_server.text(answer, chunks=4)))
    raw = client.request("POST", "/v1/chat/completions", {**provider_body(0), "stream": True}, key=KEY)
    return await _first_after(models, int(models.url.rsplit(":", 1)[1]), raw, silent=0)


async def _first_after(models: ModelServer, port: int, raw: bytes, *, silent: int) -> float:
    async with connected(port) as connection:
        came = asyncio.Event()
        connection.on_data = lambda _: came.set()
        exchange = asyncio.create_task(connection.exchange(raw))
        for _ in range(silent):
            await models.until_held()
            models.release(1)
        await models.until_held()
        # Let everything settle that the request itself set off.
        await asyncio.sleep(0.02)
        came.clear()
        began = time.perf_counter()
        models.release(1)
        await came.wait()
        first_ms = (time.perf_counter() - began) * 1000
        models.release(1_000)
        await exchange
        models.reset()
    return first_ms


def _turn_floor(stage: Stage, name: str) -> float:
    return sum(stage.floor[part].cpu_ms for part in (f"dumps {name}", f"post {name}", "insert"))


def _rows(
    figure: str,
    single: Load,
    single_cpu: float,
    many: Load,
    many_cpu: float,
    *,
    cpu_max_ms: float,
    floor: float,
    per_s_min: float | None = None,
) -> Sequence[Row]:
    def row(load: Load, cpu: float, at_once: int, limit: float | None) -> Row:
        return Row(
            figure=f"{figure}, {at_once} at once: CPU",
            value=cpu,
            unit="ms",
            limit=limit,
            floor=floor,
            p50_ms=load.quantile_ms(0.5),
            p99_ms=load.quantile_ms(0.99),
            per_s=load.count / load.took_s,
            errors=load.errors,
        )

    rows = [row(single, single_cpu, 1, cpu_max_ms), row(many, many_cpu, AT_ONCE, cpu_max_ms)]
    if per_s_min is not None:
        per_s = many.count / many.took_s
        rows.append(
            Row(figure=f"{figure}, {AT_ONCE} at once", value=per_s, unit="/s", limit=per_s_min, more_is_better=True, errors=many.errors)
        )
    return rows
