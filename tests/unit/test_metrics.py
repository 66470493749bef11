"""Figures follow from events, and their number is bounded."""

from mentha.observe.events import ProviderFailed, RequestFinished, TemplateWorkerEnded, TemplateWorkerStarted, TurnFailed, TurnFinished
from mentha.observe.metrics import LABEL_SETS_MAX, Metrics


def finished(route: str = "/agents") -> RequestFinished:
    return RequestFinished(method="GET", route=route, status=200, took_s=0.003)


def test_requests_are_counted_by_method_route_and_status() -> None:
    metrics = Metrics()
    for _ in range(3):
        metrics.subscribe(finished())
    assert b'mentha_requests_total{method="GET",route="/agents",status="200"} 3.0' in metrics.render()


def test_turns_are_counted_by_outcome_with_their_tokens() -> None:
    metrics = Metrics()
    turn = TurnFinished(
        model="m",
        provider="p",
        streamed=True,
        saved=True,
        finish_reason="stop",
        prompt_tokens=7,
        completion_tokens=5,
        took_s=1,
        model_s=0.5,
    )
    metrics.subscribe(turn)
    metrics.subscribe(TurnFailed(reason="llm_timeout", streamed=False, took_s=1))
    text = metrics.render()
    assert b'mentha_turns_total{outcome="answered",streamed="true"} 1.0' in text
    assert b'mentha_turns_total{outcome="llm_timeout",streamed="false"} 1.0' in text
    assert b'mentha_tokens_total{kind="prompt"} 7.0' in text


def test_figures_never_show_the_name_of_a_model() -> None:
    metrics = Metrics()
    metrics.subscribe(ProviderFailed(provider="p", model="tenant-chosen-model", reason="llm_timeout", detail="d"))
    assert b"tenant-chosen-model" not in metrics.render()


def test_workers_that_end_are_taken_off_the_gauge() -> None:
    metrics = Metrics()
    metrics.subscribe(TemplateWorkerStarted(pid=1))
    metrics.subscribe(TemplateWorkerStarted(pid=2))
    metrics.subscribe(TemplateWorkerEnded(pid=1, why="idle"))
    assert b"mentha_template_workers 1.0" in metrics.render()


def test_label_sets_beyond_the_limit_go_under_one() -> None:
    metrics = Metrics()
    for place in range(LABEL_SETS_MAX * 2):
        metrics.subscribe(finished(f"/r{place}"))
    assert metrics.render().count(b"mentha_requests_total{") <= LABEL_SETS_MAX + 1
