"""A process that renders tenants' templates: `sandbox/templates.py` starts it, `main` is all of it.

It gives up everything that it does not need before it reads the first template (`sandbox/lockdown.py`): files, processes, privileges,
memory beyond a limit. Then it answers one request after the other until its input ends. Each request gets an environment of its own; only
compiled code, which cannot be changed, is kept between them. Time is kept by the server, which kills this process.

It imports little, because each worker pays for it in memory: the standard library, orjson, Jinja2, and through `surface` PyYAML and
markdown-it.

Frames, both ways: a length (4 bytes, little-endian), then JSON.
    hello    {"ready": true}
    request  {"templates": [text, …], "variables": {…}}
             or {"call": name, "arguments": [[…], {…}]}, where this process was given functions (`sandbox/expression_worker.py`)
    answer   {"texts": [text, …], "last": bool}
          or {"result": …, "last": bool}
          or {"failed": kind, "text": …, "line": int | null, "template": int, "last": bool}
`last` tells that this process should not be used again. `failed` is one of syntax, undefined, refused, error, depth, memory, output.
"""

import gc
import importlib
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType
from typing import Any, BinaryIO, NoReturn, cast

import orjson
from jinja2 import ChainableUndefined, Template, TemplateSyntaxError, UndefinedError
from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.exceptions import FilterArgumentError, SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mentha.sandbox.lockdown import Memory, close_inherited, limit_cpu, lock_down
from mentha.sandbox.surface import SurfaceError, surface

# What Jinja2 and the standard library import inside functions: nothing can be imported any more when templates run.
_PRELOADED = (
    *("_strptime", "pprint", "textwrap", "jinja2.constants", "jinja2.debug"),
    *(f"encodings.{name}" for name in ("ascii", "cp1252", "latin_1", "unicode_escape", "utf_16")),
)

# How Jinja2 names the code of a template that has no file; frames of templates are recognised by it.
TEMPLATE_FILE = "<template>"
COMPILED_MAX = 64
COMPILED_CHARS_MAX = 64_000
MESSAGE_CHARS_MAX = 300

MEMORY_ANSWER = b'{"failed":"memory","text":"","line":null,"template":0,"last":true}'

_QUOTED = re.compile(r"(['\"])([\w. ]{1,80})\1")


class TooMuchOutput(Exception):
    """The templates of one request made more text than they may."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the server tells a worker at its start: limits, and its own process id."""

    parent_pid: int
    timeout_s: float
    memory_bytes_max: int
    output_bytes_max: int


class TenantEnvironment(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox, with this product's options and names. What it refuses is an error at once, not an undefined value."""

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, undefined=ChainableUndefined, cache_size=0)
        self.globals = dict(_GLOBALS)

    def unsafe_undefined(self, obj: Any, attribute: str) -> NoReturn:
        """Refuse.

        Raises:
            SecurityError: always.
        """
        raise SecurityError(f"access to attribute {attribute!r} of {type(obj).__name__!r} object is unsafe")


_GLOBALS = {**DEFAULT_NAMESPACE, **surface()}
_COMPILER = TenantEnvironment()


@dataclass(frozen=True, slots=True)
class Offer:
    """What a worker does besides rendering.

    Attributes:
        functions: what can be called, by name. They need nothing that could only be imported later.
        numbered: variables whose keys are numbers: JSON makes text of them.
    """

    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]])
    numbered: frozenset[str] = frozenset()


def main(raw_options: str, offer: Offer | None = None) -> None:
    """Lock this process down, then answer requests until standard input ends.

    Args:
        raw_options: the fields of `Options`, as JSON.
    """
    options = Options(**orjson.loads(raw_options))
    close_inherited()
    for name in _PRELOADED:
        importlib.import_module(name)
    incoming = os.fdopen(0, "rb", buffering=65_536, closefd=False)
    # Whatever is printed in this process goes to standard error, which is nowhere, and never between two answers.
    outgoing = os.dup(1)
    os.dup2(2, 1)
    memory = Memory()
    lock_down(options.parent_pid, memory_bytes_max=memory.virtual_bytes() + options.memory_bytes_max, keep_fds=max(outgoing, memory.fd) + 1)
    gc.freeze()
    _send(outgoing, b'{"ready":true}')
    while (request := _receive(incoming)) is not None:
        limit_cpu(options.timeout_s)
        _send(outgoing, answer(request, options.output_bytes_max, memory, offer or Offer()))


def answer(raw: bytes, output_bytes_max: int, memory: Memory, offer: Offer) -> bytes:
    """The answer to one request, both as JSON."""
    texts: list[str] = []
    try:
        request = orjson.loads(raw)
        if "call" in request:
            return _called(offer.functions[request["call"]], request["arguments"], output_bytes_max, memory)
        templates = request["templates"]
        variables = {name: _numbered(value) if name in offer.numbered else value for name, value in request["variables"].items()}
        try:
            for text in rendered(templates, variables, output_bytes_max):
                texts.append(text)  # noqa: PERF402 - the list must show how far it came
        except Exception as error:  # noqa: BLE001 - code of tenants may raise anything; all of it becomes an answer
            return orjson.dumps(failure(error, templates[len(texts)]) | {"template": len(texts)})
        return _pack({"texts": texts, "last": memory.grown()})
    except MemoryError:
        return MEMORY_ANSWER


def _called(function: Callable[..., Any], arguments: Any, output_bytes_max: int, memory: Memory) -> bytes:
    positional, named = arguments
    try:
        result = orjson.dumps(function(*positional, **named), default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the arguments are a tenant's; whatever they set off becomes an answer
        return orjson.dumps(_failed_call(error) | {"line": None, "template": 0})
    if len(result) > output_bytes_max:
        return orjson.dumps({"failed": "output", "text": "", "line": None, "template": 0, "last": memory.grown()})
    return b'{"result":%b,"last":%b}' % (result, b"true" if memory.grown() else b"false")


def _failed_call(error: Exception) -> dict[str, Any]:
    if isinstance(error, RecursionError):
        return {"failed": "depth", "text": "", "last": True}
    text = str(error).encode("utf-8", "replace").decode()[:MESSAGE_CHARS_MAX]
    return {"failed": "error", "text": f"{type(error).__name__}: {text}" if text else type(error).__name__, "last": False}


def _numbered(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {int(key) if key.isdigit() else key: item for key, item in cast("dict[str, Any]", value).items()}


def _plain(value: Any) -> Any:
    """What JSON has no form for, as a function of the table may give it."""
    return list(value) if isinstance(value, tuple | set | frozenset) else str(value)


def rendered(templates: list[str], variables: dict[str, Any], output_bytes_max: int) -> Iterator[str]:
    """The texts that `templates` make of the same variables, in order.

    Raises:
        TooMuchOutput: together they made more than `output_bytes_max` bytes.
        Exception: whatever a template did wrong; the template at fault is the one whose text did not come.
    """
    environment = TenantEnvironment()
    left = output_bytes_max
    for source in templates:
        text = _render(environment, source, variables, left)
        left -= len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        if left < 0:
            raise TooMuchOutput
        yield text


def failure(error: Exception, source: str) -> dict[str, Any]:
    """`error` as an answer that may be shown to the template's author: no text from a variable's value is in it.

    Args:
        error: what the template raised.
        source: the template that failed; only words that stand in it are quoted.
    """
    kind = _kind(error)
    line = error.lineno if isinstance(error, TemplateSyntaxError) else _line_of(error, source)
    return {"failed": kind, "text": _text(error, source)[:MESSAGE_CHARS_MAX], "line": line, "last": kind in ("depth", "memory")}


def _kind(error: Exception) -> str:
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (TemplateSyntaxError, "syntax"),
        (SyntaxError, "syntax"),
        (UndefinedError, "undefined"),
        (SecurityError, "refused"),
        (MemoryError, "memory"),
        (RecursionError, "depth"),
        (TooMuchOutput, "output"),
    )
    return next((kind for cls, kind in kinds if isinstance(error, cls)), "error")


def _text(error: Exception, source: str) -> str:
    match error:
        case TemplateSyntaxError():
            return error.message or "it cannot be parsed"
        case SyntaxError():
            return error.msg or "it cannot be compiled"
        case SurfaceError():
            return str(error)
        case UndefinedError():
            return _without_values(str(error), source) or "something that is looked up does not exist"
        case SecurityError() | FilterArgumentError() | TypeError():
            return _without_values(str(error), source) or type(error).__name__
        case _:
            return type(error).__name__


def _without_values(message: str, source: str) -> str:
    """`message` where everything quoted in it is a type's name or stands in the template; else nothing."""

    def known(found: re.Match[str]) -> str:
        return "" if found[2] in source or found[2] in _TYPE_NAMES else found[0]

    rest = _QUOTED.sub(known, message)
    return "" if "'" in rest or '"' in rest else message


_TYPE_NAMES = frozenset(
    f"{name}{suffix}"
    for name in ("str", "int", "float", "bool", "list", "dict", "tuple", "set", "range", "function", "datetime", "Namespace", "NoneType")
    for suffix in ("", " object")
)


def _line_of(error: Exception, source: str) -> int | None:
    """The line of the template in which `error` came up, by the deepest frame of a template."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == TEMPLATE_FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    if line is None or isinstance(error, MemoryError | RecursionError):
        return None
    return Template.from_code(_COMPILER, _compile(source), {}).get_corresponding_lineno(line)


def _render(environment: TenantEnvironment, source: str, variables: dict[str, Any], output_chars_max: int) -> str:
    template = Template.from_code(environment, _compile(source), environment.globals)
    pieces: list[str] = []
    left = output_chars_max
    for piece in template.root_render_func(template.new_context(variables)):
        left -= len(piece)
        if left < 0:
            raise TooMuchOutput
        pieces.append(piece)
    return "".join(pieces)


def _compile(source: str) -> CodeType:
    return _compile_kept(source) if len(source) <= COMPILED_CHARS_MAX else _COMPILER.compile(source)


@lru_cache(COMPILED_MAX)
def _compile_kept(source: str) -> CodeType:
    return _COMPILER.compile(source)


def _pack(answer: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(answer)
    except orjson.JSONEncodeError:
        # A template can write half of a surrogate pair, which no UTF-8 text can hold.
        answer["texts"] = [text.encode("utf-8", "replace").decode() for text in answer["texts"]]
        return orjson.dumps(answer)


def _receive(incoming: BinaryIO) -> bytes | None:
    head = incoming.read(4)
    if len(head) < 4:
        return None
    (length,) = struct.unpack("<I", head)
    body = incoming.read(length)
    return body if len(body) == length else None


def _send(fd: int, body: bytes) -> None:
    left = memoryview(struct.pack("<I", len(body)) + body)
    while left:
        left = left[os.write(fd, left) :]
