"""What a text in a task is: plain text, an expression, or text with expressions in it.

    `$ …`                          an expression: the rest
    … `{{ … }}` …                  text with expressions of this language; Jinja2 where one of them is none, and where there is `{% … %}`
    `_`, `_.…`, `_[…]`, `[…]`      an expression, the older way; so is text that holds `inputs[` or `outputs[`
    … `{…}` …                      a Python f-string where all of it is one; plain text where it is none, or where it fails
    anything else                  plain text

Source: the original's rule, made wider so that JSON, quotes and braces in a prompt stay what they are.
"""

import ast
import re
import sys
import warnings
from dataclasses import dataclass

from mentha.expr.names import CONSTANTS, CONTEXT

EXPRESSION_CHARS_MAX = 10_000
# Beyond these, and beyond `EXPRESSION_CHARS_MAX` inside of braces, a text with single braces is plain text, and one with double braces
# is rendered by Jinja2, in another process: parsing takes up to 8 microseconds a character, and others wait meanwhile.
INTERPOLATED_CHARS_MAX = 100_000
PIECES_MAX = 200
# JSON whose braces are doubled, as in an f-string: `{{"a": 1}}` is meant as `{"a": 1}`, since no field begins with a text and a colon.
_JSON = re.compile(r'\{\{\s*"[^"{}\n]*"\s*:')
# How many `}}` are tried as the end of one piece: `{{ {'a': {'b': 1}} }}`.
_ENDS_MAX = 20
_BRACES = re.compile(r"[{}]|[^{}]+")
_NESTED_QUOTES = re.compile(r"""\b[rR]?[fF][rR]?(?:"[^"]*\{[^{}"]*"|'[^']*\{[^{}']*')""")


@dataclass(frozen=True, slots=True)
class Literal:
    """Plain text. `doubt` says why it may have been meant as more."""

    text: str
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression whose value takes the place of the text."""

    tree: ast.expr
    source: str


@dataclass(frozen=True, slots=True)
class Template:
    """Pieces of text and expressions, in order, joined as text."""

    pieces: tuple[str | Expression, ...]


@dataclass(frozen=True, slots=True)
class Guess:
    """An f-string that nobody marked as one: where it fails, the text itself is meant."""

    tree: ast.JoinedStr
    text: str


@dataclass(frozen=True, slots=True)
class Jinja:
    """A template of Jinja2. `doubt` says why it may have been meant as ours."""

    text: str
    doubt: str | None = None


Parsed = Literal | Expression | Template | Guess | Jinja


class Unparsable(Exception):
    """Marked as an expression, but none. The message tells the fault, `fix` what to do."""

    def __init__(self, message: str, source: str, *, line: int = 1, column: int = 1, fix: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.source = source
        self.line = line
        self.column = column
        self.fix = fix


def parse(text: str, *, bare: bool = False) -> Parsed:
    """What `text` is.

    Args:
        bare: it is an expression with or without its `$ `, as in `reduce`.

    Raises:
        Unparsable: it is marked as an expression and is none.
    """
    trimmed = text.strip()
    if trimmed.startswith("$ ") or bare:
        source = trimmed.removeprefix("$ ").strip()
        return Expression(expression(source), source)
    if "{{" in text or ("{%" in text and "%}" in text):
        return _template(text)
    if _is_legacy(trimmed):
        return _legacy(text, trimmed)
    if "}" in text and "{" in text and _is_moderate(text):
        return _guess(text)
    return Literal(text)


def expression(source: str) -> ast.expr:
    """The syntax tree of one expression, lines and columns as in `source`.

    Raises:
        Unparsable: it is none in this version of Python, or too long or too deep.
    """
    if len(source) > EXPRESSION_CHARS_MAX:
        raise Unparsable(
            f"is longer than {EXPRESSION_CHARS_MAX} characters", source, fix="compute in several steps, or pass long text as data"
        )
    try:
        return _parsed(source)
    except SyntaxError as error:
        if "\n" in source:
            # An expression over several lines, as YAML blocks give it.
            try:
                return _parsed(f"({source}\n)")
            except (SyntaxError, ValueError, MemoryError, RecursionError):
                pass
        raise _unparsable(source, error) from None
    except ValueError as error:
        raise Unparsable(str(error), source, fix="remove the character that no text file may hold") from None
    except (MemoryError, RecursionError):
        raise Unparsable("is nested too deeply", source, fix="compute in several steps") from None


def _parsed(source: str) -> ast.expr:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source, mode="eval").body


def _unparsable(source: str, error: SyntaxError) -> Unparsable:
    message = (error.msg or "invalid syntax").removeprefix("f-string: ")
    if sys.version_info < (3, 12) and _NESTED_QUOTES.search(source):
        message = "an f-string has its own kind of quotes inside of its braces, which Python before 3.12 cannot read"
        fix = "use the other kind of quotes inside: f\"{_['name']}\""
    elif "{{" in source:
        fix = "an expression that begins with `$ ` needs no `{{ }}`"
    elif ";" in source or "=" in source:
        fix = "an expression has one value; statements and assignments belong to steps of their own"
    else:
        fix = "write one Python expression after `$ `"
    return Unparsable(message, source, line=error.lineno or 1, column=error.offset or 1, fix=fix)


def _is_legacy(text: str) -> bool:
    return (
        text == "_"
        or text.startswith(("_.", "_["))
        or (text.startswith("[") and text.endswith("]"))
        or "outputs[" in text
        or "inputs[" in text
    )


def _legacy(text: str, trimmed: str) -> Parsed:
    try:
        return Expression(expression(trimmed), trimmed)
    except Unparsable as error:
        if trimmed.startswith(("_.", "_[")):
            raise
        # Prose such as "[note] see inputs[0] [end]": an error in the original, so nobody relies on it.
        return Literal(text, doubt=f"is taken as text, because as an expression it is wrong: {error.message}")


def _template(text: str) -> Parsed:
    """Text with `{{ … }}`: of our language where each piece is, else of Jinja2."""
    if "{%" in text or "{#" in text or len(text) > INTERPOLATED_CHARS_MAX or text.count("{{") > PIECES_MAX:
        return Jinja(text)
    pieces: list[str | Expression] = []
    left = EXPRESSION_CHARS_MAX
    rest, doubled = text, 0
    while (at := rest.find("{{")) >= 0:
        said, doubled = _closed(rest[:at], doubled)
        if _JSON.match(rest, at):
            pieces.append(said + "{")
            rest, doubled = rest[at + 2 :], doubled + 1
            continue
        found = _piece(rest, at + 2)
        if found is None:
            return Jinja(text, doubt=f"is rendered by Jinja2, because `{rest[at : at + 40]}` is no expression")
        piece, end = found
        left -= len(piece.source)
        if left < 0 or _is_jinja(piece.tree):
            return Jinja(text)
        pieces += (said, piece)
        rest = rest[end:]
    pieces.append(_closed(rest, doubled)[0])
    if left == EXPRESSION_CHARS_MAX:
        return Literal("".join(map(str, pieces)))
    return Template(tuple(piece for piece in pieces if piece != ""))


def _closed(text: str, doubled: int) -> tuple[str, int]:
    """Plain text with the ends of that many doubled braces made single, and how many are left."""
    return text.replace("}}", "}", doubled), doubled - min(doubled, text.count("}}"))


def _piece(text: str, start: int) -> tuple[Expression, int] | None:
    """The expression that begins at `start` and where the text goes on after it."""
    end = start - 1
    for _ in range(_ENDS_MAX):
        end = text.find("}}", end + 1)
        if end < 0:
            return None
        source = text[start:end].strip()
        tree = _field(source)
        if tree is not None:
            return Expression(tree, source), end + 2
    return None


def _field(source: str) -> ast.expr | None:
    """`source` as an expression, or as one with a format: `price:.2f`."""
    try:
        return expression(source)
    except Unparsable:
        pass
    for quotes in ("'''", '"""'):
        try:
            tree = expression(f"f{quotes}{{{source}}}{quotes}")
        except Unparsable:
            continue
        if isinstance(tree, ast.JoinedStr) and len(tree.values) == 1:
            return tree
    return None


def _is_jinja(tree: ast.expr) -> bool:
    """Whether it has a filter or a test of Jinja2: a name that is no data after `|` or `is`."""
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(op=ast.BitOr(), right=right) | ast.Compare(ops=[ast.Is() | ast.IsNot()], comparators=[right]):
                right = right.func if isinstance(right, ast.Call) else right
                right = right.operand if isinstance(right, ast.UnaryOp) else right
                if isinstance(right, ast.Name) and right.id not in CONTEXT and right.id not in CONSTANTS:
                    return True
            case _:
                pass
    return False


def _is_moderate(text: str) -> bool:
    """Whether what stands in single braces is little enough to be parsed."""
    if len(text) > INTERPOLATED_CHARS_MAX or text.count("{") > PIECES_MAX or text.count("}") > PIECES_MAX:
        return False
    depth = inside = 0
    for found in _BRACES.finditer(text):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        inside += len(found[0]) if depth > 0 else 0
    return inside <= EXPRESSION_CHARS_MAX


def _guess(text: str) -> Parsed:
    for quotes in ('"""', "'''"):
        if text.endswith(quotes[0]) or quotes in text:
            continue
        try:
            tree = _parsed(f"f{quotes}{text}{quotes}")
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return Literal(text)
        return Guess(tree, text) if isinstance(tree, ast.JoinedStr) and _interpolates(tree) else Literal(text)
    return Literal(text)


def _interpolates(tree: ast.JoinedStr) -> bool:
    """Whether each pair of braces names something: `{"a": 1}` and `x{2}` are f-strings too, but nobody means them so."""
    fields = [value for value in tree.values if isinstance(value, ast.FormattedValue)]
    return bool(fields) and all(any(isinstance(node, ast.Name) for node in ast.walk(field.value)) for field in fields)
