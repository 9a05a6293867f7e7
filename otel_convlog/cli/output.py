"""What commands print: tables and colour on a terminal, plain text into a pipe, JSON where it is asked for."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from otel_convlog.reading.harmless import harmless, harmless_json, harmless_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LONGEST_MARKDOWN = 50_000  # characters; laying out more takes seconds


class Output:
    """Where a command prints to.

    Args:
        as_json: Whether one JSON value a line is wanted.

    Attributes:
        on_terminal: Whether a person reads along.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, markup=False, emoji=False)
        self.on_terminal = self.console.is_terminal and not as_json

    def value(self, value: object) -> None:
        """Print a value as one line of JSON; dataclasses are objects."""
        text = json.dumps(_plain(value), ensure_ascii=False, default=str)
        sys.stdout.write(harmless_json(text) + "\n")

    def line(self, text: str = "", style: str = "") -> None:
        """Print text, logged or not, harmless."""
        text = harmless(text)
        if self.on_terminal:
            self.console.print(Text(text, style=style), soft_wrap=True)
        else:
            sys.stdout.write(text + "\n")

    def markdown(self, text: str) -> None:
        """Print text that may be Markdown."""
        if self.on_terminal and len(text) <= _LONGEST_MARKDOWN:
            from rich.markdown import Markdown  # noqa: PLC0415  it takes as long to load as a command takes

            self.console.print(Markdown(harmless(text), hyperlinks=False))  # a link's text may hide where it leads
        else:
            self.line(text)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
        """Print rows: a table on a terminal, values with tabs between them into a pipe.

        Args:
            columns: Their names.
            rows: What stands in them, in order.
            right: The names of those with numbers.
        """
        if not self.on_terminal:
            sys.stdout.write("\t".join(columns) + "\n")
            for row in rows:
                sys.stdout.write("\t".join(harmless_line(str(cell)) for cell in row) + "\n")
            return
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            number = column in right
            table.add_column(column, justify="right" if number else "left", no_wrap=number, overflow="fold")
        for row in rows:
            table.add_row(*(Text(harmless_line(str(cell))) for cell in row))
        self.console.print(table)

    def flush(self) -> None:
        """Let whoever reads a pipe have what was printed."""
        sys.stdout.flush()


def note(text: str) -> None:
    """Tell the person who runs a command something that is not its result."""
    sys.stderr.write(harmless(text) + "\n")


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(item) for name, item in asdict(value).items()}
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    return str(value) if isinstance(value, Path) else value
