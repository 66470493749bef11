"""The floor: what the parts of a request cost with nothing of ours around them. A process of its own, so that its CPU time is only that.

`python -m bench.floor [streams]` reads its task as JSON from stdin and writes what it measured to stdout.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx2
import openai
import orjson
import uvloop

from bench.processes import ROOT

ROUNDS = 5
TABLE = "CREATE TABLE IF NOT EXISTS bench_floor (id bigserial PRIMARY KEY, body text NOT NULL)"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one time: CPU of the process that did it, and the time on the clock; both in ms."""

    cpu_ms: float
    wall_ms: float


def measure(*, dsn: str, base_url: str, row: Any, bodies: dict[str, Any]) -> dict[str, Cost]:
    """Costs by name: `insert`, and `dumps <name>` and `post <name>` for each body."""
    task = orjson.dumps({"dsn": dsn, "base_url": base_url, "row": row, "bodies": bodies})
    done = subprocess.run([sys.executable, "-m", "bench.floor"], cwd=ROOT, input=task, stdout=subprocess.PIPE, check=True)
    return {name: Cost(**cost) for name, cost in orjson.loads(done.stdout).items()}


async def streams(base_url: str, body: Any, *, count: int) -> float:
    """Read `count` streams at once and throw them away; returns the CPU time in ms."""
    command = (sys.executable, "-m", "bench.floor", "streams")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, _ = await process.communicate(orjson.dumps({"base_url": base_url, "body": body, "count": count}))
    return orjson.loads(out)


async def _read_streams(task: dict[str, Any]) -> float:
    body = orjson.dumps(task["body"])
    async with openai.AsyncOpenAI(api_key="none", base_url=task["base_url"], max_retries=0) as client:

        async def read(given: bytes) -> None:
            response = await client.post(
                "/chat/completions",
                content=given,
                cast_to=httpx2.Response,
                stream=True,
                stream_cls=openai.AsyncStream,
                options={"headers": {"Content-Type": "application/json"}},
            )
            async for _ in response.aiter_raw():
                pass

        await read(orjson.dumps({**task["body"], "stream": False, "model": "warm-up"}))
        cpu = time.process_time()
        await asyncio.gather(*(read(body) for _ in range(task["count"])))
        return (time.process_time() - cpu) * 1000


async def _measure(task: dict[str, Any]) -> dict[str, dict[str, float]]:
    costs = {"insert": await _insert(task["dsn"], orjson.dumps(task["row"]).decode())}
    async with openai.AsyncOpenAI(api_key="none", base_url=task["base_url"], max_retries=0) as client:
        for name, body in task["bodies"].items():
            large = len(orjson.dumps(body)) > 1_000_000
            times = 25 if large else 500
            costs[f"dumps {name}"] = await _timed(times, _dumps(body))
            costs[f"post {name}"] = await _timed(times, _post(client, orjson.dumps(body)))
    return costs


def _dumps(body: Any) -> Callable[[], Awaitable[None]]:
    async def once() -> None:
        json.dumps(body)

    return once


def _post(client: openai.AsyncOpenAI, body: bytes) -> Callable[[], Awaitable[None]]:
    async def once() -> None:
        response = await client.post(
            "/chat/completions", content=body, cast_to=httpx2.Response, options={"headers": {"Content-Type": "application/json"}}
        )
        await response.aread()

    return once


async def _insert(dsn: str, row: str) -> dict[str, float]:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(TABLE)
        statement = await connection.prepare("INSERT INTO bench_floor (body) VALUES ($1)")
        cost = await _timed(500, lambda: statement.fetch(row))
        await connection.execute("DROP TABLE bench_floor")
    finally:
        await connection.close()
    return cost


async def _timed(times: int, once: Callable[[], Awaitable[Any]]) -> dict[str, float]:
    for _ in range(max(3, times // 20)):
        await once()
    rounds = [await _round(times // ROUNDS, once) for _ in range(ROUNDS)]
    # The round that the rest of the machine disturbed least, as in the parts.
    return min(rounds, key=lambda cost: cost["cpu_ms"])


async def _round(times: int, once: Callable[[], Awaitable[Any]]) -> dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(times):
        await once()
    return {"cpu_ms": (time.process_time() - cpu) / times * 1000, "wall_ms": (time.perf_counter() - wall) / times * 1000}


if __name__ == "__main__":
    work = _read_streams if sys.argv[1:] == ["streams"] else _measure
    sys.stdout.buffer.write(orjson.dumps(uvloop.run(work(orjson.loads(sys.stdin.buffer.read())))))
