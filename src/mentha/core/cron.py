"""Times that repeat: cron expressions in a time zone, by the library `cronsim`, which does as Debian's cron when clocks change."""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

FIELDS = 5
EXPRESSION_CHARS_MAX = 200
TIMEZONE_CHARS_MAX = 64


class CronInvalid(ValueError):
    """An expression or the name of a time zone is none; the message says what is wrong."""


def check(expression: str, timezone: str) -> None:
    """Do nothing where both are valid.

    Raises:
        CronInvalid: the expression has not five fields or one of them is wrong, or there is no such time zone.
    """
    next_after(expression, timezone, datetime.now(UTC))


def next_after(expression: str, timezone: str, moment: datetime) -> datetime | None:
    """The first time after `moment`, in UTC; None where there is none within 50 years.

    Raises:
        CronInvalid: as `check`.
    """
    # The library takes a sixth field, for seconds.
    if len(expression.split()) != FIELDS:
        raise CronInvalid("a cron expression has five fields: minute, hour, day of month, month, day of week")
    try:
        found = next(CronSim(expression, moment.astimezone(_zone(timezone))), None)
    except CronSimError as error:
        raise CronInvalid(f"not a cron expression: {str(error)[:1].lower()}{str(error)[1:]}") from None
    return found.astimezone(UTC) if found is not None else None


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise CronInvalid("there is no such time zone; it is named like `Europe/Berlin`") from None
