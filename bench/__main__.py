"""`python -m bench [part …]`: measure and print one table. Needs the packages of `requirements/dev.txt` and a minute of a quiet machine."""

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import orjson
import uvloop

from bench import client, context, executions, floor, integrations, mcp, parts, recall, responses, streams, tools
from bench.installed import installed
from bench.processes import KEY, Server, serving
from bench.stage import MODEL, Stage, create_request, provider_body, session_body, turn_request
from bench.table import Row, show
from mentha.core import config
from mentha.store import embedded, pool
from tests.support.model_server import ModelServer, spawned_model_server

Part = Callable[[Stage], Awaitable[list[Row]]]
LOADS: dict[str, Part] = {
    "create": parts.create,
    "young": parts.young,
    "grown": parts.grown,
    "long": parts.long,
    "context": context.context,
    "block": parts.block,
    "stream": streams.stream,
    "docs": recall.docs,
    "recall": recall.turns,
    "quality": recall.quality,
    "large": recall.large,
    "tools": tools.rounds,
    "responses": responses.responses,
    "integrations": integrations.calls,
    "mcp": mcp.calls,
    "executions": executions.steps,
}
PARTS = ("installed", "start", "memory", "floor", *LOADS)
WARM_STARTS = 3
MEMORY_TURNS = 10
TEMPLATED = "You are {{agent.name}}. {% if session.situation %}{{session.situation}}{% endif %}"


async def measure(wanted: list[str], folder: Path, note: Callable[[str], None]) -> list[Row]:
    """All rows of the wanted parts."""
    rows: list[Row] = installed() if "installed" in wanted else []
    home = folder / "home"
    with spawned_model_server("--no-record") as models:
        async with ModelServer(record=False) as own_models:
            environ = {"OPENAI_BASE_URL": models.base_url, "OPENAI_API_KEY": "k", "VLLM_BASE_URL": own_models.base_url}
            note("cold start")
            with serving(home, environ) as server:
                cold_s = server.started_s
                memory = await _memory(server, note) if "memory" in wanted else []
            if "start" in wanted:
                rows += [Row(figure="start in a new home", value=cold_s, unit="s"), _warm(home, environ, note)]
            rows += memory
            if not {"floor", *LOADS} & set(wanted):
                return rows
            with serving(home, environ) as server:
                async with _opened(home) as (dsn, database):
                    agent = await _agent(server.port)
                    stage = Stage(home, environ, server, database, models, own_models, agent)
                    note("floor")
                    stage.floor = await asyncio.to_thread(_floor, dsn, models.base_url)
                    if "floor" in wanted:
                        rows += _floor_rows(stage.floor)
                    for name, part in LOADS.items():
                        if name in wanted:
                            note(name)
                            rows += await part(stage)
    return rows


def _warm(home: Path, environ: dict[str, str], note: Callable[[str], None]) -> Row:
    times: list[float] = []
    for _ in range(WARM_STARTS):
        note("warm start")
        with serving(home, environ) as server:
            times.append(server.started_s)
    return Row(figure=f"start again, median of {WARM_STARTS}", value=median(times), unit="s", limit=1.5)


async def _memory(server: Server, note: Callable[[str], None]) -> list[Row]:
    note("memory")
    fresh = server.memory()
    agent = await _agent(server.port)
    load = await client.run(server.port, [create_request(agent)] * MEMORY_TURNS, keep=True)
    sessions = [orjson.loads(body)["id"] for body in load.bodies]
    await client.run(server.port, map(turn_request, sessions))
    used = server.memory()
    body = session_body(agent) | {"system_template": TEMPLATED}
    load = await client.run(server.port, [client.request("POST", "/sessions", body, key=KEY)], keep=True)
    await client.run(server.port, [turn_request(orjson.loads(load.bodies[0])["id"])])
    templated = server.memory()
    named = (("fresh", fresh, 110), (f"after {MEMORY_TURNS} turns", used, 190), ("with a template worker", templated, 190))
    rows = [Row(figure=f"memory {name}, RSS", value=memory.rss, unit="MB", limit=limit) for name, memory, limit in named]
    return rows + [Row(figure=f"memory {name}, PSS", value=memory.pss, unit="MB") for name, memory, _ in named if memory.pss]


async def _agent(port: int) -> str:
    body = {"name": "Mia", "model": MODEL, "about": "She knows the figures.", "instructions": ["Be brief.", "Be friendly."]}
    load = await client.run(port, [client.request("POST", "/agents", body, key=KEY)], keep=True)
    if load.errors:
        raise RuntimeError(f"no agent: {load.bodies}")
    return orjson.loads(load.bodies[0])["id"]


@asynccontextmanager
async def _opened(home: Path) -> AsyncIterator[tuple[str, pool.Database]]:
    """The server's database, for seeding."""
    cluster = await asyncio.to_thread(embedded.acquire, home)
    try:
        database = await pool.connect(cluster.dsn, config.load(environ={}, flags={"database_connections_max": 1}))
        try:
            yield cluster.dsn, database
        finally:
            await database.close()
    finally:
        await asyncio.to_thread(cluster.release)


def _floor(dsn: str, base_url: str) -> dict[str, floor.Cost]:
    bodies = {
        "young": provider_body(4),
        "grown": provider_body(parts.HISTORY),
        "long": provider_body(parts.LONG),
    }
    costs = floor.measure(dsn=dsn, base_url=base_url, row=session_body("0" * 36), bodies=bodies)
    return {**costs, "dumps history": costs["dumps grown"]}


def _floor_rows(costs: dict[str, floor.Cost]) -> list[Row]:
    titles = {
        "insert": "floor: one committed insert by asyncpg",
        "dumps young": "floor: json.dumps of a young turn's body",
        "post young": "floor: that body by the bare openai SDK",
        "dumps grown": f"floor: json.dumps, {parts.HISTORY} messages",
        "post grown": f"floor: openai SDK, {parts.HISTORY} messages",
        "dumps long": f"floor: json.dumps, {parts.LONG:,} messages",
        "post long": f"floor: openai SDK, {parts.LONG:,} messages",
    }
    return [Row(figure=title, value=costs[name].cpu_ms, unit="ms", p50_ms=costs[name].wall_ms) for name, title in titles.items()]


def _speed() -> str:
    """How steady the machine is: one piece of Python, timed again and again."""
    times: list[float] = []
    for _ in range(200):
        began = time.process_time()
        sorted({str(number): [number] for number in range(5_000)}.items(), key=lambda pair: pair[1][0])
        times.append((time.process_time() - began) * 1_000)
    times.sort()
    return f"a fixed piece of Python took {times[0]:.2f} ms of CPU at best, {times[100]:.2f} in the middle, {times[-10]:.2f} at worst"


def main() -> None:
    """Read the arguments, measure, print; exit 1 where a figure was not reached."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the server on this machine.")
    parser.add_argument("part", nargs="*", help=f"only these of: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a figure is not as good as it must be")
    given = parser.parse_args()
    if unknown := set(given.part) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mentha-bench-") as folder:
        # As root, PostgreSQL runs under another account, which must be able to reach its folder.
        Path(folder).chmod(0o711)
        rows = uvloop.run(measure(given.part or list(PARTS), Path(folder), lambda text: print(f"… {text}", file=sys.stderr, flush=True)))
    took_s = time.perf_counter() - began
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors, {took_s:.0f} s; {_speed()}\n")
    print(show(rows))
    if given.json:
        given.json.write_bytes(
            orjson.dumps([{field: getattr(row, field) for field in Row.__slots__} for row in rows], option=orjson.OPT_INDENT_2)
        )
    sys.exit(given.strict and not all(row.reached for row in rows))


if __name__ == "__main__":
    main()
