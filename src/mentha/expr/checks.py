"""What can be said of expressions before they run: at the creation of a task, with the place and the fix of each fault.

check(value, known=…) → faults; an `error` must refuse the task, a `warning` is worth telling
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from mentha.core.json import JsonValue
from mentha.expr import strings
from mentha.expr.compile import Compiled, compile_fold, compile_text
from mentha.expr.names import CONTEXT, KNOWN, REDUCE_CONTEXT
from mentha.expr.paths import undefined
from mentha.expr.rewrite import Problem

# What a plan was checked by. The first number is our own rules', the second what this Python's parser reads: 3.12 and later take the
# same quotes inside of an f-string. A machine runs what it `reads`; raise the first number when a text changes its meaning.
RULES = 1
GRAMMAR = f"{RULES}.{12 if sys.version_info >= (3, 12) else 11}"

_PATH = re.compile(r"([a-z]\w*)(?:\.\w+|\[[^\]\s]*\])+$")

UNDEFINED_TOLD_MAX = 10

Severity = Literal["error", "warning"]
Position = Literal["value", "condition", "list", "string", "reduce"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with one text.

    Attributes:
        severity: `error` where it cannot work, `warning` where it may not do what was meant.
        issue_type: a stable name, like `syntax` or `undefined_name`.
        message: what is wrong, without the place.
        expression: the text of the expression.
        line, column: where in `expression`, from 1.
        fix: what to do.
        where: the keys and indexes that lead to the text in the value that was checked.
    """

    severity: Severity
    issue_type: str
    message: str
    expression: str
    line: int = 1
    column: int = 1
    fix: str | None = None
    where: tuple[str | int, ...] = ()


def reads(grammar: str) -> bool:
    """Whether a plan that was checked by `grammar` means the same on this machine."""
    rules, _, python = grammar.partition(".")
    mine = GRAMMAR.partition(".")
    return rules == mine[0] and python.isdigit() and int(python) <= int(mine[2])


def check(value: JsonValue, *, known: Iterable[str] = CONTEXT, position: Position = "value") -> list[Fault]:
    """The faults of every text in `value`, deep, in order.

    A text takes 0.2 ms or so, the worst that is still parsed 60 ms: call it in a thread for the whole of a task.

    Args:
        known: the names of the context; `reduce` knows its own two besides.
        position: what the value is used for: a condition that is plain text is always true.
    """
    names = frozenset(known) | (REDUCE_CONTEXT if position == "reduce" else frozenset())
    return [fault for where, text in _texts(value, ()) for fault in _check_text(text, where, names, position)]


def _texts(value: JsonValue, where: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, (*where, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*where, index))


def _check_text(text: str, where: tuple[str | int, ...], names: frozenset[str], position: Position) -> Iterator[Fault]:
    compiled = compile_fold(text) if position == "reduce" else compile_text(text)
    source = compiled.source or text
    for problem in compiled.problems:
        yield Fault("error", problem.issue_type, problem.message, source, problem.line, problem.column, problem.fix, where)
    yield from _undefined(compiled, where, names)
    if compiled.doubt:
        yield Fault("warning", "taken_as_text", compiled.doubt, text, fix="begin an expression with `$ `", where=where)
    if compiled.kind == "literal" and _looks_like_path(text, names):
        yield Fault(
            "warning", "plain_text", "is plain text, though it looks like an expression", text, fix=f"`$ {text.strip()}`", where=where
        )
    elif compiled.kind == "literal" and position in ("condition", "list"):
        yield _plain_text(text, where, position)
    if compiled.kind in ("path", "code") and position != "reduce":
        for problem in _suspicious(text):
            yield Fault("warning", problem.issue_type, problem.message, source, problem.line, problem.column, problem.fix, where)


def _undefined(compiled: Compiled, where: tuple[str | int, ...], names: frozenset[str]) -> Iterator[Fault]:
    told: set[str] = set()
    for name, line, column in compiled.roots:
        if name in names or name in told or len(told) == UNDEFINED_TOLD_MAX:
            continue
        told.add(name)
        message = undefined(name, sorted(names | KNOWN))
        if compiled.is_guess:
            message += ": the whole text is taken as it is, braces included"
        severity: Severity = "warning" if compiled.is_guess else "error"
        fix = "use one of " + ", ".join(f"`{each}`" for each in sorted(names)[:16])
        yield Fault(severity, "undefined_name", message, compiled.source, line, column, fix, where)


def _plain_text(text: str, where: tuple[str | int, ...], position: Position) -> Fault:
    what = "is plain text, so the condition is always true" if position == "condition" and text else "is plain text"
    return Fault("warning", "plain_text", what, text, fix=f"begin it with `$ `: `$ {text.strip()[:60]}`", where=where)


def _looks_like_path(text: str, names: frozenset[str]) -> bool:
    found = _PATH.match(text.strip())
    return found is not None and found[1] in names


def _suspicious(text: str) -> Iterator[Problem]:
    """What runs but can't be meant."""
    parsed = strings.parse(text)
    if not isinstance(parsed, strings.Expression):
        return
    for node in ast.walk(parsed.tree):
        match node:
            case ast.BinOp(
                op=ast.Div() | ast.FloorDiv() | ast.Mod(), left=ast.Constant(value=int() | float()), right=ast.Constant(value=0)
            ):
                yield Problem("division_by_zero", "divides by zero", "divide by something else", node.lineno, node.col_offset + 1)
            case ast.BinOp(op=ast.Div() | ast.FloorDiv(), right=ast.Constant(value=0)):
                yield Problem("division_by_zero", "divides by zero", "divide by something else", node.lineno, node.col_offset + 1)
            case ast.Subscript(value=ast.List(elts=items), slice=ast.Constant(value=int() as index)) if index >= len(items):
                yield Problem("index_out_of_range", "asks for an item that the list lacks", None, node.lineno, node.col_offset + 1)
            case _:
                pass
