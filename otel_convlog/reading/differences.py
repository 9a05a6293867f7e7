"""What changed between two requests, or between what a proxy got and what it passed on.

Providers cache a request's beginning: tools, then the system's words, then the messages, byte by byte. So what a cache
can use again ends where these first differ, whatever stays the same behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal, TypeAlias

from otel_convlog.jsontext import to_json
from otel_convlog.reading.matching import common_length, opcodes
from otel_convlog.reading.messages import request_messages
from otel_convlog.usage import by_common_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_convlog.jsontext import Json

    Turn: TypeAlias = "dict[str, Json]"

_BYTES_A_TOKEN = 4  # about that many of English text and JSON, where no usage tells
_PREFIX_FIELDS = ("system", "instructions", "systemInstruction", "system_instruction", "messages", "input", "contents")
_AROUND = 40  # characters that are shown of where a prefix breaks


@dataclass(frozen=True)
class Piece:
    """A piece of what a cache compares: the tools, or one message.

    Attributes:
        name: ``tools``, or ``message 3 (user)``.
        text: Its JSON, without the marks that only say where to cache.
        value: It.
    """

    name: str
    text: str
    value: Json


@dataclass(frozen=True)
class CacheBreak:
    """Where a request is no longer what an earlier one began with.

    Attributes:
        at: The piece that differs; empty where the earlier request is the beginning of the later one.
        pieces: How many pieces are the same before it, tools and the system's words among them.
        messages: How many messages are, the system's among them.
        tokens: About how many tokens are the same; `lost_tokens` how many of the earlier request are behind that.
        before: What stood there, in short; `after` what stands there now.
    """

    at: str
    pieces: int
    messages: int
    tokens: int
    lost_tokens: int
    before: str
    after: str

    @property
    def broken(self) -> bool:
        """Whether anything of the earlier request is lost to a cache."""
        return bool(self.at)


@dataclass(frozen=True)
class PieceChange:
    """A piece of one of two requests, or of both.

    Attributes:
        kind: What has become of it.
        before: As the earlier request has it; None where it is added.
        after: As the later one has it; None where it is removed.
    """

    kind: Literal["same", "changed", "added", "removed"]
    before: Piece | None
    after: Piece | None


@dataclass(frozen=True)
class FieldChange:
    """A value at a place of JSON that differs; what is not there is `MISSING`.

    Attributes:
        path: As ``messages[2].content``; empty for the whole.
    """

    path: str
    before: Json
    after: Json


MISSING = "(not there)"


def pieces_of(request: Json) -> list[Piece]:
    """Return what a cache compares of a request, in order."""
    pieces: list[Piece] = []
    if isinstance(request, dict) and request.get("tools"):
        pieces.append(Piece("tools", _text(request["tools"]), request["tools"]))
    for number, message in enumerate(request_messages(request), 1):
        pieces.append(Piece(f"message {number} ({message.role})", _text(message.raw), message.raw))
    return pieces


def cache_break(earlier: Turn, later: Turn) -> CacheBreak:
    """Find the first position where a later turn's request is no longer the earlier one's.

    Args:
        earlier: A turn's JSON.
        later: Another's.
    """
    before, after = pieces_of(earlier.get("client_request")), pieces_of(later.get("client_request"))
    shared = 0
    while shared < min(len(before), len(after)) and before[shared].text == after[shared].text:
        shared += 1
    whole = sum(len(piece.text) for piece in before[:shared])
    messages = sum(piece.name != "tools" for piece in before[:shared])
    a_token = _characters_a_token(earlier, before)
    if shared == len(before):
        return CacheBreak("", shared, messages, round(whole / a_token), 0, "", "")
    old = before[shared]
    new = after[shared] if shared < len(after) else Piece("the end", "", None)
    within = common_length(old.text, new.text)
    total = sum(len(piece.text) for piece in before)
    start = max(0, within - _AROUND // 4)
    return CacheBreak(
        at=old.name,
        pieces=shared,
        messages=messages,
        tokens=round((whole + within) / a_token),
        lost_tokens=round((total - whole - within) / a_token),
        before=old.text[start : within + _AROUND],
        after=new.text[start : within + _AROUND],
    )


def piece_changes(earlier: Turn, later: Turn) -> list[PieceChange]:
    """Return what has become of each piece of an earlier turn's request, and what is new in a later one's."""
    before, after = pieces_of(earlier.get("client_request")), pieces_of(later.get("client_request"))
    changes: list[PieceChange] = []
    for tag, a, b, c, d in opcodes([piece.text for piece in before], [piece.text for piece in after]):
        for old, new in zip_longest(before[a:b], after[c:d]):
            if tag == "equal":
                changes.append(PieceChange("same", old, new))
            elif old is None or new is None:
                changes.append(PieceChange("added" if old is None else "removed", old, new))
            else:
                changes.append(PieceChange("changed", old, new))
    return changes


def other_changes(earlier: Turn, later: Turn) -> list[FieldChange]:
    """Return what differs in two turns' requests besides tools and messages: the model, say."""
    earlier_rest, later_rest = [
        {name: value for name, value in request.items() if name not in (*_PREFIX_FIELDS, "tools")}
        if isinstance(request := turn.get("client_request"), dict)
        else request
        for turn in (earlier, later)
    ]
    return list(field_changes(earlier_rest, later_rest))


def field_changes(before: Json, after: Json, path: str = "") -> Iterator[FieldChange]:
    """Yield where two values of JSON differ, as deep inside as they can be compared."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in (*before, *(name for name in after if name not in before)):
            place = f"{path}.{name}" if path else name
            yield from field_changes(before.get(name, MISSING), after.get(name, MISSING), place)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _list_changes(before, after, path)
    elif type(before) is not type(after) or before != after:
        yield FieldChange(path, before, after)


def _list_changes(before: Sequence[Json], after: Sequence[Json], path: str) -> Iterator[FieldChange]:
    for tag, a, b, c, d in opcodes([to_json(item) for item in before], [to_json(item) for item in after]):
        if tag == "equal":
            continue
        for number, (old, new) in enumerate(zip_longest(before[a:b], after[c:d], fillvalue=MISSING)):
            yield from field_changes(old, new, f"{path}[{(a if a < b else c) + number}]")


def _characters_a_token(turn: Turn, pieces: Sequence[Piece]) -> float:
    """Return how many characters a token has in this request, by its usage; about four where that is not known."""
    usage = turn.get("usage")
    counts = by_common_names(usage) if isinstance(usage, dict) else {}
    tokens = counts.get("input_tokens", 0)
    if isinstance(usage, dict) and "cache_read_input_tokens" in usage:  # Anthropic counts what is cached apart
        tokens += counts.get("cache_read_input_tokens", 0) + counts.get("cache_creation_input_tokens", 0)
    characters = sum(len(piece.text) for piece in pieces)
    return characters / tokens if tokens and characters else _BYTES_A_TOKEN


def _text(value: Json) -> str:
    return to_json(_without_marks(value)).decode()


def _without_marks(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _without_marks(item) for name, item in value.items() if name != "cache_control"}
    if isinstance(value, list):
        return [_without_marks(item) for item in value]
    return value
