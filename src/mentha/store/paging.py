"""Statements that list: one text for each of the four orders, made at import so that every statement is a constant."""

from typing import LiteralString

from mentha.wire.common import Direction, Page, SortBy

_SQL: dict[Direction, LiteralString] = {"asc": "ASC", "desc": "DESC"}
Ordered = dict[tuple[SortBy, Direction], LiteralString]


def ordered(select: LiteralString, *, alias: LiteralString = "x") -> Ordered:
    """`select` in all four orders, with `LIMIT $2 OFFSET $3`.

    The id is the last criterion, so that rows with the same time keep one order and paging neither skips nor repeats.
    """
    directions: tuple[tuple[Direction, LiteralString], ...] = (("asc", "ASC"), ("desc", "DESC"))
    columns: tuple[tuple[SortBy, LiteralString], ...] = (("created_at", "created_at"), ("updated_at", "updated_at"))
    return {
        (sort_by, direction): select + f" ORDER BY {alias}.{column} {sql}, {alias}.id {sql} LIMIT $2 OFFSET $3"
        for sort_by, column in columns
        for direction, sql in directions
    }


# Of one page as JSON: it ends before the row that would exceed it, but has one row in any case.
PAGE_BYTES_MAX = 60_000_000


def size_of(column: LiteralString) -> LiteralString:
    """The bytes of a JSON column as text; of what is stored uncompressed as they are stored, which is about the same and costs nothing."""
    stored, text = f"pg_column_size({column})", f"octet_length({column}::text)"
    return f"(CASE WHEN {column} IS NULL THEN 0 WHEN pg_column_compression({column}) IS NULL THEN {stored} ELSE {text} END)"


def ended_early(statements: Ordered, *, names: LiteralString, large: tuple[LiteralString, ...], limit: LiteralString) -> Ordered:
    """These statements with pages that end before their rows have more bytes than the parameter `limit`; one row they have in any case.

    Args:
        names: the columns that come out, without an alias.
        large: those that may be large.
    """
    size: LiteralString = " + ".join([size_of("q." + column) for column in large])
    return {
        (sort_by, direction): f"""
SELECT {names} FROM (
    SELECT q.*, sum({size}) OVER w AS page_bytes, row_number() OVER w AS page_place FROM ({select}) q
    WINDOW w AS (ORDER BY q.{sort_by} {_SQL[direction]}, q.id {_SQL[direction]})
) q WHERE page_bytes <= {limit} OR page_place = 1 ORDER BY q.{sort_by} {_SQL[direction]}, q.id {_SQL[direction]}
"""
        for (sort_by, direction), select in statements.items()
    }


def statement(statements: Ordered, page: Page) -> LiteralString:
    """The statement for the order that `page` asks for."""
    return statements[(page.sort_by, page.direction)]
