"""What is changed while turns come, and what is left where somebody is killed in the middle of it."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from shared_place import dialogue, later, turn_span, with_attributes

from otel_convlog.attributes import CLIENT_REQUEST
from otel_convlog.shared import changing, delivering, mirror, pruning
from otel_convlog.shared.away import AwayError, ChangedError
from otel_convlog.shared.database import Database
from otel_convlog.shared.documents import DocumentMaker
from otel_convlog.shared.objects import Objects
from otel_convlog.shared.removals import Remover, note_removals, remove_noted
from otel_convlog.store.forgetting import Target, forget
from otel_convlog.store.regrouping import merge, split
from otel_convlog.store.rewriting import conversation_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan
    from shared_place import Machine, Place

    from otel_convlog.shared.mirror import Mirror


class _KilledError(BaseException):
    pass


def killed(*_: object, **__: object) -> None:
    raise _KilledError


def away(*_: object) -> int:
    raise AwayError("the store is away")


def with_turns(place: Place, *spans: ReadableSpan) -> Machine:
    """Have turns delivered and their documents made."""
    machine = place.machine()
    deliver(machine, *spans)
    place.make_documents()
    return machine


def deliver(machine: Machine, *spans: ReadableSpan) -> None:
    machine.write(*spans)
    machine.deliver()


def before(monkeypatch: pytest.MonkeyPatch, target: Any, name: str, do: Callable[[], object]) -> None:
    """Do something right before the first call of a function."""
    function = getattr(target, name)
    first = [True]

    def doing(*arguments: Any, **options: Any) -> Any:
        if first.pop() if first else False:
            do()
        return function(*arguments, **options)

    monkeypatch.setattr(target, name, doing)


def ids(place: Place) -> list[str]:
    return [str(row[0]) for row in place.rows("SELECT conversation_id FROM convlog_files ORDER BY created_at")]


def turn_ids(place: Place) -> list[str]:
    return [str(row[0]) for row in place.rows("SELECT turn_id FROM convlog_turns ORDER BY started_at")]


def counts(place: Place) -> list[tuple[object, ...]]:
    return place.rows("SELECT turn_count FROM convlog_files ORDER BY created_at")


def in_documents(place: Place) -> list[list[str]]:
    """The ids of the turns in each document."""
    found = [json.loads(content) for content in place.documents().values()]
    return [
        [turn["turn_id"] for turn in document["turns"]] for document in sorted(found, key=lambda it: it["created_at"])
    ]


def in_store(place: Place) -> set[str]:
    """The names of all objects and documents, of a place in a folder."""
    store = place.folder / "store"
    return {path.relative_to(store).as_posix() for path in store.rglob("*.json")}


def referred(place: Place) -> set[str]:
    return {
        str(row[0])
        for row in place.rows(
            "SELECT object FROM convlog_turns UNION SELECT file FROM convlog_files WHERE document IS NOT NULL"
        )
    }


def remove_left(place: Place) -> None:
    """Do what a deliverer does now and then."""
    with closing(Database(place.database)) as database, closing(Objects(place.store)) as objects:
        Remover(database, objects).remove_sometimes()


def settled_at_once(place: Place) -> None:
    """Let documents be made though somebody may be at them."""
    place.rows("UPDATE convlog_files SET touched = now() RETURNING 1")
    place.make_documents()


def files_of(copy: Mirror, conversation_id: str) -> list[Path]:
    return [path for path in conversation_files(copy.directory) if path.stem == conversation_id]


def forget_in(copy: Mirror, target: Target) -> None:
    with copy.changing():
        copy.refresh()
        forget(copy.directory, target)


def merge_in(copy: Mirror, into: str, other: str) -> None:
    with copy.changing():
        copy.refresh()
        merge(copy.directory, into, [(other, files_of(copy, other))])


def split_in(copy: Mirror, conversation_id: str, moved: list[str], into: str) -> None:
    with copy.changing():
        copy.refresh()
        split(copy.directory, files_of(copy, conversation_id), set(moved), into)


def test_a_turn_that_comes_while_another_is_forgotten_stays(
    place_in_folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_in_folder
    first, second, third = dialogue("one", 3)
    machine = with_turns(place, first, second)
    forgotten, *_ = turn_ids(place)
    copy = place.mirror()
    before(monkeypatch, mirror, "describe_file", lambda: deliver(machine, third))
    forget_in(copy, Target(turn_id=forgotten))
    place.make_documents()
    assert len(turn_ids(place)) == 2
    assert forgotten not in turn_ids(place)
    assert counts(place) == [(2,)]
    assert in_documents(place) == [turn_ids(place)]
    assert place.rows("SELECT last_reply FROM convlog_files") == [
        ("Answer 2 to one, which is no other dialogue's either.",)
    ]
    remove_left(place)
    assert in_store(place) == referred(place)


def test_a_conversation_that_goes_on_while_it_is_forgotten_stays(
    place_in_folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_in_folder
    first, second = dialogue("one", 2)
    machine = with_turns(place, first)
    copy = place.mirror()
    before(monkeypatch, mirror, "remove_file", lambda: deliver(machine, second))
    with pytest.raises(ChangedError, match="try again"):
        forget_in(copy, Target(conversation_id=ids(place)[0]))
    place.make_documents()
    assert len(turn_ids(place)) == 2
    assert in_documents(place) == [turn_ids(place)]
    forget_in(copy, Target(conversation_id=ids(place)[0]))
    assert not turn_ids(place)
    assert not in_store(place)


def test_nothing_is_changed_where_one_of_the_documents_was(
    place_in_folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_in_folder
    first, two = dialogue("one", 1), dialogue("two", 2)
    machine = with_turns(place, *first, two[0])
    one, other = ids(place)
    copy = place.mirror()
    before(monkeypatch, mirror.Mirror, "give_back", lambda: deliver(machine, two[1]))
    with pytest.raises(ChangedError, match="try again"):
        merge_in(copy, one, other)
    place.make_documents()
    assert counts(place) == [(1,), (2,)]
    assert ids(place) == [one, other]


def test_a_conversation_that_goes_on_is_not_pruned(place_in_folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_in_folder
    one, two = dialogue("one", 2), dialogue("two", 1)
    machine = with_turns(place, one[0], *two)
    before(monkeypatch, pruning, "remove_conversation", lambda: deliver(machine, one[1]))
    assert place.mirror().prune(max_age_days=None, max_bytes=1) == 0
    place.make_documents()
    assert counts(place) == [(2,), (1,)]
    assert len(in_documents(place)[0]) == 2
    assert place.mirror().prune(max_age_days=None, max_bytes=1) == 1
    assert counts(place) == [(1,)]
    assert in_store(place) == referred(place)


@pytest.mark.parametrize("what_happens", [killed, away])
def test_what_was_not_removed_is_removed_later(
    place_in_folder: Place, monkeypatch: pytest.MonkeyPatch, what_happens: Callable[..., object]
) -> None:
    place = place_in_folder
    machine = with_turns(place, *dialogue("one", 2), *dialogue("two", 1))
    copy = place.mirror()
    with monkeypatch.context() as patch:
        patch.setattr(changing, "remove_noted", what_happens)
        with pytest.raises((_KilledError, AwayError)):
            forget_in(copy, Target(conversation_id=ids(place)[0]))
    assert len(turn_ids(place)) == 1
    assert len(in_store(place)) == 3 + 2
    machine.run_until(lambda: in_store(place) == referred(place))


def test_what_was_replaced_is_removed(place_in_folder: Place) -> None:
    place = place_in_folder
    (span,) = dialogue("one", 1)
    machine = with_turns(place, span)
    deliver(machine, with_attributes(span, {"convlog.error": '{"message": "found out later"}'}))
    place.make_documents()
    remove_left(place)
    assert in_store(place) == referred(place)
    assert place.rows("SELECT count(*) FROM convlog_removals WHERE removed_at IS NULL") == [(0,)]
    place.rows("UPDATE convlog_removals SET removed_at = now() - interval '1 day' RETURNING 1")
    remove_left(place)
    assert place.rows("SELECT count(*) FROM convlog_removals") == [(0,)]


def test_what_comes_once_more_while_it_is_removed_is_there(
    place_in_folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_in_folder
    (span,) = dialogue("one", 1)
    machine, other = with_turns(place, span), place.machine("other")
    deliver(machine, with_attributes(span, {"convlog.error": '{"message": "found out later"}'}))
    before(monkeypatch, delivering, "keep", lambda: remove_left(place))
    deliver(other, span)  # as from a spool whose deliverer was killed
    place.make_documents()
    remove_left(place)
    assert len(in_documents(place)[0]) == 1
    assert in_store(place) == referred(place)
    assert b"found out later" not in next(iter(place.documents().values()))


def test_a_document_that_is_made_while_its_conversation_is_forgotten_goes(
    place_in_folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_in_folder
    machine = place.machine()
    deliver(machine, *dialogue("one", 2))
    copy = place.mirror()
    target = Target(conversation_id=ids(place)[0])
    before(monkeypatch, Objects, "put_document", lambda: forget_in(copy, target))
    place.make_documents()
    assert not turn_ids(place)
    assert not in_store(place)


def test_a_document_that_is_made_while_the_one_before_is_removed_is_made_once_more(
    place_in_folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_in_folder
    first, second = (with_attributes(span, {"gen_ai.conversation.id": "named"}) for span in dialogue("one", 2))
    machine = with_turns(place, first)

    def go_on() -> None:
        deliver(machine, second)
        place.make_documents()

    before(monkeypatch, Objects, "remove", go_on)
    forget_in(place.mirror(), Target(conversation_id="named"))
    assert ids(place) == ["named"]
    place.make_documents()
    assert in_documents(place) == [turn_ids(place)]
    assert in_store(place) == referred(place)


def test_a_document_that_two_make_is_right_in_the_end(place_in_folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_in_folder
    first, second = dialogue("one", 2)
    machine = place.machine()
    deliver(machine, first)

    def overtake() -> None:  # it is taken for dead
        place.rows("UPDATE convlog_files SET leased_until = now() RETURNING 1")
        deliver(machine, second)
        place.make_documents()

    before(monkeypatch, DocumentMaker, "write", overtake)
    place.make_documents()
    assert in_documents(place) == [turn_ids(place)]
    assert in_store(place) == referred(place)
    assert place.rows("SELECT count(*) FROM convlog_files WHERE pending") == [(0,)]


def test_a_turn_that_is_replaced_while_its_document_is_made_is_not_said_to_be_lost(
    place_in_folder: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = place_in_folder
    spans = dialogue("one", 3)
    machine = place.machine()
    deliver(machine, *spans)

    def replace() -> None:
        deliver(machine, with_attributes(spans[1], {"convlog.error": '{"message": "found out later"}'}))
        remove_left(place)

    with monkeypatch.context() as patch:
        before(patch, DocumentMaker, "write", replace)
        place.make_documents()
    (document,) = place.documents().values()
    assert b"found out later" in document
    assert in_documents(place) == [turn_ids(place)]
    copy = place.mirror()
    deliver(machine, spans[1])
    with monkeypatch.context() as patch:
        before(patch, DocumentMaker, "write", replace)
        assert copy.refresh() == 1
    (path,) = conversation_files(copy.directory)
    assert b"found out later" in path.read_bytes()
    assert not caplog.records


@pytest.mark.parametrize("step", ["describe_file", "remove_file"])
def test_who_is_killed_while_he_merges_leaves_a_log_that_is_whole(
    place_in_folder: Place, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    place = place_in_folder
    with_turns(place, *dialogue("one", 2), *dialogue("two", 2))
    one, other = ids(place)
    everything = turn_ids(place)
    copy = place.mirror()
    with monkeypatch.context() as patch:
        patch.setattr(mirror, step, killed)
        with pytest.raises(_KilledError):
            merge_in(copy, one, other)
    settled_at_once(place)
    remove_left(place)
    assert counts(place) == [(4,)]
    assert in_documents(place) == [everything]
    assert in_store(place) == referred(place)
    copy.refresh()
    assert len(list(conversation_files(copy.directory))) == 1


def test_who_is_killed_while_he_splits_leaves_a_log_that_is_whole(
    place_in_folder: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_in_folder
    with_turns(place, *dialogue("one", 4))
    (one,) = ids(place)
    everything = turn_ids(place)
    copy = place.mirror()
    with monkeypatch.context() as patch:
        patch.setattr(mirror, "describe_file", killed)
        with pytest.raises(_KilledError):
            split_in(copy, one, everything[2:], "0-comes-first")
    settled_at_once(place)
    remove_left(place)
    assert turn_ids(place) == everything
    assert sorted(turn for turns in in_documents(place) for turn in turns) == sorted(everything)
    assert in_store(place) == referred(place)
    assert place.rows("SELECT sum(turn_count) FROM convlog_files") == [(4,)]


def test_a_turn_that_comes_late_leaves_together_what_was_merged(place_in_folder: Place) -> None:
    place = place_in_folder
    first, second = dialogue("one", 3), dialogue("two", 2)
    machine = with_turns(place, first[0], first[2], *second)
    one, other = ids(place)
    merge_in(place.mirror(), other, one)
    before_it = in_documents(place)
    deliver(machine, first[1])
    place.make_documents()
    assert ids(place) == [other]
    ((*there,),) = in_documents(place)
    assert len(there) == 5
    assert set(before_it[0]) < set(there)
    (document,) = map(json.loads, place.documents().values())
    links = {turn["turn_id"]: turn["otel"]["continues"] for turn in document["turns"]}
    assert links[there[1]] == there[0]  # it has found the one before it
    assert [links[there[number]] for number in (3, 4)] == [None, there[3]]


def test_a_turn_that_comes_late_leaves_apart_what_was_split(place_in_folder: Place) -> None:
    place = place_in_folder
    spans = dialogue("one", 4)
    messages = json.loads(str((spans[3].attributes or {})[CLIENT_REQUEST]))["messages"]
    other_question = {"role": "user", "content": "What else might have been asked then?"}
    branch = turn_span({"model": "test", "messages": [*messages[:-1], other_question]}, None)
    machine = with_turns(place, *spans)
    (one,) = ids(place)
    moved = turn_ids(place)[2:]
    split_in(place.mirror(), one, moved, "apart")
    deliver(machine, later(branch, timedelta(seconds=-1)))  # before all others
    assert place.rows("SELECT disordered FROM convlog_files WHERE conversation_id = 'apart'") == [(True,)]
    place.make_documents()
    assert sorted(ids(place)) == sorted([one, "apart"])
    assert sorted(map(len, in_documents(place))) == [2, 3]
    assert any(set(moved) < set(turns) for turns in in_documents(place))


def test_crafted_names_remove_nothing(place_in_folder: Place) -> None:
    place = place_in_folder
    with_turns(place, *dialogue("one", 1))
    kept = [place.folder / "store" / "important.json", place.folder / "important.json"]
    for path in kept:
        path.write_text("{}")
    before_it = in_store(place)
    with closing(Database(place.database)) as database, closing(Objects(place.store)) as objects:
        with database.transaction() as connection:
            note_removals(connection, ["important.json", "../important.json", "2026-11-27/../important.json", "\0", ""])
        remove_noted(database, objects)
    assert in_store(place) == before_it
    assert kept[1].exists()


def test_a_document_is_made_under_no_crafted_name(place_in_folder: Place) -> None:
    place = place_in_folder
    with_turns(place, *dialogue("one", 1), *dialogue("two", 1))
    name = "2026-11-27/../../evil.json"
    for table in ("convlog_files", "convlog_turns"):
        place.rows(
            f"UPDATE {table} SET file = '{name}' WHERE conversation_id = '{ids(place)[0]}' RETURNING 1"  # noqa: S608
        )
    place.rows("UPDATE convlog_files SET pending = TRUE, rebuild = TRUE RETURNING 1")
    place.make_documents()
    assert not list(place.folder.rglob("evil*"))
    assert place.rows("SELECT count(*) FROM convlog_files WHERE pending") == [(0,)]
