"""Figures for Prometheus: what events do to them, and that no client can make them grow without bound."""

from prometheus_client.parser import text_string_to_metric_families

from mentha import __version__
from mentha.observe import events, metrics
from mentha.observe.metrics import Metrics

REQUEST = events.RequestFinished(method="GET", route="/agents/{agent_id}", status=200, took_s=0.003)


def turn(**over: object) -> events.TurnFinished:
    fields = {
        "model": "gpt-x",
        "provider": "openai",
        "streamed": False,
        "saved": True,
        "finish_reason": "stop",
        "prompt_tokens": 12,
        "completion_tokens": 3,
        "took_s": 0.2,
        "model_s": 0.15,
    }
    return events.TurnFinished(**{**fields, **over})


def after(*told: events.Event) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every figure after the events, by name and labels."""
    counted = Metrics()
    for event in told:
        counted.subscribe(event)
    return shown(counted)


def shown(counted: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(counted.render().decode())
        for sample in family.samples
    }


def of(name: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return name, tuple(sorted(labels.items()))


def test_request_counts_by_method_route_and_status() -> None:
    found = after(REQUEST, REQUEST, events.RequestFinished(method="POST", route="/agents", status=201, took_s=0.1))
    assert found[of("mentha_requests_total", method="GET", route="/agents/{agent_id}", status="200")] == 2
    assert found[of("mentha_requests_total", method="POST", route="/agents", status="201")] == 1


def test_time_of_a_request_is_in_the_bucket_that_holds_it() -> None:
    found = after(REQUEST)
    assert found[of("mentha_request_seconds_bucket", route="/agents/{agent_id}", le="0.0025")] == 0
    assert found[of("mentha_request_seconds_bucket", route="/agents/{agent_id}", le="0.005")] == 1
    assert found[of("mentha_request_seconds_sum", route="/agents/{agent_id}")] == 0.003


def test_turn_counts_outcome_tokens_and_time_in_the_provider() -> None:
    found = after(turn(), turn(streamed=True), events.TurnFailed(reason="llm_timeout", streamed=False, took_s=1.0))
    assert found[of("mentha_turns_total", outcome="answered", streamed="false")] == 1
    assert found[of("mentha_turns_total", outcome="answered", streamed="true")] == 1
    assert found[of("mentha_turns_total", outcome="llm_timeout", streamed="false")] == 1
    assert found[of("mentha_tokens_total", kind="prompt")] == 24
    assert found[of("mentha_tokens_total", kind="completion")] == 6
    assert found[of("mentha_model_seconds_count", provider="openai")] == 2
    assert found[of("mentha_turn_seconds_count")] == 3


def test_failure_of_a_provider_counts_by_provider_and_reason() -> None:
    found = after(events.ProviderFailed(provider="openai", model="gpt-x", reason="llm_rate_limited", detail=""))
    assert found[of("mentha_provider_failures_total", provider="openai", reason="llm_rate_limited")] == 1


def test_template_workers_are_those_that_started_and_did_not_end() -> None:
    started = [events.TemplateWorkerStarted(pid=number) for number in range(3)]
    assert after(*started, events.TemplateWorkerEnded(pid=0, why="idle"))[of("mentha_template_workers")] == 2


def test_call_to_where_a_tenant_wants_counts_by_how_it_ended() -> None:
    called = events.OutboundCalled(tenant="t", host="a.example", method="GET", outcome="failed", status=0, redirects=0, took_s=0.1)
    found = after(called, events.OutboundRefusedSeen(tenant="t", host="a.example", rule="port"), called)
    assert found[of("mentha_outbound_calls_total", outcome="failed")] == 2
    assert found[of("mentha_outbound_calls_total", outcome="refused")] == 1
    assert "a.example" not in str(found)


def test_summaries_count_by_outcome_and_their_tokens_among_all() -> None:
    made = events.SessionSummarised(model="m", entries=9, tokens=5, prompt_tokens=70, completion_tokens=5, took_s=1.0)
    cut = events.ContextCut(left_out=3, summarised=0, budget_tokens=9, estimated_tokens=8)
    found = after(made, turn(), events.SummaryFailed(reason="llm_timeout", retry_after_s=2), cut)
    assert found[of("mentha_summaries_total", outcome="made")] == found[of("mentha_summaries_total", outcome="failed")] == 1
    assert found[of("mentha_tokens_total", kind="prompt")] == 82
    assert found[of("mentha_contexts_cut_total")] == 1


def test_event_without_a_figure_changes_nothing() -> None:
    counted = Metrics()
    before = {name for name, _ in shown(counted)}
    counted.subscribe(events.ServerStopped(cut_off=0))
    assert {name for name, _ in shown(counted)} == before


def test_figures_tell_version_memory_and_time_of_the_process() -> None:
    found = after()
    assert found[of("mentha_info", version=__version__)] == 1
    assert found[of("process_resident_memory_bytes")] > 1_000_000
    assert of("process_cpu_seconds_total") in found


def test_label_sets_beyond_the_limit_share_one(monkeypatch) -> None:
    monkeypatch.setattr(metrics, "LABEL_SETS_MAX", 10)
    many = [events.RequestFinished(method="GET", route=f"/{number}", status=200, took_s=0.1) for number in range(100)]
    found = after(*many)
    routes = {dict(labels)["route"] for name, labels in found if name == "mentha_requests_total"}
    assert len(routes) <= 11
    assert sum(value for (name, _), value in found.items() if name == "mentha_requests_total") == 100


def test_no_label_has_values_that_a_client_chooses() -> None:
    known = {"method", "route", "status", "outcome", "streamed", "provider", "kind", "reason", "version", "le"}
    failed = events.ProviderFailed(provider="openai", model="tenant-chosen-model", reason="llm_timeout", detail="secret")
    found = after(REQUEST, turn(model="tenant-chosen-model"), failed)
    assert {label for name, labels in found if name.startswith("mentha_") for label, _ in labels} <= known
    assert "tenant-chosen-model" not in str(found)


def test_two_servers_in_one_process_have_figures_of_their_own() -> None:
    first, second = Metrics(), Metrics()
    first.subscribe(REQUEST)
    assert b"mentha_requests_total{" in first.render()
    assert b"mentha_requests_total{" not in second.render()
