"""Figures of the log as a person says them."""

from __future__ import annotations

from datetime import timedelta


def milliseconds(duration_ms: float | None) -> str:
    """Return a duration as a person says it."""
    if duration_ms is None:
        return ""
    if duration_ms < 1000:
        return f"{duration_ms:.0f} ms"
    if duration_ms < 60_000:
        return f"{duration_ms / 1000:.1f} s"
    return str(timedelta(seconds=round(duration_ms / 1000)))


def moment(time: str) -> str:
    """Return a time of the log's without its fraction."""
    return f"{time[:10]} {time[11:19]}"


def bytes_size(count: int) -> str:
    """Return a number of bytes as a person says it: ``812 bytes``, ``1.3 MB``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{count / size:.{1 if count < 10 * size else 0}f} {unit}"
    return f"{count} bytes"
