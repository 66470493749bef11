"""Pieces of code that stand before an expression in the sandbox, each only where it is needed.

They are written in the sandbox's dialect of Python (Monty 1.4): no imports of ours, no classes of the standard library that it lacks.
All names begin with two underscores, which expressions may not use.
"""

import keyword
from collections.abc import Iterable

from mentha.expr.names import WORKER_FUNCTIONS, worker_name
from mentha.expr.paths import KEY_COMPARED_CHARS_MAX, KEYS_COMPARED_MAX

RANGE_ITEMS_MAX = 1_000_000

# Each piece: what it needs itself, and its code.
_PIECES: dict[str, tuple[tuple[str, ...], str]] = {
    # Where a key of a dictionary is meant, or an attribute of a date, a match, …
    "attribute": (
        ("key of",),
        """
def __ga(o, n):
    if isinstance(o, dict):
        if n in o:
            return o[n]
        x = __key_of(o, n)
        if x is not None:
            return o[x]
        k = [str(x) for x in o]
        raise AttributeError("there is no '" + n + "'" + ("; there is: " + ", ".join(k[:10]) if k else " in {}"))
    if n[0] == '_':
        raise AttributeError("'" + type(o).__name__ + "' object has no attribute '" + n + "'")
    return getattr(o, n)
""",
    ),
    # The same as `paths.key_of`.
    "key of": (
        ("import re as __re",),
        f"""
def __key_of(o, n):
    for x in list(o)[:{KEYS_COMPARED_MAX}]:
        if isinstance(x, str) and len(x) <= {KEY_COMPARED_CHARS_MAX}:
            a = __re.sub('\\\\W+', '_', __re.sub('^\\\\W+', '', x))
            if ('x' + a if a[:1].isdigit() or a in {tuple(keyword.kwlist)} else a) == n:
                return x
    return None
""",
    ),
    "to": (
        ("import json as __json",),
        """
def __to(o, n):
    if n == 'to_json' and isinstance(o, (dict, list)):
        return __json.dumps(o)
    if isinstance(o, dict if n == 'to_dict' else list):
        return o.copy()
    raise AttributeError("'" + type(o).__name__ + "' object has no attribute '" + n + "'")
""",
    ),
    # A method that is named without being called: a key of that name comes first.
    "method": (
        (),
        """
def __gm(o, n, f):
    if isinstance(o, dict) and n in o:
        return o[n]
    return lambda *a, **k: f(o, *a, **k)
""",
    ),
    "data": (("import json as __json",), "__d = __json.loads(__raw)\ndef __p(i):\n    return __d[i]\n"),
    # Where a path leads nowhere, which counts only when it is looked at.
    "missing": (
        ("data",),
        """
def __p(i):
    if i in __missing:
        raise LookupError(__missing[i])
    return __d[i]
""",
    ),
    # JSON knows text keys only, and `steps` has numbers.
    "numbered": (
        ("data",),
        """
for __i in __numbered:
    if isinstance(__d[__i], dict):
        __d[__i] = {(int(k) if k.isdigit() else k): v for k, v in __d[__i].items()}
""",
    ),
    "cat": ((), "def __cat(*p):\n    return ''.join([str(x) for x in p])\n"),
    "fmt": ((), "__fmt = format\n__repr = repr\n__str = str\n"),
    # Text that may only look like an interpolation.
    "try": ((), "def __try(f, t):\n    try:\n        return f()\n    except Exception:\n        return t\n"),
    "hasattr": ((), "def __hasattr(o, n):\n    return n in o if isinstance(o, dict) else n[0] != '_' and hasattr(o, n)\n"),
    "range": (
        (),
        f"""
def __range(*a):
    r = range(*a)
    if len(r) > {RANGE_ITEMS_MAX}:
        raise ValueError('range has more than {RANGE_ITEMS_MAX} items')
    return r
""",
    ),
    "reduce": (("from functools import reduce as __reduce",), ""),
    "match_regex": (("import re as __re",), "def __match_regex(p, s):\n    return __re.fullmatch(p, s) is not None\n"),
    "extract_json": (
        ("import json as __json", "worker extract_json"),
        f"""
def __extract_json(s):
    if '```' not in s:
        try:
            return __json.loads(s)
        except ValueError:
            pass
    return {worker_name("extract_json")}(s)
""",
    ),
    "sub": (
        ("import re as __re",),
        """
def __sub(p, r, s, count=0, flags=0):
    if isinstance(r, str):
        return __re.sub(p, r, s, count, flags)
    return __subn(p, r, s, count, flags)[0]
def __subn(p, r, s, count=0, flags=0):
    out = []
    at = 0
    n = 0
    for m in __re.finditer(p, s, flags):
        if count and n == count:
            break
        out.append(s[at:m.start()])
        out.append(__re.sub(p, r, m.group(), 1, flags) if isinstance(r, str) else r(m))
        at = m.end()
        n = n + 1
    out.append(s[at:])
    return (''.join(out), n)
""",
    ),
    "subn": (("sub",), ""),
    "b64encode": (("import base64 as __base64",), "def __b64encode(s):\n    return __base64.b64encode(s.encode()).decode()\n"),
    "b64decode": (("import base64 as __base64",), "def __b64decode(s):\n    return __base64.b64decode(s).decode()\n"),
    # The sandbox's own takes whole numbers only.
    "timedelta": (
        ("import datetime as __datetime",),
        """
def __timedelta(days=0, seconds=0, microseconds=0, milliseconds=0, minutes=0, hours=0, weeks=0):
    n = (weeks * 604800 + days * 86400 + hours * 3600 + minutes * 60 + seconds) * 1000000 + milliseconds * 1000 + microseconds
    return __datetime.timedelta(microseconds=round(n))
""",
    ),
    "fromtimestamp": (
        ("timedelta",),
        """
def __fromtimestamp(t, tz=None):
    d = __datetime.datetime(1970, 1, 1, tzinfo=__datetime.timezone.utc) + __timedelta(seconds=t)
    return d.replace(tzinfo=None) if tz is None else d.astimezone(tz)
""",
    ),
    "utcnow": (
        ("import datetime as __datetime",),
        "def __utcnow():\n    return __datetime.datetime.now(__datetime.timezone.utc).replace(tzinfo=None)\n",
    ),
    "today": (("import datetime as __datetime",), "def __today():\n    return __datetime.datetime.now()\n"),
    "strptime": (
        ("import datetime as __datetime", "worker strptime"),
        f"""
def __strptime(s, f):
    a = {worker_name("strptime")}(s, f)
    tz = None if a[7] is None else __datetime.timezone(__datetime.timedelta(seconds=a[7]))
    return __datetime.datetime(a[0], a[1], a[2], a[3], a[4], a[5], a[6], tzinfo=tz)
""",
    ),
    "time_strptime": (
        ("import datetime as __datetime", "strptime", "from collections import namedtuple as __namedtuple"),
        """
__Time = __namedtuple('struct_time', ['tm_year', 'tm_mon', 'tm_mday', 'tm_hour', 'tm_min', 'tm_sec', 'tm_wday', 'tm_yday', 'tm_isdst'])
def __time_strptime(s, f):
    d = __strptime(s, f)
    day = (d.date() - __datetime.date(d.year, 1, 1)).days + 1
    return __Time(d.year, d.month, d.day, d.hour, d.minute, d.second, d.weekday(), day, -1)
""",
    ),
    "urlparse": (
        ("worker urllib.parse.urlparse", "from collections import namedtuple as __namedtuple"),
        f"""
__Url = __namedtuple('ParseResult', ['scheme', 'netloc', 'path', 'params', 'query', 'fragment'])
def __urlparse(*a, **k):
    r = {worker_name("urllib.parse.urlparse")}(*a, **k)
    return __Url(r[0], r[1], r[2], r[3], r[4], r[5])
""",
    ),
    "urlsplit": (
        ("worker urllib.parse.urlsplit", "from collections import namedtuple as __namedtuple"),
        f"""
__Split = __namedtuple('SplitResult', ['scheme', 'netloc', 'path', 'query', 'fragment'])
def __urlsplit(*a, **k):
    r = {worker_name("urllib.parse.urlsplit")}(*a, **k)
    return __Split(r[0], r[1], r[2], r[3], r[4])
""",
    ),
    # The original takes a text first and never gives it back; here methods can be chained, and the writer itself is its text.
    "csv_writer": (
        ("worker csv.write", "worker csv.write_dicts"),
        f"""
class __Writer:
    def __init__(self, text, fields, options):
        self.text = text
        self.fields = fields
        self.options = options
    def writerow(self, row):
        return self.writerows([row])
    def writerows(self, rows):
        if self.fields is None:
            self.text = self.text + {worker_name("csv.write")}([list(r) for r in rows], **self.options)
        else:
            self.text = self.text + {worker_name("csv.write_dicts")}(self.fields, list(rows), **self.options)
        return self
    def writeheader(self):
        self.text = self.text + {worker_name("csv.write")}([self.fields], **self.options)
        return self
    def getvalue(self):
        return self.text
def __csv_writer(text='', **k):
    return __Writer(text, None, k)
def __csv_dict_writer(text, fieldnames, **k):
    return __Writer(text, list(fieldnames), k)
""",
    ),
    # Arguments and results cross as JSON text, so that no value of a tenant is ever built in the server.
    "worker": (
        ("import json as __json", "norm"),
        """
def __call(n, a, k):
    p = [__norm(x) for x in a]
    return __json.loads(__host(n, __json.dumps([p, {x: __norm(k[x]) for x in k}], allow_nan=False)))
""",
    ),
    "norm": (
        ("import json as __json",),
        """
def __key(k):
    if isinstance(k, str):
        return k
    return __json.dumps(k) if k is None or isinstance(k, bool) else str(__norm(k))
def __norm(x):
    if x is None or isinstance(x, (str, bool, int)):
        return x
    if isinstance(x, float):
        return x if x == x and x not in (float('inf'), float('-inf')) else None
    if isinstance(x, dict):
        return {__key(k): __norm(v) for k, v in x.items()}
    t = type(x).__name__
    if isinstance(x, (list, tuple, set, frozenset, range)) or t in ('dict_keys', 'dict_values', 'dict_items', 'list_iterator'):
        return [__norm(v) for v in x]
    if t in ('datetime', 'date', 'time'):
        return x.isoformat()
    if t == 'timedelta':
        return x.total_seconds()
    if t == '__Writer':
        return x.text
    if t == 'type' or 'function' in t or 'method' in t:
        raise TypeError('a function or type is not a value; call it')
    return str(x)
""",
    ),
    "out": (
        ("import json as __json", "norm"),
        """
def __out(v):
    try:
        return __json.dumps(v, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError):
        return __json.dumps(__norm(v), allow_nan=False, ensure_ascii=False)
""",
    ),
    # Where every value is text, true, false or a number that is no fraction.
    "out plain": (("import json as __json",), "def __out(v):\n    return __json.dumps(v, ensure_ascii=False)\n"),
}
for _name in WORKER_FUNCTIONS:
    _PIECES[f"worker {_name}"] = (("worker",), f"def {worker_name(_name)}(*a, **k):\n    return __call({_name!r}, a, k)\n")


def prelude(needs: Iterable[str]) -> str:
    """The code that must stand before an expression that needs these pieces: imports first, each piece once, after what it needs."""
    imports: dict[str, None] = {}
    pieces: dict[str, None] = {}

    def add(need: str) -> None:
        if need.startswith(("import ", "from ")):
            imports[need] = None
        elif need not in pieces:
            inner, code = _PIECES[need]
            for each in inner:
                add(each)
            pieces[need] = None
            texts.append(code)

    texts: list[str] = []
    for need in sorted(needs):
        add(need)
    return "".join(f"{line}\n" for line in imports) + "".join(texts)


def calls_worker(needs: Iterable[str]) -> bool:
    """Whether some function of `needs` is computed outside of the sandbox."""
    return any(need == "worker" or need.startswith("worker ") or any(calls_worker([inner]) for inner in _inner(need)) for need in needs)


def _inner(need: str) -> tuple[str, ...]:
    return _PIECES[need][0] if need in _PIECES else ()
