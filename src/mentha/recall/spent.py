"""What calls of embedders cost, and whom: a request's go to its tenant as a whole, those of a batch are divided by the length of the texts.

Local embedders make no calls. Those that measure a new embedder's scale are the operator's, and recorded for no tenant.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import UUID

from mentha.providers.types import EmbedderCall
from mentha.store.chunks import agent_of
from mentha.store.meter import Meter
from mentha.store.usage import NewUsage
from mentha.store.vectors import Piece

KIND = "embedding"
K = TypeVar("K")


@asynccontextmanager
async def charged(meter: Meter, tenant: UUID) -> AsyncGenerator[list[EmbedderCall]]:
    """A list for the calls that a request of this tenant makes; when the block ends they are recorded, and that is committed.

    Raises:
        Unavailable: the database is away.
    """
    calls: list[EmbedderCall] = []
    try:
        yield calls
    except BaseException:
        # Some may have been answered; nobody gets it.
        meter.later(tenant, [_row(call, call.tokens, call.cost) for call in calls])
        raise
    await meter.write(tenant, [_row(call, call.tokens, call.cost) for call in calls])


async def charge_all(meter: Meter, calls: Iterable[tuple[EmbedderCall, Sequence[Piece]]]) -> None:
    """Record calls of a batch, each with the chunks that it was for, and return once that is committed.

    Raises:
        Unavailable: the database is away.
    """
    rows: dict[UUID, list[NewUsage]] = {}
    for call, pieces in calls:
        # The tenant, and the agent where the text is an agent's.
        payers = [(piece.tenant_id, agent_of(piece.owner)) for piece in pieces]
        for (tenant, agent_id), tokens in shares(call.tokens, payers, call.chars).items():
            cost = None if call.cost is None else call.cost * tokens / max(call.tokens, 1)
            # Nobody's request, and no execution's step.
            nobody: dict[str, Any] = {"session_id": None, "execution_id": None, "step": None, "key_id": None}
            rows.setdefault(tenant, []).append(_row(call, tokens, cost, agent_id=agent_id, **nobody))
    await asyncio.gather(*(meter.write(tenant, some) for tenant, some in rows.items()))


def shares(total: int, payers: Sequence[K], weights: Sequence[int]) -> Mapping[K, int]:
    """`total` divided among payers in proportion to their weights; the parts add up to it. One may be named often, and none is left out.

    Args:
        weights: as many as payers, each at least 0; where all are 0 they count alike.
    """
    sums: dict[K, int] = {}
    for payer, weight in zip(payers, weights, strict=True):
        sums[payer] = sums.get(payer, 0) + weight
    if not any(sums.values()):
        sums = dict.fromkeys(sums, 1)
    parts, whole, given, seen = {}, sum(sums.values()), 0, 0
    for payer, weight in sums.items():
        # What is due up to and with this one, less what was given: no rounding is lost.
        seen += weight
        due = total * seen // whole
        parts[payer], given = due - given, due
    return parts


def _row(call: EmbedderCall, tokens: int, cost: float | None, **whose: Any) -> NewUsage:
    return NewUsage(
        kind=KIND,
        ok=call.ok,
        provider=call.provider,
        model=call.model,
        prompt_tokens=tokens,
        estimated=call.estimated,
        cost=cost,
        **whose,
    )
