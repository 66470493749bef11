"""OpenAI's API: what a response costs against a turn in a session, a chat completion that passes through, and a chunk of a stream."""

import orjson

from bench import client
from bench.client import Load
from bench.processes import KEY
from bench.stage import MODEL, Stage, turn_request
from bench.table import Row
from tests.support import model_server

COUNT = 300
STREAMS = 16
CHUNKS = 400
TURNS_MAX = 2


async def responses(stage: Stage) -> list[Row]:
    """Turns without a history, one after the other; then streams in bursts. The ratio is to a turn in a session."""
    sessions = await stage.sessions_with(0, count=COUNT)
    await client.run(stage.server.port, [_response()] * 20)
    turn, turn_ms = await stage.measured(map(turn_request, sessions))
    first, first_ms = await stage.measured([_response()] * COUNT, keep=True)
    ids = [orjson.loads(body)["id"] for body in first.bodies]
    follow, follow_ms = await stage.measured([_response(previous_response_id=each) for each in ids])
    unstored, unstored_ms = await stage.measured([_response(store=False)] * COUNT)
    through, through_ms = await stage.measured([_completion()] * COUNT)
    answer = " ".join(f"word{number % 10}" for number in range(CHUNKS))
    stage.models.script(MODEL, *[model_server.text(answer, chunks=CHUNKS)] * (2 * STREAMS))
    streamed, streamed_ms = await stage.measured([_response(stream=True)] * STREAMS)
    piped, piped_ms = await stage.measured([_completion(stream=True)] * STREAMS)
    return [
        _row("a turn in a session, no history: CPU", turn, turn_ms),
        _row("a response, in a session of its own: CPU", first, first_ms, limit=round(TURNS_MAX * turn_ms, 2), floor=turn_ms),
        _row("a response that follows one: CPU", follow, follow_ms, limit=round(TURNS_MAX * turn_ms, 2), floor=turn_ms),
        _row("a response that is not stored: CPU", unstored, unstored_ms, floor=turn_ms),
        _row("a chat completion that passes through: CPU", through, through_ms, limit=round(turn_ms, 2), floor=turn_ms),
        _row("a stream of a response: CPU a chunk", streamed, streamed_ms / CHUNKS, limit=0.08),
        _row("a stream that passes through: CPU a chunk", piped, piped_ms / CHUNKS, limit=0.08),
    ]


def _response(**more: object) -> bytes:
    return client.request("POST", "/v1/responses", {"model": MODEL, "input": "How are you today?", **more}, key=KEY)


def _completion(**more: object) -> bytes:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "How are you today?"}], **more}
    return client.request("POST", "/v1/chat/completions", body, key=KEY)


def _row(figure: str, load: Load, cpu_ms: float, *, limit: float | None = None, floor: float | None = None) -> Row:
    return Row(
        figure=figure,
        value=cpu_ms,
        unit="ms",
        limit=limit,
        floor=floor,
        p50_ms=load.quantile_ms(0.5),
        p99_ms=load.quantile_ms(0.99),
        errors=load.errors,
    )
