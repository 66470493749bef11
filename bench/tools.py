"""Tools that the server runs in a turn: what a round of the loop costs beside the model's answer."""

import orjson

from bench import client
from bench.client import Load
from bench.processes import KEY
from bench.stage import MODEL, Stage, turn_request
from bench.table import Row
from tests.support.model_server import Reply, text, tool_calls

TURNS = 300
ROUNDS = 4
ROUND_CPU_MS_MAX = 3.0
ECHO = {"name": "echo", "type": "integration", "integration": {"provider": "dummy"}}


async def rounds(stage: Stage) -> list[Row]:
    """Turns with no, one and four rounds of one call, and with one round of eight calls. A round has its request to the model in it."""
    agent = await _made(stage, "/agents", {"name": "Ada", "model": MODEL, "tools": [ECHO]})
    session = [await _made(stage, "/sessions", {"agent": agent, "auto_run_tools": True}) for _ in range(TURNS)]
    one, eight = tool_calls([("echo", {"n": 1})]), tool_calls([("echo", {"n": number}) for number in range(8)])
    await _turns(stage, session, [])
    none, none_ms = await _turns(stage, session, [])
    single, single_ms = await _turns(stage, session, [one])
    several, several_ms = await _turns(stage, session, [one] * ROUNDS)
    wide, wide_ms = await _turns(stage, session, [eight])
    each_ms = (several_ms - none_ms) / ROUNDS
    return [
        _row("a turn with tools that are not called: CPU", none, none_ms),
        _row("the first round of a turn: CPU", single, single_ms - none_ms),
        _row(f"each of {ROUNDS} rounds of a turn: CPU", several, each_ms, limit=ROUND_CPU_MS_MAX),
        _row("a round of 8 calls: CPU", wide, wide_ms - none_ms),
    ]


async def _turns(stage: Stage, sessions: list[str], rounds_: list[Reply]) -> tuple[Load, float]:
    """One turn each, in which the model makes these calls; without a history, so that runs can be compared."""
    for _ in sessions:
        stage.models.script(MODEL, *rounds_, text("done"))
    return await stage.measured([turn_request(session, save=True, recall_tools=False) for session in sessions])


async def _made(stage: Stage, path: str, body: object) -> str:
    load = await client.run(stage.server.port, [client.request("POST", path, body, key=KEY)], keep=True)
    return orjson.loads(load.bodies[0])["id"]


def _row(figure: str, load: Load, cpu_ms: float, *, limit: float | None = None) -> Row:
    return Row(
        figure=figure,
        value=cpu_ms,
        unit="ms",
        limit=limit,
        p50_ms=load.quantile_ms(0.5),
        p99_ms=load.quantile_ms(0.99),
        errors=load.errors,
    )
