"""What finding a turn's conversation costs: beside decoding its request, and by how many turns are known.

Run ``python tests/benchmarks/identity.py``.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import orjson

from otel_convlog.identity.identifier import Identifier
from otel_convlog.store import ConversationStore

sys.path.insert(0, str(Path(__file__).parents[1]))

from store_helpers import make_turn

if TYPE_CHECKING:
    from otel_convlog.record import TurnRecord

_MESSAGES = 150
_BYTES = 300_000
_ROUNDS = 200
_KNOWN = (100, 1_000, 10_000, 100_000)

_WORDS = (
    "the", "request", "was", "sent", "upstream", "and", "came", "back", "with", "an", "error", "because", "retry",
    "budget", "had", "been", "used", "before;", "def", "handler(request):", "return", "{'status':", "200}", "#", "see",
)  # fmt: skip


def text(source: random.Random, size: int) -> str:
    words = source.choices(_WORDS, k=size // 5)
    return " ".join(words)[:size]


def with_blocks(message: dict[str, Any]) -> dict[str, Any]:
    return {**message, "content": [{"type": "text", "text": message["content"]}]}


def growing_dialogue(source: random.Random, *, blocks: bool) -> list[dict[str, Any]]:
    """Return the messages of a request of 300 KB, which ends with the user's question."""
    size = _BYTES // _MESSAGES
    messages = [
        {"role": ("user", "assistant")[number % 2], "content": text(source, size)} for number in range(_MESSAGES - 1)
    ]
    return [with_blocks(message) for message in messages] if blocks else messages


def record_of(number: int, messages: list[dict[str, Any]], answer: str) -> TurnRecord:
    request: Any = {"messages": messages}
    response: Any = {"choices": [{"message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}]}
    return replace(make_turn(number, request).record, upstream_response=response)


def fill(directory: Path, turns: int) -> None:
    """Make the evidence of that many turns, each of another conversation, with the six rows that a turn has."""
    source = random.Random(turns)
    with sqlite3.connect(directory / "catalog.sqlite3") as connection:
        start = connection.execute("SELECT coalesce(max(number), 0) FROM known_turns").fetchone()[0]
        connection.executemany(
            "INSERT INTO known_turns VALUES (?, ?, ?, 'seed', NULL, NULL, '2026-11-23T08:06:10.123456Z',"
            " x'', x'', ?, 1, 0, 0)",
            [
                (number, f"turn_f{number:023x}", f"conv_{number:024x}", source.randbytes(16))
                for number in range(start + 1, turns + 1)
            ],
        )
        connection.executemany(
            "INSERT INTO evidence VALUES (?, ?, ?)",
            [
                (source.randbytes(16), number, kind)
                for number in range(start + 1, turns + 1)
                for kind in (1, 2, 3, 4, 5, 6)
            ],
        )
    connection.close()


def measure(identifier: Identifier, messages: list[dict[str, Any]], first: int) -> float:
    """Return the median cost of a turn that adds one exchange to a history, in microseconds."""
    source = random.Random(first)
    samples = []
    history = messages
    for number in range(first, first + 2 * _ROUNDS, 2):
        opening, answer = history[:-2], text(source, 2_000)
        identifier.identify(record_of(number, opening, answer))
        record = record_of(number + 1, [*opening, {"role": "assistant", "content": answer}, history[-1]], "ok")
        started = perf_counter()
        identity = identifier.identify(record)
        samples.append((perf_counter() - started) * 1e6)
        assert identity.evidence == "prefix", identity
        assert identity.continues == f"turn_{number:024x}"
        history = [*history[:-1], {**history[-1], "content": text(source, 2_000)}]
    return median(samples)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        for blocks in (False, True):
            source = random.Random(1)
            messages = growing_dialogue(source, blocks=blocks)
            data = orjson.dumps({"messages": messages})
            directory = Path(name) / str(blocks)
            directory.mkdir()
            identifier = Identifier(ConversationStore(directory).evidence)
            first = 1
            identifier.identify(record_of(first, messages[:1], "hello"))
            print(f"a request of {len(data) // 1000} KB and {_MESSAGES} messages, {'blocks' if blocks else 'strings'}:")
            for known in _KNOWN:
                fill(directory, known)
                first += 10 * _ROUNDS
                cost = measure(identifier, messages, first)
                loads = []
                for _ in range(_ROUNDS):
                    started = perf_counter()
                    orjson.loads(data)
                    loads.append((perf_counter() - started) * 1e6)
                floor = median(loads)
                print(
                    f"  {known:7d} known turns: {cost:5.0f} µs, orjson.loads {floor:4.0f} µs,"
                    f" cost / (3 loads + 500 µs) = {cost / (3 * floor + 500):.2f}"
                )


if __name__ == "__main__":
    main()
