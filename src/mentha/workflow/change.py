"""What clients do to an execution that runs: answer what it waits for, or cancel it. Each is one transaction, told to whoever runs it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from mentha.core.errors import Conflict, NotFound
from mentha.core.json import JsonObject, JsonValue
from mentha.store import executions, queue, transitions
from mentha.store.executions import Held
from mentha.store.pool import Tx
from mentha.wire.executions import ENDED, Execution
from mentha.wire.transitions import Transition, seq_of
from mentha.workflow import interpreter, journal
from mentha.workflow.marks import without_marks
from mentha.workflow.plans import Plans
from mentha.workflow.runs import KIND
from mentha.workflow.start import check_input
from mentha.workflow.targets import main_scope, step_at

NAMES = ("scope_id", "workflow", "step")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client sends to an execution that waits.

    Attributes:
        target: where it waits, as much as the client said of `scope_id`, `workflow` and `step`.
        transition_id: the wait that this answers.
        token: a task token, which names it too.
        retried: whether the client may have sent this before.
    """

    given: JsonValue
    target: JsonObject
    transition_id: UUID | None = None
    token: str | None = None
    retried: bool = False


async def resume(runtime: Any, tenant: UUID, execution_id: UUID, answer: Answer) -> Execution:
    """Have an execution go on with what it waits for. The same answer to the same wait, sent again, changes nothing.

    Raises:
        NotFound: no such execution, or it waits for nothing, or not there.
        BadRequest: the answer does not fit the step's schema.
        Conflict: it has ended, or several branches wait and the answer names none, or the wait has got another answer.
    """
    async with runtime.database.transaction() as tx:
        held = await executions.hold(tx, tenant, execution_id)
        target = await _target(tx, tenant, held, runtime.plans, answer)
        if target is not None:
            # A mark that the client was shown must not open again because it comes back.
            await executions.resume(tx, tenant, execution_id, target, without_marks(answer.given), metadata={})
            # One that runs here is told below; one that runs elsewhere finds out by itself.
            if held.owner is None and not runtime.runs.has_room:
                await queue.wake(tx, KIND, payload=tenant.bytes)
        execution = await executions.get(tx, tenant, execution_id)
    runtime.runs.tell(tenant, execution_id)
    return execution


async def cancel(runtime: Any, tenant: UUID, execution_id: UUID, *, reason: str | None) -> Execution:
    """End an execution at once, with what it has in flight. One that is cancelled already stays so.

    Raises:
        NotFound: no such execution.
        Conflict: it has ended otherwise.
    """
    async with runtime.database.transaction() as tx:
        held = await executions.hold(tx, tenant, execution_id)
        if held.status in ENDED and held.status != "cancelled":
            raise _ended(held)
        if held.status != "cancelled":
            metadata = {"reason": reason} if reason else {}
            scope_id = main_scope(execution_id)
            await executions.cancel(tx, tenant, execution_id, output=interpreter.CANCELLED, metadata=metadata, scope_id=scope_id)
        execution = await executions.get(tx, tenant, execution_id)
    runtime.runs.tell(tenant, execution_id, is_cancelled=True)
    return execution


async def _target(tx: Tx, tenant: UUID, held: Held, plans: Plans, answer: Answer) -> JsonObject | None:
    """The wait that an answer is for; None where it has had this answer already."""
    named = await _named(tx, tenant, held, answer)
    if held.status in ENDED and named is None:
        raise _ended(held)
    plan = await plans.get(tx, tenant, held.task_id, held.task_version)
    state = await journal.read(tx, tenant, held, plan)
    waits = interpreter.open_waits(state)
    if named is None:
        target = await _only(tx, tenant, held, waits, answer)
    else:
        target = await _of_wait(tx, tenant, held, waits, named, answer)
    if target is not None:
        step = step_at(state.plan, target["workflow"], target["step"]) or {}
        check_input(step.get("schema"), answer.given, what="the input does not fit what the step waits for")
    return target


async def _named(tx: Tx, tenant: UUID, held: Held, answer: Answer) -> Transition | None:
    """The wait that an answer names."""
    seq = seq_of(held.id, answer.transition_id) if answer.transition_id else None
    if answer.token is not None:
        seq = journal.read_token(answer.token).seq
    if seq is None and answer.transition_id is None:
        return None
    found = await transitions.find(tx, tenant, held.id, seq) if seq else None
    if found is None or found.type != "wait" or (answer.token is not None and not journal.is_token_of(found.metadata, answer.token)):
        raise journal.no_such_token() if answer.token else NotFound("No such wait")
    return found


async def _of_wait(tx: Tx, tenant: UUID, held: Held, waits: list[JsonObject], wait: Transition, answer: Answer) -> JsonObject | None:
    target = wait.current.model_dump(mode="json")
    later = await transitions.at_target(tx, tenant, held.id, wait.current, after_seq=wait.seq)
    if target in waits and not any(each.type == "wait" for each in later):
        return target
    if any(each.type == "resume" and each.output == answer.given for each in later[:1]):
        return None
    raise Conflict("this wait has ended: it was answered, or is no longer waited for")


async def _only(tx: Tx, tenant: UUID, held: Held, waits: list[JsonObject], answer: Answer) -> JsonObject | None:
    fitting = [wait for wait in waits if all(wait[name] == value for name, value in answer.target.items())]
    last = await transitions.last(tx, tenant, held.id, "resume") if answer.retried else None
    is_repeated = last is not None and last.output == answer.given
    if is_repeated and not fitting:
        return None
    if not fitting:
        raise NotFound("The execution waits for nothing" + (" there" if answer.target and waits else ""))
    if len(fitting) > 1 or is_repeated:
        why = "several branches wait" if len(fitting) > 1 else "the same answer was given before, and the execution waits again"
        raise Conflict(f"{why}: say which wait this answers", fix="send `transition_id` of the wait, or `scope_id`, `workflow` and `step`")
    return fitting[0]


def _ended(held: Held) -> Conflict:
    return Conflict(f"the execution has ended: it is {held.status}")
