"""The executions that this process runs: taken as they are ready, a limited number at once and of each tenant, and let go in the end.

    nudge | wake-up | every second → claim → Run.advance → parked, ended or lost

A process lives as long as its lease, which it renews; one whose lease is over has lost all its runs and begins anew under another id. What
it does not hear of, it finds by looking: runs that are ready, runs of dead processes, runs of its own that changed under it or that nobody
runs.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from mentha import observe
from mentha.core.clock import iso
from mentha.core.config import Settings
from mentha.core.errors import MenthaError, NotFound, Unavailable
from mentha.core.ids import new_id
from mentha.core.json import JsonObject
from mentha.observe.events import ExecutionBroke, ExecutionEnded, ExecutionGivenUp, ExecutionsFreed, SweepFailed
from mentha.store import agents, delivery, executions, queue, sessions, tools, transitions, users, workers
from mentha.store.pool import Database, Tx
from mentha.store.queue import Job
from mentha.store.transitions import Fence, Outcome
from mentha.store.workers import Claimed, Freed
from mentha.wire.common import Page
from mentha.workflow import journal
from mentha.workflow.context import RunContext
from mentha.workflow.journal import Memory
from mentha.workflow.names import Surroundings
from mentha.workflow.plans import Plans
from mentha.workflow.runner import Clock, Effects, Parts, Run
from mentha.workflow.state import INTERPRETER, Row
from mentha.workflow.targets import MAIN, main_scope
from mentha.workflow.watch import Watch

KIND = "advance"
CLAIMS_AT_ONCE_MAX = 32
TENANTS_LOOKED_AT_MAX = 1_000
LOOK_S = 1.0
# Of a lease that ends in so many beats.
BEATS_A_LEASE = 3
# A run that has written lately knows that it is this worker's.
QUIET_S = 0.7
# A claim becomes a task within milliseconds.
STRAY_S = 5.0
# Parked for less, a run is taken up again by a timer here; for more, by looking.
TIMER_S_MAX = 5.0
# By the database's clock it must be time as well.
TIMER_LATE_S = 0.01
FAULTS_MAX = 5
FAULT_PAUSE_S = 2.0
FAULTS_KEPT_MAX = 1_000
CANCEL_S = 5.0
# Workers in a row that died with a run which got no further: it is what they die of, or may as well be.
# With the pauses between them that takes some ten minutes: a server that is killed again and again for other reasons, like a fault in how
# it is deployed, must not cost what happened to run in it.
DEATHS_MAX = 10
DEATH_PAUSE_S = 2.0
AGENT_TOOLS_MAX = 1_000


class Runs:
    """All runs of this process; made once, and running between `start` and `stop`.

    Attributes:
        effects: what carries out commands.
    """

    def __init__(self, settings: Settings, database: Database, effects: Effects, watch: Watch, plans: Plans) -> None:
        self.effects = effects
        self._settings = settings
        self._database = database
        self._watch = watch
        self._plans = plans
        self._clock = Clock()
        self._memory = Memory(settings.executions_held_bytes_max, settings.executions_held_bytes_max // settings.executions_at_once_max)
        self._worker = new_id()
        self._lease_s = queue.LEASE_S
        self._tasks: dict[tuple[UUID, UUID], tuple[Run, asyncio.Task[None]]] = {}
        self._by_tenant: Counter[UUID] = Counter()
        # Tenants that may have runs which are ready, and those of them that had as many as they may.
        self._hungry: OrderedDict[UUID, None] = OrderedDict()
        self._capped: set[UUID] = set()
        self._faults: OrderedDict[tuple[UUID, UUID], int] = OrderedDict()
        self._claiming: asyncio.Task[None] | None = None
        self._regular: list[asyncio.Task[None]] = []
        self._is_taking = False
        self._is_alive = asyncio.Event()

    @property
    def count(self) -> int:
        """How many run now."""
        return len(self._tasks)

    @property
    def has_room(self) -> bool:
        """Whether a nudge would have a run taken up at once."""
        return self._is_taking and len(self._tasks) < self._settings.executions_at_once_max

    def start(self, *, lease_s: float = queue.LEASE_S) -> None:
        """Take runs from now on."""
        self._lease_s = lease_s
        self._regular = [asyncio.create_task(self._live()), asyncio.create_task(self._look_regularly())]

    def nudge(self, tenant: UUID) -> None:
        """This tenant may have runs that are ready. Without room it is remembered until there is some."""
        if not self._is_taking:
            return
        self._hungry[tenant] = None
        if self._claiming is None and self.has_room:
            self._claiming = asyncio.create_task(self._claim())

    def tell(self, tenant: UUID, execution_id: UUID, *, is_cancelled: bool = False) -> None:
        """A client has changed this execution, by an answer or by cancelling it."""
        self._watch.tell(tenant, execution_id)
        running = self._tasks.get((tenant, execution_id))
        if running is None:
            self.nudge(tenant)
        elif is_cancelled:
            running[1].cancel()
        else:
            running[0].look_again()

    async def stop(self, cut: asyncio.Task[Any], grace_s: float) -> int:
        """Take no more; let those that run come to a place where they can be let go, cut off what is left after `grace_s`, or `cut`.

        Returns:
            How many were cut off. Others take them at once.
        """
        self._is_taking = False
        for run, _ in self._tasks.values():
            run.stop()
        tasks = [task for _, task in self._tasks.values()]
        left: set[asyncio.Task[None]] = set()
        if tasks:
            all_ended = asyncio.create_task(asyncio.wait(tasks))
            await asyncio.wait((all_ended, cut), timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
            all_ended.cancel()
            left = {task for task in tasks if not task.done()}
        for task in [*self._regular, *left]:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=CANCEL_S)
        # A database that is away can't be told; then others wait for the end of the lease.
        with contextlib.suppress(Unavailable):
            async with self._database.connection() as tx:
                await workers.retire(tx, self._worker)
        return len(left)

    async def _live(self) -> None:
        """Be alive; whenever that could not be said in time, drop everything and begin anew."""
        is_known = False
        while True:
            try:
                async with self._database.connection() as tx:
                    if is_known and not await workers.beat(tx, self._worker, lease_s=self._lease_s):
                        self._drop_all()
                        is_known = False
                    self._clock.set(await workers.now(tx))
                    if not is_known:
                        await workers.register(tx, self._worker, lease_s=self._lease_s)
                        is_known = self._is_taking = True
                        self._is_alive.set()
                    await workers.forget_dead(tx)
            except Unavailable:
                await asyncio.sleep(self._lease_s / BEATS_A_LEASE / 2)
                continue
            except Exception as error:  # noqa: BLE001 - a process that takes runs must go on saying that it is alive
                reason, detail = delivery.reason_of(error)
                observe.emit(SweepFailed(name="lease", reason=reason, detail=detail))
            await asyncio.sleep(self._lease_s / BEATS_A_LEASE)

    def _drop_all(self) -> None:
        self._is_taking = False
        self._worker = new_id()
        for _, task in self._tasks.values():
            task.cancel()

    async def _look_regularly(self) -> None:
        await self._is_alive.wait()
        while True:
            try:
                await self._look()
            except Unavailable:
                pass  # the database is away, which others tell
            except Exception as error:  # noqa: BLE001 - one fault must not end what is to happen regularly
                reason, detail = delivery.reason_of(error)
                observe.emit(SweepFailed(name="executions", reason=reason, detail=detail))
            await asyncio.sleep(LOOK_S * random.uniform(0.8, 1.2))  # noqa: S311 - so that processes do not look at the same time

    async def _look(self) -> None:
        """What this process was not told of."""
        if not self._is_taking:
            return
        async with self._database.connection() as tx:
            freed = await workers.free_dead(tx, pause_s=DEATH_PAUSE_S)
            for each in freed:
                if each.deaths >= DEATHS_MAX:
                    await self._give_up(tx, each)
            strays = await workers.free_strays(tx, self._worker, [run for _, run in self._tasks], older_than_s=STRAY_S)
            quiet = [run.key for run, _ in self._tasks.values() if run.quiet_s > QUIET_S]
            standing = await workers.standing(tx, quiet) if quiet else []
            due = await workers.due_tenants(tx, limit=TENANTS_LOOKED_AT_MAX) if self.has_room else []
        if freed or strays:
            observe.emit(ExecutionsFreed(of_dead_workers=len(freed), of_this_one=strays))
        for each in standing:
            running = self._tasks.get((each.tenant_id, each.id))
            if running is not None and not running[0].hear(each.epoch, each.seq, each.owner):
                running[1].cancel()
        random.shuffle(due)
        for tenant in due:
            if tenant not in self._capped or not self._by_tenant[tenant]:
                self.nudge(tenant)

    async def _give_up(self, tx: Tx, freed: Freed) -> None:
        message = (
            f"{freed.deaths} processes in a row ended by force while they ran this execution, and it got no further: "
            "look whether the step at which it ends takes too much memory"
        )
        metadata: JsonObject = {"error": {"message": message, "kind": "worker_died"}}
        if await workers.give_up(tx, freed, message, metadata=metadata, scope_id=main_scope(freed.id)):
            observe.emit(ExecutionGivenUp(deaths=freed.deaths))
            self._watch.tell(freed.tenant_id, freed.id)

    async def _claim(self) -> None:
        """Take runs of hungry tenants in turn, as long as there is room."""
        try:
            while self._hungry and self.has_room:
                tenant, _ = self._hungry.popitem(last=False)
                room = self._settings.executions_at_once_max - len(self._tasks)
                limit = min(CLAIMS_AT_ONCE_MAX, max(1, room // (len(self._hungry) + 1)))
                if await self._claim_of(tenant, limit):
                    self._hungry[tenant] = None
        except Unavailable:
            pass  # what is ready is found by looking
        except Exception as error:  # noqa: BLE001 - likewise
            reason, detail = delivery.reason_of(error)
            observe.emit(SweepFailed(name="claim", reason=reason, detail=detail))
        finally:
            self._claiming = None

    async def _claim_of(self, tenant: UUID, limit: int) -> bool:
        """Take up to `limit` runs of a tenant; whether it may have more that can be taken now."""
        worker, most = self._worker, self._settings.executions_per_tenant_max
        async with self._database.connection() as tx:
            taken, has_more = await workers.claim(tx, tenant, worker, limit=limit, tenant_max=most, interpreters=[INTERPRETER])
        made = await self._runs_of(tenant, taken, worker)
        if worker != self._worker or not self._is_taking:
            # Too late: whoever looks for strays, or for runs of the dead, frees them.
            return False
        for run in made:
            if isinstance(run, Run):
                self._spawn(run)
        for claimed, run in zip(taken, made, strict=True):
            if isinstance(run, Exception):
                await self._broke(tenant, claimed.id, claimed.epoch, run)
        is_capped = has_more and len(taken) < limit
        (self._capped.add if is_capped else self._capped.discard)(tenant)
        return has_more and not is_capped

    async def _runs_of(self, tenant: UUID, taken: list[Claimed], worker: UUID) -> list[Run | Exception]:
        """What runs each of these, with what it can see around it; or the fault of ours for which there is none."""
        if not taken:
            return []
        parts = Parts(self._database, self.effects, self._watch, self._clock, self._settings.execution_transitions_max, self._memory)
        made: list[Run | Exception] = []
        async with self._database.connection() as tx:
            reader = _Reader(tx, tenant)
            for claimed in taken:
                try:
                    made.append(Run(parts, await self._context(reader, claimed), claimed, worker))
                except Unavailable:
                    raise
                except Exception as error:  # noqa: BLE001 - a fault around one must not keep the others
                    made.append(error)
        return made

    async def _context(self, reader: "_Reader", claimed: Claimed) -> RunContext:
        tenant = reader.tenant
        plan = await self._plans.get(reader.tx, tenant, claimed.task_id, claimed.task_version)
        around = Surroundings(
            await reader.read(agents.get, claimed.agent_id) or {"id": str(claimed.agent_id)},
            plan["task"],
            _record(claimed),
            str(tenant),
            await reader.read(users.get, claimed.user_id),
            await reader.read(sessions.get, claimed.session_id),
            await reader.read(_tools, claimed.agent_id) or [],
        )
        return RunContext(tenant, claimed.id, plan, around, claimed.epoch, claimed.depth, claimed.key_id)

    def _spawn(self, run: Run) -> None:
        tenant = run.context.tenant
        if run.key in self._tasks:
            # It was lost, and came back before that was found out.
            self._tasks[run.key][1].cancel()
        task = asyncio.create_task(self._run(run), name="execution")
        self._tasks[run.key] = (run, task)
        self._by_tenant[tenant] += 1
        task.add_done_callback(lambda _: self._left(run))

    async def _run(self, run: Run) -> None:
        began = time.perf_counter()
        try:
            await run.advance()
            self._faults.pop(run.key, None)
        except Exception as error:  # noqa: BLE001 - a fault in one run must not end the others
            await self._broke(*run.key, run.context.epoch, error)
        if run.ended_as is not None:
            observe.emit(ExecutionEnded(status=run.ended_as, transitions=run.state.seq, took_s=time.perf_counter() - began))

    def _left(self, run: Run) -> None:
        tenant = run.context.tenant
        if self._tasks.get(run.key, (None,))[0] is run:
            del self._tasks[run.key]
        self._by_tenant[tenant] -= 1
        if not self._by_tenant[tenant]:
            del self._by_tenant[tenant]
        if run.due is not None and self._is_taking:
            wait_s = max(0.0, run.due - self._clock.now())
            if wait_s <= TIMER_S_MAX:
                asyncio.get_running_loop().call_later(wait_s + TIMER_LATE_S, self.nudge, tenant)
        if tenant in self._capped:
            self._capped.discard(tenant)
            self.nudge(tenant)
        elif self._hungry:
            self.nudge(next(iter(self._hungry)))

    async def _broke(self, tenant: UUID, execution_id: UUID, epoch: int, error: Exception) -> None:
        """A fault of ours in a run: it is tried again later, here or elsewhere, and fails where that does not help."""
        key = (tenant, execution_id)
        faults = self._faults.pop(key, 0) + 1
        self._faults[key] = faults
        if len(self._faults) > FAULTS_KEPT_MAX:
            self._faults.popitem(last=False)
        reason, detail = delivery.reason_of(error)
        observe.emit(ExecutionBroke(exception=reason, detail=detail, faults=faults))
        with contextlib.suppress(MenthaError):
            async with self._database.connection() as tx:
                if faults < FAULTS_MAX:
                    await workers.free(tx, tenant, execution_id, self._worker, after_s=FAULT_PAUSE_S * 2**faults)
                else:
                    await _fail(tx, tenant, execution_id, Fence(self._worker, epoch, 0), self._clock.now())
        self._watch.tell(tenant, execution_id)


class _Reader:
    """Reads what runs of one tenant can see, each object once."""

    def __init__(self, tx: Tx, tenant: UUID) -> None:
        self.tx = tx
        self.tenant = tenant
        self._known: dict[tuple[Any, UUID], Any] = {}

    async def read(self, get: Callable[[Tx, UUID, UUID], Awaitable[Any]], target: UUID | None) -> Any:
        """What `get` gives, as the API shows it; None where it is gone, or there is no target."""
        if target is None:
            return None
        if (get, target) not in self._known:
            try:
                self._known[get, target] = _shown(await get(self.tx, self.tenant, target))
            except NotFound:
                self._known[get, target] = None
        return self._known[get, target]


async def _tools(tx: Tx, tenant: UUID, agent_id: UUID) -> list[Any]:
    return await tools.list_(tx, tenant, agent_id, Page(limit=AGENT_TOOLS_MAX))


def _shown(value: Any) -> Any:
    return [_shown(item) for item in value] if isinstance(value, list) else value.model_dump(mode="json", by_alias=True)


async def handle(runtime: Any, job: Job) -> None:
    """Take up runs of the tenant that a wake-up names."""
    runtime.runs.nudge(UUID(bytes=job.payload))


async def _fail(tx: Tx, tenant: UUID, execution_id: UUID, fence: Fence, now: float) -> None:
    """End an execution that this server can't run, whatever its log has grown to."""
    message = "something went wrong in the server; its log has the details"
    held = await executions.look(tx, tenant, execution_id)
    if held is None:
        return
    row = Row("error", MAIN, 0, main_scope(execution_id), message, metadata={"error": {"message": message, "kind": "internal"}}, at=now)
    fence = replace(fence, seq=held.seq)
    await transitions.commit(
        tx, tenant, execution_id, fence, Outcome("failed", message, ends=True, parks=True), [row], [journal.text_of(row)]
    )


def _record(claimed: Claimed) -> JsonObject:
    return {
        "id": str(claimed.id),
        "task_id": str(claimed.task_id),
        "status": claimed.status,
        "input": claimed.input,
        "metadata": claimed.metadata,
        "transition_count": claimed.transition_count,
        "created_at": iso(claimed.created_at),
        "updated_at": iso(claimed.updated_at),
    }
