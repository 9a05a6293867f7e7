"""Retention: whole conversations go, the oldest first, and nothing that is not this log's."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from store_helpers import make_turn
from windows_rules import only_posix

import otel_convlog
from otel_convlog.store import ConversationStore, list_conversations, render
from otel_convlog.store.layout import matching
from otel_convlog.store.locked_file import LockedFile, locked_file

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("system")

_DAY_NS = 24 * 3600 * 10**9


def _write(store: ConversationStore, name: str, *, days_ago: int, number: int = 1) -> Path:
    start_ns = time.time_ns() - days_ago * _DAY_NS - 60 * 10**9
    turn = make_turn(number, "x" * 10_000, conversation_id=name, start_ns=start_ns)
    path = store.path_of(turn)
    store.write(path, [render(turn)])
    return path


def _names(directory: Path) -> list[str]:
    return sorted(path.stem for path in directory.glob("*/*.json"))


def test_conversations_that_are_too_old_go_with_their_folders(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    old = _write(store, "old", days_ago=31)
    old.with_name("old.json.damaged-1").write_text("kept beside")
    _write(store, "young", days_ago=29)
    _write(store, "today", days_ago=0)
    assert store.prune(max_age_days=30, max_bytes=None) == 1
    assert _names(tmp_path) == ["today", "young"]
    assert not old.parent.exists()
    assert sorted(conversation.conversation_id for conversation in list_conversations(tmp_path)) == ["today", "young"]


def test_a_conversation_that_goes_on_stays_whole(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    for days_ago in (60, 40, 1):
        _write(store, "daily", days_ago=days_ago, number=61 - days_ago)
    _write(store, "today", days_ago=0)
    assert store.prune(max_age_days=30, max_bytes=None) == 0
    assert _names(tmp_path) == ["daily", "daily", "daily", "today"]


def test_the_oldest_go_until_the_rest_is_small_enough(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    for days_ago in range(9, -1, -1):
        _write(store, f"c{days_ago}", days_ago=days_ago)
    assert store.prune(max_age_days=None, max_bytes=35_000) == 7
    assert _names(tmp_path) == ["c0", "c1", "c2"]
    assert store.prune(max_age_days=None, max_bytes=0) == 2
    assert _names(tmp_path) == ["c0"]  # the one written last stays


def test_what_was_kept_beside_counts_too(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    old = _write(store, "old", days_ago=2)
    old.with_name("old.json.damaged-1").write_bytes(b"x" * 100_000)
    _write(store, "today", days_ago=0)
    assert store.prune(max_age_days=None, max_bytes=50_000) == 1
    assert _names(tmp_path) == ["today"]


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    old = _write(store, "old", days_ago=90)
    _write(store, "today", days_ago=0)
    (tmp_path / "mine").mkdir()
    others = {
        old.with_name("foreign.json"): b'{"a": 1}',
        old.with_name("notes.txt"): b"notes",
        old.with_name("old.json.damaged-by-whom"): b"notes",
        old.with_name(".old.json.x.json.tmp"): b"another conversation's",
        tmp_path / "mine" / "old.json": old.read_bytes(),
    }
    for path, content in others.items():
        path.write_bytes(content)
    link = old.with_name("link.json")
    if sys.platform != "win32":  # where making one takes a right that few have
        link.symlink_to(tmp_path / "mine" / "old.json")
    assert store.prune(max_age_days=1, max_bytes=0) == 1
    assert not old.exists()
    assert link.is_symlink() or sys.platform == "win32"
    assert {path: path.read_bytes() for path in others} == others


@only_posix
def test_what_a_linked_folder_holds_stays(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path / "log")
    elsewhere = _write(ConversationStore(tmp_path / "elsewhere"), "old", days_ago=90)
    _write(store, "today", days_ago=0)
    (tmp_path / "log" / elsewhere.parent.name).symlink_to(elsewhere.parent)
    assert store.prune(max_age_days=1, max_bytes=0) == 0
    assert elsewhere.exists()


def test_what_killed_writers_have_left_goes_with_its_conversation(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    old = _write(store, "old", days_ago=90)
    _write(store, "today", days_ago=0)
    for left in (".old.json.tmp", ".old.json.17-140.new", "old.json.damaged-2"):
        old.with_name(left).write_bytes(b"x")
    assert store.prune(max_age_days=1, max_bytes=None) == 1
    assert not old.parent.exists()


def test_a_conversation_that_is_being_written_stays(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    busy = _write(store, "busy", days_ago=90)
    _write(store, "old", days_ago=80)
    _write(store, "today", days_ago=0)
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        with locked_file(busy):
            holding.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holding.wait(30)
    assert store.prune(max_age_days=30, max_bytes=None) == 1
    release.set()
    thread.join(30)
    assert _names(tmp_path) == ["busy", "today"]


def test_one_that_cannot_be_removed_does_not_keep_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = ConversationStore(tmp_path)
    for name in ("fast", "held", "today"):
        _write(store, name, days_ago=0 if name == "today" else 90)
    real = LockedFile.remove

    def remove(self: LockedFile) -> None:
        if self.path.stem == "held":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.path))
        real(self)

    monkeypatch.setattr(LockedFile, "remove", remove)
    assert store.prune(max_age_days=30, max_bytes=None) == 1
    assert _names(tmp_path) == ["held", "today"]
    assert "retention could not remove 1 conversations" in caplog.text


def test_the_exporter_applies_its_settings_beside_the_writing(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    _write(ConversationStore(tmp_path), "old", days_ago=90)
    (old,) = tmp_path.glob("*/*.json")
    exporter = otel_convlog.ConversationSpanExporter(directory=tmp_path, max_age_days=30)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    request = {"conversation_id": "new"}
    otel_convlog.finalize_turn(
        otel_convlog.start_turn(route="chat", client_model="m", backend="b", stream=False, client_request=request)
    )
    deadline = time.monotonic() + 30
    while old.parent.exists() and time.monotonic() < deadline:  # no glob meanwhile, which fails where a folder goes
        time.sleep(0.01)
    assert _names(tmp_path) == ["new"]


def test_a_folder_that_is_removed_meanwhile_is_no_error(tmp_path: Path) -> None:
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            for day in range(1, 10):
                (tmp_path / f"2026-01-0{day}").mkdir()
            for day in range(1, 10):
                (tmp_path / f"2026-01-0{day}").rmdir()

    with ThreadPoolExecutor(1) as pool:
        others = pool.submit(come_and_go)
        try:
            for _ in range(2_000):
                assert matching(tmp_path, "????-??-??/*.json") == []
        finally:
            ended.set()
        others.result()
