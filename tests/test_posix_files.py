"""The store on Linux and macOS: ``flock``, forks, modes, links and pipes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conversation_log import read_document
from store_helpers import make_turn

from otel_convlog.store import ConversationStore, render

if sys.platform == "win32":
    pytest.skip("Windows has none of these", allow_module_level=True)

import fcntl

if TYPE_CHECKING:
    from otel_convlog.record import IdentifiedTurn


def _write(store: ConversationStore, *turns: IdentifiedTurn) -> Path:
    path = store.path_of(turns[0])
    store.write(path, [render(turn) for turn in turns])
    return path


@pytest.mark.parametrize("vectored", [True, False], ids=["pwritev", "pwrite"])
def test_a_system_that_writes_less_than_it_is_asked_to_is_asked_again(
    vectored: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    if vectored:
        monkeypatch.setattr(os, "pwritev", lambda descriptor, views, offset: real(descriptor, views[0][:97], offset))
    else:
        monkeypatch.delattr(os, "pwritev")
        monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: real(descriptor, data[:97], offset))
    store = ConversationStore(tmp_path)
    turns = [make_turn(number, "é" * number * 50) for number in range(1, 8)]
    for turn in turns:
        path = _write(store, turn)
    assert [turn["client_request"] for turn in read_document(path)["turns"]] == [
        turn.record.client_request for turn in turns
    ]


def test_no_reader_finds_a_new_conversation_empty(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = store.path_of(make_turn(1))
    stop = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not stop.is_set():
            try:
                with path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_SH)
                    if os.fstat(file.fileno()).st_nlink:
                        seen.append(len(file.read()))
            except FileNotFoundError:
                continue

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(400):
        _write(store, make_turn(1))
        path.unlink()
    stop.set()
    reader.join(30)
    assert seen
    assert 0 not in seen


def test_files_and_folders_are_the_owner_s_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        path = _write(ConversationStore(tmp_path / "deep" / "log"), make_turn(1))
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.parent.parent.stat().st_mode & 0o777 == 0o700


def test_a_link_or_a_pipe_in_the_way_is_not_written_through(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    day = _write(store, make_turn(1)).parent
    target = tmp_path / "target"
    target.write_text("precious")
    (day / "link.json").symlink_to(target)
    os.mkfifo(day / "pipe.json")
    for name in ("link", "pipe"):
        with pytest.raises(OSError, match=name):
            _write(store, make_turn(1, conversation_id=name))
    assert target.read_text() == "precious"


def test_a_linked_folder_is_not_written_through(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path / "log")
    path = store.path_of(make_turn(1))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path.parent.parent.mkdir()
    path.parent.symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic links"):
        _write(store, make_turn(1))
    assert not list(elsewhere.iterdir())


_KILLED_BEFORE_NAMING = """
import os, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from store_helpers import make_turn
from otel_convlog.store import ConversationStore, render
os.link = lambda *_, **__: os.kill(os.getpid(), 9)
store = ConversationStore(Path(sys.argv[1]))
store.write(store.path_of(make_turn(1)), [render(make_turn(1))])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no files without a name")
def test_a_writer_that_is_killed_before_it_names_its_file_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _KILLED_BEFORE_NAMING, str(tmp_path), str(Path(__file__).parent)]
    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL
    (day,) = (folder for folder in tmp_path.iterdir() if folder.is_dir())
    assert list(day.iterdir()) == []


@pytest.mark.parametrize("missing", ["O_TMPFILE", "link"])
def test_where_files_cannot_be_nameless_or_linked_the_log_is_the_same(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def open_(path: Path, flags: int, mode: int = 0o777) -> int:
        if hasattr(os, "O_TMPFILE") and flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, mode)

    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, *(("open", open_) if missing == "O_TMPFILE" else ("link", link)))
    store = ConversationStore(tmp_path)
    for number in (1, 2):
        path = _write(store, make_turn(number))
    assert read_document(path)["turn_count"] == 2
    assert list(path.parent.iterdir()) == [path]


_HOLDER = """
import os, sys, threading, time
from pathlib import Path
from otel_convlog.store.locked_file import locked_file
holding = threading.Event()
def hold():
    with locked_file(Path(sys.argv[1])):
        holding.set()
        time.sleep(60)
threading.Thread(target=hold, daemon=True).start()
holding.wait(30)
pid = os.fork()
if pid == 0:
    print("child", os.getpid(), flush=True)
time.sleep(60)
"""


def test_a_lock_dies_with_its_holder_though_a_forked_child_lives_on(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1))
    command = [sys.executable, "-W", "ignore", "-c", _HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline().split()[1])
        try:
            holder.kill()
            holder.wait(30)
            writer = threading.Thread(target=_write, args=(store, make_turn(2)), daemon=True)
            writer.start()
            writer.join(30)
            assert not writer.is_alive()
        finally:
            os.kill(child, signal.SIGKILL)
    assert read_document(path)["turn_count"] == 2


# Python 3.12 and later warn of every fork beside threads; that it is safe here is what is shown.
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_forked_in_the_middle_writes_for_itself(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    stop = threading.Event()
    parent_turns: list[int] = []

    def write() -> None:
        while not stop.is_set():
            number = len(parent_turns) + 1
            _write(store, make_turn(number, "x" * 20_000))
            parent_turns.append(number)

    thread = threading.Thread(target=write)
    thread.start()
    children = []
    try:
        for child in range(10):
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)  # a child that hangs fails
                _write(store, make_turn(1_000_000 + child))
                os._exit(0)
            children.append(pid)
        for pid in children:
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        stop.set()
        thread.join(30)
    held = [int(turn["turn_id"][5:], 16) for turn in read_document(store.path_of(make_turn(1)))["turns"]]
    assert sorted(held) == [*parent_turns, *range(1_000_000, 1_000_010)]
