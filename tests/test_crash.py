"""Many real processes that are killed, or write at once. Slow; run with ``pytest -m crash``."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from conversation_log import read_document
from store_helpers import make_turn

from otel_convlog.store import ConversationStore, render

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.crash

_KILLS = 300
_KILLS_A_FILE = 10


def _size(number: int) -> int:
    """Return a size from 200 bytes to 400 KB, small ones more often; always the same for a number."""
    return int(200 * 2_000 ** random.Random(number).random())


def _write_until_killed(directory: Path, conversation_id: str, first: int, acknowledge: Any) -> None:
    store = ConversationStore(directory)
    number = first
    while True:
        turn = make_turn(number, "x" * _size(number), conversation_id=conversation_id)
        store.write(store.path_of(turn), [render(turn)])
        acknowledge.send_bytes(number.to_bytes(8, "big"))
        number += 1


def test_no_acknowledged_turn_is_lost_by_three_hundred_kills(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["test_crash"])
    source = random.Random(1)
    torn = 0
    for group in range(_KILLS // _KILLS_A_FILE):
        conversation_id = f"c{group}"
        acknowledged: list[int] = []
        for kill in range(_KILLS_A_FILE):
            receive, send = context.Pipe(duplex=False)
            process = context.Process(
                target=_write_until_killed, args=(tmp_path, conversation_id, kill * 100_000, send), daemon=True
            )
            process.start()
            send.close()
            acknowledged.append(int.from_bytes(receive.recv_bytes(), "big"))
            time.sleep(source.random() * 0.02)
            process.kill()
            process.join(30)
            try:
                while True:
                    acknowledged.append(int.from_bytes(receive.recv_bytes(), "big"))
            except EOFError:
                receive.close()
        last = make_turn(10_000_000, conversation_id=conversation_id)
        store = ConversationStore(tmp_path)
        path = store.path_of(last)
        store.write(path, [render(last)])
        held = Counter(int(turn["turn_id"][5:], 16) for turn in read_document(path)["turns"])
        assert set(acknowledged) <= set(held)
        assert set(held.values()) == {1}
        assert len(held) <= len(acknowledged) + _KILLS_A_FILE + 1  # at most the turns that were being written
        for beside in path.parent.glob(f"{path.name}.damaged-*"):
            torn += 1
            beside.unlink()
        path.unlink()
    print(f"{_KILLS} kills, {torn} files torn and repaired")  # noqa: T201  how often it mattered


def _append(directory: Path, worker: int, count: int) -> None:
    store = ConversationStore(directory)
    for number in range(count):
        turn = make_turn(worker * 10_000 + number, "x" * _size(number), conversation_id=f"c{number % 3}")
        store.write(store.path_of(turn), [render(turn)])


def test_eight_processes_write_five_hundred_turns_each_into_three_conversations(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    processes = [context.Process(target=_append, args=(tmp_path, worker, 500)) for worker in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    held = Counter(
        int(turn["turn_id"][5:], 16) for path in tmp_path.glob("*/*.json") for turn in read_document(path)["turns"]
    )
    assert held == Counter(worker * 10_000 + number for worker in range(8) for number in range(500))


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_two_hundred_forks_in_the_middle_of_writing_hang_nothing(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    stop = threading.Event()
    written: list[int] = []
    forks = 0

    def write() -> None:
        while not stop.is_set():
            if len(written) > 50 * forks:  # where forks are slow it would write gigabytes
                time.sleep(0.0001)
                continue
            number = len(written) + 1
            turn = make_turn(number, "x" * _size(number))
            store.write(store.path_of(turn), [render(turn)])
            written.append(number)

    threads = [threading.Thread(target=write)]
    threads[0].start()
    try:
        for child in range(200):
            forks = child + 1
            pid = os.fork()
            if pid == 0:
                signal.alarm(30)  # a child that hangs fails
                turn = make_turn(1_000_000 + child)
                store.write(store.path_of(turn), [render(turn)])
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        stop.set()
        threads[0].join(30)
    held = Counter(int(turn["turn_id"][5:], 16) for turn in read_document(store.path_of(make_turn(1)))["turns"])
    assert held == Counter([*written, *range(1_000_000, 1_000_200)])
