"""Times as docs/format.md has them: UTC, ISO 8601, always six fractional digits and ``Z``."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

TIME_PATTERN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def format_time(time_ns: int) -> str:
    """Format nanoseconds since the epoch, e.g. ``2026-11-23T08:06:10.123456Z``: 27 characters, whatever the time."""
    return format_datetime(_EPOCH + timedelta(microseconds=time_ns // 1000))


def format_datetime(time: datetime) -> str:
    """Format an aware time in the same way.

    Raises:
        OverflowError: It is not within the years that a datetime has in UTC.
    """
    return time.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(formatted: str) -> datetime:
    """Read a time as the log has it.

    Raises:
        ValueError: It is none.
    """
    return datetime.fromisoformat(formatted.replace("Z", "+00:00"))


def earlier(formatted: str, by: timedelta) -> str:
    """Return the formatted time that lies so much before a formatted one; the time itself where it is none of ours."""
    try:
        return format_datetime(parse_time(formatted) - by)
    except (ValueError, OverflowError):
        return formatted
