"""Who is in the middle of something, also where a handler raises at the wrong moment, and what he had in hand."""

from __future__ import annotations

import threading
from contextlib import suppress

from otel_convlog.reentry import InHand, Reentry


def taken(reentry: Reentry) -> list[InHand]:
    """Take what is kept."""
    found: list[InHand] = []
    while reentry.holds_any:
        with reentry.middle() as middle:
            in_hand = middle.take()
            assert in_hand is not None
            found.append(in_hand)
    return found


def test_a_thread_is_in_the_middle_within_the_block_alone() -> None:
    reentry = Reentry()
    seen: list[tuple[bool, bool]] = []

    def look() -> None:
        seen.append((reentry.is_here, reentry.is_anywhere))

    look()
    with reentry.middle():
        look()
        other = threading.Thread(target=look)
        other.start()
        other.join()
    look()
    assert seen == [(False, False), (True, True), (False, True), (False, False)]


def test_the_end_comes_behind_the_block() -> None:
    reentry = Reentry()
    seen: list[bool] = []
    with reentry.middle():
        reentry.end_behind(lambda: seen.append(reentry.is_here))
        assert not seen
    with reentry.middle():
        pass
    assert seen == [False]


def test_a_thread_that_never_came_to_the_block_is_not_in_it_and_what_it_had_is_kept() -> None:
    reentry = Reentry()
    in_hand = InHand()
    seen: list[tuple[bool, bool]] = []

    def raised_at_its_beginning() -> None:
        reentry.middle(in_hand).__enter__()  # and then a handler raises, before there is a block to leave

    def look() -> None:
        seen.append((reentry.is_anywhere, reentry.is_here))

    raised_at_its_beginning()
    look()
    assert taken(reentry) == [in_hand]
    with reentry.middle():
        look()
    look()
    assert seen == [(True, False), (True, True), (False, False)]


def test_there_may_be_one_within_another() -> None:
    reentry = Reentry()
    ended: list[bool] = []
    with reentry.middle():
        with reentry.middle():
            reentry.end_behind(lambda: ended.append(reentry.is_here))
        assert reentry.is_here
        assert not ended
    assert ended == [False]
    with reentry.middle() as middle:
        assert middle.take() is None


def interrupted(reentry: Reentry, in_hand: InHand, kind: type[BaseException]) -> None:
    with reentry.middle(in_hand):
        reentry.set_aside([])
        raise kind


def test_what_is_in_hand_where_a_handler_raises_is_kept() -> None:
    reentry = Reentry()
    in_hand = InHand()
    for _ in range(5):
        with suppress(KeyboardInterrupt):
            interrupted(reentry, in_hand, KeyboardInterrupt)
        kept = taken(reentry)
        assert len(kept) == 2
        assert kept[0] is in_hand  # it was there before what has come meanwhile
    with reentry.middle(InHand()):
        pass
    assert not reentry.holds_any


def test_what_fails_is_tried_once_more() -> None:
    reentry = Reentry()
    in_hand = InHand()
    kept: list[int] = []
    for _ in range(2):
        with suppress(ValueError):
            interrupted(reentry, in_hand, ValueError)
        kept.append(len(taken(reentry)))
    assert kept == [2, 1]
