"""The names that every tenant's template may use besides its variables. Imported by the worker only.

Modules appear as `Namespace`s of chosen functions, never as the real thing, so no attribute of a real module can leak. Builtin types
appear as functions, because an unbound method such as `str.format` would pass by the sandbox's checks. Nothing here may keep a
template's data after the render: workers serve many tenants.

Source of the list: the function surface of the Julep API (`docs/templates.md` repeats it for users).
"""

import base64
import csv
import datetime as dt
import functools
import io
import json
import math
import random
import re
import statistics
import string
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import yaml

from mentha.sandbox.markup import html_to_markdown, markdown_to_html
from mentha.sandbox.sentences import chunk_doc

RANGE_ITEMS_MAX = 1_000_000

# Both build plain data only; the ones in C exist where PyYAML was built with libyaml.
_YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_YAML_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_FENCED = re.compile(r"```(?:json)?[ \t]*\n?(.*?)```", re.DOTALL)


class SurfaceError(Exception):
    """A function of the surface cannot do what was asked. The text holds no value of a variable, so it may be shown."""


class Namespace:
    """A read-only bundle of functions and constants that a template sees as a module. With `call` it is a constructor as well."""

    __slots__ = ("_call", "_members", "_name")
    # Jinja2 shows it in messages: "'Namespace object' has no attribute …".
    __module__ = "builtins"

    def __init__(self, name: str, members: Mapping[str, Any], call: Callable[..., Any] | None = None) -> None:
        self._name = name
        self._members = members
        self._call = call

    def __getattr__(self, name: str) -> Any:
        try:
            return self._members[name]
        except KeyError:
            raise AttributeError(name) from None

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call what the namespace itself stands for, like `datetime(2026, 1, 1)`."""
        if self._call is None:
            raise SurfaceError(f"{self._name} is a module and cannot be called")
        return self._call(*args, **options)

    def __repr__(self) -> str:
        return f"<{self._name}>"


class Utc(dt.tzinfo):
    """UTC, with itself under `utc`: the original API says `datetime.timezone.utc.utc` where Python says `datetime.timezone.utc`."""

    @property
    def utc(self) -> "Utc":
        """This very zone."""
        return self

    def utcoffset(self, _moment: dt.datetime | None, /) -> dt.timedelta:
        """Always zero."""
        return dt.timedelta(0)

    def dst(self, _moment: dt.datetime | None, /) -> dt.timedelta:
        """Always zero."""
        return dt.timedelta(0)

    def tzname(self, _moment: dt.datetime | None, /) -> str:
        """Always `UTC`."""
        return "UTC"

    def __repr__(self) -> str:
        return "UTC"


def surface() -> dict[str, Any]:
    """Every name that is offered, in a new dictionary whose values are shared and cannot be changed by a template."""
    return {
        **_constants(),
        **_builtins(),
        **_functions(),
        "re": _re(),
        "json": Namespace("json", {"loads": load_json, "dumps": dump_json}),
        "yaml": Namespace("yaml", {"load": load_yaml, "safe_load": load_yaml, "dump": dump_yaml, "safe_dump": dump_yaml}),
        "string": _string(),
        "datetime": _datetime(),
        "math": _math(),
        "statistics": _statistics(),
        "base64": Namespace("base64", {"b64encode": b64encode, "b64decode": b64decode}),
        "urllib": Namespace("urllib", {"parse": _urllib_parse()}),
        "random": _random(),
        "time": Namespace("time", {"time": time.time, "strftime": time.strftime, "strptime": time.strptime}),
        "csv": _csv(),
    }


def limited_range(*args: int) -> range:
    """`range`, of at most `RANGE_ITEMS_MAX` items.

    Raises:
        SurfaceError: it would have more.
    """
    numbers = range(*args)
    try:
        too_many = len(numbers) > RANGE_ITEMS_MAX
    except OverflowError:
        too_many = True
    if too_many:
        raise SurfaceError(f"range has more than {RANGE_ITEMS_MAX} items")
    return numbers


def load_json(text: str) -> Any:
    """Parse JSON."""
    return json.loads(text)


def dump_json(
    value: Any, *, indent: int | str | None = None, sort_keys: bool = False, ensure_ascii: bool = True, separators: Any = None
) -> str:
    """`value` as JSON."""
    return json.dumps(value, indent=indent, sort_keys=sort_keys, ensure_ascii=ensure_ascii, separators=separators)


def extract_json(text: str) -> Any:
    """Parse the first fenced code block of a text (or the whole text where it has none) as JSON; raw newlines in strings are allowed."""
    found = _FENCED.search(text)
    return json.loads((found[1] if found else text).strip(), strict=False)


def load_yaml(text: str, *_loader: Any) -> Any:
    """Parse YAML into plain data, whatever loader is asked for."""
    return yaml.load(text, Loader=_YAML_LOADER)  # noqa: S506 - the loader is a safe one, in C where there is one


def dump_yaml(
    value: Any, *, sort_keys: bool = True, default_flow_style: bool = False, allow_unicode: bool = False, indent: int | None = None
) -> str:
    """Plain data as YAML."""
    return yaml.dump(
        value, Dumper=_YAML_DUMPER, sort_keys=sort_keys, default_flow_style=default_flow_style, allow_unicode=allow_unicode, indent=indent
    )


def search_regex(pattern: str, text: str) -> re.Match[str] | None:
    """The first match of `pattern` anywhere in `text`."""
    return re.search(pattern, text)


def match_regex(pattern: str, text: str) -> bool:
    """Whether `pattern` matches the whole of `text`."""
    return re.fullmatch(pattern, text) is not None


def b64encode(text: str) -> str:
    """`text`, as UTF-8, in base64."""
    return base64.b64encode(text.encode()).decode()


def b64decode(text: str) -> str:
    """The UTF-8 text that is in `text` in base64."""
    return base64.b64decode(text).decode()


def read_rows(text: str | Iterable[str], **options: Any) -> list[list[str]]:
    """The rows of a text in CSV."""
    return list(csv.reader(_lines(text), **options))


def read_records(text: str | Iterable[str], fieldnames: list[str] | None = None, **options: Any) -> list[dict[Any, Any]]:
    """The rows of a text in CSV by the names in its first row, or by `fieldnames`."""
    return list(csv.DictReader(_lines(text), fieldnames, **options))


def _unavailable(name: str) -> Callable[..., NoReturn]:
    def refuse(*_args: Any, **_options: Any) -> NoReturn:
        raise SurfaceError(f"{name} is not available in this version")

    return refuse


def _constants() -> dict[str, Any]:
    return {"NEWLINE": "\n", "true": True, "false": False, "null": None}


def _builtins() -> dict[str, Any]:
    return {
        "abs": abs,
        "all": all,
        "any": any,
        "len": len,
        "max": max,
        "min": min,
        "round": round,
        "sum": sum,
        "range": limited_range,
        "reduce": functools.reduce,
        "sorted": sorted,
        # Functions in place of types.
        **{kind.__name__: _function(kind) for kind in (bool, dict, float, int, list, set, str, tuple)},
        # Lists in place of iterators, so that printing them shows the items.
        **{kind.__name__: _listed(kind) for kind in (enumerate, map, reversed, zip)},
    }


def _function(kind: Callable[..., Any]) -> Callable[..., Any]:
    """The constructor of `kind` without the type itself."""

    def make(*args: Any, **options: Any) -> Any:
        return kind(*args, **options)

    return make


def _listed(kind: Callable[..., Iterable[Any]]) -> Callable[..., list[Any]]:
    def make(*args: Any, **options: Any) -> list[Any]:
        return list(kind(*args, **options))

    return make


def _functions() -> dict[str, Any]:
    offered = {
        "load_json": load_json,
        "dump_json": dump_json,
        "extract_json": extract_json,
        "load_yaml": load_yaml,
        "dump_yaml": dump_yaml,
        "search_regex": search_regex,
        "match_regex": match_regex,
        "chunk_doc": chunk_doc,
        "markdown_to_html": markdown_to_html,
        "html_to_markdown": html_to_markdown,
    }
    absent = ("nlp", "humanize_text_alpha")
    return offered | {name: _unavailable(name) for name in absent}


def _re() -> Namespace:
    names = ("escape", "findall", "finditer", "fullmatch", "match", "search", "split", "sub", "subn")
    flags = {name: int(getattr(re, name)) for name in ("I", "IGNORECASE", "M", "MULTILINE", "S", "DOTALL", "X", "VERBOSE")}
    return Namespace("re", {name: getattr(re, name) for name in names} | flags)


def _string() -> Namespace:
    letters = ("ascii_letters", "ascii_lowercase", "ascii_uppercase")
    names = (*letters, "digits", "hexdigits", "octdigits", "punctuation", "whitespace", "printable")
    return Namespace("string", {name: getattr(string, name) for name in names})


def _datetime() -> Namespace:
    """The original's nesting and Python's own, both: `datetime.datetime.now()`, `datetime.now()`, `datetime.datetime.timedelta(…)`."""
    utc = Utc()
    timezone = Namespace("datetime.timezone", {"utc": utc}, call=_function(dt.timezone))
    date = Namespace("datetime.date", _classmethods(dt.date, "today", "fromisoformat", "fromtimestamp"), call=_function(dt.date))
    clock = Namespace("datetime.time", _classmethods(dt.time, "fromisoformat"), call=_function(dt.time))
    makers = {"date": date, "time": clock, "timedelta": _function(dt.timedelta), "timezone": timezone}
    methods = _classmethods(dt.datetime, "now", "today", "utcnow", "strptime", "fromisoformat", "fromtimestamp", "combine")
    inner = Namespace("datetime.datetime", {**makers, **methods, "datetime": _function(dt.datetime)}, call=_function(dt.datetime))
    return Namespace("datetime", {**makers, **methods, "datetime": inner}, call=_function(dt.datetime))


def _classmethods(kind: type, *names: str) -> dict[str, Callable[..., Any]]:
    return {name: getattr(kind, name) for name in names}


def _math() -> Namespace:
    simple = ("sqrt", "exp", "ceil", "floor", "isinf", "isnan", "log", "log10", "log2", "pow")
    angles = ("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "pi", "e")
    return Namespace("math", {name: getattr(math, name) for name in (*simple, *angles)})


def _statistics() -> Namespace:
    names = ("mean", "stdev", "geometric_mean", "median", "median_low", "median_high", "mode", "quantiles")
    return Namespace("statistics", {name: getattr(statistics, name) for name in names})


def _urllib_parse() -> Namespace:
    names = ("urlparse", "urlencode", "unquote", "quote", "parse_qs", "parse_qsl", "urlsplit")
    return Namespace("urllib.parse", {name: getattr(urllib.parse, name) for name in names})


def _random() -> Namespace:
    # Seeded by the system and out of a template's reach, so that no tenant can steer what another one draws.
    source = random.SystemRandom()
    return Namespace("random", {name: getattr(source, name) for name in ("choice", "sample", "randint", "random")})


def _csv() -> Namespace:
    quoting = {name: getattr(csv, name) for name in ("QUOTE_ALL", "QUOTE_MINIMAL", "QUOTE_NONNUMERIC", "QUOTE_NONE")}
    # The library's register of dialects is shared by all tenants of a process: what writes to it stays out.
    absent = ("writer", "DictWriter", "register_dialect", "unregister_dialect", "field_size_limit", "Sniffer")
    return Namespace(
        "csv",
        {
            "reader": read_rows,
            "DictReader": read_records,
            "list_dialects": csv.list_dialects,
            **quoting,
            **{name: _unavailable(f"csv.{name}") for name in absent},
        },
    )


def _lines(text: str | Iterable[str]) -> Iterable[str]:
    return io.StringIO(text, newline="") if isinstance(text, str) else text
