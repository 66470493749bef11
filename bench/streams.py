"""Streams: what a chunk costs on its way through, and how long the first one takes."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from bench import client, floor
from bench.client import connected
from bench.processes import KEY
from bench.stage import MODEL, Stage, provider_body, turn_request
from bench.table import Row
from tests.support import model_server
from tests.support.model_server import ModelServer

T = TypeVar("T")
CHUNKS = 400
STREAMS_AT_ONCE = 16
PIECE_EVERY_S = 0.005


async def stream(stage: Stage) -> list[Row]:
    """Streams: in bursts, as fast as they come, and with each piece of the provider alone on the wire."""
    sessions = stage.sessions[:24] or await stage.sessions_with(2, count=24)
    answer = " ".join(f"word{number % 10}" for number in range(CHUNKS))
    await client.run(stage.server.port, map(turn_request, sessions))
    stage.models.script(MODEL, *[model_server.text(answer, chunks=CHUNKS)] * len(sessions))
    burst, burst_cpu = await stage.measured(turn_request(session, stream=True) for session in sessions)
    several = [turn_request(session, stream=True, model=f"vllm/{MODEL}") for session in sessions[:STREAMS_AT_ONCE]]
    paced, paced_cpu = await _paced(stage.own_models, answer, len(several), stage.measured(several, at_once=len(several)))
    reading = floor.streams(stage.own_models.base_url, {**provider_body(0), "stream": True}, count=len(several))
    bare = await _paced(stage.own_models, answer, len(several), reading) / len(several) / CHUNKS
    firsts = sorted([await _first(stage, session, answer) for session in sessions[:6]])
    direct = sorted([await _direct(stage.own_models, answer) for _ in range(6)])
    middle = len(firsts) // 2
    return [
        Row(figure="a stream, pieces in bursts: CPU a chunk", value=burst_cpu / CHUNKS, unit="ms", limit=0.08, errors=burst.errors),
        Row(
            figure=f"{STREAMS_AT_ONCE} streams, pieces one by one: CPU a chunk",
            value=paced_cpu / CHUNKS,
            unit="ms",
            floor=bare,
            errors=paced.errors,
        ),
        Row(figure="first token after the provider's", value=firsts[middle], unit="ms", limit=3.0, floor=direct[middle], p99_ms=firsts[-1]),
    ]


async def _paced(models: ModelServer, answer: str, count: int, reading: Coroutine[Any, Any, T]) -> T:
    """Let go of one piece of each stream every `PIECE_EVERY_S`, while somebody reads `count` of them."""
    models.reset()
    models.script(MODEL, *[model_server.slow(model_server.text(answer, chunks=CHUNKS))] * count)
    streams = asyncio.create_task(reading)
    await models.until_held(count)
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
