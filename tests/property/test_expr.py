"""Laws of expressions: what is no expression comes back, a path means the same here and in the sandbox, ours agrees with Python, nothing gets out."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mentha.core import config
from mentha.core.errors import ExpressionFailed
from mentha.expr.checks import check
from mentha.expr.compile import compile_text
from mentha.expr.names import CONTEXT
from mentha.sandbox.expressions import Expressions

TENANT = uuid4()
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
KEYS = st.sampled_from(["a", "b", "items", "name", "é", "0"]) | TEXT
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
STEPS = st.lists(st.sampled_from([".a", ".b", ".items", ".name", "['a']", "['é']", "['0']", "[0]", "[-1]", "[2]"]), max_size=4)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def expressions(runner: asyncio.Runner) -> Iterator[Expressions]:
    async def make() -> Expressions:
        return Expressions(config.load(environ={}, flags={}), time_s=0.5)

    made = runner.run(make())
    yield made
    runner.run(made.aclose())


@pytest.fixture
def outcome(runner: asyncio.Runner, expressions: Expressions) -> Any:
    """The value, or the error."""

    def of(value: Any, names: dict[str, Any]) -> Any:
        try:
            return runner.run(expressions.evaluate(TENANT, value, names))
        except ExpressionFailed as error:
            return error

    return of


@FEW
@given(value=JSON)
def test_data_goes_through_the_sandbox_unchanged(outcome: Any, value: Any) -> None:
    assert outcome({"here": ["$ _"], "there": "$ (lambda x: x)(_)"}, {"_": value}) == {"here": [value], "there": value}


@FEW
@given(value=JSON, steps=STEPS)
def test_path_means_the_same_here_and_in_the_sandbox(outcome: Any, value: Any, steps: list[str]) -> None:
    path = "".join(steps)
    here, there = outcome(f"$ _{path}", {"_": value}), outcome(f"$ (lambda x: x{path})(_)", {"_": value})
    # A method that is no key is a function: an error either way, though not of one kind.
    assert isinstance(here, ExpressionFailed) == isinstance(there, ExpressionFailed)
    if not isinstance(here, ExpressionFailed):
        assert here == there


# What begins with a name of the context may look like a path, of which there is a word: `task.0`.
@given(text=TEXT.filter(lambda text: not any(mark in text for mark in "${_[%") and not text.strip().startswith(tuple(CONTEXT))))
def test_text_without_marks_is_its_own_value(text: str) -> None:
    compiled = compile_text(text)
    assert (compiled.kind, compiled.text) == ("literal", text)
    assert check(text) == []


# Source of both: numbers and texts, joined by what Python joins them with.
NUMBERS = st.sampled_from(
    ["_.n", "_['f']", "2", "-3", "0.5", "len(_.list)", "_.list[0]", "sum(x * 2 for x in _.list)", "max(_.list, key=lambda x: -x)"]
)
TEXTS = st.sampled_from(
    ["_.s", "'a\\'b'", '"q"', "f'{_.n}'", "', '.join(str(x) for x in _.list)", "_['s'].upper()", "f\"{_.f:.1f}{'x' * 2}\"", "'%05d' % _.n"]
)
NUMERIC = st.recursive(
    NUMBERS,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "//", "%", "<", "==", "and", "or"]), inner)
        | st.builds("({} if {} else {})".format, inner, inner, inner)
        | st.builds("[{} for x in _.list if {}][0]".format, inner, inner)
        | st.builds("abs({})".format, inner)
    ),
    max_leaves=6,
)
TEXTUAL = st.recursive(
    TEXTS,
    lambda inner: (
        st.builds("({} + {})".format, inner, inner)
        | st.builds("{}[1:]".format, inner)
        | st.builds("{}.replace('a', {})".format, inner, inner)
        | st.builds("({}, {})[-1]".format, inner, inner)
    ),
    max_leaves=5,
)


class Attributes(dict[str, Any]):
    """A dictionary as the original has it."""

    __getattr__ = dict.__getitem__


@FEW
@given(source=NUMERIC | TEXTUAL)
def test_expression_gives_what_python_gives(outcome: Any, source: str) -> None:
    data = {"n": 7, "f": 2.5, "s": "Ada", "list": [3, 1, 2]}
    try:
        expected = eval(source, {"_": Attributes(data)})  # noqa: S307 - made of the pieces above
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        expected = error
    ours = outcome(f"$ {source}", {"_": data})
    assert isinstance(ours, ExpressionFailed) == isinstance(expected, Exception)
    if not isinstance(expected, Exception):
        assert ours == pytest.approx(expected) if isinstance(expected, float) else ours == expected


NAMES = [
    "_",
    "_.a",
    "''",
    "()",
    "[1]",
    "{}",
    "re",
    "json",
    "datetime",
    "datetime.datetime",
    "str",
    "len",
    "(lambda x: x)",
    "(x for x in [1])",
    "random",
    "type(1)",
]
TAILS = [
    *(".__class__", ".__mro__", ".__base__", ".__subclasses__()", ".__init__", ".__globals__", "['__builtins__']", ".mro()", ".gi_frame"),
    *(
        ".f_globals",
        ".format(_)",
        ".format_map({})",
        "[0]",
        ".a",
        "()",
        ".items()",
        ".upper",
        ".search('a', 'a')",
        ".loads('{}')",
        ".now()",
    ),
    *("._x", "(1)", " + 1", " * 10 ** 9", " * 3", "[::-1]", ".__name__", " % (1,)"),
]
PIECES = st.builds(lambda name, tails: name + "".join(tails), st.sampled_from(NAMES), st.lists(st.sampled_from(TAILS), max_size=4))
WRAPS = st.sampled_from(["$ {}", "{{{{ {} }}}}", "a {{{}}} b", "$ f'{{{}}}'", "$ [{} for x in [1]]", "$ (lambda y: {})(1)", "_.{}", "[{}]"])
# The real things print like these.
LEAKS = ("<module ", "<frame ", "<code ", "site-packages", "hunter2")


@settings(FEW, max_examples=150)
@given(text=st.builds(lambda wrap, piece: wrap.format(piece), WRAPS, PIECES) | TEXT | st.builds("$ {}".format, TEXT))
def test_any_text_ends_in_a_value_or_an_error_and_nothing_gets_out(outcome: Any, text: str) -> None:
    check(text)
    result = outcome(text, {"_": {"a": [1]}, "password": "hunter2"})
    told = result.message if isinstance(result, ExpressionFailed) else str(result)
    assert not any(leak in told for leak in LEAKS)
