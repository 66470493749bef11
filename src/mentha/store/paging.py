"""Statements that list: one text for each of the four orders, made at import so that every statement is a constant."""

from typing import LiteralString

from mentha.wire.common import Direction, Page, SortBy

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


def statement(statements: Ordered, page: Page) -> LiteralString:
    """The statement for the order that `page` asks for."""
    return statements[(page.sort_by, page.direction)]
