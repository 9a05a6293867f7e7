"""What is damaged in the store costs itself alone: the rest of the log is made, and read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from shared_place import dialogue

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shared_place import Place

_DAMAGES: dict[str, Callable[[Path], object]] = {
    "removed": lambda path: path.unlink(),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "no JSON": lambda path: path.write_bytes(b"\xff" * 1_000),
    "another turn": lambda path: path.write_text('{"turn_id": "turn_of_somebody_else", "metadata": {}}'),
}
_all_damages = pytest.mark.parametrize("damage", _DAMAGES.values(), ids=_DAMAGES)


def objects_of(place: Place) -> list[Path]:
    """The objects of all turns, in the order in which they began."""
    return [
        place.folder / "store" / str(name)
        for (name,) in place.rows("SELECT object FROM convlog_turns ORDER BY started_at, number")
    ]


def turns_in_documents(place: Place) -> list[int]:
    return sorted(len(json.loads(content)["turns"]) for content in place.documents().values())


def pending(place: Place) -> list[tuple[object, ...]]:
    return place.rows("SELECT file FROM convlog_files WHERE pending")


@_all_damages
def test_an_object_costs_its_turn_alone(
    place_in_folder: Place, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    place = place_in_folder
    machine = place.machine()
    machine.write(*dialogue("one", 3), *dialogue("two", 3))
    machine.deliver()
    damaged = objects_of(place)[1]
    damage(damaged)
    assert place.make_documents() == 2
    assert turns_in_documents(place) == [2, 3]
    assert [damaged.name in record.getMessage() for record in caplog.records] == [True]
    assert not pending(place)
    assert place.mirror().refresh() == 2


@_all_damages
def test_what_stands_in_the_document_is_taken_from_there(
    place_in_folder: Place, damage: Callable[[Path], object]
) -> None:
    place = place_in_folder
    first, second, third = dialogue("one", 3)
    machine = place.machine()
    machine.write(first, third)
    machine.deliver()
    place.make_documents()
    damage(objects_of(place)[0])
    machine.write(second)  # which stands before the third, so all is written anew
    machine.deliver()
    place.make_documents()
    assert turns_in_documents(place) == [3]


def test_a_conversation_of_which_nothing_is_left_holds_up_no_other(place_in_folder: Place) -> None:
    place = place_in_folder
    machine = place.machine()
    machine.write(*dialogue("one", 2), *dialogue("two", 2))
    machine.deliver()
    for path in objects_of(place)[:2]:
        path.unlink()
    place.make_documents()
    assert not pending(place)
    assert turns_in_documents(place) == [2]
    mirror = place.mirror()
    mirror.refresh()
    assert len(list(mirror.directory.glob("*/*.json"))) == 1
    machine.write(dialogue("one", 3)[2])  # it goes on, and what comes is there
    machine.deliver()
    place.make_documents()
    assert turns_in_documents(place) == [1, 2]


@_all_damages
def test_neither_object_nor_document_is_of_any_use(place_in_folder: Place, damage: Callable[[Path], object]) -> None:
    place = place_in_folder
    machine = place.machine()
    first, second, third = dialogue("one", 3)
    machine.write(first, second)
    machine.deliver()
    place.make_documents()
    damage(objects_of(place)[0])
    (document,) = place.documents()
    (place.folder / "store" / document).write_text("{}")
    machine.write(third)
    machine.deliver()
    place.make_documents()
    assert not pending(place)
    assert turns_in_documents(place) == [2]
    assert place.mirror().refresh() == 1


@_all_damages
def test_turns_that_came_late_are_put_right_as_far_as_they_are_there(
    place_in_folder: Place, damage: Callable[[Path], object]
) -> None:
    place = place_in_folder
    first, second, third = dialogue("one", 3)
    machine = place.machine()
    machine.write(second, third)
    machine.deliver()
    machine.write(first)
    machine.deliver()
    damage(objects_of(place)[1])
    place.make_documents()
    assert not pending(place)
    assert sum(turns_in_documents(place)) == 2
    place.mirror().refresh()
