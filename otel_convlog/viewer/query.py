"""Numbers in the query of an address, where anything may stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_DIGITS = 9


def whole_number(query: Mapping[str, str], name: str) -> int | None:
    """Return a whole number from 0 on; None where there is none, or one that counts nothing here."""
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None
