"""Evaluation of what a task holds: a JSON value goes in, the same value with every expression and template evaluated comes out.

    evaluate → plain text: as it is | paths: followed here | expressions: one snippet in Monty | Jinja2: rendered by a worker

What a text means is decided in `expr/`, pure and kept in memory; this module waits, limits and puts together. A tenant has at most
`TENANT_RUNS_MAX` of the processes, so that one that burns time or memory takes nothing from the others.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal
from uuid import UUID

from mentha.core.config import Settings
from mentha.core.errors import ExpressionFailed, TemplateFailed, Unavailable
from mentha.core.json import JsonInvalid, JsonObject, JsonValue, dumps, loads_hostile
from mentha.expr.compile import INITIAL, ITEMS, Compiled, assemble, compile_fold, compile_text, is_plain, texts_in
from mentha.expr.names import CHECK_TEMPLATE
from mentha.expr.paths import Missing, follow, kind_of
from mentha.sandbox.monty import Bounds, Monty, SnippetFailed
from mentha.sandbox.templates import Templates

RUNS_MAX = 4
TENANT_RUNS_MAX = 2
# Evaluations take well below a millisecond, so a queue this long or slow means that expressions are being misused.
WAITING_MAX = 2_000
TENANT_WAITING_MAX = 500
WAIT_S = 30.0
# Of the interpreter; with all that it waits for, `TOTAL_S`.
TIME_S = 1.0
TOTAL_S = 15.0
MEMORY_BYTES_MAX = 256_000_000
INPUT_BYTES_MAX = 50_000_000
OUTPUT_CHARS_MAX = 20_000_000
DEPTH_MAX_LEVELS = 200
CALLS_MAX = 200
RESULT_DEPTH_MAX_LEVELS = 100
IDLE_S = 60.0
# It takes up to 8 microseconds a character, and others wait meanwhile.
COMPILED_HERE_CHARS_MAX = 2_000

_SHOWN_CHARS_MAX = 80
_WORD = re.compile(r"\w+")

Position = Literal["value", "condition", "list", "string"]


@dataclass(slots=True)
class _Share:
    """What one tenant has going: processes of Monty, Python processes, and how many evaluations wait or run."""

    runs: asyncio.Semaphore
    functions: asyncio.Semaphore
    users: int = 0


class Expressions:
    """Evaluates expressions. Starts nothing by itself; `aclose` it in the end. Belongs to one event loop.

    Args:
        settings: the limits of templates hold for Jinja2 and for functions that a Python process computes.
        time_s, memory_bytes_max: of one evaluation; `TIME_S` and `MEMORY_BYTES_MAX` unless told.
        idle_s: the processes end after this long without work.
    """

    def __init__(
        self, settings: Settings, *, time_s: float = TIME_S, memory_bytes_max: int = MEMORY_BYTES_MAX, idle_s: float = IDLE_S
    ) -> None:
        bounds = Bounds(time_s, memory_bytes_max, DEPTH_MAX_LEVELS, CALLS_MAX)
        self._monty = Monty(processes_max=RUNS_MAX, bounds=bounds, idle_s=idle_s)
        self._functions = Templates(settings, worker="mentha.sandbox.expression_worker")
        self._runs = asyncio.Semaphore(RUNS_MAX)
        # One is left to the others, where there are two or more.
        self._tenant_functions_max = max(1, settings.template_workers_max - 1)
        self._shares: dict[UUID, _Share] = {}
        self._waiting = 0
        self._closed = False

    async def evaluate(self, tenant: UUID, value: JsonValue, names: Mapping[str, JsonValue], *, position: Position = "value") -> JsonValue:
        """`value` with every expression and template in it evaluated, deep.

        JSON comes back: tuples and sets as lists, dates in ISO form, numbers that JSON lacks as null. What is plain text, number, true,
        false or null stays. Keys of objects are not evaluated. What a path finds is the very object in `names`: do not change it.

        Args:
            tenant: whose share of the processes is used.
            names: the context: `_`, `steps`, …. Only what the expressions name is sent to a process.
            position: `condition` gives true or false; `list` gives a list (keys of an object, characters of a text); `string` gives text.

        Raises:
            ExpressionFailed: an expression is none, failed, or broke a limit.
            Unavailable: no process became free in time, or none could be started, or this object is closed. Try again later.
        """
        result = await self._evaluated(tenant, value, names)
        return result if position == "value" else _fitted(result, position, value)

    async def fold(
        self, tenant: UUID, expression: str, items: list[JsonValue], initial: JsonValue, names: Mapping[str, JsonValue]
    ) -> JsonValue:
        """`items` folded from the left: `expression` sees what there is so far as `results`, and the item as `_`.

        Args:
            expression: with or without its `$ `.
            initial: the first `results`, and the value where there are no items.

        Raises:
            ExpressionFailed, Unavailable: as in `evaluate`.
        """
        compiled = compile_fold(expression)
        _refuse_invalid(compiled)
        (value,) = await self._run(tenant, [compiled], {**names, ITEMS: items, INITIAL: initial})
        return value

    async def check_template(self, tenant: UUID, text: str) -> JsonObject:
        """What is wrong with a template of Jinja2, as `sandbox/template_check.py` tells it, under the limits of one render.

        Raises:
            Unavailable: as in `evaluate`.
        """
        try:
            with self._share(tenant) as share:
                async with asyncio.timeout(TOTAL_S), share.functions:
                    return await self._functions.call(CHECK_TEMPLATE, dumps([[text], {}]).decode())
        except TemplateFailed as error:
            return {"message": error.message, "line": None}
        except TimeoutError:
            raise Unavailable("all processes that check templates are busy") from None

    async def aclose(self) -> None:
        """End all processes. Evaluations in flight fail with `Unavailable`. A second call changes nothing."""
        if self._closed:
            return
        self._closed = True
        await self._monty.close()
        await self._functions.close()

    async def _evaluated(self, tenant: UUID, value: JsonValue, names: Mapping[str, JsonValue]) -> JsonValue:
        if isinstance(value, str) and is_plain(value):
            return value
        texts = await _compiled(texts_in(value))
        results: list[JsonValue] = [None] * len(texts)
        pending: list[int] = []
        for index, text in enumerate(texts):
            if text.kind == "literal" or (text.is_guess and not _all_there(text, names)):
                results[index] = text.text
            elif text.kind == "path":
                results[index] = _followed(text, names)
            elif text.kind == "jinja":
                results[index] = await self._rendered(tenant, text, names)
            else:
                _refuse_invalid(text)
                pending.append(index)
        if pending:
            for index, result in zip(pending, await self._run(tenant, [texts[index] for index in pending], names), strict=True):
                results[index] = result
        return _filled(value, iter(results))

    async def _run(self, tenant: UUID, compiled: Sequence[Compiled], names: Mapping[str, JsonValue]) -> list[JsonValue]:
        """The values of expressions, all in one snippet."""
        found: list[JsonValue] = []
        missing: dict[int, str] = {}
        for path in (path for each in compiled for path in each.paths):
            try:
                found.append(follow(path, names))
            except Missing as error:
                # Perhaps it is never looked at: `_.a if 'a' in _ else 1`.
                missing[len(found)] = str(error)
                found.append(None)
        snippet = assemble(compiled, is_complete=not missing)
        inputs: dict[str, object] = {"__most": OUTPUT_CHARS_MAX}
        if found:
            inputs["__raw"] = _sent(found, compiled[0])
        if missing:
            inputs["__missing"] = missing
        if snippet.numbered:
            inputs["__numbered"] = list(snippet.numbered)
        try:
            with self._share(tenant) as share:
                async with self._slot(share):
                    host = partial(self._call, share) if snippet.calls_worker else None
                    raw = await self._monty.run(snippet.text, inputs, host)
            return _received(raw)
        except SnippetFailed as error:
            if self._closed:
                raise Unavailable("the server is stopping") from None
            at = error.line - snippet.first_line
            raise _failed(error.kind, error.message, compiled[at] if 0 <= at < len(compiled) else compiled[0]) from None
        except TimeoutError:
            raise _failed("time", f"took longer than {TOTAL_S:g} s", compiled[0]) from None

    async def _call(self, share: _Share, function: str, arguments: str) -> str:
        try:
            async with share.functions:
                return dumps(await self._functions.call(function, arguments)).decode()
        except TemplateFailed as error:
            message = error.message.removeprefix("Template failed: ").replace("Template ", f"{function} ", 1)
            raise SnippetFailed("error", message) from None

    async def _rendered(self, tenant: UUID, text: Compiled, names: Mapping[str, JsonValue]) -> str:
        words = set(_WORD.findall(text.text))
        variables = {name: value for name, value in names.items() if name in words}
        try:
            with self._share(tenant) as share:
                async with asyncio.timeout(TOTAL_S), share.functions:
                    (rendered,) = await self._functions.render([text.text], variables)
        except TemplateFailed as error:
            raise _failed("template", error.message, text) from None
        except TimeoutError:
            raise Unavailable("all processes that render templates are busy") from None
        return rendered

    @contextlib.contextmanager
    def _share(self, tenant: UUID) -> Generator[_Share]:
        """What a tenant has going, kept as long as there is something."""
        share = self._shares.get(tenant) or _Share(asyncio.Semaphore(TENANT_RUNS_MAX), asyncio.Semaphore(self._tenant_functions_max))
        if self._waiting >= WAITING_MAX or share.users >= TENANT_WAITING_MAX:
            raise Unavailable("too many expressions are waiting to be evaluated")
        self._shares[tenant] = share
        share.users += 1
        try:
            yield share
        finally:
            share.users -= 1
            if not share.users:
                del self._shares[tenant]

    @contextlib.asynccontextmanager
    async def _slot(self, share: _Share) -> AsyncGenerator[None]:
        """The right to use one process of Monty, for `TOTAL_S` at most."""
        async with contextlib.AsyncExitStack() as stack:
            self._waiting += 1
            try:
                async with asyncio.timeout(WAIT_S):
                    await stack.enter_async_context(share.runs)
                    await stack.enter_async_context(self._runs)
            except TimeoutError:
                raise Unavailable("all processes that evaluate expressions are busy") from None
            finally:
                self._waiting -= 1
            if self._closed:
                raise Unavailable("the server is stopping")
            async with asyncio.timeout(TOTAL_S):
                yield


async def _compiled(texts: list[str]) -> list[Compiled]:
    """What these texts mean; in a thread where finding out may take long."""
    if sum(len(text) for text in texts if not is_plain(text)) <= COMPILED_HERE_CHARS_MAX:
        return [compile_text(text) for text in texts]
    return await asyncio.to_thread(lambda: [compile_text(text) for text in texts])


def _sent(values: list[JsonValue], first: Compiled) -> str:
    try:
        raw = dumps(values)
    except TypeError as error:
        raise _failed("input", f"what it reads is no JSON: {error}", first) from None
    if len(raw) > INPUT_BYTES_MAX:
        raise _failed("input", f"reads more than {INPUT_BYTES_MAX // 1_000_000} MB", first)
    return raw.decode()


def _received(raw: object) -> list[JsonValue]:
    if not isinstance(raw, str):
        raise SnippetFailed("output", f"gives more than {OUTPUT_CHARS_MAX // 1_000_000} MB")
    try:
        return loads_hostile(raw.encode("utf-8", "replace"), depth_max_levels=RESULT_DEPTH_MAX_LEVELS)
    except JsonInvalid as error:
        raise SnippetFailed("output", f"gives what is no JSON: {error}") from None


def _followed(text: Compiled, names: Mapping[str, JsonValue]) -> JsonValue:
    try:
        return follow(text.paths[0], names)
    except Missing as error:
        raise _failed("undefined", str(error), text) from None


def _all_there(text: Compiled, names: Mapping[str, JsonValue]) -> bool:
    return all(name in names for name, _, _ in text.roots)


def _filled(value: JsonValue, results: Iterator[JsonValue]) -> JsonValue:
    """`value` with each text in it replaced by the next result, in the order of `texts_in`."""
    if isinstance(value, str):
        return next(results)
    if isinstance(value, dict):
        return {key: _filled(item, results) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, results) for item in value]
    return value


def _fitted(result: JsonValue, position: Position, value: JsonValue) -> JsonValue:
    match position:
        case "condition":
            return bool(result)
        case "string":
            return result if isinstance(result, str) else str(result)
        case _:
            if isinstance(result, list | dict | str):
                return list(result)
            text = str(value)
            raise ExpressionFailed(f"{_shortened(text)}: gives {kind_of(result)} where a list is needed", text, "type")


def _refuse_invalid(text: Compiled) -> None:
    """Raise what the check at creation would have said, for texts that never went through it."""
    if text.problems:
        problem = text.problems[0]
        kind = "syntax" if problem.issue_type == "syntax" else "refused"
        raise ExpressionFailed(f"{_shortened(text.source)}: {problem.message}", text.text, kind, fix=problem.fix)


def _failed(kind: str, message: str, text: Compiled) -> ExpressionFailed:
    return ExpressionFailed(f"{_shortened(text.source or text.text)}: {' '.join(message.split())}", text.text, kind)


def _shortened(text: str) -> str:
    text = " ".join(text[: _SHOWN_CHARS_MAX * 4].split())
    return f"`{text}`" if len(text) <= _SHOWN_CHARS_MAX else f"`{text[: _SHOWN_CHARS_MAX - 1]}…`"
