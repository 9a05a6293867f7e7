"""The addresses of the pages."""

from __future__ import annotations

from urllib.parse import quote, urlencode

TABS = ("rendered", "wire", "events", "diff", "raw")


def conversation(conversation_id: str) -> str:
    """Return the address of a conversation."""
    return f"/conversation/{quote(conversation_id, safe='')}"


def turn(conversation_id: str, turn_id: str, tab: str = "") -> str:
    """Return the address of a turn in its conversation, with a tab of `TABS` open."""
    values = {"turn": turn_id} | ({"tab": tab} if tab else {})
    return f"{conversation(conversation_id)}?{urlencode(values)}"


def listing(**filters: str) -> str:
    """Return the address of the list, with filters."""
    return f"/?{urlencode(filters)}" if filters else "/"
