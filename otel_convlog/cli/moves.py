"""What ``merge`` and ``split`` say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_convlog.cli.common import Log
    from otel_convlog.store.regrouping import Moved


def print_move(log: Log, moved: Moved) -> None:
    """Print what was moved, and where to."""
    if log.output.as_json:
        log.output.value(moved)
    else:
        log.output.line(f"{moved.turns} turns are now in {moved.conversation_id}")
