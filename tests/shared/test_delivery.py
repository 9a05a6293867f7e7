from __future__ import annotations

import itertools
import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from shared_place import dialogue, interleaved, turn_span, with_attributes

from otel_convlog import ConversationSpanExporter
from otel_convlog.identity import identifier
from otel_convlog.shared import schema
from otel_convlog.shared.away import AwayError, ChangedError
from otel_convlog.shared.database import Database
from otel_convlog.shared.documents import DocumentMaker
from otel_convlog.shared.expiry import Expiry
from otel_convlog.shared.keeping import keep
from otel_convlog.shared.objects import Objects
from otel_convlog.shared.only_one import only_one
from otel_convlog.shared.schema import VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from shared_place import Place

    from otel_convlog.identity.grouping import Grouping
    from otel_convlog.shared.keeping import NewTurn
    from otel_convlog.shared.objects import PutTurns


def test_a_dialogue_becomes_the_document_that_one_machine_would_have_written(place: Place) -> None:
    spans = dialogue("one", 5)
    machine = place.machine()
    machine.write(*spans)
    assert machine.deliver() == 5
    assert machine.waiting() == 0
    assert place.make_documents() == 1
    assert place.documents() == place.written_by_one_machine(*spans)


def test_turns_of_many_dialogues_on_many_machines_become_the_documents_of_one(place: Place) -> None:
    spans = interleaved([dialogue(f"dialogue {number}", 4) for number in range(12)])
    machines = [place.machine(f"spool-{number}") for number in range(3)]
    for number, span in enumerate(spans):
        machines[number % 3].write(span)
        machines[number % 3].deliver()
    place.make_documents()
    assert place.documents() == place.written_by_one_machine(*spans)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[1:])
def test_the_order_in_which_turns_come_changes_nothing(place: Place, order: tuple[int, ...]) -> None:
    spans = dialogue("one", 4)
    for number in order:
        machine = place.machine(f"spool-{number}")
        machine.write(spans[number])
        machine.deliver()
    place.make_documents()
    assert place.documents() == place.written_by_one_machine(*spans)


def test_turns_that_come_late_change_the_document_that_there_is(place: Place) -> None:
    spans = dialogue("one", 6)
    late, other = place.machine("late"), place.machine("other")
    for number, span in enumerate(spans):
        (late if number in (0, 3) else other).write(span)
    other.deliver()
    place.make_documents()
    before = place.documents()
    assert len(before) == 1
    late.deliver()
    place.make_documents()
    assert place.documents() == place.written_by_one_machine(*spans)
    assert place.documents().keys().isdisjoint(before)  # it has the id of its first turn now
    objects = Objects(place.store)
    with closing(objects):
        assert all(objects.version(name) is None for name in before)


def test_dialogues_in_any_order_at_random(place: Place) -> None:
    dice = random.Random(4)
    dialogues = [dialogue(f"dialogue {number}", dice.randint(2, 6)) for number in range(15)]
    spans = interleaved(dialogues)
    machines = [place.machine(f"spool-{number}") for number in range(4)]
    for span in spans:
        dice.choice(machines).write(span)
    while any(machine.waiting() for machine in machines):
        dice.choice(machines).deliver()
        if dice.random() < 0.3:
            place.make_documents()
    place.make_documents()
    assert place.documents() == place.written_by_one_machine(*spans)


def test_two_machines_that_see_a_dialogue_at_the_same_moment_end_in_one_conversation(place: Place) -> None:
    dialogues = [dialogue(f"dialogue {number}", 2) for number in range(40)]
    machines = [place.machine("first"), place.machine("second")]
    for turns in dialogues:
        for machine, span in zip(machines, turns, strict=True):
            machine.write(span)
    together = threading.Barrier(2)

    def deliver(number: int) -> int:
        together.wait()
        return machines[number].deliver()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(deliver, range(2))) == [40, 40]
    place.make_documents()
    assert place.documents() == place.written_by_one_machine(*interleaved(dialogues))


def _killed(_: object) -> None:
    raise KeyboardInterrupt


def test_a_repeated_delivery_changes_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = dialogue("one", 3)
    machine = place.machine()
    machine.write(*spans)
    with monkeypatch.context() as patched:  # it is killed when all is there, and before it has removed it here
        patched.setattr(machine.deliverer._spool, "done", _killed)
        with pytest.raises(KeyboardInterrupt):
            machine.deliver()
    again = place.machine()
    assert again.waiting() == 1
    assert again.deliver() == 3
    assert again.deliverer.health.turns_repeated == 3
    place.make_documents()
    assert place.documents() == place.written_by_one_machine(*spans)
    assert place.rows("SELECT count(*) FROM convlog_turns") == [(3,)]


def test_a_turn_that_comes_again_with_more_in_it_takes_the_place_of_what_was(place: Place) -> None:
    first, second = dialogue("one", 2)
    more = with_attributes(second, {"convlog.error": '{"message": "found out later"}'})
    machine = place.machine()
    machine.write(first, second)
    machine.deliver()
    place.make_documents()
    machine.write(more)
    machine.deliver()
    assert place.make_documents() == 1
    assert place.rows("SELECT count(*) FROM convlog_turns") == [(2,)]
    (document,) = place.documents().values()
    assert b"found out later" in document
    assert {"x": document} == dict(zip("x", place.written_by_one_machine(first, second, more).values(), strict=True))
    (objects,) = place.rows("SELECT array_agg(object) FROM convlog_turns")
    store = Objects(place.store)
    with closing(store):
        assert None not in list(store.get_turns((str(name), 1_000) for name in objects[0]))  # type: ignore[attr-defined]


def test_a_file_that_is_written_anew_again_and_again_while_it_is_delivered_is_not_taken_for_the_one_before(
    place_in_folder: Place,
) -> None:
    spans = dialogue("one", 2)
    machine = place_in_folder.machine()
    machine.write(*spans)
    spool = machine.deliverer._spool
    for number in range(3):  # a file system may give the file the number that one had before which is gone
        (turn,) = spool.take(1, 1 << 20)
        spool.done([turn])
        del turn
        for time in (2 * number, 2 * number + 1):
            machine.write(with_attributes(spans[0], {"convlog.error": json.dumps({"message": f"{time:02}"})}))
        found = [turn.value["error"] for turn in spool.take(10, 1 << 20)]
        assert found == [{"message": f"{2 * number + 1:02}"}, None]


def test_a_document_grows_by_the_turns_that_it_lacks(place: Place) -> None:
    spans = dialogue("one", 6)
    machine = place.machine()
    for start in range(0, 6, 2):
        machine.write(*spans[start : start + 2])
        machine.deliver()
        assert place.make_documents() == 1
    assert place.make_documents() == 0
    assert place.documents() == place.written_by_one_machine(*spans)


def test_a_document_that_somebody_else_has_written_is_made_anew(place: Place) -> None:
    spans = dialogue("one", 3)
    machine = place.machine()
    machine.write(*spans[:2])
    machine.deliver()
    place.make_documents()
    (name,) = place.documents()
    objects = Objects(place.store)
    foreign = place.folder / "foreign.json"
    foreign.write_text("{}")
    with closing(objects):
        objects.put_document(name, foreign, objects.version(name))
        machine.write(spans[2])
        machine.deliver()
        place.make_documents()
        with pytest.raises(ChangedError):
            objects.put_document(name, foreign, '"of another time" ')
        with pytest.raises(ChangedError):
            objects.put_document(name, foreign, None)
    assert place.documents() == place.written_by_one_machine(*spans)


def test_a_document_is_made_by_one_at_a_time_and_by_others_when_its_maker_is_dead(place: Place) -> None:
    machine = place.machine()
    machine.write(*dialogue("one", 2))
    machine.deliver()
    objects = Objects(place.store)
    with closing(Database(place.database)) as database, closing(objects):
        assert DocumentMaker(database, objects).lease(quiet_s=0) is not None
        assert DocumentMaker(database, objects).lease(quiet_s=0) is None
        with database.transaction() as connection:
            connection.execute("UPDATE convlog_files SET leased_until = now() - interval '1 second'")
    assert place.make_documents() == 1


def test_a_document_is_made_when_its_conversation_has_been_quiet(place: Place) -> None:
    machine = place.machine(quiet_ms=60_000)
    machine.write(*dialogue("one", 2))
    machine.run_until(lambda: machine.deliverer.health.turns_delivered == 2)
    machine.run(1.0)
    assert machine.deliverer.health.documents_made == 0
    hasty = place.machine("hasty", quiet_ms=100)
    hasty.run_until(lambda: hasty.deliverer.health.documents_made == 1)


def test_most_batches_take_two_round_trips(place: Place) -> None:
    machine = place.machine()
    spans = interleaved([dialogue(f"dialogue {number}", 3) for number in range(30)])
    machine.write(*spans[:1])
    machine.deliver()
    machine.write(*spans[1:])
    before = machine.deliverer._database.round_trips
    assert machine.deliver() == 89
    assert machine.deliverer._database.round_trips - before == 2


def test_evidence_that_is_too_old_is_forgotten_and_its_turns_stay(place: Place) -> None:
    machine = place.machine()
    machine.write(*dialogue("one", 3))
    machine.deliver()
    with psycopg.connect(place.database) as connection:
        connection.execute("UPDATE convlog_turns SET kept_at = now() - interval '61 days'")
    machine.write(*dialogue("two", 1))
    machine.deliver()
    with closing(Database(place.database)) as database:
        assert Expiry(database, days=60).expire_some(at_once=True) == 3
        assert Expiry(database, days=60).expire_some(at_once=True) == 0
    assert place.rows("SELECT count(*) FROM convlog_turns") == [(4,)]
    assert place.rows("SELECT count(DISTINCT number) FROM convlog_evidence") == [(1,)]


def test_the_tables_are_made_once_by_whoever_comes_first(place: Place) -> None:
    together = threading.Barrier(8)

    def begin(_: int) -> None:
        with closing(Database(place.database)) as database:
            together.wait()
            with database.transaction() as connection:
                connection.execute("SELECT 1 FROM convlog_turns")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(begin, range(8)))
    assert place.rows("SELECT version FROM convlog_schema ORDER BY version") == [(n + 1,) for n in range(VERSION)]


def test_the_tables_of_the_release_before_are_brought_to_this_one(place: Place) -> None:
    with pytest.MonkeyPatch.context() as patch, psycopg.connect(place.database, autocommit=True) as connection:
        patch.setattr(schema, "_STEPS", schema._STEPS[:1])
        patch.setattr(schema, "VERSION", 1)
        schema.migrate(connection)
    machine = place.machine(content="metadata")
    machine.deliver()
    machine.write(*dialogue("one", 2))
    assert machine.deliver() == 2
    steps = [(version,) for version in range(1, VERSION + 1)]
    assert place.rows("SELECT version FROM convlog_schema ORDER BY version") == steps
    assert place.rows("SELECT turn_count FROM convlog_files") == [(2,)]


def test_the_tables_of_a_newer_release_are_left_alone(place: Place) -> None:
    with closing(Database(place.database)) as database:
        with database.transaction() as connection:
            connection.execute("INSERT INTO convlog_schema VALUES (%s, now())", (VERSION + 1,))
        database.close()
        with pytest.raises(AwayError, match=f"version {VERSION + 1}"), database.transaction():
            pass


def test_what_the_database_refuses_does_not_hold_up_what_comes_behind_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = place.machine()
    good, bad = dialogue("good", 2), dialogue("bad", 1)
    machine.write(*good, *bad)

    def refuse(database: Database, grouping: Grouping, new: list[NewTurn], *, objects: PutTurns) -> int:
        if any("of bad," in str(turn) for turn in new):
            raise psycopg.DataError("invalid byte sequence")
        return keep(database, grouping, new, objects=objects)

    monkeypatch.setattr("otel_convlog.shared.delivering.keep", refuse)
    machine.deliver()
    assert machine.waiting() == 0
    assert place.rows("SELECT count(*) FROM convlog_turns") == [(2,)]
    (aside,) = (machine.settings.directory / "undeliverable").glob("*/*.json")
    assert b"Question 0 of bad" in aside.read_bytes()


def test_text_that_the_database_does_not_take_is_taken_all_the_same(place: Place) -> None:
    span = turn_span({"messages": [{"role": "user", "content": "NUL \0 and \ud800"}]}, None, client_model="a\0b\udfff")
    machine = place.machine()
    machine.write(span)
    assert machine.deliver() == 1
    place.make_documents()
    assert place.documents() == place.written_by_one_machine(span)


def test_one_process_delivers_the_turns_of_a_spool(tmp_path: Path) -> None:
    with only_one(tmp_path / "spool") as first, only_one(tmp_path / "spool") as second:
        assert (first, second) == (True, False)
    with only_one(tmp_path / "spool") as third:
        assert third


def leaner(content: str) -> dict[str, Any]:
    """A setting by which what is written does not tell how a turn's dialogue goes."""
    return {"stream_events": "none"} if content == "full" else {"content": content}


@pytest.mark.parametrize("content", ["metadata", "none", "full"])
def test_without_words_dialogues_are_those_of_one_machine_all_the_same(place: Place, content: str) -> None:
    options = leaner(content)
    machines = [place.machine(f"spool-{number}", **options) for number in range(3)]
    for machine in machines:
        machine.deliver()  # which gives them the key
    spans = interleaved([dialogue(f"dialogue {number}", 4, stream=True) for number in range(12)])
    for number, span in enumerate(spans):
        machines[number % 3].write(span)
        machines[number % 3].deliver()
    place.make_documents()
    assert place.documents() == place.written_by_one_machine(*spans, **options)
    assert len(place.documents()) == 12
    if content != "full":
        assert b"which is no other" not in b"".join(place.documents().values())


@pytest.mark.parametrize("content", ["metadata", "full"])
@pytest.mark.parametrize("order", [(1, 0, 2, 3), (3, 2, 1, 0), (2, 3, 0, 1)])
def test_without_words_too_the_order_in_which_turns_come_changes_nothing(
    place: Place, order: tuple[int, ...], content: str
) -> None:
    options = leaner(content)
    spans = dialogue("one", 4, stream=True)
    machines = [place.machine(f"spool-{number}", **options) for number in order]
    for machine in machines:
        machine.deliver()
    for machine, number in zip(machines, order, strict=True):
        machine.write(spans[number])
        machine.deliver()
    place.make_documents()
    assert place.documents() == place.written_by_one_machine(*spans, **options)


def test_without_words_a_proxy_need_not_know_that_its_log_is_delivered(place: Place) -> None:
    machines = [place.machine(f"spool-{number}", content="metadata") for number in range(2)]
    spans = dialogue("one", 4)
    for machine in machines:
        machine.deliver()
    for number, span in enumerate(spans):
        machine = machines[number % 2]
        exporter = ConversationSpanExporter(directory=machine.settings.directory, catalog="", content="metadata")
        exporter.export([span])
        exporter.shutdown()
        machine.deliver()
    place.make_documents()
    assert place.documents() == place.written_by_one_machine(*spans, content="metadata")


def test_what_is_compared_of_a_turn_is_kept_as_long_as_its_evidence(place: Place) -> None:
    machine = place.machine(content="metadata", evidence_days=0)
    machine.deliver()
    machine.write(*dialogue("one", 2))
    machine.deliver()
    assert place.rows("SELECT count(*) FROM convlog_turns WHERE seal IS NOT NULL") == [(2,)]
    with closing(Database(place.database)) as database:
        Expiry(database, days=0).expire_some(at_once=True)
    assert place.rows("SELECT count(*) FROM convlog_turns WHERE seal IS NOT NULL") == [(0,)]


def test_a_turn_of_which_it_cannot_be_read_what_is_compared_is_delivered_as_it_says(place: Place) -> None:
    machine = place.machine(content="metadata")
    machine.deliver()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identifier, "seal", lambda _: "of another release")
        machine.write(*dialogue("one", 2))
    assert machine.deliver() == 2
    assert place.rows("SELECT DISTINCT turn_count FROM convlog_files") == [(2,)]
    place.rows("UPDATE convlog_files SET disordered = TRUE RETURNING 1")  # as if another had come late
    place.make_documents()
    assert not place.rows("SELECT 1 FROM convlog_files WHERE pending")
