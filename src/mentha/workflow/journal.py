"""From an execution's log to its state, and from rows to what is stored of them."""

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from mentha.core.errors import NotFound
from mentha.core.json import JsonObject, JsonValue, dumps, loads_hostile
from mentha.store import transitions
from mentha.store.pool import Tx
from mentha.workflow import state as states
from mentha.workflow.state import Row, State
from mentha.workflow.targets import parent

# Of one row, as JSON.
OUTPUT_BYTES_MAX = 50_000_000
# Of all that one execution keeps for later steps: outputs of steps, and what its loops have gathered so far. Of one loop it is a row's.
HELD_BYTES_MAX = 500_000_000
# Nothing that was parsed with limits is deeper.
DEPTH_MAX_LEVELS = 1_000
TOKEN = "task_token"  # noqa: S105 - the name of a member
TOKEN_SECRET_BYTES = 24
TOKEN_BYTES = 36 + TOKEN_SECRET_BYTES


class NotJson(ValueError):
    """Something is no JSON, or more than fits into a row; the message is for the execution's owner.

    Attributes:
        row: what it would have stood in.
    """

    def __init__(self, message: str, row: Row) -> None:
        super().__init__(message)
        self.row = row


class Folded(Protocol):
    """What a state is folded from, beside the log and the plan."""

    @property
    def id(self) -> UUID: ...  # noqa: D102 - as in `store/workers.py`
    @property
    def input(self) -> JsonObject: ...  # noqa: D102 - likewise
    @property
    def seq(self) -> int: ...  # noqa: D102 - likewise
    @property
    def snapshot(self) -> JsonObject | None: ...  # noqa: D102 - likewise
    @property
    def snapshot_seq(self) -> int: ...  # noqa: D102 - likewise


async def read(tx: Tx, tenant: UUID, execution: Folded, plan: JsonObject) -> State:
    """The state of an execution as far as `execution.seq`: from its snapshot and the lines after that."""
    if execution.snapshot is None:
        state = states.start(plan, execution.id, execution.input)
    else:
        state = states.load(plan, execution.id, execution.input, execution.snapshot)
    if execution.seq > state.seq:
        for line in await transitions.read(tx, tenant, execution.id, after_seq=state.seq, to_seq=execution.seq):
            # The types of rows are those that rows were written with.
            kind: Any = line.type
            row = Row(kind, line.workflow, line.step, line.scope_id, line.output, line.next, None, line.metadata or {}, line.at)
            states.apply(state, row)
    return state


@dataclass(slots=True)
class Memory:
    """What all executions of a process keep together.

    Attributes:
        bytes_max: that much as JSON; beyond it, who keeps more than `share_bytes` gets no more. So it is twice as much at most.
    """

    bytes_max: int
    share_bytes: int
    held_bytes: int = 0


class Held:
    """About how many bytes an execution keeps in memory: by loop, and by call of a workflow."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._bytes: Counter[tuple[Any, ...]] = Counter()
        self._total = 0

    def begin(self, state: State) -> None:
        """Count anew, from a state that was read."""
        self.release()
        for frame in state.frames.values():
            gathered = [output for suffix, output in frame.results.items() if suffix.endswith("]")]
            if gathered:
                self._count((*frame.key, frame.pc), len(dumps(gathered)))
        for scope_id, scope in state.scopes.items():
            if scope.outputs:
                self._count((scope_id,), len(dumps(list(scope.outputs.values()))))

    def release(self) -> None:
        """It keeps nothing any more."""
        self._memory.held_bytes -= self._total
        self._bytes.clear()
        self._total = 0

    def add(self, rows: Sequence[Row], outputs: Sequence[str]) -> None:
        """Count what these rows keep, and what they let go of.

        Raises:
            NotJson: it is too much.
        """
        for row, output in zip(rows, outputs, strict=True):
            above = parent(row.workflow)
            if row.type in ("step", "finish", "finish_branch", "retry"):
                self._drop((row.scope_id, row.workflow, row.step))
            if row.type == "finish_branch" and above is None:
                self._drop((row.scope_id,))
            if row.type == "finish_branch" and above is not None and above[2].endswith("]"):
                self._keep((row.scope_id, above[0], above[1]), row, len(output), OUTPUT_BYTES_MAX)
            elif row.type == "step" and above is None:
                self._keep((row.scope_id,), row, len(output), HELD_BYTES_MAX)

    def _keep(self, key: tuple[Any, ...], row: Row, size: int, most: int) -> None:
        if self._bytes[key] + size > most:
            raise NotJson(f"with it, what is kept for later steps is larger than {most:,} bytes", row)
        if self._total + size > HELD_BYTES_MAX:
            raise NotJson(f"with it, what the execution keeps for later steps is larger than {HELD_BYTES_MAX:,} bytes", row)
        memory = self._memory
        if memory.held_bytes + size > memory.bytes_max and self._total + size > memory.share_bytes:
            told = f"with it, what the executions of this process keep for later steps is larger than {memory.bytes_max:,} bytes"
            raise NotJson(f"{told}, and this one's part than {memory.share_bytes:,}: `executions_held_bytes_max` of the server", row)
        self._count(key, size)

    def _count(self, key: tuple[Any, ...], size: int) -> None:
        self._bytes[key] += size
        self._total += size
        self._memory.held_bytes += size

    def _drop(self, key: tuple[Any, ...]) -> None:
        size = self._bytes.pop(key, 0)
        self._total -= size
        self._memory.held_bytes -= size


@dataclass(slots=True)
class Draft:
    """Rows that are applied to a state and not stored yet, with their JSON."""

    held: Held
    rows: list[Row] = field(default_factory=list[Row])
    texts: list[tuple[str | None, str, str | None]] = field(default_factory=list[tuple[str | None, str, str | None]])

    def add(self, tenant: UUID, state: State, rows: Sequence[Row]) -> None:
        """Apply rows to the state, as they will be stored: a wait gets its token, NUL characters go.

        Raises:
            NotJson: an output can't be stored. None of the rows was applied.
        """
        outputs = [_text(row) for row in rows]
        self.held.add(rows, outputs)
        for row, output in zip(rows, outputs, strict=True):
            # As the database has it, so that a state made from its rows is the same.
            row.at = round(row.at, 6)
            if row.type == "wait":
                row.metadata = {**row.metadata, TOKEN: new_token(tenant, state.execution_id, state.seq + 1)}
            states.apply(state, row)
            self.rows.append(row)
            self.texts.append(_texts(row, output))

    def clear(self) -> None:
        """Forget them: they are stored, or never will be."""
        self.rows, self.texts = [], []


def new_token(tenant: UUID, execution_id: UUID, seq: int) -> str:
    """A secret that names a wait: whoever has it can answer that, and do nothing else."""
    raw = tenant.bytes + execution_id.bytes + seq.to_bytes(4) + secrets.token_bytes(TOKEN_SECRET_BYTES)
    return urlsafe_b64encode(raw).decode()


@dataclass(frozen=True, slots=True)
class Named:
    """The wait that a token names; whether it is really that one's, `is_token_of` tells."""

    tenant: UUID
    execution_id: UUID
    seq: int


def read_token(token: str) -> Named:
    """The wait that a token names.

    Raises:
        NotFound: it is none of ours.
    """
    try:
        raw = urlsafe_b64decode(token.encode())
    except (ValueError, UnicodeEncodeError):
        raw = b""
    if len(raw) != TOKEN_BYTES:
        raise no_such_token()
    return Named(UUID(bytes=raw[:16]), UUID(bytes=raw[16:32]), int.from_bytes(raw[32:36]))


def is_token_of(metadata: JsonObject | None, token: str) -> bool:
    """Whether a wait with this metadata has this token."""
    return hmac.compare_digest(str((metadata or {}).get(TOKEN)).encode(), token.encode())


def no_such_token() -> NotFound:
    """What an unknown token is answered with."""
    return NotFound("no execution waits for this task token")


def text_of(row: Row) -> tuple[str | None, str, str | None]:
    """What is stored of a row as JSON: `next`, `output`, `metadata`."""
    return _texts(row, _text(row))


def used(rows: Sequence[Row]) -> tuple[int, int, float]:
    """Prompt tokens, completion tokens and cost that rows tell of in their metadata."""
    prompt, completion, cost = 0, 0, 0.0
    for row in rows:
        usage = row.metadata.get("usage")
        if isinstance(usage, dict):
            prompt += _count(usage.get("prompt_tokens"))
            completion += _count(usage.get("completion_tokens"))
        told = row.metadata.get("cost")
        cost += told if isinstance(told, int | float) else 0.0
    return prompt, completion, cost


def _count(value: JsonValue) -> int:
    return value if isinstance(value, int) else 0


def _text(row: Row) -> str:
    try:
        raw = dumps(row.output)
    except (TypeError, ValueError, RecursionError):
        raise NotJson("its output can't be written as JSON", row) from None
    if len(raw) > OUTPUT_BYTES_MAX:
        raise NotJson(f"its output is larger than {OUTPUT_BYTES_MAX:,} bytes", row)
    if b"\\u0000" in raw:
        row.output = loads_hostile(raw, depth_max_levels=DEPTH_MAX_LEVELS)
        raw = dumps(row.output)
    return raw.decode()


def _texts(row: Row, output: str) -> tuple[str | None, str, str | None]:
    return _optional(row.next), output, _optional(row.metadata)


def _optional(value: JsonObject | None) -> str | None:
    return dumps(value).decode() if value else None
