"""Dialogues of simulated clients that hop between machines, whose turns come in any order, with words and without."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from shared_place import dialogue, recorded
from simulated_clients import CLIENTS

from otel_convlog.shared import keeping

if TYPE_CHECKING:
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
