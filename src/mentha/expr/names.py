"""Every name that an expression may use: functions, modules, constants, and what of an execution it sees.

One table, `GLOBALS`, maps each name that we offer to what stands for it inside the sandbox. The rewrite, the check, the sandbox and
the documentation all read it. Names of the context (`_`, `steps`, …) are data: they come with each evaluation.

Source: the function surface of the Julep API, plus what its documentation uses and its evaluator lacked.
"""

import string
from collections.abc import Iterable
from typing import NamedTuple


class Entry(NamedTuple):
    """What stands for a name in the sandbox.

    Attributes:
        code: an expression of the sandbox's language.
        needs: the pieces of `expr/prelude.py` that must stand before it, and modules to import, as `import x as __x`.
    """

    code: str
    needs: tuple[str, ...] = ()


# What an execution lets its expressions see. `results` exists in `reduce` only.
CONTEXT = {
    "_": "the input of the step: the output of the one before, or the item of a loop",
    "steps": "what the steps of this workflow took and gave: `steps[0].output`, `steps['label'].input`",
    "inputs": "the inputs of the steps, by number",
    "outputs": "the outputs of the steps, by number",
    "state": "what `set` steps stored",
    "agent": "the agent: `agent.name`, `agent.instructions`, …",
    "agent_tools": "the agent's tools",
    "session": "the session that the execution belongs to, or null",
    "user": "the user that the execution belongs to, or null",
    "execution": "the execution: `execution.id`, `execution.input`, …",
    "task": "the task: `task.name`, `task.metadata`, `task.tools`, `task.workflows`, …",
    "arguments": "the input of the execution",
    "secrets": "the tenant's secrets by name",
    "developer_id": "the tenant's id",
}
REDUCE_CONTEXT = frozenset({"_", "results"})
# Dictionaries by number: `steps[0]`, though JSON knows text keys only.
NUMBERED = frozenset({"steps", "inputs", "outputs"})

CONSTANTS: dict[str, object] = {"NEWLINE": "\n", "true": True, "false": False, "null": None}

# The sandbox has these itself.
_NATIVE = """
abs all any bool bytes chr dict divmod enumerate filter float format frozenset int isinstance iter len list map max min next ord pow
repr reversed round set sorted str sum tuple type zip
""".split()
TYPES = frozenset({"bool", "bytes", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple"})
# What is called on a type itself, not on a value of it.
OF_TYPES = frozenset({"fromhex", "fromkeys", "from_bytes"})

# Methods of dictionaries, which come before keys of the same name where they are called: `_.items()`.
DICT_METHODS = frozenset({"clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"})
# What the original's objects and lists had besides: here they are dictionaries and lists already.
BOX_METHODS = frozenset({"to_dict", "to_json", "to_list"})
# Other methods that are handed on as functions: `map(text.count, letters)`.
VALUE_METHODS = frozenset(
    """
    append capitalize casefold center count decode difference encode endswith extend find format index intersection isalnum isalpha
    isdecimal isdigit islower isnumeric isspace isupper join ljust lower lstrip partition removeprefix removesuffix replace rfind rindex
    rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title union upper zfill
    """.split()
)
REFUSED_METHODS = frozenset({"format_map", "mro", "tb_frame", "gi_frame", "gi_code", "ag_frame", "cr_frame", "exec"})

# Names that people expect and don't get, with what to do instead.
ABSENT = {
    "nlp": "it needs a language model that is not part of the server; use chunk_doc for sentences, re for patterns",
    "humanize_text_alpha": "it sent texts to third parties; use a prompt step",
    "eval": "write the expression itself",
    "exec": "an expression has one value and no statements",
    "open": "expressions read no files",
    "print": "use a log step",
    "input": "use a wait_for_input step",
    "getattr": "write value.name, or value.get(name)",
    "setattr": "build a new value: {**value, 'name': 1}",
    "hash": "compare values themselves",
    "callable": "only functions of the list can be called",
    "object": "use a dict",
    "super": "there are no classes",
    "globals": "name what you need",
    "locals": "name what you need",
    "vars": "name what you need",
    "dir": "use list(value)",
    "__import__": "modules of the list are there without an import",
}


def _same(module: str, names: str) -> dict[str, Entry]:
    # Under a name of our own, because a variable of an expression may be called `json`.
    return {f"{module}.{name}": Entry(f"__{module}.{name}", (f"import {module} as __{module}",)) for name in names.split()}


def _worker(names: Iterable[str]) -> dict[str, Entry]:
    """What no sandbox of Rust has: a Python process with limits computes it (`sandbox/expression_worker.py`)."""
    return {name: Entry(worker_name(name), (f"worker {name}",)) for name in names}


def worker_name(name: str) -> str:
    """What the sandbox calls a function of the worker."""
    return "__w_" + name.replace(".", "_")


def _datetime() -> dict[str, Entry]:
    """The original's nesting and Python's own, both: `datetime.datetime.now()`, `datetime.now()`, `datetime.datetime.timedelta(…)`."""
    needs = "import datetime as __datetime"
    kinds = {kind: Entry(f"__datetime.{kind}", (needs,)) for kind in ("date", "time", "timedelta", "timezone")}
    methods = {name: Entry(f"__datetime.datetime.{name}", (needs,)) for name in ("combine", "fromisoformat", "now", "min", "max")}
    methods |= {name: Entry(f"__{name}", (name,)) for name in ("fromtimestamp", "strptime", "today", "utcnow")}
    methods["timezone.utc"] = methods["timezone.utc.utc"] = Entry("__datetime.timezone.utc", (needs,))
    for kind, its in (("date", "today fromisoformat min max"), ("time", "fromisoformat min max"), ("timedelta", "min max")):
        methods |= {f"{kind}.{name}": Entry(f"__datetime.{kind}.{name}", (needs,)) for name in its.split()}
    the_class = Entry("__datetime.datetime", (needs,))
    inner = {**kinds, **methods, "datetime": the_class, "UTC": methods["timezone.utc"]}
    inner |= {f"datetime.{name}": entry for name, entry in methods.items()}
    return {
        "datetime": the_class,
        **{f"datetime.{name}": entry for name, entry in inner.items()},
        **{f"datetime.datetime.{name}": entry for name, entry in inner.items()},
    }


# Of these, only what the table names.
CLASSES = frozenset(f"__datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone"))

# What the process of these functions does besides; no expression can name it.
CHECK_TEMPLATE = "check template"
WORKER_FUNCTIONS = frozenset(
    """
    load_yaml dump_yaml extract_json chunk_doc markdown_to_html html_to_markdown strptime
    yaml.load yaml.safe_load yaml.dump yaml.safe_dump
    statistics.mean statistics.stdev statistics.geometric_mean statistics.median statistics.median_low statistics.median_high
    statistics.mode statistics.quantiles
    urllib.parse.urlparse urllib.parse.urlsplit urllib.parse.urlencode urllib.parse.quote urllib.parse.unquote urllib.parse.parse_qs
    urllib.parse.parse_qsl
    csv.reader csv.DictReader csv.write csv.write_dicts csv.list_dialects
    """.split()
)
# Called by pieces of the prelude, never by an expression.
_INNER = {"strptime", "extract_json", "urllib.parse.urlparse", "urllib.parse.urlsplit", "csv.write", "csv.write_dicts"}
_STRINGS = "ascii_letters ascii_lowercase ascii_uppercase digits hexdigits octdigits punctuation whitespace printable".split()

GLOBALS: dict[str, Entry] = {
    **{name: Entry(name) for name in _NATIVE},
    "hasattr": Entry("__hasattr", ("hasattr",)),
    "range": Entry("__range", ("range",)),
    "reduce": Entry("__reduce", ("reduce",)),
    "load_json": Entry("__json.loads", ("import json as __json",)),
    "dump_json": Entry("__json.dumps", ("import json as __json",)),
    "extract_json": Entry("__extract_json", ("extract_json",)),
    "search_regex": Entry("__re.search", ("import re as __re",)),
    "match_regex": Entry("__match_regex", ("match_regex",)),
    **_worker(WORKER_FUNCTIONS - _INNER),
    **_same("re", "search escape findall finditer fullmatch match split"),
    **{f"re.{name}": Entry(f"__{name}", (name,)) for name in ("sub", "subn")},
    **_same("re", "I IGNORECASE M MULTILINE S DOTALL"),
    **_same("json", "loads dumps"),
    **{f"string.{name}": Entry(repr(getattr(string, name))) for name in _STRINGS},
    **_datetime(),
    **_same("math", "sqrt exp ceil floor isinf isnan log log10 log2 pow sin cos tan asin acos atan atan2 pi e"),
    "base64.b64encode": Entry("__b64encode", ("b64encode",)),
    "base64.b64decode": Entry("__b64decode", ("b64decode",)),
    "urllib.parse.urlparse": Entry("__urlparse", ("urlparse",)),
    "urllib.parse.urlsplit": Entry("__urlsplit", ("urlsplit",)),
    **_same("random", "choice sample randint random"),
    **_same("time", "time strftime"),
    "time.strptime": Entry("__time_strptime", ("time_strptime",)),
    "csv.writer": Entry("__csv_writer", ("csv_writer",)),
    "csv.DictWriter": Entry("__csv_dict_writer", ("csv_writer",)),
    **{f"csv.QUOTE_{name}": Entry(str(number)) for number, name in enumerate(("MINIMAL", "ALL", "NONNUMERIC", "NONE"))},
}

FUNCTIONS = frozenset(name for name in GLOBALS if "." not in name and name != "datetime")
MODULES = frozenset(name.partition(".")[0] for name in GLOBALS if "." in name)
# Everything that is there without a context.
KNOWN = FUNCTIONS | MODULES | set(CONSTANTS)


def members(module: str) -> list[str]:
    """The names that `module` has, nested ones with their dots, in order."""
    return sorted(name.removeprefix(f"{module}.") for name in GLOBALS if name.startswith(f"{module}."))
