"""The store on Windows, where an open file is neither replaced nor removed; on Linux by the same rule."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from conversation_log import read_document
from store_helpers import make_turn
from windows_rules import SYSTEMS, files_of

from otel_convlog.store import ConversationStore, iterate_turns, render
from otel_convlog.store import read_document as read_locked
from otel_convlog.store.locked_file import locked_file, locked_file_if_free, shared_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_convlog.record import IdentifiedTurn

pytestmark = pytest.mark.skipif(SYSTEMS == ["native"] and sys.platform != "win32", reason="it takes Linux or Windows")

_DAY_NS = 24 * 3600 * 10**9


@pytest.fixture(scope="module", autouse=True)
def windows() -> Iterator[None]:
    with files_of(SYSTEMS[-1]):
        yield


def _write(store: ConversationStore, *turns: IdentifiedTurn) -> Path:
    path = store.path_of(turns[0])
    store.write(path, [render(turn) for turn in turns])
    return path


def _numbers(path: Path) -> list[int]:
    return [int(turn["turn_id"][5:], 16) for turn in read_document(path)["turns"]]


def test_a_turn_is_not_replaced_while_somebody_reads_the_file_and_nothing_is_lost(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1), make_turn(2))
    before = path.read_bytes()
    with path.open("rb"):
        with pytest.raises(PermissionError):
            _write(store, make_turn(1, "new"))
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]
        _write(store, make_turn(3))
    _write(store, make_turn(1, "new"))
    assert _numbers(path) == [1, 2, 3]
    assert read_document(path)["turns"][0]["client_request"] == "new"


def test_a_program_that_has_the_file_open_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1), make_turn(2))
    with path.open("rb") as scanned:
        closing = threading.Timer(0.1, scanned.close)
        closing.start()
        _write(store, make_turn(1, "new"))
        closing.join()
    assert read_document(path)["turns"][0]["client_request"] == "new"


def test_a_file_that_is_not_whole_waits_for_its_repair_while_somebody_reads_it(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1), make_turn(2))
    path.write_bytes(path.read_bytes()[:-400])
    with path.open("rb"):
        for _ in range(2):
            with pytest.raises(PermissionError):
                _write(store, make_turn(3))
    _write(store, make_turn(3))
    assert _numbers(path) == [1, 3]
    assert [beside.name for beside in path.parent.glob("*.damaged-*")] == ["c.json.damaged-1"]


def test_a_writer_keeps_writers_and_readers_out(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1))
    done: list[str] = []
    others = [
        threading.Thread(target=lambda: done.append(_write(store, make_turn(2)).name)),
        threading.Thread(target=lambda: done.append(str(read_locked(path)["turn_count"]))),
    ]
    with locked_file(path) as file:
        for other in others:
            other.start()
        with locked_file_if_free(path) as second:
            assert second is None
        time.sleep(0.1)
        assert done == []
        assert path.read_bytes() == file.read(0, file.size)  # a program that knows nothing of locks
    for other in others:
        other.join(30)
    assert len(done) == 2


def test_a_reader_keeps_writers_out_until_it_unlocks(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1))
    with shared_file(path) as file:
        with locked_file_if_free(path) as second:
            assert second is None
        file.unlock()
        file.unlock()
        with locked_file_if_free(path) as second:
            assert second is not None
        _write(store, make_turn(2))
        assert file.read(0, 1) == b"{"


def test_turns_are_appended_while_a_reader_takes_its_time(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1), make_turn(2))
    turns = iterate_turns(path)
    next(turns)
    _write(store, make_turn(3))
    assert len(list(turns)) == 1
    assert _numbers(path) == [1, 2, 3]


def test_threads_that_append_and_replace_lose_no_turn(tmp_path: Path) -> None:
    def work(worker: int) -> None:
        store = ConversationStore(tmp_path)
        for number in range(20):
            _write(store, make_turn(worker * 100 + number, "x" * number))
            _write(store, make_turn(worker * 100 + number // 2, "y" * number))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    (path,) = tmp_path.glob("*/*.json")
    assert sorted(_numbers(path)) == sorted(worker * 100 + number for worker in range(4) for number in range(20))


def test_a_conversation_that_somebody_reads_is_removed_the_next_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = ConversationStore(tmp_path)
    old = [_write(store, make_turn(1, conversation_id=name, start_ns=_DAY_NS)) for name in ("a", "b")]
    _write(store, make_turn(2, conversation_id="today", start_ns=time.time_ns()))
    with old[0].open("rb"):
        assert store.prune(max_age_days=30, max_bytes=None) == 1
        assert "retention could not remove 1 conversations" in caplog.text
    assert [path.exists() for path in old] == [True, False]
    assert store.prune(max_age_days=30, max_bytes=None) == 1
    assert not old[0].parent.exists()


def test_a_copy_is_read_where_no_writer_has_been(tmp_path: Path) -> None:
    path = _write(ConversationStore(tmp_path / "log"), make_turn(1))
    copy = tmp_path / "elsewhere" / "deep" / "c.json"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(path.read_bytes())
    assert read_locked(copy)["turn_count"] == 1
    assert len(list(iterate_turns(copy))) == 1
    assert list((tmp_path / "elsewhere").iterdir()) == [copy.parent]
    with pytest.raises(FileNotFoundError):
        read_locked(path.with_name("missing.json"))


def test_a_file_that_is_gone_is_not_locked(tmp_path: Path) -> None:
    path = _write(ConversationStore(tmp_path), make_turn(1))
    path.unlink()
    with locked_file_if_free(path) as file:
        assert file is None
    assert not path.exists()


def test_the_locks_are_few_and_no_place_for_conversations(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    paths = [_write(store, make_turn(1, conversation_id=f"c{number}")) for number in range(200)]
    assert sorted(tmp_path.glob("*/*.json")) == sorted(paths)
    assert len(list((tmp_path / ".locks").iterdir())) <= 64


def test_what_is_to_survive_the_loss_of_power_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    store = ConversationStore(tmp_path, fsync=True)
    inodes = [_write(store, make_turn(number, "x" * number)).stat().st_ino for number in (1, 2, 1)]
    assert synced == inodes


@pytest.mark.skipif(sys.platform == "win32", reason="making a link takes a right that few have on Windows")
def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    day = _write(store, make_turn(1)).parent
    (day / "link.json").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="link"):
        _write(store, make_turn(1, conversation_id="link"))
    assert not (tmp_path / "target").exists()
