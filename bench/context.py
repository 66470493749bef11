"""A context that fits: choosing from a long history, and turns of which the history is longer than their budget."""

import time

from bench import client, seed
from bench.client import Load
from bench.stage import Stage, turn_request
from bench.table import Row
from mentha.chat import budget
from mentha.chat.budget import Budget, Stored
from mentha.core.json import dumps

LONG, SHORT = 10_000, 200
BUDGET_TOKENS = 4_000
# It counts as providers do, by a rule of its own.
MODEL = "gpt-bench-x1.2"
SESSIONS = 16
ROUNDS = 5
FITTINGS = 50
AT_ONCE = 32
FIT_MS_MAX = 2.0
TURN_MS_MAX = 4.0


async def context(stage: Stage) -> list[Row]:
    """Fitting alone, then turns under a budget with a short history and with a long one: the cost must not follow the history."""
    rows = [
        _fitting("half of them fit", LONG * 33 // 2),
        _fitting("all but one turn fit", LONG * 33 - 30),
        _fitting("a hundred fit", 3_300),
    ]
    for messages in (SHORT, LONG):
        sessions = await stage.sessions_with(messages, count=SESSIONS, context_overflow="truncate", token_budget=BUDGET_TOKENS)
        turns = [turn_request(session, model=MODEL) for session in sessions]
        await client.run(stage.server.port, turns * 2)
        for at_once, requests in ((1, turns * 6), (AT_ONCE, turns * 12)):
            load, cpu_ms = min([await stage.measured(requests, at_once=at_once) for _ in range(ROUNDS)], key=lambda run: run[1])
            rows.append(_turns(f"a turn under a budget, {messages:,} earlier messages, {at_once} at once: CPU", load, cpu_ms))
    return rows


def _fitting(which: str, room: int) -> Row:
    """How long it takes to choose from 10,000 stored messages, of which calls and results are some."""
    messages = [dumps(seed.message(number)) for number in range(LONG)]
    stored = Stored(
        messages=b",".join(messages),
        sizes=[len(message) for message in messages],
        counts=[33] * LONG,
        kinds="uaucta" * (LONG // 6) + "uaua"[: LONG % 6],
        seqs=range(1, LONG + 1),
        last_seq=LONG,
    )
    times_ms: list[float] = []
    for _ in range(FITTINGS):
        began = time.process_time()
        fitted = budget.fit(stored, Budget(room, 1.0), 100)
        times_ms.append((time.process_time() - began) * 1_000)
    if not fitted.left_out:
        raise RuntimeError("a history that fits measures nothing")
    return Row(figure=f"fitting {LONG:,} messages, {which}: CPU", value=sorted(times_ms)[FITTINGS // 2], unit="ms", limit=FIT_MS_MAX)


def _turns(figure: str, load: Load, cpu_ms: float) -> Row:
    return Row(
        figure=figure,
        value=cpu_ms,
        unit="ms",
        limit=TURN_MS_MAX,
        p50_ms=load.quantile_ms(0.5),
        p99_ms=load.quantile_ms(0.99),
        per_s=load.per_s,
        errors=load.errors,
    )
