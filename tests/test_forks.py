"""What is done around a fork, for all objects that there are, and for none that there were."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from otel_convlog import ConversationSpanProcessor, forks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no forks")


def in_child(look: Callable[[], bool]) -> bool:
    """Ask a forked child."""
    child = os.fork()
    if child == 0:
        answer = False
        try:
            answer = look()
        finally:
            os._exit(0 if answer else 1)
    return os.waitpid(child, 0)[1] == 0


class Counting:
    def __init__(self) -> None:
        self.calls = 0
        forks.after_fork_in_child(self.count)

    def count(self) -> None:
        self.calls += 1


class Failing:
    def __init__(self) -> None:
        forks.after_fork_in_child(self.fail)

    def fail(self) -> None:
        raise ValueError("it cannot be done")


def test_it_is_done_in_the_child_alone_whatever_fails_before() -> None:
    both = Failing(), Counting()
    assert in_child(lambda: both[1].calls == 1)
    assert both[1].calls == 0


@pytest.mark.parametrize("writer", ["thread", "process"])
def test_nothing_stays_of_what_is_gone(tmp_path: Path, writer: str) -> None:
    gc.collect()
    before = len(forks._in_child)
    for _ in range(20):
        ConversationSpanProcessor(directory=tmp_path, writer=writer).shutdown()
    gc.collect()
    assert len(forks._in_child) == before


def test_a_fork_waits_for_what_holds_it_off() -> None:
    begun, done = threading.Event(), threading.Event()

    def hold_it_off() -> None:
        with forks.held_off():
            begun.set()
            time.sleep(0.3)
            done.set()

    thread = threading.Thread(target=hold_it_off)
    thread.start()
    begun.wait()
    assert in_child(done.is_set)
    thread.join()


def test_a_fork_in_the_middle_of_it_does_not_wait_for_itself() -> None:
    with forks.held_off():
        assert in_child(lambda: True)
    assert in_child(lambda: True)


def test_a_fork_waits_for_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "_MOST_S", 0.1)
    begun, end = threading.Event(), threading.Event()

    def hold_it_off() -> None:
        with forks.held_off():
            begun.set()
            end.wait()

    def can_be_held_off() -> bool:
        with forks.held_off():
            return True

    thread = threading.Thread(target=hold_it_off)
    thread.start()
    begun.wait()
    assert in_child(can_be_held_off)
    end.set()
    thread.join()
    assert can_be_held_off()
