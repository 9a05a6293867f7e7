"""Who is in the middle of something, also where a handler raises at the wrong moment."""

from __future__ import annotations

import threading

from otel_convlog.reentry import Reentry


def test_a_thread_is_in_the_middle_within_the_block_alone() -> None:
    reentry = Reentry()
    seen: list[tuple[bool, bool]] = []

    def look() -> None:
        seen.append((reentry.is_here, reentry.is_anywhere))

    look()
    with reentry:
        look()
        other = threading.Thread(target=look)
        other.start()
        other.join()
    look()
    assert seen == [(False, False), (True, True), (False, True), (False, False)]


def test_the_end_comes_behind_the_block() -> None:
    reentry = Reentry()
    seen: list[bool] = []
    with reentry:
        reentry.end_behind(lambda: seen.append(reentry.is_here))
        assert not seen
    with reentry:
        pass
    assert seen == [False]


def test_a_thread_that_never_came_to_the_block_is_not_in_it() -> None:
    reentry = Reentry()

    def raised_at_its_beginning() -> None:
        reentry.__enter__()  # and then a handler raises, before there is a block to leave

    raised_at_its_beginning()
    seen = [reentry.is_here]
    with reentry:
        seen.append(reentry.is_here)
    seen.append(reentry.is_anywhere)
    assert seen == [False, True, False]
