"""Rule 1: the conversation id that a request names itself (docs/format.md, docs/identity.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.identity.clients import Named, named_by_client, named_by_span
from otel_convlog.request_fields import lowered, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from otel_convlog.request_fields import RequestField

NAME = "explicit"

_FIELDS = ("conversation_id", "conversationId", "session_id", "sessionId", "chat_id", "chatId")
_METADATA_FIELDS = ("conversation_id", "session_id")
_FIELD_NAMES = frozenset({*_FIELDS, "metadata"})
_LONGEST = 120


def explicit_id(payload: object) -> str | None:
    """Return the conversation id that a request carries in one of the fields of docs/format.md.

    Args:
        payload: The client's request; anything but an object carries none.

    Returns:
        The id with everything but letters, digits, ``-``, ``_`` and ``.`` replaced by ``_``, at most 120 characters;
        None where the request names none.
    """
    given = _given_id(payload)
    return safe_id(given) if given is not None else None


def named_conversation(  # noqa: PLR0913  where to look, and what to make of it
    request: object,
    headers: object,
    attributes: Mapping[str, str],
    *,
    keys: Sequence[RequestField] = (),
    of_clients: bool = True,
    id_of: Callable[[str], str] | None = None,
) -> Named | None:
    """Return the conversation that a request names, and the thread within it.

    Args:
        request: The client's request.
        headers: Its headers.
        attributes: Text attributes of its span.
        keys: Where the operator says that ids are; they come first.
        of_clients: Whether to look where clients of known kinds have them.
        id_of: Makes an id of the text that names it; `safe_id` where it is None.
    """
    id_of = id_of or safe_id
    names = lowered(headers)
    by_client = named_by_client(request, names) if of_clients else None
    thread = id_of(by_client.thread) if by_client and by_client.thread else None
    for key in keys:
        if (text := text_of(key.value(request, headers, attributes))) is not None:
            return Named(id_of(text), thread)
    if (by_field := _given_id(request)) is not None:
        return Named(id_of(by_field), thread)
    if by_client is not None:
        return Named(id_of(by_client.conversation_id), thread)
    by_span = named_by_span(attributes) if of_clients else None
    return Named(id_of(by_span)) if by_span is not None else None


def safe_id(text: str) -> str:
    """Return text, which is not blank, as a conversation's id."""
    # One character for one, so that something is always left.
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text[:_LONGEST])


def _given_id(payload: object) -> str | None:
    for value in _candidates(payload):
        if isinstance(value, str) and (stripped := value.strip()):
            return stripped
    return None


def _candidates(payload: object) -> Iterator[object]:
    if not isinstance(payload, dict) or _FIELD_NAMES.isdisjoint(payload):
        return
    for name in _FIELDS:
        yield payload.get(name)
    metadata = payload.get("metadata")
    if isinstance(metadata, dict):
        for name in _METADATA_FIELDS:
            yield metadata.get(name)
