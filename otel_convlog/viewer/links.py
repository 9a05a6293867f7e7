"""The addresses of the pages, and how a conversation's id stands in them."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from starlette.convertors import Convertor, register_url_convertor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_convlog.reading.turns import TurnPlace

TABS = {"rendered": "Rendered", "wire": "Wire", "events": "Events", "diff": "Diff", "raw": "Raw"}

# Ids as this package makes them. Files that others have put there may have any: a slash would be a path's, dots would
# climb, and a browser changes both before it asks.
_PLAIN = re.compile(r"(?!\.+\Z)[\w.-]{1,200}\Z")
_ENCODED = "~"


class IdConvertor(Convertor[str]):
    """Ids of conversations and turns in the application's routes: ``{id:id}``."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        """Return the id that stands in an address."""
        if not value.startswith(_ENCODED):
            return value
        try:
            return urlsafe_b64decode(value[len(_ENCODED) :].encode()).decode("utf-8", "surrogatepass")
        except ValueError:  # of no form that was ever made: no such id
            return value

    def to_string(self, value: str) -> str:
        """Return how an id stands in an address."""
        if _PLAIN.match(value):
            return value
        return _ENCODED + urlsafe_b64encode(value.encode("utf-8", "surrogatepass")).decode()


_ids = IdConvertor()
register_url_convertor("id", _ids)


# The numbers of a conversation's turns while it is written into a file, where there is no server to ask.
_in_file: ContextVar[dict[str, int] | None] = ContextVar("in_file", default=None)


@contextmanager
def in_file(numbers: dict[str, int]) -> Iterator[None]:
    """Let addresses of turns be places in one file, for the length of a `with` block in which nothing is yielded.

    Args:
        numbers: Of the turns, by their ids.
    """
    token = _in_file.set(numbers)
    try:
        yield
    finally:
        _in_file.reset(token)


def are_live() -> bool:
    """Say whether there is a server to ask."""
    return _in_file.get() is None


def conversation(conversation_id: str) -> str:
    """Return the address of a conversation."""
    return f"/conversation/{quote(_ids.to_string(conversation_id), safe='')}"


def turn(conversation_id: str, turn_id: str, tab: str = "") -> str:
    """Return the address of a turn in its conversation, with a tab of `TABS` open."""
    numbers = _in_file.get()
    if numbers is not None:
        return f"#turn-{numbers.get(turn_id, 1)}"
    values = {"turn": turn_id} | ({"tab": tab} if tab else {})
    return f"{conversation(conversation_id)}?{urlencode(values, errors='surrogatepass')}"


def panel(conversation_id: str, turn_id: str, tab: str, **values: object) -> str:
    """Return the address of what a tab shows of a turn, alone."""
    address = f"{conversation(conversation_id)}/turn/{quote(_ids.to_string(turn_id), safe='')}/{tab}"
    return f"{address}?{urlencode(values, errors='surrogatepass')}" if values else address


def turns(conversation_id: str, first: int, last: int) -> str:
    """Return the address of some turns of the dialogue, by their numbers."""
    return f"{conversation(conversation_id)}/turns/{first}-{last}"


def rail(conversation_id: str, places: list[TurnPlace], tab: str) -> str:
    """Return the address of some entries of the rail."""
    return f"{conversation(conversation_id)}/rail/{places[0].number}-{places[-1].number}?tab={tab}"


def row(conversation_id: str) -> str:
    """Return the address of a conversation's row in the list, alone."""
    return f"/row/{quote(_ids.to_string(conversation_id), safe='')}"
