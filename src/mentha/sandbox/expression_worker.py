"""What expressions may call that the sandbox itself does not have: YAML, CSV, URLs, statistics, Markdown, HTML, sentences.

It runs in the same kind of process as templates do (`sandbox/worker.py`): no files, no network, limits on time and memory. Arguments
and results are JSON. The same process renders what of a task's text is Jinja2, and checks it before.
"""

import csv
import io
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from mentha.expr.names import CHECK_TEMPLATE, NUMBERED, WORKER_FUNCTIONS
from mentha.sandbox import worker
from mentha.sandbox.surface import surface
from mentha.sandbox.template_check import check_template


def main(raw_options: str) -> None:
    """As `worker.main`, with the functions of expressions, and the check of templates."""
    compiler = worker.TenantEnvironment()
    worker.main(raw_options, worker.Offer({**functions(), CHECK_TEMPLATE: partial(check_template, compiler)}, NUMBERED))


def functions() -> dict[str, Callable[..., Any]]:
    """The table: each name of `expr.names.WORKER_FUNCTIONS` with its function."""
    own: dict[str, Callable[..., Any]] = {
        "strptime": strptime,
        "csv.write": write_rows,
        "csv.write_dicts": write_records,
    }
    table = surface()
    return {name: own[name] if name in own else _named(table, name) for name in WORKER_FUNCTIONS}


def strptime(text: str, layout: str) -> list[int | None]:
    """Year, month, day, hour, minute, second, microsecond, and the offset in seconds or nothing. The sandbox's own needs a whole date."""
    moment = datetime.strptime(text, layout)  # noqa: DTZ007 - whether there is a zone is for the layout to say
    offset = moment.utcoffset()
    whole = moment.timetuple()[:6]
    return [*whole, moment.microsecond, None if offset is None else round(offset.total_seconds())]


def write_rows(rows: list[list[Any]], **options: Any) -> str:
    r"""Rows as CSV, lines ended by `\r\n` unless `lineterminator` says otherwise."""
    text = io.StringIO(newline="")
    csv.writer(text, **options).writerows(rows)
    return text.getvalue()


def write_records(fields: list[str], rows: list[dict[str, Any]], **options: Any) -> str:
    """Dictionaries as lines of CSV, without a line for the names."""
    text = io.StringIO(newline="")
    csv.DictWriter(text, fields, **options).writerows(rows)
    return text.getvalue()


def _named(table: dict[str, Any], name: str) -> Callable[..., Any]:
    first, *rest = name.split(".")
    found = table[first]
    for part in rest:
        found = getattr(found, part)
    return found
