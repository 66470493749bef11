"""Writes the pages of docs/ that follow from the code: settings, errors, observations. `make docs` runs it; a test compares."""

import inspect
from dataclasses import fields
from pathlib import Path
from types import ModuleType

from mentha.cli.config_text import example
from mentha.core import errors
from mentha.core.config import ALIASES, KNOWN_PROVIDERS, Settings
from mentha.core.errors import MenthaError
from mentha.observe import events
from mentha.observe.events import Event
from mentha.observe.metrics import Metrics

DOCS = Path(__file__).resolve().parent.parent / "docs"


def pages() -> dict[Path, str]:
    """Every generated page with its text."""
    return {DOCS / "settings.md": settings_page(), DOCS / "errors.md": errors_page(), DOCS / "observability.md": observability_page()}


def settings_page() -> str:
    """All settings with defaults and meanings."""
    lines = [
        "# Settings",
        "",
        "Generated from `src/mentha/core/config.py` by `make docs`.",
        "",
        "Sources, weakest first: the defaults, a TOML file, the environment, flags of `mentha serve`. The file is `$MENTHA_CONFIG`, else",
        "`mentha.toml` in the home folder. A setting `x` is `MENTHA_X` in the environment. `mentha config --example` prints a file with",
        "all of them, `mentha config --dump` those in force, with every secret masked.",
        "",
        "| setting | default | also read from | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for name, field in Settings.model_fields.items():
        default = "the platform's folder for data" if name == "home" else field.get_default(call_default_factory=True)
        shown = "-" if default is None or default in ({}, ()) else f"`{default}`" if name != "home" else default
        lines.append(f"| `{name}` | {shown} | {f'`{ALIASES[name]}`' if name in ALIASES else ''} | {field.description} |")
    lines += [
        "",
        "## Providers of models",
        "",
        "Each of these joins the table `providers` when `<NAME>_API_KEY` or `<NAME>_BASE_URL` is set:",
        "",
        "| name | address, unless `<NAME>_BASE_URL` says another |",
        "| --- | --- |",
        *(f"| `{name}` | `{url}` |" for name, url in KNOWN_PROVIDERS.items()),
        "",
        "[Providers](providers.md) tells how a model's name finds its provider.",
        "",
        "## The example file",
        "",
        "```toml",
        example(Settings).rstrip(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """All errors with status, advice and meaning."""
    lines = [
        "# Errors",
        "",
        "Generated from `src/mentha/core/errors.py` by `make docs`.",
        "",
        'Every error but a 422 is `{"error": {"message", "code", "type", "reason", "fix", "request_id"}}`: `code` and `type` are',
        "those of the original API, `reason` is one of the stable names below. A 422 has the same with `details`, one for each fault,",
        "and the list `detail` as FastAPI has it. Values of the request are never repeated in an error. `x-should-retry: false` tells",
        "the SDKs not to send a request again; `Retry-After` tells when to.",
        "",
        "| reason | status | does a retry help? | when |",
        "| --- | --- | --- | --- |",
        "| `internal` | 500 | no | a fault of the server; the answer's `id` is in its log |",
    ]
    for kind in _classes(errors, MenthaError):
        advice = {True: "yes", False: "no", None: "by status"}[kind.retry]
        about = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
        if kind is not errors.RequestRefused:  # the root of a branch is not raised itself
            lines.append(f"| `{kind.reason}` ({kind.__name__}) | {kind.status} | {advice} | {about} |")
    return "\n".join(lines) + "\n"


def observability_page() -> str:
    """All events and figures."""
    lines = [
        "# Observability",
        "",
        "Generated from `src/mentha/observe/` by `make docs`.",
        "",
        "The server tells what happens in one vocabulary of events. Log lines, figures and traces are made from it.",
        "",
        "- **Log**: one line an event on standard error, text on a terminal and JSON elsewhere (`log_format`), from `log_level` up,",
        "  with times in UTC. Every line of a request has its `request_id`, which is the answer's header `x-request-id` too. A client",
        "  may send its own in that header. Warnings of libraries come out in the same form. A reader that is too slow loses lines,",
        "  and the log says how many; the server never waits for it.",
        "- **Figures**: `GET /metrics` for Prometheus. It is public, and no label tells of a tenant.",
        "- **Traces**: spans for requests, with turns and failures of providers as their children, go to `otlp_endpoint` where it is",
        "  set (OTLP over HTTP; `pip install '.[otel]'`). A `traceparent` header makes them part of the caller's trace.",
        "  Attributes follow OpenTelemetry's conventions (`http.*`, `gen_ai.*`). Headers that the collector wants stand in",
        "  `OTEL_EXPORTER_OTLP_HEADERS`.",
        "",
        "## Events",
        "",
        "| event | level | fields | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for kind in _classes(events, Event):
        shown = ", ".join(f"`{name}`" for name in (field.name for field in fields(kind)))
        about = " ".join((inspect.getdoc(kind) or "").split())
        lines.append(f"| {kind.__name__} | {kind.level} | {shown} | {about} |")
    lines += ["", "## Figures", "", "| figure | kind | meaning |", "| --- | --- | --- |"]
    text = Metrics().render().decode()
    told = {line.split(" ", 3)[2]: line.split(" ", 3)[3] for line in text.splitlines() if line.startswith("# HELP mentha_")}
    kinds = {line.split(" ")[2]: line.split(" ")[3] for line in text.splitlines() if line.startswith("# TYPE mentha_")}
    lines += [f"| `{name}` | {kinds[name]} | {about} |" for name, about in told.items() if not name.endswith("_created")]
    return "\n".join(lines) + "\n"


def _classes(module: ModuleType, root: type) -> list[type]:
    """The classes of a module below `root`, in the order of the file."""
    return [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, root) and each is not root]


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
