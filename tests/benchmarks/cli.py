"""What the command line costs: on a conversation of 250 MB, and on 100,000 conversations.

Run ``python tests/benchmarks/cli.py``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from payloads import make_request

sys.path.insert(0, str(Path(__file__).parents[1]))

from cli_helpers import MEASURED
from store_helpers import make_turn

from otel_convlog.store import ConversationStore, reindex, render

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONVERSATIONS = 100_000
_LARGE_BYTES = 250_000_000


def write_large(directory: Path) -> int:
    """Write one conversation of 250 MB; how many turns it has."""
    store = ConversationStore(directory)
    payload = make_request(44_000)
    number = size = 0
    while size < _LARGE_BYTES:
        number += 1
        request = {**payload, "messages": [*payload["messages"], {"role": "user", "content": f"question {number}"}]}
        turn = make_turn(
            number,
            request,
            conversation_id="large",
            upstream_request={"headers": {}, "body": request},
            client_response={"choices": [{"message": {"role": "assistant", "content": f"answer {number}"}}]},
        )
        path = store.path_of(turn)
        store.write(path, [render(turn)])
        size = path.stat().st_size
    store.close()
    reindex(directory)
    return number


def write_many(directory: Path) -> None:
    """Write 100,000 conversations of one or two turns."""
    store = ConversationStore(directory)
    for number in range(_CONVERSATIONS):
        turns = [
            make_turn(
                2 * number + more,
                {"messages": [{"role": "user", "content": f"question {number}"}]},
                conversation_id=f"conv_{number:024x}",
                client_model=f"model-{number % 7}",
                duration_ms=number % 1000,
                usage={"input_tokens": number % 5000, "output_tokens": 10},
                client_response={"choices": [{"message": {"role": "assistant", "content": f"answer {number}"}}]},
            )
            for more in range(1 + number % 2)
        ]
        store.write(store.path_of(turns[0]), [render(turn) for turn in turns])
    store.close()
    reindex(directory)


def measure(directory: Path, arguments: Sequence[str]) -> tuple[float, float, float]:
    """Run a command; the seconds to its first byte and to its end, and its most memory in MB."""
    started = perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", MEASURED, *arguments, "--directory", str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        first = perf_counter() - started
        while process.stdout.read(1 << 20):
            pass
        whole = perf_counter() - started
        return first, whole, int(process.stderr.read().split()[-1]) / 1024


def print_costs(directory: Path, commands: Sequence[str]) -> None:
    """Print what commands cost on a log."""
    for command in commands:
        first, whole, memory = measure(directory, command.split())
        print(f"{command:45s} first byte {first:5.2f} s, end {whole:6.2f} s, memory {memory:4.0f} MB")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        turns = write_large(Path(name))
        print(f"a conversation of 250 MB, {turns} turns:")
        large = ["show large", "show large --turn -1", "show large --raw", "diff large", "diff large 1 2", "tail"]
        print_costs(Path(name), [*large, "search question", "search question", "verify"])
    with tempfile.TemporaryDirectory() as name:
        write_many(Path(name))
        print(f"{_CONVERSATIONS:,} conversations:")
        many = ["list", "list --sort tokens", "list --error", "list --text 99999", "list --min-duration 900", "tail"]
        print_costs(Path(name), [*many, "show conv_000000000000000000000042", "stats", "stats --by model"])
        print_costs(Path(name), ["search 99999", "search 99999", "verify"])
