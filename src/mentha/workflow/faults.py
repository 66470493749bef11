"""What can be found in a definition, and how it is shown. Pure.

A place is named as the original did: `workflows.main.steps[2].evaluate.key`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from mentha.core.json import JsonObject
from mentha.wire.step_walk import Path

EXPRESSION_CHARS_SHOWN = 200
# Of more names none is proposed: comparing takes 20 µs for each.
NAMES_COMPARED_MAX = 50
_ELLIPSIS = "…"

Severity = Literal["error", "warning"]
Type = Literal["python_expression", "schema", "other"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What was found: where, its stable name, and what to do about it. An error refuses the definition, a warning is stored with it."""

    path: Path
    issue_type: str
    message: str
    fix: str | None = None
    severity: Severity = "error"
    type: Type = "other"
    expression: str | None = None


def issue_of(fault: Fault) -> JsonObject:
    """A fault as the API shows it (`wire.tasks.Issue`)."""
    expression = fault.expression
    if expression is not None and len(expression) > EXPRESSION_CHARS_SHOWN:
        expression = expression[:EXPRESSION_CHARS_SHOWN] + _ELLIPSIS
    return {
        "location": location(fault.path),
        "message": fault.message,
        "severity": fault.severity,
        "type": fault.type,
        "details": {"issue_type": fault.issue_type, "expression": expression},
        **({} if fault.fix is None else {"fix": fault.fix}),
    }


def meant(name: str, known: Collection[str]) -> str | None:
    """A fix for a name that is not there: the most similar one that is, if any is similar."""
    near = get_close_matches(name, sorted(known), n=1) if len(known) <= NAMES_COMPARED_MAX else []
    return f"did you mean '{near[0]}'?" if near else None


def location(path: Path) -> str:
    """A place as text: `("main", 2, "evaluate", "key")` is `workflows.main.steps[2].evaluate.key`."""
    head, rest = str(path[0]), path[1:]
    text = f"workflows.{head}.steps" if rest and isinstance(rest[0], int) and head != "tools" else head
    for part in rest:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text


def summary(found: Sequence[Fault]) -> str:
    """One line about all errors, of which there is one at least."""
    errors = [fault for fault in found if fault.severity == "error"]
    first = errors[0]
    if len(errors) == 1 and first.path == ("input_schema",):
        return f"Invalid input schema: {first.message}"
    more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
    return f"Task specification contains validation errors: {location(first.path)}: {first.message}{more}"
