"""A conversation of 250 MB and 3,000 turns, as a coding agent's client makes one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli_helpers import answered
from store_helpers import make_turn

from otel_convlog.store import ConversationStore, render

if TYPE_CHECKING:
    from pathlib import Path

    from otel_convlog.jsontext import Json

TURNS = 3_000
_SYSTEM = "You follow these rules. " * 2_500  # 60 KB
_COMPACTED_AFTER = 300  # turns, of which the client then sends no more
_STEP = 100


def write_large(directory: Path) -> Path:
    """Write it: the client sends its history with every request; return its file."""
    store = ConversationStore(directory)
    messages: list[Json] = []
    for first in range(1, TURNS + 1, _STEP):
        turns = []
        for number in range(first, first + _STEP):
            if number % _COMPACTED_AFTER == 1:
                messages = [{"role": "system", "content": _SYSTEM}]
            messages.append({"role": "user", "content": f"question {number}"})
            request: Json = {"model": "gpt-5", "messages": [*messages]}
            turns.append(make_turn(number, request, client_response=answered(f"answer {number}")))
            messages.append({"role": "assistant", "content": f"answer {number}"})
        path = store.path_of(turns[0])
        store.write(path, [render(turn) for turn in turns])
    store.close()
    return path
