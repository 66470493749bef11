"""Plans of tasks as they are run: each version of a task is the same for ever, so many executions share one."""

import time
from collections import OrderedDict
from uuid import UUID

from mentha.core.json import JsonObject
from mentha.store import executions
from mentha.store.pool import Tx
from mentha.workflow.plan import assembled

KEPT_MAX = 200
# Secrets in tools are sealed anew where the operator changes the key; what was sealed before can be opened for longer than this.
KEEP_S = 30.0


class Plans:
    """The plans that this process has used lately. Nobody changes one."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[UUID, UUID, int], tuple[float, JsonObject]] = OrderedDict()

    async def get(self, tx: Tx, tenant: UUID, task_id: UUID, version: int) -> JsonObject:
        """The plan of a version of a task, with its tools.

        Raises:
            NotFound: there is none.
        """
        key, now = (tenant, task_id, version), time.monotonic()
        kept = self._kept.get(key)
        if kept is not None and kept[0] > now:
            return kept[1]
        found = await executions.definition(tx, tenant, task_id, version)
        plan = assembled(found.plan, found.tools, found.task)
        self._kept[key] = (now + KEEP_S, plan)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return plan
