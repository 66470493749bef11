"""Figures for Prometheus, made from events. Public: no label tells of a tenant, and none has values that a client could choose."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from mentha import __version__
from mentha.observe import events
from mentha.observe.events import Event

# The routes, methods and statuses that a server really gives make far fewer; beyond it, figures go under "-".
LABEL_SETS_MAX = 2_000
REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
TURN_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 120)


class Metrics:
    """A registry of its own with all figures of one server; `subscribe` is the subscriber of events."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Gauge("mentha_info", "The version of the server", ["version"], registry=registry).labels(__version__).set(1)
        self._requests = Counter("mentha_requests", "HTTP requests answered", ["method", "route", "status"], registry=registry)
        self._request_s = Histogram(
            "mentha_request_seconds",
            "Time to answer a request, streams to their end",
            ["route"],
            buckets=REQUEST_SECONDS,
            registry=registry,
        )
        self._faults = Counter("mentha_faults", "Requests that failed by a fault of the server", registry=registry)
        self._turns = Counter("mentha_turns", "Chat turns ended", ["outcome", "streamed"], registry=registry)
        self._turn_s = Histogram("mentha_turn_seconds", "Time of a chat turn", buckets=TURN_SECONDS, registry=registry)
        self._model_s = Histogram(
            "mentha_model_seconds", "Time in the model's provider", ["provider"], buckets=TURN_SECONDS, registry=registry
        )
        self._tokens = Counter("mentha_tokens", "Tokens as the providers counted them", ["kind"], registry=registry)
        self._joined = Counter("mentha_turns_joined", "Requests that got the answer of an earlier, same one", registry=registry)
        self._failures = Counter(
            "mentha_provider_failures", "Failed calls of a model's provider", ["provider", "reason"], registry=registry
        )
        self._outbound = Counter("mentha_outbound_calls", "Calls to where tenants want, by how they ended", ["outcome"], registry=registry)
        self._tools = Counter("mentha_tool_calls", "Calls of tools that the server ran", ["kind", "ok"], registry=registry)
        self._tool_s = Histogram("mentha_tool_seconds", "Time of such a call", ["kind"], registry=registry)
        self._workers = Gauge("mentha_template_workers", "Processes that render templates", registry=registry)
        self._lost = Counter("mentha_database_lost", "Times that the embedded database ended by itself", registry=registry)
        self._jobs = Counter("mentha_jobs", "Deliveries of background jobs ended", ["kind", "outcome"], registry=registry)
        self._job_s = Histogram("mentha_job_seconds", "Time of a background job", ["kind"], buckets=TURN_SECONDS, registry=registry)
        self._stalls = Counter("mentha_worker_lost", "Times that background work stood still", registry=registry)
        self._summaries = Counter("mentha_summaries", "Summaries of sessions, made or failed", ["outcome"], registry=registry)
        self._executions = Counter("mentha_executions", "Executions of tasks ended", ["status"], registry=registry)
        self._execution_faults = Counter(
            "mentha_execution_faults", "Executions and their steps that faults of the server stopped", registry=registry
        )
        self._freed = Counter("mentha_executions_freed", "Executions taken from processes that no longer ran them", registry=registry)
        self._cuts = Counter("mentha_contexts_cut", "Chat turns that older messages were left out of", registry=registry)
        self._children: dict[tuple[Any, ...], Any] = {}
        self._shown: dict[type[Event], Callable[[Any], None]] = {
            events.RequestFinished: self._request_finished,
            events.RequestFailed: lambda _: self._faults.inc(),
            events.TurnFinished: self._turn_finished,
            events.TurnFailed: self._turn_failed,
            events.TurnJoined: lambda _: self._joined.inc(),
            events.ContextCut: lambda _: self._cuts.inc(),
            events.SessionSummarised: self._summarised,
            events.SummaryFailed: lambda _: self._child(self._summaries, "failed").inc(),
            events.ProviderFailed: lambda event: self._child(self._failures, event.provider, event.reason).inc(),
            events.OutboundCalled: lambda event: self._child(self._outbound, event.outcome).inc(),
            events.OutboundRefusedSeen: lambda _: self._child(self._outbound, "refused").inc(),
            events.ToolCalled: self._tool_called,
            events.TemplateWorkerStarted: lambda _: self._workers.inc(),
            events.TemplateWorkerEnded: lambda _: self._workers.dec(),
            events.DatabaseLost: lambda _: self._lost.inc(),
            events.JobFinished: self._job_finished,
            events.JobPostponed: lambda event: self._child(self._jobs, event.kind, "postponed").inc(),
            events.JobFailed: lambda event: self._child(self._jobs, event.kind, "failed" if event.will_retry else "given_up").inc(),
            events.ExecutionEnded: lambda event: self._child(self._executions, event.status).inc(),
            events.ExecutionGivenUp: lambda _: self._child(self._executions, "failed").inc(),
            events.ExecutionBroke: lambda _: self._execution_faults.inc(),
            events.CommandBroke: lambda _: self._execution_faults.inc(),
            events.ExecutionsFreed: lambda event: self._freed.inc(event.of_dead_workers + event.of_this_one),
            events.WorkerLost: lambda _: self._stalls.inc(),
        }

    def subscribe(self, event: Event) -> None:
        """Count an event."""
        shown = self._shown.get(type(event))
        if shown is not None:
            shown(event)

    def render(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self._registry)

    def _request_finished(self, event: events.RequestFinished) -> None:
        self._child(self._requests, event.method, event.route, event.status).inc()
        self._child(self._request_s, event.route).observe(event.took_s)

    def _turn_finished(self, event: events.TurnFinished) -> None:
        self._child(self._turns, "answered", event.streamed).inc()
        self._turn_s.observe(event.took_s)
        self._child(self._model_s, event.provider).observe(event.model_s)
        self._child(self._tokens, "prompt").inc(event.prompt_tokens)
        self._child(self._tokens, "completion").inc(event.completion_tokens)

    def _summarised(self, event: events.SessionSummarised) -> None:
        self._child(self._summaries, "made").inc()
        self._child(self._tokens, "prompt").inc(event.prompt_tokens)
        self._child(self._tokens, "completion").inc(event.completion_tokens)

    def _turn_failed(self, event: events.TurnFailed) -> None:
        self._child(self._turns, event.reason, event.streamed).inc()
        self._turn_s.observe(event.took_s)

    def _tool_called(self, event: events.ToolCalled) -> None:
        self._child(self._tools, event.kind, event.ok).inc()
        self._child(self._tool_s, event.kind).observe(event.took_s)

    def _job_finished(self, event: events.JobFinished) -> None:
        self._child(self._jobs, event.kind, "done").inc()
        self._child(self._job_s, event.kind).observe(event.took_s)

    def _child(self, metric: Any, *labels: object) -> Any:
        """The figure with these labels, looked up once: the library's own look-up takes a lock and makes strings each time."""
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            full = len(self._children) >= LABEL_SETS_MAX
            child = metric.labels(*("-" if full else str(label).lower() if isinstance(label, bool) else str(label) for label in labels))
            if not full:
                self._children[key] = child
        return child
