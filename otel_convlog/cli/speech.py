"""Messages as a person reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_convlog.cli.output import Output
    from otel_convlog.reading.messages import Message, Part

_MOST_LINES = 12  # of a tool's result or a call's arguments that are not folded
_MOST_CHARACTERS = 1200
_ROLE_STYLES = {"user": "bold green", "assistant": "bold magenta", "model": "bold magenta"}


def print_messages(output: Output, messages: Iterable[Message], *, full: bool) -> None:
    """Print messages: who speaks, what is said, called, given back.

    Args:
        output: Where to.
        messages: They.
        full: Whether to unfold what is thought, and long results.
    """
    for message in messages:
        if not message.parts:
            continue
        output.line(f"{message.role}:", style=_ROLE_STYLES.get(message.role, "bold"))
        for part in message.parts:
            _print_part(output, part, full=full)


def _print_part(output: Output, part: Part, *, full: bool) -> None:
    if part.kind == "text":
        output.markdown(part.text)
    elif part.kind == "thinking":
        if full:
            output.line(f"[thinking] {part.text}", style="dim italic")
        else:
            output.line(f"[thinking: {len(part.text):,} characters; --full shows them]", style="dim italic")
    elif part.kind == "call":
        output.line(f"[calls {part.name}] {folded(part.text, full=full)}", style="yellow")
    elif part.kind == "result":
        output.line(f"[result] {folded(part.text, full=full)}", style="blue")
    else:
        output.line(f"[{part.kind}] {folded(part.text, full=full)}", style="dim")


def folded(text: str, *, full: bool) -> str:
    """Return a long text's beginning, and how much more there is."""
    lines = text.split("\n", _MOST_LINES)
    beginning = "\n".join(lines[:_MOST_LINES])[:_MOST_CHARACTERS]
    if full or len(beginning) == len(text):
        return text
    return f"{beginning} … {len(text) - len(beginning):,} more characters; --full shows them"
