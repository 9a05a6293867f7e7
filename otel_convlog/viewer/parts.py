"""Messages as the pages show them: every part in a bounded size, whatever was logged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from markupsafe import Markup

from otel_convlog.jsontext import json_or_none, to_indented_json
from otel_convlog.reading.harmless import harmless
from otel_convlog.viewer.markdown import LONGEST, code_html, is_link, is_picture, to_html

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_convlog.reading.messages import Message, Part

Of: TypeAlias = Literal["added", "request"]

MOST_MESSAGES = 100  # of one turn that are shown; likewise parts of one message
_SHOWN = 20_000  # characters of a text that a page has; the rest is behind an address of its own
_MOST_INDENTED = 3 * _SHOWN
_FOLDED_FROM = 3_000  # characters, or
_FOLDED_LINES = 40
_SUMMARY = 400  # characters of a folded text that are seen
_LONGEST_PICTURE = 8_000_000  # characters of a data: URL

_ROLES = {"user": "user", "assistant": "assistant", "model": "assistant", "system": "system", "developer": "system"}
_ALWAYS_FOLDED = frozenset({"thinking", "other"})


@dataclass(frozen=True)
class ShownPart:
    """A part of a message.

    Attributes:
        kind: As `otel_convlog.reading.messages.Part` has it.
        html: What it says.
        folded: Whether it is shown only when it is opened.
        summary: What is seen of it until then.
        size: Of the whole text, in UTF-8 bytes.
        rest: Which part of its message this is, where there is more of it than is shown here; else None.
        picture: The address of a picture that can be shown.
        link: An address that can be followed.
        name: Of the tool that is called, or whose result this is.
        call_id: Which call this is, or answers.
        result: What the tool gave back, where that is known; `result_turn` in the request of which turn.
        call_turn: Where this is a result that is shown with its call: the turn that has the call.
    """

    kind: str
    html: Markup
    folded: bool
    summary: str
    size: int
    rest: int | None = None
    picture: str = ""
    link: str = ""
    name: str = ""
    call_id: str = ""
    result: ShownPart | None = None
    result_turn: int | None = None
    call_turn: int | None = None


@dataclass(frozen=True)
class ShownMessage:
    """A message.

    Attributes:
        role: Who speaks, in the request's own words.
        side: ``user``, ``assistant``, ``system`` or ``other``: how it is shown.
        of: Which messages of its turn are counted: those that it added, its answers last, or all of its request.
        number: Which of them this is, from 0 on.
        hidden_parts: How many more parts it has.
    """

    role: str
    side: str
    of: Of
    number: int
    parts: tuple[ShownPart, ...]
    hidden_parts: int = 0


def show_messages(messages: Sequence[Message], start: int = 0, *, of: Of = "added") -> list[ShownMessage]:
    """Return messages as pages show them.

    Args:
        messages: They.
        start: The number of the first.
        of: Among which.
    """
    return [_message(message, of, number) for number, message in enumerate(messages, start)]


def with_results(
    messages: Iterable[ShownMessage], results: dict[str, tuple[ShownPart, int]]
) -> tuple[list[ShownMessage], set[str]]:
    """Put what tools gave back to their calls; return the messages, and the ids of calls that have theirs now."""
    placed: set[str] = set()
    changed: list[ShownMessage] = []
    for message in messages:
        parts: list[ShownPart] = []
        for part in message.parts:
            if part.kind == "call" and part.call_id in results and part.call_id not in placed:
                placed.add(part.call_id)
                result, number = results[part.call_id]
                parts.append(replace(part, result=result, result_turn=number))
            else:
                parts.append(part)
        changed.append(replace(message, parts=tuple(parts)))
    return changed, placed


def results_of(messages: Iterable[ShownMessage], turn_number: int) -> dict[str, tuple[ShownPart, int]]:
    """Return what tools gave back, by the ids of their calls, with the turn whose request has it."""
    return {
        part.call_id: (part, turn_number)
        for message in messages
        for part in message.parts
        if part.kind == "result" and part.call_id
    }


def _message(message: Message, of: Of, number: int) -> ShownMessage:
    parts = tuple(_part(part, index) for index, part in enumerate(message.parts[:MOST_MESSAGES]))
    side = _ROLES.get(message.role, "other")
    if side == "user" and parts and all(part.kind == "result" for part in parts):
        side = "other"  # Anthropic's and Gemini's tools speak as the user
    return ShownMessage(message.role, side, of, number, parts, max(0, len(message.parts) - MOST_MESSAGES))


def _part(part: Part, index: int) -> ShownPart:
    text = part.text
    is_long = len(text) > _FOLDED_FROM or text.count("\n") > _FOLDED_LINES
    picture = part.source if len(part.source) <= _LONGEST_PICTURE and is_picture(part.source) else ""
    return ShownPart(
        kind=part.kind,
        html=_html(part),
        folded=is_long or part.kind in _ALWAYS_FOLDED,
        summary=harmless(text[:_SUMMARY]),
        size=len(text) if text.isascii() else len(text.encode("utf-8", "replace")),
        rest=index if len(text) > _shown_length(part) else None,
        picture=picture,
        link=part.source if not picture and is_link(part.source) else "",
        name=part.name,
        call_id=part.call_id,
    )


def _shown_length(part: Part) -> int:
    return LONGEST if part.kind == "text" else _SHOWN


def _html(part: Part) -> Markup:
    text = part.text
    if part.kind == "text" and len(text) <= LONGEST:
        return to_html(text)
    text = text[:_SHOWN]
    if part.kind in ("call", "result", "other") and len(part.text) <= _SHOWN:
        value = json_or_none(text)
        if isinstance(value, (dict, list)):
            pretty = to_indented_json(value).decode("utf-8", "replace")
            if len(pretty) <= _MOST_INDENTED:  # what is nested deeply becomes a thousand times as long
                return Markup('<pre class="code"><code>{}</code></pre>').format(code_html(pretty, "json"))
    return Markup('<pre class="plain">{}</pre>').format(harmless(text))
