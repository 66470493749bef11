"""Looks for planted secrets, in every form that programs repeat them in, wherever a server leaves anything."""

import base64
import html
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

# All tables of all schemas: also those of the queue.
TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
"""
# In the text of a row, columns of bytes are in hexadecimal.
FOUND = """SELECT f.form FROM unnest($1::text[]) AS f (form)
WHERE EXISTS (SELECT FROM {table} x WHERE age(x.xmin) <= age($2::text::xid) AND position(f.form IN x::text) > 0)"""


def forms(secret: str) -> set[str]:
    """The secret plain, percent-encoded, escaped for JSON and HTML; the first three in base64 and in hexadecimal, too."""
    sent = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
    plain = sent | {quote(secret), html.escape(secret), secret.lower()}
    coded = {_base64(text.encode(), skipped) for text in sent for skipped in range(3)}
    return plain | coded | {text.replace("+", "-").replace("/", "_") for text in coded} | {text.encode().hex() for text in sent}


def _base64(raw: bytes, skipped: int) -> str:
    """What of the base64 is the same whatever `skipped` bytes stand before, and whatever behind."""
    return base64.b64encode(bytes(skipped) + raw).decode()[-(-8 * skipped // 6) : 8 * (skipped + len(raw)) // 6]


def in_text(secrets: Iterable[str], text: str) -> list[str]:
    """The forms of secrets that a text has."""
    return sorted(form for secret in secrets for form in forms(secret) if form in text)


async def now(rows: Any) -> str:
    """This moment, in transactions."""
    return await rows.fetchval("SELECT pg_current_xact_id()::xid::text")


async def in_tables(secrets: Iterable[str], rows: Any, *, since: str) -> list[tuple[str, str]]:
    """The tables of a database that have a secret, each with the form of it; looked for by the database, in the text of whole rows.

    Args:
        since: what `now` gave: rows that have not changed since then are other tests', and thousands.
    """
    wanted = {form for secret in secrets for form in forms(secret)}
    wanted |= {form.encode().hex() for form in wanted}
    # A text inside of JSON inside of a column is escaped once more.
    wanted |= {json.dumps(form)[1:-1] for form in wanted}
    found: list[tuple[str, str]] = []
    tables = [row["name"] for row in await rows.fetch(TABLES)]
    assert len(tables) > 20
    for table in tables:
        found += [(table, row["form"]) for row in await rows.fetch(FOUND.format(table=table), sorted(wanted), since)]
    return found
