"""The catalog beside the files: it says what is in them, and losing it loses nothing."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from store_helpers import make_turn
from windows_rules import only_posix

from otel_convlog.store import (
    ConversationStore,
    catalog,
    iterate_turns,
    list_conversations,
    read_document,
    read_turn,
    reindex,
    render,
)
from otel_convlog.store.catalog import Catalog
from otel_convlog.store.catalog_database import FILE_NAME, _use_wal
from otel_convlog.store.entries import describe

if TYPE_CHECKING:
    from pathlib import Path

    from otel_convlog.record import IdentifiedTurn


def _write(store: ConversationStore, *turns: IdentifiedTurn) -> Path:
    path = store.path_of(turns[0])
    store.write(path, [render(turn) for turn in turns])
    return path


def _rows(directory: Path, statement: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(directory / FILE_NAME)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def _chat(text: str) -> Any:
    return {
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": text}]}]
    }


def _assert_places_are_right(directory: Path) -> None:
    """Every turn of every file stands in the catalog, where it says."""
    places = _rows(directory, "SELECT file, turn_id, offset, length FROM turns ORDER BY file, offset")
    expected = []
    for path in sorted(directory.glob("*/*.json")):
        for turn in read_document(path)["turns"]:  # type: ignore[union-attr]
            expected.append((path.relative_to(directory).as_posix(), turn["turn_id"]))  # type: ignore[index,call-overload]  # noqa: PERF401
    assert [(file, turn_id) for file, turn_id, _, _ in places] == expected
    for file, turn_id, offset, length in places:
        assert read_turn(directory / file, offset, length)["turn_id"] == turn_id


def test_a_conversation_is_listed_as_it_stands_in_its_file(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    answer = {"choices": [{"message": {"content": "the\n answer " * 50}}]}
    _write(store, make_turn(1, _chat("first question"), usage={"prompt_tokens": 5, "completion_tokens": 7}))
    _write(
        store,
        make_turn(2, _chat("second"), client_response=answer, usage={"input_tokens": 10}, duration_ms=2.5),
        make_turn(3, _chat("third"), error="x", client_model="m\ud800", stream_summary={"text": "streamed"}),
    )
    _write(store, make_turn(4, "é", conversation_id="other"))
    newest, conversation = list_conversations(tmp_path)
    assert newest.conversation_id == "other"
    assert conversation.path == tmp_path / "2026-11-23" / "c.json"
    assert (conversation.turn_count, conversation.errors) == (3, 1)
    assert (conversation.input_tokens, conversation.output_tokens, conversation.duration_ms) == (15, 7, 4.5)
    assert (conversation.first_user_text, conversation.last_reply) == ("first question", "streamed")
    document = read_document(conversation.path)
    assert (conversation.created_at, conversation.updated_at) == (document["created_at"], document["updated_at"])
    assert list_conversations(tmp_path, conversation_id="c") == [conversation]
    assert list_conversations(tmp_path, limit=1, offset=1) == [conversation]
    _assert_places_are_right(tmp_path)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"input": "plain"}, "plain"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "item"}]}]}, "item"),
        ({"contents": [{"parts": [{"text": "gemini"}]}]}, "gemini"),
        ({"messages": [5, {"role": "assistant"}, {"role": "user", "content": "  a \n b "}]}, "a b"),
        ({"messages": [{"role": "user", "content": "x" * 1_000_000}]}, "x" * 200),
        (None, ""),
        ([], ""),
    ],
)
def test_the_first_text_of_every_protocol_is_found(request_: Any, text: str, tmp_path: Path) -> None:
    _write(ConversationStore(tmp_path), make_turn(1, request_))
    assert list_conversations(tmp_path)[0].first_user_text == text


def test_a_replaced_turn_is_read_again(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    _write(store, make_turn(1), make_turn(2), make_turn(3))
    _write(store, make_turn(2, "x" * 5_000, error="late"))
    _write(store, make_turn(4))
    assert reindex(tmp_path) == 1
    assert reindex(tmp_path) == 0
    _assert_places_are_right(tmp_path)
    assert list_conversations(tmp_path)[0].errors == 1


@pytest.mark.parametrize("damage", ["deleted", "garbage", "truncated", "of no use", "of an older version"])
def test_a_catalog_that_is_lost_or_damaged_is_made_anew(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ConversationStore(tmp_path)
    for number in range(1, 30):
        _write(store, make_turn(number, conversation_id=f"c{number % 3}"))
    path = tmp_path / FILE_NAME
    store.close()
    if damage == "deleted":
        path.unlink()
    elif damage == "garbage":
        path.write_bytes(os.urandom(5_000))
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:6_000])
    elif damage == "of no use":
        path.write_bytes(b"SQLite format 3\0" + b"\0" * 5_000)
    else:
        with sqlite3.connect(path) as connection:
            connection.executescript("DROP TABLE turns; PRAGMA user_version = -1")
        connection.close()
    monkeypatch.setattr("otel_convlog.store.catalog._LONGEST_PAUSE_S", 0.0)
    for number in range(30, 40):
        _write(store, make_turn(number, conversation_id=f"c{number % 3}"))
    reindex(tmp_path)
    reindex(tmp_path)
    _assert_places_are_right(tmp_path)
    assert len(_rows(tmp_path, "SELECT * FROM turns")) == 39
    if damage in {"garbage", "of no use", "of an older version"}:
        assert str(path) in caplog.text


class _RaisingLock:
    """The lock, in the middle of which a signal's handler raises."""

    def __init__(self, moment: str) -> None:
        self.lock = threading.RLock()
        self._left = [moment]

    def acquire(self, **options: Any) -> bool:
        had = self.lock.acquire(**options)
        self._interrupt("acquired")
        return had

    def release(self) -> None:
        self._interrupt("to be released")
        self.lock.release()

    def _is_owned(self) -> bool:
        return self.lock._is_owned()  # type: ignore[attr-defined,no-any-return]

    def _interrupt(self, moment: str) -> None:
        if moment in self._left:
            self._left.remove(moment)
            raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["acquired", "to be released"])
@pytest.mark.parametrize("use", ["query", "close", "purge"])
def test_a_handler_that_raises_leaves_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, use: str
) -> None:
    directory_catalog = Catalog(tmp_path, for_writing=True)
    directory_catalog.note("a word", "of it")
    lock = _RaisingLock(moment)
    monkeypatch.setattr(catalog, "_lock", lock)
    with pytest.raises(KeyboardInterrupt):
        getattr(directory_catalog, use)(*["SELECT 1"][: use == "query"])
    free: list[bool] = []
    other = threading.Thread(target=lambda: free.append(lock.acquire(blocking=False)))
    other.start()
    other.join()
    assert free == [True]


def test_a_handler_in_the_middle_of_a_transaction_does_without(tmp_path: Path) -> None:
    directory_catalog = Catalog(tmp_path, for_writing=True)
    directory_catalog._lock_s = 3_600.0  # it must not be waited for
    with directory_catalog.transaction() as connection:
        assert connection is not None
        assert directory_catalog.noted("a word") is None
        directory_catalog.close()
        connection.execute("INSERT INTO notes VALUES ('a word', 'of it')")
    assert directory_catalog.noted("a word") == "of it"


@only_posix
def test_a_fork_in_the_middle_of_a_transaction_ends_it_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory_catalog = Catalog(tmp_path, for_writing=True)
    directory_catalog.note("a word", "of it")
    child = 0
    with directory_catalog.transaction() as connection:
        assert connection is not None
        connection.execute("INSERT INTO notes VALUES ('another', 'that is not kept')")
        child = os.fork()  # as a signal's handler may
    if child == 0:
        directory_catalog.note("of the child", "itself")
        os._exit(0 if directory_catalog.noted("a word") == "of it" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert directory_catalog.noted("of the child") == "itself"
    assert directory_catalog.noted("another") is None
    assert not caplog.records


def test_without_a_usable_catalog_the_log_goes_on_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).mkdir()
    store = ConversationStore(tmp_path)
    for number in range(1, 20):
        path = _write(store, make_turn(number))
    assert read_document(path)["turn_count"] == 19
    assert len([record for record in caplog.records if FILE_NAME in record.getMessage()]) == 1


@only_posix
def test_a_catalog_deleted_while_it_is_open_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_convlog.store.catalog._LOOK_S", 0.0)
    store = ConversationStore(tmp_path)
    _write(store, make_turn(1))
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / (FILE_NAME + suffix)).unlink(missing_ok=True)
    _write(store, make_turn(2))
    _write(store, make_turn(3, conversation_id="d"))
    assert [conversation.conversation_id for conversation in list_conversations(tmp_path)] == ["d"]
    assert reindex(tmp_path) == 1
    _assert_places_are_right(tmp_path)


@only_posix  # the name of what it locks with
def test_where_sqlite_has_no_write_ahead_log_nothing_waits_for_it(tmp_path: Path) -> None:
    connection = sqlite3.connect(f"file:{tmp_path}/c?vfs=unix-dotfile", uri=True, isolation_level=None)
    with closing(connection), pytest.raises(sqlite3.OperationalError, match="write-ahead log"):
        _use_wal(connection, monotonic() + 0.05)


def test_a_file_edited_in_place_is_indexed_anew(tmp_path: Path) -> None:
    path = _write(ConversationStore(tmp_path), make_turn(1, client_model="gpt-5"))
    assert reindex(tmp_path) == 0
    path.write_bytes(path.read_bytes().replace(b"gpt-5", b"gpt-6"))
    os.utime(path, ns=(1, 1))
    assert reindex(tmp_path) == 1
    assert list_conversations(tmp_path)[0].last_client_model == "gpt-6"


def test_a_conversation_whose_id_begins_with_a_dot_is_found_again(tmp_path: Path) -> None:
    _write(ConversationStore(tmp_path), make_turn(1, conversation_id=".hidden"))
    (tmp_path / FILE_NAME).unlink()
    assert reindex(tmp_path) == 1
    assert [conversation.conversation_id for conversation in list_conversations(tmp_path)] == [".hidden"]


@only_posix
def test_a_database_that_the_catalog_s_name_links_to_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "foreign")) as foreign:
        foreign.execute("CREATE TABLE t (x)")
    before = (tmp_path / "foreign").read_bytes()
    log = tmp_path / "log"
    log.mkdir()
    (log / FILE_NAME).symlink_to(tmp_path / "foreign")
    path = _write(ConversationStore(log), make_turn(1))
    assert read_document(path)["turn_count"] == 1
    assert (tmp_path / "foreign").read_bytes() == before


def test_reindex_follows_the_files(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    gone = _write(store, make_turn(1, conversation_id="gone"))
    kept = _write(store, make_turn(2, conversation_id="kept"))
    gone.unlink()
    (kept.parent / "foreign.json").write_text('{"a": 1}')
    (kept.parent / "torn.json").write_bytes(kept.read_bytes()[:-1])
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "kept.json").write_bytes(kept.read_bytes())
    reindex(tmp_path)
    assert [conversation.conversation_id for conversation in list_conversations(tmp_path)] == ["kept"]
    assert reindex(tmp_path, everything=True) == 1


def test_a_turn_is_read_without_the_rest_of_its_document(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, *(make_turn(number, "x" * number * 10) for number in range(1, 50)))
    turns = list(iterate_turns(path))
    assert [turn.value for turn in turns] == read_document(path)["turns"]
    for turn in turns[::7]:
        assert read_turn(path, turn.offset, turn.length) == turn.value
    with pytest.raises(ValueError, match=r"Extra|Expecting"):
        read_turn(path, turns[3].offset + 1, turns[3].length)


@only_posix
def test_a_reader_that_takes_its_time_does_not_hold_up_the_writers(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1), make_turn(2))
    turns = iterate_turns(path)
    assert next(turns).value["turn_id"][-1:] == "1"  # type: ignore[index]
    _write(store, make_turn(3))
    _write(store, make_turn(1, "replaced"))
    assert [turn.value["turn_id"][-1:] for turn in turns] == ["2"]  # type: ignore[index]
    assert [turn.value["turn_id"][-1:] for turn in iterate_turns(path)] == ["1", "2", "3"]  # type: ignore[index]


def test_files_that_are_no_documents_are_named(tmp_path: Path) -> None:
    for content in (b"", b"[]", b"{"):
        (tmp_path / "x.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.json|Expecting"):
            read_document(tmp_path / "x.json")
        with pytest.raises(ValueError, match=r"x\.json"):
            list(iterate_turns(tmp_path / "x.json"))
    with pytest.raises(FileNotFoundError):
        read_document(tmp_path / "missing.json")


@only_posix
def test_the_catalog_is_the_owner_s_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        _write(ConversationStore(tmp_path), make_turn(1))
    finally:
        os.umask(old)
    for path in tmp_path.glob(FILE_NAME + "*"):
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_catalog_that_another_program_locks_does_not_cost_a_turn(begin: str, tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    _write(store, make_turn(1))
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute(begin)
    try:
        _write(store, make_turn(2))
        path = _write(store, make_turn(3))
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert read_document(path)["turn_count"] == 3
    assert reindex(tmp_path) == 1
    _assert_places_are_right(tmp_path)


@pytest.mark.parametrize("damage", [b"garbage" * 1_000, b""], ids=["garbage", "empty"])
def test_a_catalog_overwritten_while_it_is_open_does_not_cost_a_turn(damage: bytes, tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    _write(store, make_turn(1))
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.truncate(0)
        file.write(damage)
    for number in range(2, 6):
        path = _write(store, make_turn(number))
    assert read_document(path)["turn_count"] == 5


@only_posix
def test_a_forked_child_has_a_connection_of_its_own(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    _write(store, make_turn(1, conversation_id="parent"))
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _write(store, make_turn(2, conversation_id="child0"))
        os.read(read, 1)  # the parent closes its connection, the last one that it has
        for number in range(1, 20):
            _write(store, make_turn(2, conversation_id=f"child{number}"))
        os._exit(0)
    store.close()
    os.write(write, b"x")
    assert os.waitpid(pid, 0)[1] == 0
    os.close(read)
    os.close(write)
    assert len(list_conversations(tmp_path)) == 21
    assert _rows(tmp_path, "PRAGMA integrity_check") == [("ok",)]


def test_a_turn_written_while_its_file_is_indexed_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ConversationStore(tmp_path)
    _write(store, make_turn(1))
    store.close()
    (tmp_path / FILE_NAME).unlink()
    late = [make_turn(2)]
    real = describe

    def describe_slowly(turn: Any) -> Any:
        if late:
            _write(store, late.pop())
        return real(turn)

    monkeypatch.setattr("otel_convlog.store.reading.describe", describe_slowly)
    assert reindex(tmp_path) == 1
    _assert_places_are_right(tmp_path)
    _write(store, make_turn(3))
    _assert_places_are_right(tmp_path)
