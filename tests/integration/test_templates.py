"""Tenants' templates in real worker processes: what they may say, what they may not do, and how the processes live and end."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from mentha.core.config import Settings
from mentha.core.errors import TemplateFailed, Unavailable
from mentha.observe import events
from mentha.observe.events import Event, TemplateWorkerEnded, TemplateWorkerStarted
from mentha.sandbox import templates as pool
from mentha.sandbox.templates import Templates
from mentha.wire.default_template import DEFAULT_SYSTEM_TEMPLATE

DEADLINE_S = 20.0
CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpus" / "templates-docs.jsonl"

Start = Callable[..., Templates]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Makes `Templates` from settings; all are closed at the end."""
    made: list[Templates] = []

    def make(**settings: Any) -> Templates:
        made.append(Templates(Settings(**settings)))
        return made[-1]

    yield make
    for templates in made:
        await templates.close()


@pytest.fixture
async def templates(start: Start) -> Templates:
    return start()


class Seen:
    """The events about workers so far."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    @property
    def started(self) -> list[int]:
        return [event.pid for event in self.events if isinstance(event, TemplateWorkerStarted)]

    @property
    def ended(self) -> dict[int, str]:
        return {event.pid: event.why for event in self.events if isinstance(event, TemplateWorkerEnded)}

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def seen() -> Iterator[Seen]:
    watcher = Seen()
    events.subscribe(watcher)
    yield watcher
    events.unsubscribe(watcher)


async def failure_of(rendering: Awaitable[Any]) -> str:
    with pytest.raises(TemplateFailed) as caught:
        async with asyncio.timeout(DEADLINE_S):
            await rendering
    return caught.value.message


async def kill_at_work(pid: int) -> None:
    """Kill a worker that has used more processor time than its start takes."""
    worker = psutil.Process(pid)
    async with asyncio.timeout(DEADLINE_S):
        while worker.cpu_times().user < 0.8:
            await asyncio.sleep(0.02)
    worker.kill()


# What a template may say


VARIABLES: dict[str, Any] = {
    "agent": {"name": "Ada", "instructions": ["one", "two"]},
    "user": None,
    "metadata": {},
    "session": {"metadata": {"tier": "gold", "items": [1]}},
    "text": 'Look:\n```json\n{"a": "x\ny"}\n```\n',
}

MEANINGS = [
    ("{{ markdown_to_html('# a') }}{{ html_to_markdown('<b>x</b> y') }}", "<h1>a</h1>\n**x** y"),
    ("{{ chunk_doc('One. ' * 30) | length }} {{ chunk_doc('A b. C!') }}", "3 ['A b. C!']"),
    ("{{ nothing }}|{{ user.name }}|{{ metadata.a.b['c'].d }}", "||"),
    ("{% if metadata.priority == 'high' %}yes{% else %}no{% endif %}", "no"),
    ("{% for i in agent.instructions %}{{ loop.index }}{{ i }} {% endfor %}", "1one 2two "),
    ("{% for i in nothing %}x{% else %}none{% endfor %}", "none"),
    ("a\n  {% if true %}\nb\n  {% endif %}\nc", "a\nb\nc"),
    ("{{ session.metadata.tier }}{{ session.metadata['items'][0] }}", "gold1"),
    ("{% set ns = namespace(n=0) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}", "3"),
    ("{% macro hi(x) %}<{{ x }}>{% endmacro %}{{ hi('<a>') }}", "<<a>>"),
    ("{{ 'a' }}\n", "a"),
    ("{{ 'a' }}\r\nb\r\n", "a\nb"),
    ("{{ 'x' | upper | center(3) }}|", " X |"),
    ("{{ null }} {{ true }} {{ NEWLINE == '\\n' }}", "None True True"),
]

FUNCTIONS = [
    ("{{ abs(-1) }}{{ all([1]) }}{{ any([0]) }}{{ bool(0) }}{{ len('ab') }}", "1TrueFalseFalse2"),
    ("{{ dict(a=1) }}{{ enumerate('a') }}{{ float('1') }}{{ int('7') }}{{ list('ab') }}", "{'a': 1}[(0, 'a')]1.07['a', 'b']"),
    ("{{ map(str, [1]) }}{{ max(1, 2) }}{{ min([3, 4]) }}{{ round(1.26, 1) }}{{ set([1]) }}", "['1']231.3{1}"),
    ("{{ str(1) ~ sum([1, 2]) }}{{ tuple('a') }}{{ zip('a', 'b') }}{{ list(range(2)) }}", "13('a',)[('a', 'b')][0, 1]"),
    ("{{ reduce(max, [1, 5, 2]) }}{{ sorted([2, 1]) }}{{ reversed([1, 2]) }}", "5[1, 2][2, 1]"),
    ("{{ load_json('[1]') }}{{ dump_json({'a': 1}, indent=None) }}{{ extract_json(text).a }}", '[1]{"a": 1}x\ny'),
    ("{{ load_yaml('a: [1]') }}{{ dump_yaml({'a': 1}) }}", "{'a': [1]}a: 1\n"),
    ("{{ search_regex('b+', 'abbc').group() }}{{ search_regex('x', 'a') }}{{ match_regex('a', 'ab') }}", "bbNoneFalse"),
    ("{{ re.sub('a', 'b', 'aa') }}{{ re.findall('.', 'xy') }}{{ re.search('B', 'b', re.IGNORECASE).group() }}", "bb['x', 'y']b"),
    ("{{ json.loads('{}') }}{{ json.dumps([1]) }}{{ yaml.safe_load('1') }}{{ yaml.dump([1]) }}", "{}[1]1- 1\n"),
    ("{{ string.digits }}{{ math.sqrt(4) }}{{ math.pi | round(2) }}{{ statistics.mean([1, 3]) }}", "01234567892.03.142"),
    ("{{ base64.b64encode('é') }}{{ base64.b64decode('w6k=') }}{{ urllib.parse.quote('a b') }}", "w6k=éa%20b"),
    ("{{ urllib.parse.urlparse('http://h/p').netloc }}{{ random.choice([1]) }}{{ random.randint(2, 2) }}", "h12"),
    ("{{ time.strftime('%Y', time.strptime('1999', '%Y')) }}{{ time.time() > 0 }}", "1999True"),
    ("{{ csv.reader('a,b') }}{{ csv.DictReader('k\nv') }}", "[['a', 'b']][{'k': 'v'}]"),
    ("{{ datetime.datetime.datetime(2024, 1, 2) }} {{ datetime.datetime(2024, 1, 2).year }}", "2024-01-02 00:00:00 2024"),
    ("{{ datetime.datetime.now(datetime.timezone.utc.utc).tzname() }}{{ datetime.now(datetime.timezone.utc).utcoffset() }}", "UTC0:00:00"),
    ("{{ datetime.datetime.timedelta(days=1) }} {{ datetime.strptime('2024', '%Y').date() }}", "1 day, 0:00:00 2024-01-01"),
    (
        "{{ datetime.date(2024, 1, 2) - datetime.timedelta(days=1) }} {{ datetime.datetime.fromisoformat('2024-01-02').day }}",
        "2024-01-01 2",
    ),
]


async def test_templates_of_each_meaning_give_jinja_text(templates: Templates) -> None:
    sources = [source for source, _ in MEANINGS + FUNCTIONS]
    assert await templates.render(sources, VARIABLES) == [text for _, text in MEANINGS + FUNCTIONS]


async def test_templates_of_three_kinds_come_back_in_order(templates: Templates) -> None:
    texts = await templates.render(["plain\n", "{{ agent.name }}", DEFAULT_SYSTEM_TEMPLATE, "", "{{ 1 }}"], VARIABLES)
    assert texts[:2] + texts[3:] == ["plain", "Ada", "", "1"]
    assert texts[2].startswith("Your name is Ada.")


async def test_plain_and_default_templates_start_no_process(templates: Templates, seen: Seen) -> None:
    await templates.render(["plain } text {", DEFAULT_SYSTEM_TEMPLATE], VARIABLES)
    assert seen.events == []


async def test_default_template_is_the_same_in_process_and_in_a_worker(templates: Templates) -> None:
    here, there = await templates.render([DEFAULT_SYSTEM_TEMPLATE, DEFAULT_SYSTEM_TEMPLATE + "{# in a worker #}"], VARIABLES)
    assert here == there


async def test_variable_shadows_a_global(templates: Templates) -> None:
    assert await templates.render(["{{ json }}"], {"json": "mine"}) == ["mine"]


async def test_half_a_surrogate_pair_becomes_a_question_mark(templates: Templates) -> None:
    assert await templates.render(["{{ '\\ud800' }}"], {}) == ["?"]


@pytest.mark.skipif(not CORPUS.exists(), reason="the shared corpus is not here")
async def test_documented_session_templates_render(templates: Templates) -> None:
    documented = [json.loads(line)["text"] for line in CORPUS.read_text().splitlines()]
    ours = [text for text in documented if "metadata." in text or "agent." in text]
    assert len(ours) > 10
    texts = await templates.render(ours, {**VARIABLES, "metadata": {"mood": "friendly", "expertise": ["tea"]}, "tools": []})
    assert any("friendly tone" in text and "- tea" in text for text in texts)


# What goes wrong, and how it is told


FAULTS = [
    ("ok\n{% if %}", "Template syntax error: Expected an expression, got 'end of statement block' (line 2)"),
    ("{{ missing() }}", "Template undefined variable: 'missing' is undefined (line 1)"),
    ("{{ json.codecs() }}", "Template undefined variable: 'Namespace object' has no attribute 'codecs' (line 1)"),
    ("a\n{{ 1 / 0 }}", "Template failed: ZeroDivisionError (line 2)"),
    ("{{ 1 + 'a' }}", "Template failed: unsupported operand type(s) for +: 'int' and 'str' (line 1)"),
    ("{{ ''.__class__ }}", "Template refused: access to attribute '__class__' of 'str' object is unsafe (line 1)"),
    ("{{ range(1000001) }}", "Template failed: range has more than 1000000 items (line 1)"),
    ("{{ nlp('x') }}", "Template failed: nlp is not available in this version (line 1)"),
    ("{{ csv.writer('x') }}", "Template failed: csv.writer is not available in this version (line 1)"),
    ("{% include 'x' %}", "Template failed: no loader for this environment specified (line 1)"),
]


@pytest.mark.parametrize(("source", "message"), FAULTS)
async def test_wrong_template_is_named_with_its_line(templates: Templates, source: str, message: str) -> None:
    assert await failure_of(templates.render([source], {})) == message


async def test_wrong_template_among_others_is_named_by_index(templates: Templates) -> None:
    with pytest.raises(TemplateFailed) as caught:
        await templates.render(["plain", "{{ 1 }}", "{{ 1/0 }}"], {})
    assert caught.value.details["template"] == 2


@pytest.mark.parametrize(
    "source",
    ["{{ int(secret) }}", "{{ {}[secret].x() }}", "{{ ''|attr(secret) + 1 }}", "{{ json.loads(secret) }}", "{{ dict()[secret]() }}"],
)
async def test_message_of_a_failure_holds_no_value(templates: Templates, source: str) -> None:
    assert "hunter2" not in await failure_of(templates.render([source], {"secret": "hunter2"}))


async def test_clean_error_keeps_the_worker(templates: Templates, seen: Seen) -> None:
    await failure_of(templates.render(["{{ 1/0 }}"], {}))
    await templates.render(["{{ 1 }}"], {})
    assert len(seen.started) == 1


# What a template may not do


ESCAPES = [
    "{{ ''.__class__.__mro__ }}",
    "{{ ().__class__.__base__.__subclasses__() }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ self._TemplateReference__context }}",
    "{{ re.search.__globals__ }}",
    "{{ json._members }}",
    "{{ dump_json.__globals__ }}",
    "{{ datetime.now.__self__ }}",
    "{{ random.choice.__self__ }}",
    "{{ '{0.__class__}'.format(1) }}",
    "{{ '{a.__class__}'.format_map({'a': 1}) }}",
    "{{ map('{0.__class__}'.format, [1]) }}",
    "{{ ''|attr('__class__') }}",
    "{{ [1]|map(attribute='__class__')|list }}",
    "{{ ['']|map('attr', '__class__')|list }}",
    "{{ [1].append(2) }}",
    "{{ {'a': 1}.update({'a': 2}) }}",
    "{{ ([1]|map('upper')).gi_frame.f_globals }}",
    "{{ load_yaml('!!python/object/apply:os.getpid []') }}",
    "{{ str.format('{0.__class__}', 1) }}",
]


@pytest.mark.parametrize("source", ESCAPES)
async def test_escape_is_refused(templates: Templates, source: str) -> None:
    assert (await failure_of(templates.render([source], {}))).startswith(("Template refused", "Template failed", "Template undefined"))


@pytest.mark.parametrize("source", ["{{ json.codecs }}", "{{ re.sys }}", "{{ random.os }}", "{{ str.mro }}", "{{ datetime.sys }}"])
async def test_module_shows_nothing_but_its_list(templates: Templates, source: str) -> None:
    assert await templates.render([source], {}) == [""]


GREED = [
    ("{% for a in range(1000000) %}{% for b in range(1000000) %}{% endfor %}{% endfor %}", "took longer than 1 s"),
    ("{{ 10 ** (10 ** 8) }}", "took longer than 1 s"),
    ("{{ re.search('(a+)+$', 'a' * 60 ~ 'b') }}", "took longer than 1 s"),
    ("{{ 'a' * 10 ** 10 }}", "used more than 256 MB"),
    ("{{ 'a' | center(10 ** 9) }}", "used more than 256 MB"),
    ("{{ '%1000000000d' % 1 }}", "used more than 256 MB"),
    ("{{ [0] * 10 ** 9 }}", "used more than 256 MB"),
    ("{{ ([range(1000000) | list] * 50) | string }}", ""),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "too deeply"),
    ("{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}", ""),
    ("{{ " + "-" * 50_000 + "1 }}", ""),
    ("{% if 1 %}" * 2_000 + "{% endif %}" * 2_000, ""),
    ("{{ 'a' * 3000000 }}", "made more than 2000000 bytes"),
    ("{{ 'é' * 1500000 }}", "made more than 2000000 bytes"),
    ("{% for i in range(1000000) %}aaaa{% endfor %}", "made more than 2000000 bytes"),
    ("{{ load_json('[' * 100000) }}", ""),
    ("{{ load_yaml('[' * 100000) }}", ""),
]


@pytest.mark.parametrize(("source", "why"), GREED, ids=range(len(GREED)))
async def test_greedy_template_fails_while_another_tenant_is_served(start: Start, source: str, why: str) -> None:
    templates = start(template_timeout_s=1.0)
    greedy = asyncio.create_task(failure_of(templates.render([source], {})))
    assert await templates.render(["{{ 1 + 1 }}"], {}) == ["2"]
    assert why in await greedy
    assert await templates.render(["{{ 1 + 1 }}"], {}) == ["2"]


async def test_templates_of_one_request_share_the_limit_on_output(start: Start) -> None:
    templates = start(template_output_bytes_max=1_000)
    assert await failure_of(templates.render(["{{ 'a' * 600 }}"] * 2, {})) == "Template made more than 1000 bytes"


async def test_variables_that_are_too_large_are_refused(templates: Templates, seen: Seen) -> None:
    message = await failure_of(templates.render(["{{ x }}"], {"x": "a" * pool.REQUEST_BYTES_MAX}))
    assert "larger than 16 MB" in message
    assert seen.started == []


async def test_large_variables_and_large_text_pass(templates: Templates) -> None:
    (text,) = await templates.render(["{{ x }}"], {"x": "\x01é" * 500_000, "y": ["b" * 1_000] * 5_000})
    assert text == "\x01é" * 500_000


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has can be seen from outside on Linux only")
async def test_worker_has_nothing_that_a_render_does_not_need(templates: Templates, seen: Seen) -> None:
    await templates.render(["{{ 1 }}"], {})
    worker = psutil.Process(seen.started[0])
    assert worker.environ() == {"TZ": "UTC0"}
    # The one file tells the worker how large it is.
    assert [Path(file.path).name for file in worker.open_files()] == ["statm"]
    assert not Path(worker.cwd()).exists()
    limits = {line[:25].strip(): line[25:].split()[:2] for line in Path(f"/proc/{worker.pid}/limits").read_text().splitlines()}
    assert limits["Max file size"] == limits["Max processes"] == limits["Max core file size"] == ["0", "0"]
    assert limits["Max open files"] == [str(worker.num_fds())] * 2
    assert int(limits["Max address space"][1]) < 300_000_000
    assert worker.uids().effective != 0
    assert "NoNewPrivs:\t1" in Path(f"/proc/{worker.pid}/status").read_text()


# How processes live and end


async def test_worker_killed_while_rendering_is_replaced_once(start: Start, seen: Seen) -> None:
    templates = start(template_timeout_s=30.0)
    await templates.render(["{{ 1 }}"], {})
    slow = asyncio.create_task(templates.render(["{% for a in range(1000000) %}{% endfor %}done"], {}))
    await asyncio.sleep(0)
    psutil.Process(seen.started[0]).kill()
    assert await slow == ["done"]
    await seen.until(lambda: seen.ended.get(seen.started[0]) == "crashed")


async def test_worker_killed_twice_fails_the_render(start: Start, seen: Seen) -> None:
    templates = start(template_timeout_s=30.0)
    endless = "{% for a in range(1000000) %}{% for b in range(1000000) %}{% endfor %}{% endfor %}"
    task = asyncio.create_task(failure_of(templates.render([endless], {})))
    for attempt in (1, 2):
        await seen.until(lambda attempt=attempt: len(seen.started) == attempt)
        await kill_at_work(seen.started[-1])
    assert await task == "The process that rendered the template was killed"
    assert await templates.render(["{{ 2 }}"], {}) == ["2"]


async def test_worker_killed_while_idle_is_replaced(templates: Templates, seen: Seen) -> None:
    await templates.render(["{{ 1 }}"], {})
    process = psutil.Process(seen.started[0])
    process.kill()
    assert await templates.render(["{{ 2 }}"], {}) == ["2"]
    assert len(seen.started) == 2


async def test_worker_that_took_too_long_is_ended(start: Start, seen: Seen) -> None:
    templates = start(template_timeout_s=0.2)
    await failure_of(templates.render(["{{ 10 ** (10 ** 8) }}"], {}))
    await seen.until(lambda: seen.ended == {seen.started[0]: "timeout"})
    assert not psutil.pid_exists(seen.started[0])


async def test_worker_out_of_memory_is_recycled(templates: Templates, seen: Seen) -> None:
    await failure_of(templates.render(["{{ 'a' * 10 ** 10 }}"], {}))
    await seen.until(lambda: seen.ended == {seen.started[0]: "recycled"})


async def test_worker_is_recycled_after_its_number_of_renders(templates: Templates, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "RENDERS_MAX", 3)
    for _ in range(3):
        await templates.render(["{{ 1 }}"], {})
    await seen.until(lambda: seen.ended == {seen.started[0]: "recycled"})


async def test_worker_that_grew_is_recycled(templates: Templates, seen: Seen) -> None:
    # What one tenant's template left in the regex module's cache, or anywhere else, must not stay in memory.
    await templates.render(["{{ x | length }}"], {"x": [str(i) for i in range(1_000_000)]})
    await seen.until(lambda: seen.ended == {seen.started[0]: "recycled"})


async def test_idle_worker_ends(start: Start, seen: Seen) -> None:
    templates = start(template_idle_s=0.05)
    await templates.render(["{{ 1 }}"], {})
    await seen.until(lambda: seen.ended == {seen.started[0]: "idle"})
    assert not psutil.pid_exists(seen.started[0])
    assert await templates.render(["{{ 2 }}"], {}) == ["2"]


async def test_cancelled_render_does_not_leave_its_answer_to_the_next(start: Start, seen: Seen) -> None:
    templates = start(template_workers_max=1, template_timeout_s=30.0)
    slow = asyncio.create_task(templates.render(["{% for a in range(1000000) %}{% for b in range(99) %}{% endfor %}{% endfor %}old"], {}))
    await seen.until(lambda: len(seen.started) == 1)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    assert await templates.render(["new{{ 1 }}"], {}) == ["new1"]


async def test_many_renders_at_once_use_no_more_than_the_allowed_workers(start: Start, seen: Seen) -> None:
    templates = start(template_workers_max=2)
    texts = await asyncio.gather(*(templates.render([f"{{{{ {number} }}}}"], {}) for number in range(50)))
    assert texts == [[str(number)] for number in range(50)]
    assert len(seen.started) == 2


async def test_render_with_all_workers_busy_is_unavailable(start: Start, monkeypatch: pytest.MonkeyPatch, seen: Seen) -> None:
    monkeypatch.setattr(pool, "WAIT_S", 0.05)
    templates = start(template_workers_max=1, template_timeout_s=1.0)
    greedy = asyncio.create_task(failure_of(templates.render(["{{ 10 ** (10 ** 8) }}"], {})))
    await seen.until(lambda: len(seen.started) == 1)
    with pytest.raises(Unavailable, match="busy"):
        await templates.render(["{{ 1 }}"], {})
    assert "took longer" in await greedy


async def test_render_with_full_queue_is_unavailable(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "WAITING_MAX", 0)
    with pytest.raises(Unavailable, match="too many"):
        await start().render(["{{ 1 }}"], {})


async def test_close_leaves_no_process(start: Start, seen: Seen) -> None:
    templates = start(template_timeout_s=30.0)
    await templates.render(["{{ 1 }}"], {})
    running = [asyncio.create_task(templates.render(["{{ 10 ** (10 ** 8) }}"], {})) for _ in range(3)]
    await seen.until(lambda: len(seen.started) == 2)
    await templates.close()
    assert not any(psutil.pid_exists(pid) for pid in seen.started)
    assert set(seen.ended) == set(seen.started)
    results = await asyncio.gather(*running, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * 3


async def test_close_twice_changes_nothing(templates: Templates) -> None:
    await templates.render(["{{ 1 }}"], {})
    await templates.close()
    await templates.close()
    with pytest.raises(Unavailable):
        await templates.render(["{{ 1 }}"], {})


async def test_worker_ends_when_the_server_dies() -> None:
    code = (
        "import asyncio; from mentha.core.config import Settings; from mentha.sandbox.templates import Templates; "
        "from mentha.observe import events; events.subscribe(lambda event: print(event.pid, flush=True)); "
        "asyncio.run(Templates(Settings(template_timeout_s=30)).render(['{{ 10 ** (10 ** 8) }}'], {}))"
    )
    # All that this process can import, the server can.
    path = os.pathsep.join(sys.path)
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": path})
    assert server.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE_S):
            worker = psutil.Process(int(await server.stdout.readline()))
    finally:
        server.kill()
        await server.communicate()
    # Where nobody reaps it, it stays as a zombie.
    gone, _ = await asyncio.to_thread(psutil.wait_procs, [worker], DEADLINE_S)
    assert gone or worker.status() == psutil.STATUS_ZOMBIE
