"""A conversation of 250 MB is read in little memory."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cli_helpers import MEASURED, asked
from store_helpers import make_turn

from otel_convlog.store import ConversationStore, render

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOST_KB = 150 * 1024
_TURNS = 250
_TURN_BYTES = 1_000_000


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("large")
    store = ConversationStore(directory)
    for number in range(1, _TURNS + 1):
        turn = make_turn(number, {**asked(f"question {number}"), "document": "x" * _TURN_BYTES})
        path = store.path_of(turn)
        store.write(path, [render(turn)])
    store.close()
    assert path.stat().st_size > _TURNS * _TURN_BYTES
    yield directory
    path.unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="the system says there how much memory was used")
@pytest.mark.parametrize("command", ["show c", "show c --raw --turn -1", "diff c", "tail", "search question", "verify"])
def test_a_large_conversation_takes_little_memory(log: Path, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command.split(), "--directory", str(log)], capture_output=True, check=False
    )
    assert done.stdout
    assert int(done.stderr.split()[-1]) < _MOST_KB
