"""From texts and whole JSON values to what the sandbox runs: one snippet for all expressions of a value.

What a text became is kept (`compile_text`), because a task evaluates the same texts over and over; nothing is parsed twice.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal as Either
from typing import cast

from mentha.core.json import JsonValue
from mentha.expr import strings
from mentha.expr.names import NUMBERED
from mentha.expr.paths import Path
from mentha.expr.prelude import calls_worker, prelude
from mentha.expr.rewrite import Code, Problem, rewrite, rewrite_joined

# Texts are kept by number; those above this size are rare, and fewer of them are.
KEPT_TEXTS_MAX = 2_048
KEPT_CHARS_MAX = 2_000
KEPT_LONG_TEXTS_MAX = 64
KEPT_SNIPPETS_MAX = 512
# Names that no expression can write: what a fold runs over, and from where.
ITEMS = "items of the fold"
INITIAL = "start of the fold"
# Marks that a text must have some of to be more than plain.
_MARKS = ("$ ", "{", "_", "[")
Kind = Either["literal", "path", "code", "jinja", "invalid"]


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """What one text became. Hashed by identity: the same text is the same object as long as it is kept.

    Attributes:
        kind: `literal` (it is its own value), `path` (looked up in the server), `code` (run in the sandbox), `jinja` (rendered),
            `invalid` (see `problems`).
        text: the text as it was written.
        source: the expression in it, for messages.
        code: what the sandbox runs, on one line.
        needs, paths: as in `rewrite.Code`.
        roots: the names of the context in it, with line and column.
        doubt: why it may have been meant as something else.
        is_guess: it is only evaluated where all its names exist.
        is_plain: its value is text, true, false or a whole number.
    """

    kind: Kind
    text: str
    source: str = ""
    code: str = ""
    needs: frozenset[str] = frozenset()
    paths: tuple[Path, ...] = ()
    roots: tuple[tuple[str, int, int], ...] = ()
    problems: tuple[Problem, ...] = ()
    doubt: str | None = None
    is_guess: bool = False
    is_plain: bool = False


@dataclass(frozen=True, slots=True)
class Snippet:
    """One run of the sandbox.

    Attributes:
        text: the whole code.
        paths: what of the context to send, in this order.
        numbered: which of them are whole dictionaries by number.
        first_line: the line of the first expression; each has one line.
        calls_worker: whether it may ask for functions outside of the sandbox.
    """

    text: str
    paths: tuple[Path, ...]
    numbered: tuple[int, ...]
    first_line: int
    calls_worker: bool


def is_plain(text: str) -> bool:
    """Whether `text` cannot be more than text, told by its characters alone."""
    return not any(mark in text for mark in _MARKS)


def compile_text(text: str, *, bare: bool = False) -> Compiled:
    """What `text` means, parsed once: the same texts come back from memory."""
    if not bare and is_plain(text):
        return Compiled("literal", text)
    return (_compile_kept if len(text) <= KEPT_CHARS_MAX else _compile_long_kept)(text, bare)


def assemble(compiled: Sequence[Compiled], *, is_complete: bool) -> Snippet:
    """One snippet that evaluates all of them, in order, and gives a JSON list as text, or its length where that is above `__most`.

    Args:
        is_complete: every path leads somewhere, so that the snippet need not look.
    """
    is_small = sum(len(each.code) for each in compiled) <= KEPT_CHARS_MAX
    return (_assemble_kept if is_small else _assemble)(tuple(compiled), is_complete)


def texts_in(value: JsonValue) -> list[str]:
    """Every text of a JSON value, deep, in order; keys are no texts."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in texts_in(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts_in(item)]
    return []


def compile_fold(expression: str) -> Compiled:
    """A fold: `expression` with `results` (so far) and `_` (the item), over `ITEMS` from `INITIAL`, two names of the context."""
    return _compile_fold_kept(expression) if len(expression) <= KEPT_CHARS_MAX else _compile_fold(expression)


@lru_cache(256)
def _compile_fold_kept(expression: str) -> Compiled:
    return _compile_fold(expression)


def _compile_fold(expression: str) -> Compiled:
    compiled = _parsed_fold(expression)
    if isinstance(compiled, Compiled):
        return compiled
    code = rewrite(compiled)
    count = len(code.paths)
    code.paths += (Path(ITEMS), Path(INITIAL))
    code.needs |= {"reduce", "data"}
    code.text = f"__reduce({code.text}, __p({count}), __p({count + 1}))"
    return _compiled(code, expression, expression.strip().removeprefix("$ "))


def _parsed_fold(expression: str) -> ast.Lambda | Compiled:
    try:
        parsed = strings.parse(expression, bare=True)
    except strings.Unparsable as error:
        return Compiled("invalid", expression, error.source, problems=(_syntax_problem(error),))
    names = [ast.arg("results"), ast.arg("_")]
    arguments = ast.arguments(posonlyargs=[], args=names, kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.Lambda(arguments, cast("strings.Expression", parsed).tree)


def _syntax_problem(error: strings.Unparsable) -> Problem:
    return Problem("syntax", error.message, error.fix, error.line, error.column)


@lru_cache(KEPT_TEXTS_MAX)
def _compile_kept(text: str, bare: bool) -> Compiled:
    return _compile(text, bare)


@lru_cache(KEPT_LONG_TEXTS_MAX)
def _compile_long_kept(text: str, bare: bool) -> Compiled:
    return _compile(text, bare)


def _compile(text: str, bare: bool) -> Compiled:
    try:
        parsed = strings.parse(text, bare=bare)
    except strings.Unparsable as error:
        return Compiled("invalid", text, error.source, problems=(_syntax_problem(error),))
    match parsed:
        case strings.Literal(doubt=doubt):
            return Compiled("literal", text, doubt=doubt)
        case strings.Jinja(doubt=doubt):
            return Compiled("jinja", text, text, doubt=doubt)
        case strings.Guess(tree):
            return _guessed(rewrite(tree), text)
        case strings.Template(pieces):
            trees = [piece if isinstance(piece, str) else piece.tree for piece in pieces]
            return _compiled(rewrite_joined(trees), text, text, is_plain=True)
        case strings.Expression(tree, source):
            return _compiled(rewrite(tree), text, source, is_plain=_is_plain_value(tree))


def _guessed(code: Code, text: str) -> Compiled:
    if code.problems:
        return Compiled("literal", text)
    code.needs.add("try")
    code.text = f"__try(lambda: {code.text}, {text!r})"
    return _compiled(code, text, text, is_guess=True, is_plain=True)


def _is_plain_value(tree: ast.expr) -> bool:
    """Whether it gives text, true, false or a whole number, whatever its data is."""
    match tree:
        case ast.JoinedStr() | ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Call(func=ast.Name(id="len" | "str" | "bool" | "any" | "all" | "isinstance")):
            return True
        case _:
            return False


def _compiled(code: Code, text: str, source: str, *, is_guess: bool = False, is_plain: bool = False) -> Compiled:
    kind: Kind = "invalid" if code.problems else "path" if code.text == "__p(0)" else "code"
    return Compiled(
        kind,
        text,
        source,
        code.text,
        frozenset(code.needs),
        tuple(code.paths),
        tuple(code.roots),
        tuple(code.problems),
        is_guess=is_guess,
        is_plain=is_plain,
    )


@lru_cache(KEPT_SNIPPETS_MAX)
def _assemble_kept(compiled: tuple[Compiled, ...], is_complete: bool) -> Snippet:
    return _assemble(compiled, is_complete)


def _assemble(compiled: tuple[Compiled, ...], is_complete: bool) -> Snippet:
    needs: set[str] = {"out plain" if all(each.is_plain for each in compiled) else "out"}
    paths: list[Path] = []
    lines: list[str] = []
    for each in compiled:
        needs |= each.needs
        lines.append(f"__v.append(__out({_renumbered(each, len(paths))}))\n")
        paths += each.paths
    numbered = tuple(index for index, path in enumerate(paths) if not path.steps and path.root in NUMBERED)
    if numbered:
        needs.add("numbered")
    if paths and not is_complete:
        needs.add("missing")
    before = prelude(needs) + "__v = []\n"
    text = before + "".join(lines) + "__s = '[' + ','.join(__v) + ']'\n__s if len(__s) <= __most else len(__s)\n"
    return Snippet(text, tuple(paths), numbered, before.count("\n") + 1, calls_worker(needs))


def _renumbered(compiled: Compiled, by: int) -> str:
    """The code with its paths counted from `by`, as a wrapper around it: text of the code is not searched, it may hold anything."""
    if not by or not compiled.paths:
        return compiled.code
    return f"(lambda __p: {compiled.code})(lambda i: __p(i + {by}))"
