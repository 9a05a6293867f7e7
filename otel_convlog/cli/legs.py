"""The four legs of a turn beside one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from otel_convlog.cli.speech import folded
from otel_convlog.jsontext import to_indented_json
from otel_convlog.reading.harmless import harmless
from otel_convlog.reading.legs import legs_of

if TYPE_CHECKING:
    from otel_convlog.cli.output import Output
    from otel_convlog.jsontext import Json


def print_legs(output: Output, turn: dict[str, Json], *, full: bool) -> None:
    """Print the legs of a turn: the client's on the left, the upstream's on the right.

    Args:
        output: Where to.
        turn: The turn's JSON.
        full: Whether to print all of them.
    """
    legs = legs_of(turn)
    if output.as_json:
        output.value({"turn_id": turn.get("turn_id"), **legs})
        return
    texts = {name: folded(to_indented_json(leg).decode("utf-8", "replace"), full=full) for name, leg in legs.items()}
    if not output.on_terminal:
        for name, text in texts.items():
            output.line(f"{name}:")
            output.line(text)
        return
    for left, right in (("client request", "upstream request"), ("client response", "upstream response")):
        table = Table(expand=True, header_style="bold")
        for name in (left, right):
            table.add_column(name, ratio=1, overflow="fold")
        table.add_row(Text(harmless(texts[left])), Text(harmless(texts[right])))
        output.console.print(table)
