"""The wall clock, in one place."""

from datetime import UTC, datetime


def now() -> datetime:
    """The time now, in UTC with microseconds."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """`moment` as the API writes it: ISO 8601, UTC, microseconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
