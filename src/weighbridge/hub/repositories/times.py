"""Times as clients of the Hub read them: `2022-08-19T07:19:38.123Z`."""

from datetime import UTC, datetime


def iso(milliseconds: int) -> str:
    """Return milliseconds since 1970 as text."""
    return iso_of(datetime.fromtimestamp(milliseconds / 1000, UTC))


def iso_of(moment: datetime) -> str:
    """Return a moment as text."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
