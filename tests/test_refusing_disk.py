"""A disk that refuses turns: they wait, the log says so once, and nothing is written twice or lost."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from conversation_log import read_document
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from windows_rules import only_posix

import otel_convlog
from otel_convlog import ConversationSpanExporter, readers
from otel_convlog.assembly.assembler import Assembler
from otel_convlog.delivery import TurnDelivery
from otel_convlog.rendering import TurnRenderer
from otel_convlog.store import ConversationStore
from otel_convlog.store.locked_file import LockedFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan


@pytest.fixture
def spans(no_sdk: None) -> Sequence[ReadableSpan]:  # noqa: ARG001
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    for number in range(6):
        request = {"conversation_id": f"c{number % 2}", "n": number}
        start: dict[str, Any] = {"route": "chat", "client_model": "m", "backend": "b", "stream": False}
        otel_convlog.finalize_turn(otel_convlog.start_turn(**start, client_request=request))
    return memory.get_finished_spans()


@contextmanager
def _refusing(number: int) -> Iterator[None]:
    """Let every write fail with this error."""

    def write(_self: LockedFile, _offset: int, *_pieces: bytes | memoryview) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LockedFile, "write", write)
        yield


def _numbers(directory: Path) -> dict[str, list[int]]:
    return {
        path.stem: [turn["client_request"]["n"] for turn in read_document(path)["turns"]]
        for path in directory.glob("*/*.json")
    }


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE])
def test_refused_turns_wait_and_are_written_in_order(
    error: int, tmp_path: Path, spans: Sequence[ReadableSpan], caplog: pytest.LogCaptureFixture
) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path)
    assert exporter.export(spans[:2]) is SpanExportResult.SUCCESS
    before = {path: path.read_bytes() for path in tmp_path.glob("*/*.json")}
    with _refusing(error):
        for span in spans[2:5]:
            assert exporter.export([span]) is SpanExportResult.SUCCESS
        assert not exporter.force_flush()
        assert {path: path.read_bytes() for path in tmp_path.glob("*/*.json")} == before
        assert exporter.waiting_bytes > 0
    assert exporter.force_flush()
    assert exporter.export(spans[5:]) is SpanExportResult.SUCCESS
    assert _numbers(tmp_path) == {"c0": [0, 2, 4], "c1": [1, 3, 5]}
    assert (exporter.turns_written, exporter.turns_failed, exporter.waiting_bytes) == (6, 0, 0)
    messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(messages) == 2
    assert os.strerror(error) in messages[0]
    assert str(tmp_path) in messages[0]
    assert messages[1] == "turns can be written again: 3 that waited have been, 0 are lost"


def test_a_later_turn_waits_behind_those_of_its_conversation(
    tmp_path: Path, spans: Sequence[ReadableSpan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_convlog.pending._PAUSE_S", 3_600.0)
    exporter = ConversationSpanExporter(directory=tmp_path)
    with _refusing(errno.ENOSPC):
        exporter.export([spans[0]])
    assert exporter.export(spans[1:4]) is SpanExportResult.SUCCESS  # so soon after, nothing that waits is tried
    assert _numbers(tmp_path) == {"c1": [1, 3]}
    monkeypatch.setattr("otel_convlog.pending._PAUSE_S", 0.0)
    with _refusing(errno.ENOSPC):
        exporter.force_flush()
    exporter.export(spans[4:])
    assert exporter.waiting_bytes == 0
    assert _numbers(tmp_path) == {"c0": [0, 2, 4], "c1": [1, 3, 5]}


def test_a_conversation_that_cannot_be_written_does_not_hold_up_the_others(
    tmp_path: Path, spans: Sequence[ReadableSpan], monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path)
    with _refusing(errno.ENOSPC):
        exporter.export(spans[:2])
    path, _ = exporter._renderer.rendered(readers.read(spans[1]))  # type: ignore[arg-type]
    path.mkdir(parents=True)
    exporter.export([spans[3]])
    monkeypatch.setattr("otel_convlog.pending.monotonic", lambda: time.monotonic() + 2)
    exporter.export([spans[5]])
    assert next(tmp_path.glob("*/c0.json")).is_file()
    assert exporter.waiting_bytes > 0


def test_every_outage_is_told_once_however_little_can_wait(
    tmp_path: Path, spans: Sequence[ReadableSpan], caplog: pytest.LogCaptureFixture
) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path, queue_bytes=100)
    for outage in (spans[:2], spans[3:5]):
        caplog.clear()
        with _refusing(errno.ENOSPC):
            for span in outage:
                assert exporter.export([span]) is SpanExportResult.FAILURE
        exporter.export([spans[2]])
        assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR", "WARNING"]
        assert caplog.messages[-1] == "turns can be written again: 0 that waited have been, 2 are lost"


@pytest.mark.parametrize("interruption", [SystemExit, KeyboardInterrupt])
def test_waiting_turns_survive_a_signal_in_the_middle(
    interruption: type[BaseException], tmp_path: Path, spans: Sequence[ReadableSpan], monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path)
    with _refusing(errno.ENOSPC):
        exporter.export(spans[:4])

    def write(*_: object) -> None:
        raise interruption

    with monkeypatch.context() as patch:
        patch.setattr(exporter._store, "write", write)
        with pytest.raises(interruption):
            exporter.force_flush()
    assert exporter.force_flush()
    assert _numbers(tmp_path) == {"c0": [0, 2], "c1": [1, 3]}


@pytest.mark.parametrize("interruption", [SystemExit, KeyboardInterrupt])
def test_new_turns_survive_a_signal_in_the_middle(
    interruption: type[BaseException], tmp_path: Path, spans: Sequence[ReadableSpan], monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path)

    def write(*_: object) -> None:
        raise interruption

    with monkeypatch.context() as patch:
        patch.setattr(LockedFile, "write", write)
        with pytest.raises(interruption):
            exporter.export(spans)
    exporter.shutdown()
    assert _numbers(tmp_path) == {"c0": [0, 2, 4], "c1": [1, 3, 5]}
    assert (exporter.turns_written, exporter.turns_failed, exporter.waiting_bytes) == (6, 0, 0)


class _AlarmError(Exception):
    """What a handler raises that is for the program alone."""


_STEPS = [
    (Assembler, "add"),
    (TurnRenderer, "rendered"),
    (TurnDelivery, "deliver"),
    (ConversationStore, "write"),
]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", _STEPS, ids=[name for _, name in _STEPS])
@pytest.mark.parametrize("interruption", [SystemExit, KeyboardInterrupt, _AlarmError])
def test_a_handler_that_raises_at_any_step_costs_no_turn(  # noqa: PLR0913, PLR0917  as many as there are kinds of it
    interruption: type[BaseException],
    step: tuple[Any, str],
    moment: str,
    tmp_path: Path,
    spans: Sequence[ReadableSpan],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path)
    function = getattr(*step)
    left = [interruption]

    def interrupted(*arguments: Any, **options: Any) -> Any:
        value = function(*arguments, **options) if moment == "after" or not left else None
        if left:
            raise left.pop()
        return value

    monkeypatch.setattr(*step, interrupted)
    with suppress(interruption):  # one that is no system's exit is taken for a failure
        exporter.export(spans[:2])
    assert exporter.export(spans[2:]) is SpanExportResult.SUCCESS
    assert _numbers(tmp_path) == {"c0": [0, 2, 4], "c1": [1, 3, 5]}
    assert (exporter.turns_failed, exporter.waiting_bytes) == (0, 0)


def test_a_shutdown_within_an_export_is_done_when_that_ends(
    tmp_path: Path, spans: Sequence[ReadableSpan], monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path)
    real = LockedFile.write

    def write(*_: object) -> None:
        monkeypatch.setattr(LockedFile, "write", real)
        assert exporter.export(spans[1:]) is SpanExportResult.SUCCESS  # as a signal's handler does
        assert not exporter.force_flush()
        exporter.shutdown()
        raise SystemExit

    monkeypatch.setattr(LockedFile, "write", write)
    with pytest.raises(SystemExit):
        exporter.export(spans[:1])
    assert _numbers(tmp_path) == {"c0": [0, 2, 4], "c1": [1, 3, 5]}
    assert exporter.waiting_bytes == 0


def test_of_a_batch_that_is_written_in_part_the_rest_waits(
    tmp_path: Path, spans: Sequence[ReadableSpan], monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path)
    real = LockedFile.write

    def write(self: LockedFile, offset: int, *pieces: bytes | memoryview) -> None:
        if self.path.suffix == ".tmp":  # what a turn that comes again is written through
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(self, offset, *pieces)

    with monkeypatch.context() as patch:
        patch.setattr(LockedFile, "write", write)
        exporter.export([spans[0], spans[2], spans[2]])
        assert exporter.turns_written == 2
        assert not exporter.force_flush()
        assert exporter.turns_written == 2
    exporter.shutdown()
    assert _numbers(tmp_path) == {"c0": [0, 2]}
    assert (exporter.turns_written, exporter.turns_failed, exporter.waiting_bytes) == (3, 0, 0)


def test_a_flush_tries_no_further_file_after_its_time(tmp_path: Path, spans: Sequence[ReadableSpan]) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path)
    with _refusing(errno.ENOSPC):
        exporter.export(spans)
    assert not exporter.force_flush(0)
    assert _numbers(tmp_path) == {}
    assert exporter.force_flush()
    assert exporter.turns_written == 6


def test_retention_that_cannot_start_does_not_make_an_export_fail(
    tmp_path: Path, spans: Sequence[ReadableSpan], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    exporter = ConversationSpanExporter(directory=tmp_path, max_bytes=0)
    assert exporter.export(spans) is SpanExportResult.SUCCESS


def test_beyond_the_queue_turns_are_lost_and_counted(
    tmp_path: Path, spans: Sequence[ReadableSpan], caplog: pytest.LogCaptureFixture
) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path, queue_bytes=2_500)  # a turn is about 1 KB
    with _refusing(errno.ENOSPC):
        results = [exporter.export([span]) for span in spans]
    assert results == [SpanExportResult.SUCCESS] * 2 + [SpanExportResult.FAILURE] * 4
    assert 0 < exporter.waiting_bytes <= 2_500
    assert exporter.turns_failed == 4
    assert exporter.force_flush()
    assert exporter.turns_written == 2
    messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "OTEL_EXPORTER_CONVLOG_QUEUE_BYTES" in messages[1]
    assert messages[2:] == ["turns can be written again: 2 that waited have been, 4 are lost"]


def test_what_still_waits_at_shutdown_is_tried_and_then_counted_as_lost(
    tmp_path: Path, spans: Sequence[ReadableSpan], caplog: pytest.LogCaptureFixture
) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path)
    with _refusing(errno.ENOSPC):
        exporter.export(spans)
        exporter.shutdown()
    assert exporter.turns_failed == 6
    assert "6 turns that could not be written are lost" in caplog.text

    other = ConversationSpanExporter(directory=tmp_path)
    with _refusing(errno.ENOSPC):
        other.export(spans)
    other.shutdown()
    assert other.turns_written == 6


def test_a_directory_that_vanishes_is_made_again(tmp_path: Path, spans: Sequence[ReadableSpan]) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path / "log")
    exporter.export(spans[:2])
    (tmp_path / "log").rename(tmp_path / "moved")
    exporter.export(spans[2:])
    assert _numbers(tmp_path / "log") == {"c0": [2, 4], "c1": [3, 5]}


def test_a_path_that_is_a_file_keeps_the_turns_waiting(
    tmp_path: Path, spans: Sequence[ReadableSpan], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "log").write_text("in the way")
    exporter = ConversationSpanExporter(directory=tmp_path / "log")
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    assert str(tmp_path / "log") in caplog.text
    assert "Traceback" not in caplog.text
    (tmp_path / "log").unlink()
    assert exporter.force_flush()
    assert exporter.turns_written == 6


@only_posix
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_leaves_what_waits_to_its_parent(tmp_path: Path, spans: Sequence[ReadableSpan]) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path)
    with _refusing(errno.ENOSPC):
        exporter.export(spans[:4])
    pid = os.fork()
    if pid == 0:
        exporter.force_flush()
        exporter.export(spans[4:])
        os._exit(exporter.waiting_bytes)
    assert os.waitpid(pid, 0)[1] == 0
    assert _numbers(tmp_path) == {"c0": [4], "c1": [5]}
    assert exporter.force_flush()
    assert _numbers(tmp_path) == {"c0": [4, 0, 2], "c1": [5, 1, 3]}


@only_posix
def test_with_fsync_a_turn_is_synced_before_it_is_acknowledged(
    tmp_path: Path, spans: Sequence[ReadableSpan], monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    ConversationSpanExporter(directory=tmp_path / "never").export(spans)
    assert synced == []
    exporter = ConversationSpanExporter(directory=tmp_path / "always", fsync="always")
    exporter.export(spans[:4])  # one batch: one sync a file, and the folders of new ones
    (day,) = (tmp_path / "always").glob("????-??-??")
    files = [(day / name).stat().st_ino for name in ("c0.json", "c1.json")]
    folders = [day.stat().st_ino, day.parent.stat().st_ino]
    assert sorted(synced) == sorted(files + 2 * folders)
    synced.clear()
    exporter.export(spans[4:])
    assert synced == files


def test_a_file_whose_sync_fails_is_written_anew(
    tmp_path: Path, spans: Sequence[ReadableSpan], monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path, fsync="always")
    exporter.export(spans[:1])
    (path,) = tmp_path.glob("*/c0.json")
    inode = path.stat().st_ino
    real, failures = os.fsync, [OSError(errno.EIO, "Input/output error")]

    def fsync(descriptor: int) -> None:
        if failures:
            raise failures.pop()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert exporter.export([spans[2]]) is SpanExportResult.SUCCESS
    assert path.stat().st_ino != inode
    assert _numbers(tmp_path) == {"c0": [0, 2]}
    assert exporter.waiting_bytes == 0
