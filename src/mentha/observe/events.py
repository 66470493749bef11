"""The vocabulary of observations: one frozen class for each thing worth telling. No event holds a secret or the text of a message.

Adding one: define it here; `log` and `metrics` show it from its fields; name it in `docs/observability.md` (a test looks).
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Literal

Level = Literal["debug", "info", "warning", "error"]

# The id of the request that is being served, "" outside of one. Set by the outermost middleware; shown in every log line.
request_id: ContextVar[str] = ContextVar("request_id", default="")
# The `traceparent` header of the request that is being served, "" where there is none (W3C Trace Context).
trace_parent: ContextVar[str] = ContextVar("trace_parent", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The base. `level` says how important the event is in the log; a class sets it, an instance may not."""

    level: ClassVar[Level] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStarted(Event):
    """The server accepts requests."""

    address: str
    version: str
    database: str
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStopping(Event):
    """A signal came in; running requests get `grace_s` seconds."""

    signal: str
    running: int
    grace_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStopped(Event):
    """All is closed. `cut_off` turns did not end within the grace period."""

    cut_off: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFinished(Event):
    """One HTTP request was answered. `route` is the template of the path, never the path itself."""

    level: ClassVar[Level] = "info"
    method: str
    route: str
    status: int
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailed(Event):
    """A fault of ours: an exception that no class of `core/errors.py` stands for. The answer carries `error_id`."""

    level: ClassVar[Level] = "error"
    error_id: str
    route: str
    exception: str
    traceback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyMade(Event):
    """A key was made for a tenant. `name` is the operator's name for it, never the key."""

    tenant: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionKeyMade(Event):
    """The key for tenants' secrets was made, as there was none. Keep a copy of the file with every backup. `key_id` is a fingerprint."""

    file: str
    key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionKeyDiffers(Event):
    """The settings name another key for secrets than the one in use: run `mentha secrets rotate` to move to it."""

    level: ClassVar[Level] = "warning"
    wanted: str
    active: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStarted(Event):
    """The embedded PostgreSQL runs; `began` tells whether this process started it or found it running."""

    folder: str
    began: bool
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLost(Event):
    """The embedded PostgreSQL ended by itself; it is started again. `exit_code` is None where another process had started it."""

    level: ClassVar[Level] = "error"
    exit_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseRestartFailed(Event):
    """The embedded PostgreSQL could not be started again; the next attempt comes after `retry_after_s`."""

    level: ClassVar[Level] = "error"
    detail: str
    retry_after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseLocaleWeak(Event):
    """The database does not see letters beyond ASCII: search by similarity (`likeness` of two alike Cyrillic words) misses most scripts."""

    level: ClassVar[Level] = "warning"
    likeness: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStopped(Event):
    """The embedded PostgreSQL was stopped, or left to the other servers that share it."""

    left_running: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationApplied(Event):
    """One migration ran."""

    version: int
    name: str
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFinished(Event):
    """A chat turn was answered and, where asked for, stored."""

    model: str
    provider: str
    streamed: bool
    saved: bool
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    took_s: float
    model_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextCut(Event):
    """Older messages were left out of a turn, because they did not fit into its budget."""

    level: ClassVar[Level] = "debug"
    left_out: int
    summarised: int
    budget_tokens: int
    estimated_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSummarised(Event):
    """Older messages of a session were folded into a summary; `tokens` are what the summary has."""

    model: str
    entries: int
    tokens: int
    prompt_tokens: int
    completion_tokens: int
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryFailed(Event):
    """A summary could not be made; it is tried again after `retry_after_s`. `reason` is the error's documented name."""

    level: ClassVar[Level] = "warning"
    reason: str
    retry_after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFailed(Event):
    """A chat turn ended without an answer; nothing of it was stored. `reason` is the error's documented name."""

    level: ClassVar[Level] = "warning"
    reason: str
    streamed: bool
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnJoined(Event):
    """A request that was sent again got the answer of the first one; `stored` tells a finished turn from a running one."""

    stored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFailed(Event):
    """A call to a model's provider failed. `detail` has no key and no message text."""

    level: ClassVar[Level] = "warning"
    provider: str
    model: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateWorkerStarted(Event):
    """A process that renders templates started."""

    level: ClassVar[Level] = "debug"
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateWorkerEnded(Event):
    """A process that renders templates ended: `idle`, `recycled`, `timeout`, `crashed` or `closed`."""

    level: ClassVar[Level] = "debug"
    pid: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStarted(Event):
    """This process takes background work of these kinds. Without `listening`, through a pooler, it looks for work every second."""

    kinds: str
    listening: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLost(Event):
    """Background work of this process stands still, mostly because the database is away; it goes on by itself."""

    level: ClassVar[Level] = "error"
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerResumed(Event):
    """Background work of this process goes on."""

    away_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStopped(Event):
    """This process takes no more background work. `given_back` jobs did not end within the grace period: another worker gets them."""

    given_back: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFinished(Event):
    """A job went well."""

    level: ClassVar[Level] = "debug"
    kind: str
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPostponed(Event):
    """A job asked to be run again after `delay_s`."""

    level: ClassVar[Level] = "debug"
    kind: str
    reason: str
    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailed(Event):
    """A job failed. `reason` is the error's documented name or class, `detail` its message or, for a fault of ours, where it was raised."""

    level: ClassVar[Level] = "warning"
    kind: str
    attempt: int
    reason: str
    detail: str
    will_retry: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepFailed(Event):
    """A piece of regular work failed; its next round comes at its time. `reason` and `detail` are as in a failed job."""

    level: ClassVar[Level] = "warning"
    name: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocsIndexed(Event):
    """Documents got their vectors."""

    level: ClassVar[Level] = "debug"
    docs: int
    embedder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexingFailed(Event):
    """An embedder failed for some documents; they are tried again after `retry_after_s`. `reason` is the error's documented name."""

    level: ClassVar[Level] = "warning"
    docs: int
    embedder: str
    reason: str
    retry_after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorIndexBuilt(Event):
    """An index for search in very many vectors was built."""

    embedder: str
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderChanged(Event):
    """Searches use another embedder from now on; `before` is empty where there was none."""

    embedder: str
    before: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderDiffers(Event):
    """The settings name another embedder than searches use: run `mentha reindex` to move to it."""

    level: ClassVar[Level] = "warning"
    wanted: str
    active: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallDegraded(Event):
    """A query got no vector, so documents were searched by words alone. `reason` is the error's documented name."""

    level: ClassVar[Level] = "warning"
    embedder: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundCalled(Event):
    """A call to where a tenant wants ended: `answered`, `failed` or `timeout`. `host` is the last one; `status` is 0 without an answer."""

    tenant: str
    host: str
    method: str
    outcome: Literal["answered", "failed", "timeout"]
    status: int
    redirects: int
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundRefusedSeen(Event):
    """A call to where a tenant wants was refused. `rule` says why; `host` is empty where the address could not be read."""

    level: ClassVar[Level] = "warning"
    tenant: str
    host: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled(Event):
    """The server ran a call of a tool. `kind` is the tool's type, `unknown` where a model asked for what is not there."""

    level: ClassVar[Level] = "debug"
    kind: str
    ok: bool
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolBroke(Event):
    """A call of a tool failed by a fault of ours; its turn goes on. `detail` says where the fault is."""

    level: ClassVar[Level] = "error"
    kind: str
    exception: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandBroke(Event):
    """A step of an execution failed by a fault of ours. `id` is in the execution's error, `detail` says where the fault is."""

    level: ClassVar[Level] = "error"
    id: str
    kind: str
    exception: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLoopEnded(Event):
    """A turn with tools of the server came to its end: `answered`, `client` (its calls are the client's), or by its `rounds` or `time`."""

    level: ClassVar[Level] = "debug"
    rounds: int
    calls: int
    ends: str
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionEnded(Event):
    """An execution of a task ended: `succeeded` or `failed`. `took_s` is the time since this process took it up for the last time."""

    level: ClassVar[Level] = "debug"
    status: str
    transitions: int
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionBroke(Event):
    """An execution stopped by a fault of ours; it is tried again until the fifth of its `faults`. `detail` says where the fault is."""

    level: ClassVar[Level] = "error"
    exception: str
    detail: str
    faults: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionGivenUp(Event):
    """An execution failed because so many processes in a row died while they ran it, and it got no further. Look for what ended them."""

    level: ClassVar[Level] = "error"
    deaths: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionsFreed(Event):
    """Executions were given to others: those of processes that died or froze, and of this one those that it no longer ran."""

    level: ClassVar[Level] = "warning"
    of_dead_workers: int
    of_this_one: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleFailed(Event):
    """A schedule was due and could start nothing; it tells its owner why. `reason` is the error's documented name."""

    level: ClassVar[Level] = "warning"
    reason: str


Subscriber = Callable[[Event], None]
Redact = Callable[[str], str]

_subscribers: list[Subscriber] = []
_redact: Redact | None = None
# Events of these levels, and lines of libraries, tell of things that nobody foresaw, and may quote what they failed on.
_FREE_TEXTS = ("warning", "error")


def subscribe(subscriber: Subscriber) -> None:
    """Call `subscriber` with every event from now on. It must not raise and must not block."""
    _subscribers.append(subscriber)


def unsubscribe(subscriber: Subscriber) -> None:
    """Stop calling `subscriber`; no error where it was not subscribed."""
    if subscriber in _subscribers:
        _subscribers.remove(subscriber)


def redact_with(redact: Redact | None) -> None:
    """From now on let `redact` take secrets out of what is told; None ends it. A process has one."""
    global _redact  # noqa: PLW0603 - what may be told is a matter of the process, like its subscribers
    _redact = redact


def redacted(text: str) -> str:
    """`text` as it may be told."""
    return text if _redact is None else _redact(text)


def emit(event: Event) -> None:
    """Tell every subscriber. Cheap where there is none."""
    if _redact is not None and event.level in _FREE_TEXTS:
        texts = {field.name: getattr(event, field.name) for field in fields(event)}
        event = replace(event, **{name: _redact(text) for name, text in texts.items() if isinstance(text, str)})
    for subscriber in _subscribers:
        subscriber(event)
