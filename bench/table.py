"""The table that a run prints."""

from collections.abc import Sequence
from dataclasses import dataclass

COLUMNS = ("figure", "measured", "to reach", "", "ratio to floor", "p50 ms", "p99 ms", "per s", "errors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure.

    Attributes:
        limit: what `value` must not exceed; for a figure of which more is better, what it must reach.
        floor: the floor of the same figure, in its unit.
        errors: answers that were no 2xx, and connections that broke.
    """

    figure: str
    value: float
    unit: str
    limit: float | None = None
    more_is_better: bool = False
    floor: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    per_s: float | None = None
    errors: int | None = None

    @property
    def reached(self) -> bool:
        """Whether the figure is as good as it must be, without an error."""
        well = self.limit is None or (self.value >= self.limit if self.more_is_better else self.value <= self.limit)
        return well and not self.errors


def show(rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown, its columns aligned."""
    cells = [COLUMNS, *map(_cells, rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(COLUMNS))]
    lines = [
        " | ".join(cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in cells
    ]
    rule = "|".join("-" * (width + 2) if at == 0 else "-" * (width + 1) + ":" for at, width in enumerate(widths))
    return "\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])])


def _cells(row: Row) -> tuple[str, ...]:
    sign = "≥" if row.more_is_better else "≤"
    return (
        row.figure,
        f"{_number(row.value)} {row.unit}",
        "" if row.limit is None else f"{sign} {row.limit:g} {row.unit}",
        "" if row.limit is None else "yes" if row.reached else "NO",
        "" if not row.floor else f"{row.value / row.floor:.1f}",
        "" if row.p50_ms is None else f"{row.p50_ms:.1f}",
        "" if row.p99_ms is None else f"{row.p99_ms:.1f}",
        "" if row.per_s is None else f"{row.per_s:.0f}",
        "" if row.errors is None else str(row.errors),
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"
