"""Secrets that a stream has in pieces: of each text that its events carry, the pieces together are looked at.

A model that repeats a key sends it in several chunks, none of which holds enough to be known by. What replaces a secret
stands in the piece where it began; what the next pieces had of it is gone from them. Events keep their number, order
and shape.
"""

from __future__ import annotations

import ast
import re
from copy import deepcopy
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from otel_convlog.jsontext import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from otel_convlog.jsontext import Json

    # What is to be changed in a text, in order.
    Changes: TypeAlias = "Callable[[str], list[Edit]]"

_BEFORE_CHUNK = len("data: {")
_LINE = re.compile(r"[^\r\n]+")

# What tells of which text a delta is a piece, in the events of Anthropic and of OpenAI's responses.
_DELTA_PLACE = ("type", "index", "output_index", "content_index", "summary_index", "item_id")
# Events of protocols with deltas that carry no piece of a text, but one or nothing.
_WHOLE_EVENTS = re.compile(r"response\..*|message_(?:start|stop)|content_block_(?:start|stop)|ping")
# The same in each chunk.
_CONSTANT = frozenset({"id", "object", "type", "model", "role", "event", "finish_reason", "system_fingerprint"})


class Edit(NamedTuple):
    """A change of a text: what stands from `start` to `end` becomes `text`."""

    start: int
    end: int
    text: str


class _Piece(NamedTuple):
    """A piece of a stream's text, and where it stands."""

    holder: dict[str, Json]
    key: str


def clean_events(events: list[Json], changes: Changes) -> list[Json]:
    """Return a stream's events changed where several of them together hold what is to be changed.

    Args:
        events: As a proxy recorded them: decoded chunks, chunks within ``{"type": …, "data": chunk}``, or the text of
            server-sent events, cut anywhere.
        changes: Says what is to be changed in a text.

    Returns:
        The same list where there is nothing to change.
    """
    if len(events) < 2 and not (events and isinstance(events[0], str)):
        return events
    runs = list(_cleaned_runs(events, changes))
    if not runs and not _clean_chunks(events, changes, dry=True):
        return events
    events = deepcopy(events)
    for places, texts in runs:
        for place, text in zip(places, texts, strict=True):
            _put(events, place, text)
    _clean_chunks(events, changes)
    return events


def edited(texts: Sequence[str], edits: Sequence[Edit]) -> list[str]:
    """Return pieces of a text after changes of the whole text, each in the piece in which it begins."""
    whole = "".join(texts)
    pieces: list[str] = []
    start = at = 0
    for text in texts:
        end = start + len(text)
        parts: list[str] = []
        position = start
        while at < len(edits) and edits[at].start < end:
            edit = edits[at]
            if edit.start >= start:
                parts += (whole[position : edit.start], edit.text)
            position = min(edit.end, end)
            if edit.end > end:
                break
            at += 1
        pieces.append("".join(parts) + whole[position:end])
        start = end
    return pieces


def _clean_chunks(chunks: Sequence[Json], changes: Changes, *, dry: bool = False) -> bool:
    """Change decoded chunks, unless it is a dry run, and say whether there is anything to change."""
    changed = False
    channels: dict[tuple[object, ...], list[_Piece]] = {}
    for event in chunks:
        chunk = _chunk_of(event)
        if chunk is not None:
            _collect(chunk, channels)
    for pieces in channels.values():
        if len(pieces) < 2:
            continue
        texts = [str(piece.holder[piece.key]) for piece in pieces]
        edits = changes("".join(texts))
        changed = changed or bool(edits)
        if edits and not dry:
            for piece, text in zip(pieces, edited(texts, edits), strict=True):
                piece.holder[piece.key] = text
    return changed


def _chunk_of(event: Json) -> dict[str, Json] | None:
    """Return an event's chunk; None where it is text."""
    if not isinstance(event, dict):
        return None
    data = event.get("data")
    if isinstance(data, dict):
        return data
    return None if isinstance(data, str) else event


def _collect(chunk: dict[str, Json], channels: dict[tuple[object, ...], list[_Piece]]) -> None:
    """Add a chunk's pieces of text to those of the same place in other chunks."""
    choices = chunk.get("choices")
    if isinstance(choices, list):
        for position, choice in enumerate(choices):  # by far the most chunks are of this kind
            if isinstance(choice, dict):
                _add(choice.get("delta", choice), (choice.get("index", position),), channels)
        return
    if "candidates" in chunk:
        _add(chunk["candidates"], ("candidates",), channels)
        return
    inner = chunk.get("response")
    if isinstance(inner, dict) and "candidates" in inner:
        _collect(inner, channels)
    elif "delta" in chunk:
        place = tuple(str(chunk[name]) for name in _DELTA_PLACE if name in chunk)
        _add({"delta": chunk["delta"]} if isinstance(chunk["delta"], dict) else chunk, place, channels)
    elif not (isinstance(kind := chunk.get("type"), str) and _WHOLE_EVENTS.fullmatch(kind)):
        _add(chunk, (str(chunk.get("type")),), channels)


def _add(value: Json, place: tuple[object, ...], channels: dict[tuple[object, ...], list[_Piece]]) -> None:
    pending: list[tuple[Json, tuple[object, ...]]] = [(value, place)]
    while pending:
        value, place = pending.pop()
        if isinstance(value, dict):
            if value.get("thought"):
                place = (*place, "thought")
            for key, item in value.items():
                if type(item) is str:
                    if item and key not in _CONSTANT:
                        channels.setdefault((*place, key), []).append(_Piece(value, key))
                elif isinstance(item, (dict, list)):
                    pending.append((item, (*place, key)))
        elif isinstance(value, list):
            for position, item in enumerate(value):
                index = item.get("index") if isinstance(item, dict) else None
                pending.append((item, (*place, index if isinstance(index, int) else position)))


def _cleaned_runs(events: Sequence[Json], changes: Changes) -> Iterator[tuple[list[int], list[str]]]:
    """Yield the events that are text, as many as stand together, with what they become; not where nothing changes."""
    places: list[int] = []
    for number in range(len(events) + 1):
        if number < len(events) and _text_of(events[number]) is not None:
            places.append(number)
        elif places:
            texts = [_text_of(events[place]) or "" for place in places]
            cleaned = _clean_texts(texts, changes)
            if cleaned != texts:
                yield places, cleaned
            places = []


def _text_of(event: Json) -> str | None:
    if isinstance(event, dict):
        event = event.get("data")
    return event if isinstance(event, str) else None


def _put(events: list[Json], place: int, text: str) -> None:
    event = events[place]
    if isinstance(event, dict):
        event["data"] = text
    else:
        events[place] = text


def _clean_texts(texts: list[str], changes: Changes) -> list[str]:
    """Change the text of server-sent events that was cut anywhere."""
    if all(text.startswith(("b'", 'b"')) for text in texts):  # bytes, as JSON has them: as their str()
        try:
            pieces = [ast.literal_eval(text).decode("latin-1") for text in texts]
        except (ValueError, SyntaxError, AttributeError, MemoryError, RecursionError):
            pass
        else:
            cleaned = _clean_pieces(pieces, changes, "latin-1")
            return texts if cleaned == pieces else [repr(text.encode("latin-1")) for text in cleaned]
    return _clean_pieces(texts, changes, "utf-8")


def _clean_pieces(texts: list[str], changes: Changes, encoding: str) -> list[str]:
    texts = edited(texts, _edits_of_lines(texts, changes, encoding))
    return edited(texts, changes("".join(texts)))


def _edits_of_lines(texts: list[str], changes: Changes, encoding: str) -> list[Edit]:
    """Return the changes of the chunks that the text holds, in which a secret may stand in several."""
    whole = "".join(texts)
    if whole.lstrip()[:1] == "[":  # Gemini without server-sent events: one array
        read = _read(whole, [(0, len(whole))], encoding)
    else:
        lines = [match.span() for match in _LINE.finditer(whole)]
        read = _read(whole, lines, encoding)
        if len(read) < sum("{" in whole[start : start + _BEFORE_CHUNK] for start, _ in lines):
            read = max(read, _read(whole, _spans_of(texts), encoding), key=len)
    before = [to_json(value) for _, _, value in read]
    if not _clean_chunks(
        [chunk for *_, value in read for chunk in (value if isinstance(value, list) else [value])], changes
    ):
        return []
    edits: list[Edit] = []
    for (start, end, value), old in zip(read, before, strict=True):
        if (new := to_json(value)) != old:
            edits.append(Edit(start, end, new.strip().decode(encoding)))
    return edits


def _read(whole: str, spans: Iterable[tuple[int, int]], encoding: str) -> list[tuple[int, int, Json]]:
    """Return where in a text JSON stands, and what it says."""
    read: list[tuple[int, int, Json]] = []
    for start, end in spans:
        line = whole[start:end]
        text = line.removeprefix("data:").strip()
        if text[:1] not in ("{", "["):
            continue
        try:
            value = from_json(text.encode(encoding, "replace"))
        except ValueError:
            continue
        begin = start + line.index(text)
        read.append((begin, begin + len(text), value))
    return read


def _spans_of(texts: list[str]) -> list[tuple[int, int]]:
    """Return where each piece stands in the whole: a line a piece, without the line's end."""
    spans: list[tuple[int, int]] = []
    start = 0
    for text in texts:
        spans.append((start, start + len(text)))
        start += len(text)
    return spans
