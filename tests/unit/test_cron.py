"""Times that repeat: what counts as an expression, and what follows when clocks change."""

from datetime import UTC, datetime

import pytest

from mentha.core import cron
from mentha.core.cron import CronInvalid

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "timezone", "after", "due"),
    [
        ("*/15 * * * *", "UTC", NOON, "2026-03-28T12:15:00+00:00"),
        ("0 9 * * MON-FRI", "Europe/Berlin", NOON, "2026-03-30T07:00:00+00:00"),
        # 02:30 is left out on this day: it comes when the clock has been put forward.
        ("30 2 * * *", "Europe/Berlin", NOON, "2026-03-29T01:00:00+00:00"),
        # 02:30 comes twice on this day, and counts once.
        ("30 2 * * *", "Europe/Berlin", datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "2026-10-26T01:30:00+00:00"),
        ("0 0 * 2 MON#5", "UTC", NOON, "2044-02-29T00:00:00+00:00"),
    ],
)
def test_next_time_is_that_of_the_expression_in_its_zone(expression: str, timezone: str, after: datetime, due: str) -> None:
    found = cron.next_after(expression, timezone, after)
    assert found is not None
    assert found.isoformat() == due


@pytest.mark.parametrize("expression", ["", "x", "* * * *", "* * * * * *", "60 * * * *", "0 0 31 2 *", "@daily", "* * * * * " * 50])
def test_expression_that_is_none_is_refused(expression: str) -> None:
    with pytest.raises(CronInvalid):
        cron.check(expression, "UTC")


@pytest.mark.parametrize("timezone", ["", "Nowhere/Land", "../../etc/passwd", "/etc/localtime", "UTC\x00", "x" * 60])
def test_time_zone_that_is_none_is_refused(timezone: str) -> None:
    with pytest.raises(CronInvalid, match="time zone"):
        cron.check("* * * * *", timezone)
