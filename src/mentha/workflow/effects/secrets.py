"""Which secrets an execution can name, read when a command begins."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from mentha.auth.vault import Vault
from mentha.core.json import JsonValue
from mentha.tools.run import Values
from mentha.workflow.context import RunContext
from mentha.workflow.marks import NOTHING, Hidden, words_in

# A value that was changed or deleted is used for at most this long.
CACHE_S = 5.0
CACHE_ENTRIES_MAX = 1_000


class Secrets:
    """Finds out which secrets an execution can name, and reads them. What it read counts for `CACHE_S`."""

    def __init__(self, values: Values, vault: Vault, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._values = values
        self._vault = vault
        self._clock = clock
        self._words: OrderedDict[UUID, frozenset[str]] = OrderedDict()
        self._known: OrderedDict[tuple[UUID, frozenset[str]], tuple[float, Hidden]] = OrderedDict()

    async def of(self, run: RunContext, *more: JsonValue) -> Hidden:
        """The secrets that the plan, or one of `more`, can name, as they are now.

        Raises:
            SecretsUnavailable: this server has not the key, or a row was changed.
            Unavailable: the database is away.
        """
        words = self._of_plan(run)
        if more:
            words |= words_in(more)
        if not words:
            return NOTHING
        key = (run.execution_id, words)
        known = self._known.get(key)
        if known is None or known[0] < self._clock():
            values = await self._values(run.tenant, words)
            known = self._known[key] = (self._clock() + CACHE_S, self._hidden(run, values))
            _trim(self._known)
        return known[1]

    def _of_plan(self, run: RunContext) -> frozenset[str]:
        if run.execution_id not in self._words:
            self._words[run.execution_id] = frozenset(words_in(run.plan))
            _trim(self._words)
        return self._words[run.execution_id]

    def _hidden(self, run: RunContext, values: Mapping[str, str]) -> Hidden:
        def signed(name: str) -> str:
            return f"{run.execution_id}/{name}"

        return Hidden(
            values,
            lambda name: self._vault.tag(run.tenant, signed(name)),
            lambda name, tag: self._vault.is_tag(run.tenant, signed(name), tag),
        )


def _trim(kept: OrderedDict[Any, Any]) -> None:
    while len(kept) > CACHE_ENTRIES_MAX:
        kept.popitem(last=False)
