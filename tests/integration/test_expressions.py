"""Expressions in real processes: what they give, what they may not do, and that nobody waits for another tenant's."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from mentha.core import config
from mentha.core.errors import ExpressionFailed, Unavailable
from mentha.expr import names as table
from mentha.sandbox import expressions as limits
from mentha.sandbox.expressions import Expressions
from tests.support.processes import below

DEADLINE_S = 30.0
CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpus"
ADA, BOB = uuid4(), uuid4()
# Burns time until the limit, with nothing to see for any limit on memory.
ENDLESS = "$ [sum(range(1000000)) and None for x in range(1000000)][0]"

Do = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def shared(runner: asyncio.Runner) -> Iterator[Expressions]:
    """The same processes for all tests that don't harm them."""

    async def make() -> Expressions:
        return Expressions(config.load(environ={}, flags={}))

    made = runner.run(make())
    yield made
    runner.run(made.aclose())


@pytest.fixture
def evaluate(runner: asyncio.Runner, shared: Expressions) -> Callable[..., Any]:
    def do(value: Any, names: dict[str, Any] | None = None, **options: Any) -> Any:
        return runner.run(shared.evaluate(ADA, value, names or {}, **options))

    return do


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Expressions]]:
    """Makes `Expressions` with limits; all are closed at the end."""
    made: list[Expressions] = []

    def make(**options: Any) -> Expressions:
        made.append(Expressions(config.load(environ={}, flags={"template_timeout_s": 1.0}), **options))
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


async def failure_of(evaluating: Awaitable[Any]) -> ExpressionFailed:
    with pytest.raises(ExpressionFailed) as caught:
        async with asyncio.timeout(DEADLINE_S):
            await evaluating
    return caught.value


# What expressions give


NAMES: dict[str, Any] = {
    "_": {"name": "Ada", "n": 7, "f": 2.5, "items": [1, 2], "list": [3, 1, 2], "users": [{"name": "bob"}, {"name": "al"}], "none": None},
    "steps": {"0": {"input": {"q": 1}, "output": {"y": "é" * 3}}, "draft": {"output": 5}},
    "inputs": {0: {"q": 1}},
    "outputs": {"0": "first", "1": "second"},
    "state": {"total": 3},
    "secrets": {"key": "s3"},
    "agent": {"name": "Max"},
}

VALUES: list[tuple[Any, Any]] = [
    ("plain", "plain"),
    ("$5 and 3 $", "$5 and 3 $"),
    (7, 7),
    (None, None),
    ({"a": ["$ _.n", {"b": "$ _.name"}], "$ key": True}, {"a": [7, {"b": "Ada"}], "$ key": True}),
    # Keys of objects as attributes; where something is called, the method.
    ("$ _.items", [1, 2]),
    ("$ list(_.items())[0]", ["name", "Ada"]),
    ("$ [user.name for user in _.users]", ["bob", "al"]),
    ("$ list(map(_.get, ['n', 'x']))", [7, None]),
    ("$ list(map(str.upper, ['a']))", ["A"]),
    ("$ list(map(', '.join, [['a', 'b']]))", ["a, b"]),
    ("$ str.join('-', ['a', 'b'])", "a-b"),
    ("$ {'a': {'b': 1}}.a.b", 1),
    # Keys that are no names, as the original's objects had them.
    ("$ [row.First_Name + str(row.x2nd) + str(row.xclass) for row in [{'First Name': 'Ada', '2nd': 2, 'class': 3}]]", ["Ada23"]),
    ("$ [{'content-type': 'text'}][0].content_type.upper()", "TEXT"),
    ("$ [{'a b': 1, 'a_b': 2}][0].a_b", 2),
    ("$ [agent.to_dict(), _.list.to_list(), state.to_json()]", [{"name": "Max"}, [3, 1, 2], '{"total": 3}']),
    # Only what is looked at must be there.
    ("$ _.zip if 'zip' in _ else 'none'", "none"),
    ("$ _.get('zip', {}).get('code', 0)", 0),
    # Steps by number and by label.
    ("$ steps[0].output.y", "ééé"),
    ("$ steps[0].output.y + '!'", "ééé!"),
    ("$ [steps[i].output for i in [0]][0].y", "ééé"),
    ("$ steps['draft']['output'] + 1", 6),
    ("$ sorted(outputs.keys())", [0, 1]),
    ("outputs[1]", "second"),
    # JSON comes back.
    ("$ (1, {2, 2}, range(2), zip('a', 'b'), enumerate('a'), map(str, [1]))", [1, [2], [0, 1], [["a", "b"]], [[0, "a"]], ["1"]]),
    ("$ {1: 'a', None: 'b', True: 'c'}", {"true": "c", "null": "b"}),
    (
        "$ [datetime.datetime.datetime(2024, 1, 2), datetime.date(2024, 1, 2), datetime.timedelta(hours=1)]",
        ["2024-01-02T00:00:00", "2024-01-02", 3600.0],
    ),
    ("$ [float('inf'), float('nan'), -1.5]", [None, None, -1.5]),
    ("$ 'a\\x00b'", "ab"),
    ("$ 'abc'.encode()", "b'abc'"),
    # Variables that are called like something else.
    ("$ [load_json(json) for json in ['[1]']]", [[1]]),
    ("$ [_ for _ in _.list]", [3, 1, 2]),
    ("$ [(lambda a, k: list(map(a.get, k)))({'x': 1}, ['x'])]", [[1]]),
    # What the original did not have.
    ("$ sorted(_.users, key=lambda user: user.name)[0].name", "al"),
    ("$ list(filter(lambda n: n > 1, _.list))", [3, 2]),
    ("$ {n % 2 for n in _.list}", [1, 0]),
    ("$ list(reversed(_.list))", [2, 1, 3]),
    ("$ reduce(lambda a, b: a + b, _.list, 0)", 6),
    ("$ [isinstance(_.n, (int, str)), type(_.n).__name__, hasattr(_, 'n'), hasattr(_, 'x')]", [True, "int", True, False]),
    ("$ datetime.now(datetime.timezone.utc).utcoffset().total_seconds()", 0.0),
    ("$ datetime.strptime('2024', '%Y').isoformat()", "2024-01-01T00:00:00"),
    ("$ datetime.datetime.strptime('2024-01-02 +0200', '%Y-%m-%d %z').isoformat()", "2024-01-02T00:00:00+02:00"),
    ("$ [datetime.timedelta(days=1.5).total_seconds(), datetime.timedelta(1, 2, 3).microseconds]", [129600.0, 3]),
    ("$ list(map(datetime.fromisoformat, ['2024-01-02']))", ["2024-01-02T00:00:00"]),
    ("$ datetime.fromtimestamp(86400).isoformat()", "1970-01-02T00:00:00"),
    ("$ csv.writer().writerows([['a', 'b,c'], [1, None]])", 'a,"b,c"\r\n1,\r\n'),
    ("$ csv.DictWriter('', ['a']).writeheader().writerow({'a': 1}).getvalue()", "a\r\n1\r\n"),
    ("$ yaml.dump(_.users)", "- name: bob\n- name: al\n"),
    ("$ re.sub('a', lambda found: found.group().upper(), 'banana')", "bAnAnA"),
    ("$ max(*[1, 2], **{})", 2),
    # Formats.
    ("$ f'{_.f:.2f}|{_.name:>5}|{_.name!r}|{_.n:0{_.n}d}|{{}}'", "2.50|  Ada|'Ada'|0000007|{}"),
    # Text with expressions in it.
    ("Hi {{ _.name }}, {{ _.f:.1f }} {not this} and {{ {'a': {'b': 1}}.a.b }}.", "Hi Ada, 2.5 {not this} and 1."),
    ("{{ _.n }}", "7"),
    ("Hi {_.name}!", "Hi Ada!"),
    ("Hi {customer}!", "Hi {customer}!"),
    ("Hi {_.surname}!", "Hi {_.surname}!"),
    ('{"name": "{_.name}", "n": 1}', '{"name": "{_.name}", "n": 1}'),
    ("[_.n, 1]", [7, 1]),
    ("[note] as is [x y]", "[note] as is [x y]"),
    # Jinja2 where it is Jinja2.
    ("{{ _.list | tojson }}", "[3, 1, 2]"),
    ("{% for user in _.users %}{{ user.name }} {% endfor %}{{ steps[0].input.q }}", "bob al 1"),
    # Functions of a process of their own.
    ("$ markdown_to_html('# a\\n\\n- *b*')", "<h1>a</h1>\n<ul>\n<li><em>b</em></li>\n</ul>\n"),
    (
        "$ html_to_markdown('<h2>a</h2><p>b <a href=\"u\">c</a></p><ol><li>x<li>y</ol><pre>p  q</pre>')",
        "## a\n\nb [c](u)\n\n1. x\n2. y\n\n```\np  q\n```",
    ),
    (
        "$ html_to_markdown('<table><tr><th>a<th>b</tr><tr><td>1<td>2</tr></table><script>x</script>')",
        "| a | b |\n| --- | --- |\n| 1 | 2 |",
    ),
    ("$ [len(chunk_doc('One. ' * 30)), chunk_doc('A b. C!'), chunk_doc('')]", [3, ["A b. C!"], []]),
    ('$ extract_json(\'x ```json\\n{"a": "b\\tc"}\\n``` y\').a', "b\tc"),
    ("$ load_yaml('a: [1, 2024-01-01]')", {"a": [1, "2024-01-01"]}),
    ("$ urllib.parse.urlparse('https://h:1/p?q=1').netloc", "h:1"),
    ("$ time.strptime('2024-03-01', '%Y-%m-%d').tm_yday", 61),
]


def test_value_of_each_kind_gives_what_it_means(evaluate: Callable[..., Any]) -> None:
    given = [value for value, _ in VALUES]
    assert list(zip(given, evaluate(given, NAMES), strict=True)) == VALUES


@pytest.mark.parametrize(
    ("value", "position", "result"),
    [
        ("$ _.list", "condition", True),
        ("$ _.none", "condition", False),
        ("$ len(_.list) > 5", "condition", False),
        ("$ _.list", "list", [3, 1, 2]),
        ("$ agent", "list", ["name"]),
        ("$ 'ab'", "list", ["a", "b"]),
        ("$ _.n", "string", "7"),
        ("$ _.list", "string", "[3, 1, 2]"),
        ("text", "string", "text"),
    ],
)
def test_position_fits_the_value_to_its_use(evaluate: Callable[..., Any], value: str, position: str, result: Any) -> None:
    assert evaluate(value, NAMES, position=position) == result


def test_every_name_of_the_table_is_there(evaluate: Callable[..., Any]) -> None:
    """Each as a value in the sandbox: a function is refused as a result, so it is put into a tuple that is counted."""
    names = [name for name in table.GLOBALS if not name.startswith("urllib.parse") or "." in name]
    assert evaluate([f"$ len(({name},))" for name in names]) == [1] * len(names)


def test_fold_joins_items_from_the_left_in_both_spellings(runner: asyncio.Runner, shared: Expressions) -> None:
    for expression in ("$ results + [_.n * 2]", "results + [_.n * 2]"):
        assert runner.run(shared.fold(ADA, expression, [{"n": 1}, {"n": 2}], [], {})) == [2, 4]
    assert runner.run(shared.fold(ADA, "results + _ + state.total", [1, 2], 0, NAMES)) == 9
    assert runner.run(shared.fold(ADA, "results", [], {"a": 1}, {})) == {"a": 1}


def test_secrets_in_what_a_tool_fixes_are_put_in_and_other_braces_stay(evaluate: Callable[..., Any]) -> None:
    spec = {
        "url": "https://h/{id}",
        "headers": {"a": "$ f'Bearer {secrets.key}'", "b": "{secrets.key}", "c": "Bearer {{secrets.key}}", "d": "$ secrets.key"},
        "port": "$ int(secrets.port)",
        "description": 'Give {"a": 1}',
    }
    assert evaluate(spec, {"secrets": {"key": "s3", "port": "25"}}) == {
        "url": "https://h/{id}",
        "headers": {"a": "Bearer s3", "b": "s3", "c": "Bearer s3", "d": "s3"},
        "port": 25,
        "description": 'Give {"a": 1}',
    }


def test_two_evaluations_draw_different_numbers(evaluate: Callable[..., Any]) -> None:
    assert evaluate("$ random.random()") != evaluate("$ random.random()")


# The documented expressions


# Where ours differs from what was recorded, and why that is right.
DIFFERENT = {
    # Stands for a language model in the recording, by a cut at every full stop, addresses included; ours are chunks of 15 sentences.
    "chunk_doc(_.text)",
    "chunk_doc(_.json.data.content.strip())",
    # Sent texts to third parties; refused with a reason.
    'humanize_text_alpha(_.text, threshold=30, target_lang="german")',
}
if sys.version_info < (3, 12):
    # Quotes of the same kind inside of an f-string: refused by name.
    DIFFERENT.add('f"https://hacker-news.firebaseio.com/v0/item/{_["comment_id"]}.json"')


@pytest.mark.skipif(not CORPUS.exists(), reason="the shared corpus is not here")
@pytest.mark.parametrize("name", ["docs", "surface"])
def test_recorded_expressions_give_the_recorded_values(runner: asyncio.Runner, shared: Expressions, name: str) -> None:
    async def outcome(entry: dict[str, Any]) -> Any:
        try:
            return await shared.evaluate(ADA, "$ " + entry["code"], entry["bindings"])
        except ExpressionFailed as error:
            return error

    differ: list[Any] = []
    for entry in map(json.loads, (CORPUS / f"expressions-{name}.jsonl").read_text().splitlines()):
        ours, theirs = runner.run(outcome(entry)), entry["result"]
        cut = isinstance(theirs, str) and len(theirs) >= 80
        same = isinstance(ours, str) and ours.startswith(theirs) if cut and not isinstance(ours, Exception) else ours == theirs
        if entry["ok"] and not same and entry["code"] not in DIFFERENT:
            differ.append((entry["code"], ours, theirs))
    assert differ == []


# What goes wrong


FAULTS = [
    ("$ 1 +", "syntax", "`1 +`: invalid syntax"),
    ("$ (x := 1)", "refused", "`(x := 1)`: assigns a name, which an expression cannot"),
    ("$ nope + 1", "undefined", "`nope + 1`: name 'nope' is not defined"),
    ("$ stpes[0].x", "undefined", "`stpes[0].x`: name 'stpes' is not defined. Did you mean 'steps'?"),
    ("$ _.nam", "undefined", "`_.nam`: there is no 'nam' (did you mean 'name'?) in _"),
    ("$ _.nam + 'x'", "undefined", "`_.nam + 'x'`: there is no 'nam' (did you mean 'name'?) in _"),
    ("$ [user.age for user in _.users]", "error", "`[user.age for user in _.users]`: AttributeError: there is no 'age'; there is: name"),
    ("$ 1 / (_.n - 7)", "error", "`1 / (_.n - 7)`: ZeroDivisionError: division by zero"),
    ("$ len", "error", "`len`: TypeError: a function or type is not a value; call it"),
    ("$ yaml.load('a: [')", "error", "`yaml.load('a: [')`: ParserError: while parsing a flow node"),
    ("$ statistics.mean([])", "error", "`statistics.mean([])`: StatisticsError: mean requires at least one data point"),
    ("{{ nope }}", "undefined", "`{{ nope }}`: name 'nope' is not defined"),
    ("{% if %}", "template", "`{% if %}`: Template syntax error"),
]


@pytest.mark.parametrize(("text", "kind", "message"), FAULTS)
def test_failure_names_the_expression_and_what_is_wrong(evaluate: Callable[..., Any], text: str, kind: str, message: str) -> None:
    with pytest.raises(ExpressionFailed) as caught:
        evaluate({"good": "$ 1 + 1", "bad": [text], "later": "$ 2 + 2"}, NAMES)
    assert (caught.value.kind, caught.value.expression) == (kind, text)
    assert caught.value.message.startswith(message)


HOSTILE_TEMPLATES = ["{% if a %}" * 20_000, "{{ " + "(" * 50_000 + " }}", "{{ a" + "|upper" * 200_000 + " }}", "{{ a }}" * 140_000]


@pytest.mark.parametrize("text", HOSTILE_TEMPLATES, ids=range(len(HOSTILE_TEMPLATES)))
async def test_check_of_a_hostile_template_ends_within_its_limits_and_the_next_one_is_right(
    start: Callable[..., Expressions], text: str
) -> None:
    expressions = start()
    async with asyncio.timeout(DEADLINE_S):
        told = await expressions.check_template(ADA, text)
        # A machine may be quick enough for those that are only long.
        assert told.get("message") or told["names"] == [["a", 1]]
        assert await expressions.check_template(ADA, "{{ a.b | upper }}{{ _ }}\n{{ c }}") == {"names": [["a", 1], ["_", 1], ["c", 2]]}


def test_long_expression_is_shortened_in_a_message(evaluate: Callable[..., Any]) -> None:
    with pytest.raises(ExpressionFailed) as caught:
        evaluate("$ 1 / 0" + " + 0" * 500)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("value", ["$ _.n", "$ _.none", 5])
def test_list_that_is_none_is_refused(evaluate: Callable[..., Any], value: Any) -> None:
    with pytest.raises(ExpressionFailed, match="where a list is needed"):
        evaluate(value, NAMES, position="list")


# What an expression may not do


ESCAPES = [
    "''.__class__",
    "().__class__.__base__.__subclasses__()",
    "[].append.__self__",
    "(lambda: 0).__globals__",
    "(x for x in [1]).gi_frame",
    "'{0.__class__}'.format(1)",
    "'{x.__class__}'.format_map({'x': 1})",
    "getattr('', 'upper')",
    "hasattr.__doc__",
    "__import__('os')",
    "__host('yaml.load', '[]')",
    "__builtins__",
    "eval('1')",
    "open('/etc/passwd')",
    "json.codecs",
    "re.sys",
    "random._os",
    "datetime.datetime.__class__",
    "yaml.load('!!python/object/apply:os.getpid []')",
    "csv.register_dialect('x')",
    "[1 for json.loads in [1]]",
    "urllib.parse.urlparse('http://h')._replace(path='x')",
    "type('X', (), {})",
]


def test_escape_of_any_kind_fails(runner: asyncio.Runner, shared: Expressions) -> None:
    async def outcome(code: str) -> Any:
        with pytest.raises(ExpressionFailed):
            return code, await shared.evaluate(ADA, f"$ {code}", {"_": {}})

    for code in ESCAPES:
        assert runner.run(outcome(code)) is None, code


GREED = [
    (ENDLESS, {"time"}),
    ("$ 'a' * 10 ** 10", {"memory"}),
    ("$ [0] * 10 ** 9", {"memory"}),
    ("$ {i: [0] * 1000 for i in range(1000000)}", {"memory", "time"}),
    ("$ f'{1:1000000000}'", {"memory", "time"}),
    ("$ 1 << 10 ** 10", {"memory"}),
    ("$ [[[[[[[[[0]*10]*10]*10]*10]*10]*10]*10]*10]*10", {"memory", "time", "output"}),
    ("$ ('a' * 15000000, 'b' * 15000000)", {"output", "time"}),
    ("$ (lambda f: f(f))(lambda f: f(f))", {"depth", "time"}),
    ("$ range(10 ** 12)", {"error"}),
    ("$ [load_yaml('1') for i in range(1000)]", {"calls"}),
    ("$ load_yaml('[' * 100000)", {"error"}),
    (
        "$ yaml.load('a: &a [1]' + ''.join('\\n' + c + ': &' + c + ' [' + '*' + chr(ord(c) - 1) + ',' * 1 + '*' + chr(ord(c) - 1) + ']' for c in 'bcdefghijklmnopqrstuvwxyz'))",
        {"error"},
    ),
    ("$ markdown_to_html('[' * 900000 + '(' * 100000)", {"error", "time"}),
]


async def test_greedy_expression_of_any_kind_fails_while_another_tenant_is_served(start: Callable[..., Expressions]) -> None:
    expressions = start(time_s=0.4)
    for text, kinds in GREED:
        greedy = asyncio.create_task(failure_of(expressions.evaluate(BOB, text, {})))
        assert await expressions.evaluate(ADA, "$ 1 + 1", {}) == 2
        assert (await greedy).kind in kinds, text
    assert await expressions.evaluate(ADA, "$ len(yaml.dump([1]))", {}) == 4


async def test_tenant_that_burns_all_its_time_leaves_processes_to_others(start: Callable[..., Expressions]) -> None:
    """The innocent ones come back before any of the greedy ones, though those came first and are more than there are processes."""
    expressions = start(time_s=10.0)
    slow = "{% for a in range(1000000) %}{% for b in range(1000000) %}{% endfor %}{% endfor %}"
    texts = [*[ENDLESS] * (limits.RUNS_MAX + 1), *[slow] * 3]
    greedy = [asyncio.create_task(failure_of(expressions.evaluate(BOB, text, {}))) for text in texts]
    # They have what they can get before Ada asks.
    assert await expressions.evaluate(ADA, "$ 0 + 0", {}) == 0
    assert await expressions.evaluate(ADA, "$ yaml.dump([1])", {}) == "- 1\n"
    assert not any(each.done() for each in greedy)
    for each in greedy:
        each.cancel()
    await asyncio.gather(*greedy, return_exceptions=True)


@pytest.mark.skipif(not CORPUS.exists(), reason="the shared corpus is not here")
async def test_hostile_expressions_of_the_corpus_harm_nobody(start: Callable[..., Expressions]) -> None:
    expressions = start()

    async def outcome(code: str) -> Any:
        try:
            return await expressions.evaluate(BOB, f"$ {code}", {"_": {"a": 1}})
        except ExpressionFailed as error:
            return error.kind

    for entry in map(json.loads, (CORPUS / "hostile-expressions.jsonl").read_text().splitlines()):
        hostile = asyncio.create_task(outcome(entry["code"]))
        assert await expressions.evaluate(ADA, "$ _.a + 1", {"_": {"a": 1}}) == 2
        async with asyncio.timeout(DEADLINE_S):
            assert "root:" not in str(await hostile)


async def test_large_context_stays_here_but_for_what_is_named(start: Callable[..., Expressions], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INPUT_BYTES_MAX", 1_000)
    expressions = start()
    names = {"_": {"a": 1, "big": "x" * 10_000}, "steps": {"0": {"output": "x" * 10_000}}}
    assert await expressions.evaluate(ADA, ["$ _.a + 1", "{{ _.a }}", "$ steps[0].output"], names) == [2, "1", "x" * 10_000]
    assert (await failure_of(expressions.evaluate(ADA, "$ len(_)", names))).kind == "input"


async def test_large_values_go_in_and_come_out(start: Callable[..., Expressions]) -> None:
    big = [{"text": "é\x01" * 50, "n": number} for number in range(20_000)]
    assert await start().evaluate(ADA, "$ [x for x in _]", {"_": big}) == big


# How processes live and end


async def gone(processes: list[psutil.Process]) -> bool:
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, DEADLINE_S)
    return not alive


async def test_plain_text_and_paths_start_no_process(start: Callable[..., Expressions]) -> None:
    before = {process.pid for process in below("monty")}
    assert await start().evaluate(ADA, ["text { with } marks", "$ _.a", {"x": "_"}], {"_": {"a": 1}}) == [
        "text { with } marks",
        1,
        {"x": {"a": 1}},
    ]
    assert {process.pid for process in below("monty")} <= before


async def test_cancelled_evaluation_kills_its_process(start: Callable[..., Expressions]) -> None:
    before = {process.pid for process in below("monty")}
    expressions = start(time_s=20.0)
    task = asyncio.create_task(expressions.evaluate(ADA, ENDLESS, {}))
    async with asyncio.timeout(DEADLINE_S):
        while not (made := [process for process in below("monty") if process.pid not in before and process.cpu_times().user > 0.1]):
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(made)
    assert await expressions.evaluate(ADA, "$ 1 + 1", {}) == 2


async def test_process_killed_from_outside_fails_one_evaluation(start: Callable[..., Expressions]) -> None:
    before = {process.pid for process in below("monty")}
    expressions = start(time_s=20.0)
    task = asyncio.create_task(failure_of(expressions.evaluate(ADA, ENDLESS, {})))
    async with asyncio.timeout(DEADLINE_S):
        while not (made := [process for process in below("monty") if process.pid not in before and process.cpu_times().user > 0.1]):
            await asyncio.sleep(0.01)
    made[0].kill()
    assert "crashed" in (await task).message
    assert await expressions.evaluate(ADA, "$ 1 + 1", {}) == 2


async def test_idle_processes_end_and_come_back(start: Callable[..., Expressions]) -> None:
    before = {process.pid for process in below("monty")}
    expressions = start(idle_s=0.05)
    await expressions.evaluate(ADA, "$ 1 + 1", {})
    assert await gone([process for process in below("monty") if process.pid not in before])
    assert await expressions.evaluate(ADA, "$ 1 + 1", {}) == 2


async def test_close_leaves_no_process_and_tells_who_waits(start: Callable[..., Expressions]) -> None:
    before = {process.pid for process in below()}
    expressions = start(time_s=20.0)
    await expressions.evaluate(ADA, "$ yaml.dump(1)", {})
    running = [asyncio.create_task(expressions.evaluate(tenant, ENDLESS, {})) for tenant in (ADA, BOB, BOB, BOB)]
    await asyncio.sleep(0)
    await expressions.aclose()
    results = await asyncio.gather(*running, return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    assert await gone([process for process in below() if process.pid not in before])
    await expressions.aclose()
    with pytest.raises(Unavailable):
        await expressions.evaluate(ADA, "$ 1 + 1", {})


async def test_tenant_with_too_many_waiting_is_unavailable(start: Callable[..., Expressions], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TENANT_WAITING_MAX", 3)
    expressions = start(time_s=1.0)
    results = await asyncio.gather(*(expressions.evaluate(BOB, "$ 1 + 1", {}) for _ in range(5)), return_exceptions=True)
    assert [result for result in results if not isinstance(result, Unavailable)] == [2, 2, 2]
    assert await expressions.evaluate(BOB, "$ 1 + 1", {}) == 2


async def test_evaluation_that_gets_no_process_in_time_is_unavailable(
    start: Callable[..., Expressions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WAIT_S", 0.05)
    expressions = start(time_s=0.5)
    greedy = [asyncio.create_task(failure_of(expressions.evaluate(BOB, ENDLESS, {}))) for _ in range(limits.TENANT_RUNS_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="busy"):
        await expressions.evaluate(BOB, "$ 1 + 1", {})
    assert {(await each).kind for each in greedy} == {"time"}


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has can be seen from outside on Linux only")
async def test_process_has_nothing_of_the_server(start: Callable[..., Expressions]) -> None:
    before = {process.pid for process in below("monty")}
    await start().evaluate(ADA, "$ 1 + 1", {})
    (process,) = [process for process in below("monty") if process.pid not in before]
    assert process.environ() == {}
    assert not [file for file in process.open_files() if not file.path.startswith(("/dev", "/proc"))]
    most = Path(f"/proc/{process.pid}/limits").read_text()
    assert next(line for line in most.splitlines() if line.startswith("Max file size")).split()[3:5] == ["0", "0"]
    assert "unlimited" not in next(line for line in most.splitlines() if line.startswith("Max address space"))


async def test_process_ends_when_the_server_is_killed() -> None:
    code = (
        "import asyncio, sys; from uuid import uuid4; from mentha.core.config import Settings; "
        "from mentha.sandbox.expressions import Expressions; import psutil\n"
        "async def main():\n"
        "    expressions = Expressions(Settings(), time_s=5.0)\n"
        "    await expressions.evaluate(uuid4(), '$ 1 + 1', {})\n"
        "    print(psutil.Process().children()[0].pid, flush=True)\n"
        f"    await expressions.evaluate(uuid4(), {ENDLESS!r}, {{}})\n"
        "asyncio.run(main())"
    )
    path = os.pathsep.join(sys.path)
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": path})
    assert server.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE_S):
            worker = psutil.Process(int(await server.stdout.readline()))
    finally:
        server.kill()
        await server.communicate()
    ended, _ = await asyncio.to_thread(psutil.wait_procs, [worker], DEADLINE_S)
    assert ended or worker.status() == psutil.STATUS_ZOMBIE
