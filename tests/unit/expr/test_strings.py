"""What a text is taken for: plain, expression, template, guess or Jinja2."""

import sys

import pytest

from mentha.expr import strings
from mentha.expr.compile import compile_fold, compile_text

KINDS = [
    # Plain text stays plain, whatever it holds.
    ("hello", "literal"),
    ("", "literal"),
    ("$x", "literal"),
    ("costs $ 5", "literal"),
    ('{"a": 1}', "literal"),
    ('{"a":1}', "literal"),
    ('{"a": {"b": 1}}', "literal"),
    ("a{2,3}", "literal"),
    ("{}", "literal"),
    ("{ no python }", "literal"),
    ("open { brace", "literal"),
    ("[INST] answer the question [/INST]", "literal"),
    ("see inputs[0] for more", "literal"),
    # Expressions.
    ("$ 1 + 1", "code"),
    ("  $ 1 + 1\n", "code"),
    ("$ [\n  1,\n  2\n]", "code"),
    ("$ _.a +\n 1", "code"),
    ("[_.a, 2]", "code"),
    ("_.a + 1", "code"),
    ("$ _.items()", "code"),
    # Paths.
    ("_", "path"),
    ("$ _", "path"),
    ("_.a", "path"),
    ("_['a'][0].b", "path"),
    ("$ steps[0].output.json[-1]", "path"),
    ("inputs[0].q", "path"),
    # Texts with expressions in them.
    ("Hi {{ _.name }}!", "code"),
    ("{{ _.price:.2f }}", "code"),
    ("{{ {'a': {'b': 1}} }}", "code"),
    ("Hi {_.name}!", "code"),
    # Jinja2.
    ("{{ _.list | tojson }}", "jinja"),
    ("{{ _.name | default('x') }}", "jinja"),
    ("{% if _.a %}yes{% endif %}", "jinja"),
    ("{{ _.a is defined }}", "jinja"),
    ("{{ _.a is not none }}", "jinja"),
    # Marked as an expression, but none.
    ("$ 1 +", "invalid"),
    ("$ a = 1", "invalid"),
    ("$ a; b", "invalid"),
    ("_.a b", "invalid"),
    ("$ (x := 1)", "invalid"),
]


@pytest.mark.parametrize(("text", "kind"), KINDS)
def test_text_of_each_form_is_of_its_kind(text: str, kind: str) -> None:
    assert compile_text(text).kind == kind


@pytest.mark.parametrize("text", ["{{ _ | state }}", "{{ (_ or {}) | inputs }}"])
def test_bar_between_data_is_no_filter(text: str) -> None:
    assert compile_text(text).kind == "code"


def test_json_with_doubled_braces_is_text_with_single_ones_beside_fields() -> None:
    """As in prompts that were f-strings once: no field begins with a text and a colon."""
    assert strings.parse('{{ "a": {"b": 1}, "c": {{"d": 2}}\n}}') == strings.Literal('{ "a": {"b": 1}, "c": {"d": 2}\n}')
    parsed = strings.parse('{{"a": "x"}} of {{ _.b }} }}')
    assert isinstance(parsed, strings.Template)
    assert [each if isinstance(each, str) else each.source for each in parsed.pieces] == ["{", '"a": "x"} of ', "_.b", " }}"]


def test_text_that_must_be_plain_is_never_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strings, "parse", None)
    assert compile_text("A plain prompt, with (all) kinds of: punctuation!").kind == "literal"


def test_expression_that_is_too_long_is_refused_with_a_fix() -> None:
    (problem,) = compile_text("$ " + "-" * strings.EXPRESSION_CHARS_MAX + "1").problems
    assert "longer than" in problem.message
    assert problem.fix


@pytest.mark.parametrize(
    "source",
    ["-" * 9_000 + "1", "(" * 4_000 + ")" * 4_000, "1" + "+1" * 4_000, "[" * 150 + "]" * 150, "0x" + "f" * 9_000, "1" * 9_000, "\0"],
)
def test_expression_that_no_parser_can_take_is_invalid_or_compiles(source: str) -> None:
    assert compile_text("$ " + source).kind in ("invalid", "code")


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="newer versions of Python read them")
@pytest.mark.parametrize("source", ['f"{_["a"]}"', "f'{_['a']}'", 'f"x {_["a"]} y {_["b"]}"'])
def test_nested_quotes_on_an_old_python_are_refused_by_name(source: str) -> None:
    (problem,) = compile_text("$ " + source).problems
    assert "own kind of quotes" in problem.message
    assert "other kind" in (problem.fix or "")


def test_long_text_with_single_braces_is_plain_and_with_double_ones_jinja() -> None:
    long = "x" * strings.INTERPOLATED_CHARS_MAX
    assert compile_text(long + "{_.a}").kind == "literal"
    assert compile_text(long + "{{ _.a }}").kind == "jinja"


def test_fold_takes_both_spellings_and_names_the_rest_of_its_context() -> None:
    plain, marked = compile_fold("results + [_]"), compile_fold("$ results + [_]")
    assert plain.code == marked.code
    assert [name for name, _, _ in compile_fold("results + agent.n").roots] == ["agent"]


def test_same_text_is_compiled_once() -> None:
    assert compile_text("$ 1 + 41") is compile_text("$ 1 + 41")


def test_code_of_methods_after_methods_grows_with_their_number_only() -> None:
    """Each one wrote the code before it down twice, so that sixty letters took all memory."""
    lengths = [len(compile_text(f"$ f(_){'.get' * count}").code) for count in (10, 20, 30)]
    assert lengths[2] - lengths[1] == lengths[1] - lengths[0]


def test_long_text_that_is_evaluated_again_is_not_compiled_again() -> None:
    text = f"$ [{', '.join(f'_.a{number}' for number in range(1_000))}]"
    assert compile_text(text) is compile_text(text)
