"""The conversation id that a request names itself (docs/format.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIELDS = ("conversation_id", "conversationId", "session_id", "sessionId", "chat_id", "chatId")
_METADATA_FIELDS = ("conversation_id", "session_id")
_LONGEST = 120


def explicit_id(payload: object) -> str | None:
    """Return the conversation id that a request carries.

    Args:
        payload: The client's request; anything but an object carries none.

    Returns:
        The id with everything but letters, digits, ``-``, ``_`` and ``.`` replaced by ``_``, at most 120 characters;
        None where the request names none.
    """
    for value in _candidates(payload):
        if isinstance(value, str) and (stripped := value.strip()):
            return _safe(stripped)
    return None


def _candidates(payload: object) -> Iterator[object]:
    if not isinstance(payload, dict):
        return
    for name in _FIELDS:
        yield payload.get(name)
    metadata = payload.get("metadata")
    if isinstance(metadata, dict):
        for name in _METADATA_FIELDS:
            yield metadata.get(name)


def _safe(text: str) -> str:
    # One character for one, so that of an id that is not blank something is always left.
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text[:_LONGEST])
