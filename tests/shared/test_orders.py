"""Dialogues of simulated clients that hop between machines, whose turns come in any order, with words and without."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from shared_place import dialogue, later, recorded
from simulated_clients import CLIENTS

from otel_convlog.shared import keeping

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.trace import ReadableSpan
    from shared_place import Place

_DIALOGUES = 2
_MACHINES = 3
_SETTINGS: tuple[dict[str, Any], ...] = ({}, {"content": "metadata"}, {"content": "none"}, {"stream_events": "none"})


def mixed(client: str) -> list[ReadableSpan]:
    """The spans of some dialogues of a client, each dialogue's in their order."""
    dice = random.Random(3)
    dialogues = [list(CLIENTS[client](number)) for number in range(_DIALOGUES)]
    order = [number for number, turns in enumerate(dialogues) for _ in turns]
    dice.shuffle(order)
    return recorded(dialogues[number].pop(0) for number in order)


@pytest.mark.parametrize(
    ("client", "setting"), [(client, _SETTINGS[number % len(_SETTINGS)]) for number, client in enumerate(CLIENTS)]
)
def test_whatever_the_client_the_documents_are_those_of_one_machine(
    place_in_folder: Place, client: str, setting: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_LATE", timedelta(0))
    place = place_in_folder
    dice = random.Random(7)
    machines = [place.machine(f"spool-{number}", **setting) for number in range(_MACHINES)]
    for machine in machines:
        machine.deliver()  # which gives them the key
    spans = mixed(client)
    for number, span in enumerate(spans):
        machines[number % _MACHINES].write(span)
        if dice.random() < 0.3:
            dice.choice(machines).deliver()
            if dice.random() < 0.3:
                place.make_documents()
    for machine in dice.sample(machines, _MACHINES):
        machine.deliver()
    place.make_documents()
    assert place.documents() == place.written_by_one_machine(*spans, **setting)


@pytest.mark.parametrize("order", [(0, 2, 1, 3), (0, 2, 3, 1), (0, 3, 2, 1), (2, 0, 1, 3), (3, 2, 1, 0)])
def test_over_midnight_too_the_order_in_which_turns_come_changes_nothing(
    place_in_folder: Place, order: tuple[int, ...]
) -> None:
    place = place_in_folder
    first, second, *today = dialogue("one", 4)
    spans = [later(first, timedelta(days=-1)), later(second, timedelta(days=-1)), *today]
    machine = place.machine()
    for number in order:
        machine.write(spans[number])
        machine.deliver()
        place.make_documents()
    documents = place.documents()
    assert len(documents) == 2
    assert documents == place.written_by_one_machine(*spans)


_TOLD_APART_BY_CLOCKS = {"edit_and_regenerate", "error_then_retry"}  # which of two tries was the first


def identities(documents: Iterable[bytes]) -> dict[str, tuple[str, object, str]]:
    """The conversation of each turn, what it continues, and by what that was found."""
    turns = [turn for content in documents for turn in json.loads(content)["turns"]]
    return {
        turn["turn_id"]: (turn["conversation_id"], turn["otel"]["continues"], turn["otel"]["identity"])
        for turn in turns
    }


@pytest.mark.parametrize("client", CLIENTS)
def test_clocks_that_differ_take_no_dialogue_apart(place_in_folder: Place, client: str) -> None:
    place = place_in_folder
    skews = [timedelta(seconds=seconds) for seconds in (0, -120, 60)]
    machines = [place.machine(f"spool-{number}") for number in range(_MACHINES)]
    spans = [later(span, skews[number % _MACHINES]) for number, span in enumerate(mixed(client))]
    for number, span in enumerate(spans):
        machines[number % _MACHINES].write(span)
        machines[number % _MACHINES].deliver()
    place.make_documents()
    found = identities(place.documents().values())
    expected = identities(place.written_by_one_machine(*spans).values())
    if client in _TOLD_APART_BY_CLOCKS:
        assert {turn: of_it[0] for turn, of_it in found.items()} == {turn: of_it[0] for turn, of_it in expected.items()}
    else:
        assert found == expected


def test_what_cannot_be_put_right_is_not_tried_for_ever(
    place_in_folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_LATE", timedelta(0))
    place = place_in_folder
    for seed in (68, 69, 70):  # without the end that is tested here these had none
        dice = random.Random(seed)
        spans = [
            span for client in dice.sample(sorted(CLIENTS), 2) for n in (0, 1) for span in recorded(CLIENTS[client](n))
        ]
        machines = [place.machine(f"spool-{seed}-{number}") for number in range(_MACHINES)]
        skews = (timedelta(0), timedelta(seconds=-120), timedelta(0))
        for span in dice.sample(spans, len(spans)):
            number = dice.randrange(_MACHINES)
            machines[number].write(later(span, skews[number]))
            machines[number].deliver()
        assert place.make_documents(most=200) < 200


def test_what_was_known_when_it_came_is_not_asked_for_again(place: Place) -> None:
    machine = place.machine()
    for span in [*dialogue("one", 3), *mixed("sliding_window")]:
        machine.write(span)
        machine.deliver()
    assert place.rows("SELECT count(*) FROM convlog_files WHERE disordered") == [(0,)]
    assert place.rows("SELECT count(*) FROM convlog_turns WHERE unmatched") == [(0,)]


def test_a_turn_whose_beginning_never_comes_is_asked_for_once(place: Place) -> None:
    machine = place.machine()
    machine.write(*dialogue("one", 3)[1:])
    machine.deliver()
    assert place.rows("SELECT count(*) FROM convlog_files WHERE disordered") == [(1,)]
    assert place.make_documents() == 2  # it is settled, and made
    assert place.rows("SELECT disordered, pending FROM convlog_files") == [(False, False)]
    assert place.make_documents() == 0
