"""A process of its own writes, and whatever happens to it costs no turn."""

from __future__ import annotations

import enum
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conversation_log import read_document
from delivery_process import record
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from test_processor import numbers, wait_until

import otel_convlog
from otel_convlog import ConversationSpanProcessor, own_process
from otel_convlog.writer import ProcessWriter, frames, parent
from otel_convlog.writer.parent import TURNS_BEFORE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its signals are those of POSIX systems")


@pytest.fixture
def processor(tmp_path: Path, no_sdk: None) -> Iterator[ConversationSpanProcessor]:  # noqa: ARG001
    processor = ConversationSpanProcessor(directory=tmp_path, writer="process")
    provider = TracerProvider()
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    yield processor
    provider.shutdown()


def writer_of(processor: ConversationSpanProcessor) -> ProcessWriter:
    assert isinstance(processor.exporter, ProcessWriter)
    return processor.exporter


def begin(processor: ConversationSpanProcessor) -> subprocess.Popen[bytes]:
    """Let the process begin with some turns, and wait until it is there."""
    for _ in range(TURNS_BEFORE):
        record(-1, 1)
    writer = writer_of(processor)
    wait_until(lambda: writer._ready)
    process = writer._process
    assert process is not None
    return process


def test_turns_are_written_by_another_process(processor: ConversationSpanProcessor, tmp_path: Path) -> None:
    process = begin(processor)
    record(0, 100)
    assert processor.force_flush()
    assert numbers(tmp_path) == Counter(range(100))
    writer = writer_of(processor)
    assert TURNS_BEFORE - 1 <= writer._local.turns_written <= TURNS_BEFORE  # those from before it was there
    assert writer.turns_written == TURNS_BEFORE + 100
    assert writer.turns_failed == writer.waiting_bytes == 0
    processor.shutdown()
    assert process.wait(20) == 0


def test_what_it_writes_is_what_a_thread_writes(processor: ConversationSpanProcessor, tmp_path: Path) -> None:
    begin(processor)
    record(0, 1)
    assert processor.force_flush()
    (path,) = tmp_path.glob("*/c0.json")
    (turn,) = read_document(path)["turns"]
    assert turn["otel"]["service_name"].startswith("unknown_service")
    assert turn["otel"]["complete"] is True
    assert turn["otel"]["parent_span_id"] is None
    assert turn["client_request"]["messages"] == [{"role": "user", "content": "x" * 5_000}]


class Tier(str, enum.Enum):
    FREE = "free"


class Level(enum.IntEnum):
    LOW = 1


def test_attributes_of_a_users_own_classes_cost_no_turn(processor: ConversationSpanProcessor, tmp_path: Path) -> None:
    begin(processor)
    turn = otel_convlog.start_turn(
        route="chat", client_model=Tier.FREE, backend="b", stream=False, client_request={}, metadata={"number": 5}
    )
    assert turn is not None
    turn.span.set_attributes({"tier": Tier.FREE, "tiers": [Tier.FREE], "level": Level.LOW})
    otel_convlog.finalize_turn(turn)
    record(0, 5)
    assert processor.force_flush()
    assert numbers(tmp_path) == Counter(range(6))
    assert writer_of(processor)._local.turns_written <= TURNS_BEFORE  # those from before it was there


def test_a_flush_waits_for_what_is_written_in_the_place_of_a_process_that_was_killed(
    processor: ConversationSpanProcessor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = begin(processor)
    local = writer_of(processor)._local
    flushing, export = threading.Event(), local.export

    def export_late(spans: Sequence[ReadableSpan]) -> SpanExportResult:
        flushing.wait(0.5)  # the time in which a flush that does not wait returns
        return export(spans)

    monkeypatch.setattr(local, "export", export_late)
    process.send_signal(signal.SIGSTOP)
    record(0, 5)
    wait_until(lambda: not processor.queue_bytes)
    process.kill()
    assert processor.force_flush()
    flushing.set()
    assert numbers(tmp_path) == Counter(range(5))


def test_a_process_that_is_killed_costs_no_turn(processor: ConversationSpanProcessor, tmp_path: Path) -> None:
    recorded = 0
    for _ in range(5):
        process = begin(processor)
        record(recorded, 100)
        process.kill()
        record(recorded + 100, 100)
        recorded += 200
        assert processor.force_flush()
        writer_of(processor)._starts.clear()  # which would be too many in so short a time
    assert numbers(tmp_path) == Counter(range(recorded))


def test_a_process_that_hangs_does_not_hold_up_who_ends_a_turn(
    processor: ConversationSpanProcessor, tmp_path: Path
) -> None:
    process = begin(processor)
    process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    record(0, 1_000)  # five megabytes: more than a pipe takes
    assert not processor.force_flush(200)
    assert time.monotonic() - started < 15
    process.send_signal(signal.SIGCONT)
    assert processor.force_flush()
    assert numbers(tmp_path) == Counter(range(1_000))


def test_a_turn_is_handed_over_when_it_ends(processor: ConversationSpanProcessor, tmp_path: Path) -> None:
    begin(processor)
    assert processor.force_flush()
    writer = writer_of(processor)
    assert not writer.handed_over_bytes
    writer.export = None  # type: ignore[assignment,method-assign]  # what the thread would call
    record(0, 1)
    assert writer.handed_over_bytes > 5_000
    assert not processor.queue_bytes
    wait_until(lambda: numbers(tmp_path) == Counter([0]))
    del writer.export


def fill_pipe(processor: ConversationSpanProcessor) -> int:
    """Record turns until the pipe to the process, which is stopped, has no more room; return how many."""
    recorded = 0
    while not processor.queue_bytes:
        record(recorded, 1)
        recorded += 1
        assert recorded < 1_000
    return recorded


def test_where_the_pipe_is_full_a_turn_waits_for_the_thread(
    processor: ConversationSpanProcessor, tmp_path: Path
) -> None:
    process = begin(processor)
    assert processor.force_flush()
    written = writer_of(processor).turns_written
    process.send_signal(signal.SIGSTOP)
    recorded = fill_pipe(processor)
    assert recorded > 10
    record(recorded, 5)
    process.send_signal(signal.SIGCONT)
    assert processor.force_flush()
    assert numbers(tmp_path) == Counter(range(recorded + 5))
    assert writer_of(processor).turns_written == written + recorded + 5


def test_what_a_process_has_been_given_when_it_is_killed_is_written_once(
    processor: ConversationSpanProcessor, tmp_path: Path
) -> None:
    process = begin(processor)
    assert processor.force_flush()
    written = writer_of(processor).turns_written
    process.send_signal(signal.SIGSTOP)
    recorded = fill_pipe(processor)
    process.kill()
    assert processor.force_flush()
    assert numbers(tmp_path) == Counter(range(recorded))
    assert writer_of(processor).turns_written == written + recorded


def test_a_large_turn_is_left_to_the_thread(processor: ConversationSpanProcessor, tmp_path: Path) -> None:
    begin(processor)
    assert processor.force_flush()
    turn = otel_convlog.start_turn(
        route="chat", client_model="m", backend="b", stream=False, client_request={"x": "x" * 500_000}
    )
    otel_convlog.finalize_turn(turn)
    assert processor.queue_bytes > 500_000
    assert processor.force_flush()
    assert len(list(tmp_path.glob("*/conv_*.json"))) == 1


def test_a_turn_that_ends_in_the_middle_of_a_hand_over_comes_after_it(
    processor: ConversationSpanProcessor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(processor)
    assert processor.force_flush()

    def interrupted(value: tuple[Any, ...]) -> bytes:
        monkeypatch.undo()
        record(1, 1)  # as a signal's handler does
        assert processor.queue_bytes
        return frames.packed(value)

    monkeypatch.setattr(parent, "packed", interrupted)
    record(0, 1)
    assert processor.force_flush()
    assert numbers(tmp_path) == Counter(range(2))
    assert not writer_of(processor).turns_failed


@pytest.mark.parametrize("wanted", ["flush", "shutdown"])
def test_a_handler_in_the_middle_of_a_hand_over_waits_for_nothing_and_nothing_is_lost(
    processor: ConversationSpanProcessor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    begin(processor)
    assert processor.force_flush()

    def interrupted(value: tuple[Any, ...]) -> bytes:
        monkeypatch.undo()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("otel_convlog.processor._Mark", None)  # which is what one waits for
            if wanted == "flush":
                assert not processor.force_flush()
            else:
                processor.shutdown()
        assert not processor._closed
        return frames.packed(value)

    monkeypatch.setattr(parent, "packed", interrupted)
    record(0, 1)
    assert processor._closed is (wanted == "shutdown")
    assert processor.force_flush()
    assert numbers(tmp_path) == Counter([0])
    assert writer_of(processor).turns_failed == 0


@pytest.mark.parametrize("sent", [0.0, 0.5, 1.0])
def test_a_handler_that_raises_in_the_middle_of_a_frame_costs_no_turn(
    processor: ConversationSpanProcessor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: float
) -> None:
    process = begin(processor)
    assert processor.force_flush()
    pipe: Any = process.stdin

    class Pipe:
        def write(self, frame: bytes) -> int:
            pipe.write(frame[: int(len(frame) * sent)])
            raise KeyboardInterrupt

        def __getattr__(self, name: str) -> Any:
            return getattr(pipe, name)

    monkeypatch.setattr(process, "stdin", Pipe())
    with pytest.raises(KeyboardInterrupt):
        record(0, 1)
    record(1, 20)
    assert processor.force_flush()
    assert numbers(tmp_path) == Counter(range(21))
    process.wait(10)


def test_a_turn_that_ends_in_the_middle_of_a_flush_s_frame_is_told_from_it(
    processor: ConversationSpanProcessor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(processor)
    assert processor.force_flush()
    left, sent = [0], []

    def interrupted(value: tuple[Any, ...]) -> bytes:
        frame = frames.packed(value)
        if left and value[1] is None:
            record(left.pop(), 1)  # as a destructor does
        sent.append(value[0])
        return frame

    monkeypatch.setattr(parent, "packed", interrupted)
    processor.force_flush()
    assert processor.force_flush()
    assert numbers(tmp_path) == Counter([0])
    assert len(set(sent)) == len(sent) >= 3


def test_a_child_that_is_forked_while_it_is_started_does_not_keep_it(
    processor: ConversationSpanProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = own_process.start
    at_it = threading.Event()

    def start_slowly(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = start(*arguments, **options)
        at_it.set()
        time.sleep(0.3)
        return process

    monkeypatch.setattr(own_process, "start", start_slowly)
    recording = threading.Thread(target=record, args=(-1, TURNS_BEFORE))
    recording.start()
    at_it.wait()
    end, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        os.read(end, 1)
        os._exit(0)
    recording.join()
    wait_until(lambda: writer_of(processor)._ready)
    process = writer_of(processor)._process
    assert process is not None
    processor.shutdown()
    assert process.wait(10) == 0
    os.close(told)
    os.waitpid(child, 0)
    os.close(end)


def test_signals_for_the_proxy_do_not_end_it(processor: ConversationSpanProcessor, tmp_path: Path) -> None:
    process = begin(processor)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(number)
    record(0, 50)
    assert processor.force_flush()
    assert process.poll() is None
    assert numbers(tmp_path) == Counter(range(50))


def test_where_there_can_be_no_process_this_one_writes(
    processor: ConversationSpanProcessor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    record(0, 50)
    assert processor.force_flush()
    record(50, 50)
    assert processor.force_flush()
    assert numbers(tmp_path) == Counter(range(100))
    assert caplog.text.count("turns are written by the proxy's own process") == 1


def test_a_program_that_is_its_own_interpreter_is_not_started_again(
    processor: ConversationSpanProcessor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    record(0, 50)
    assert processor.force_flush()
    assert numbers(tmp_path) == Counter(range(50))
    assert "turns are written by the proxy's own process" in caplog.text


def test_what_else_stands_in_the_path_or_the_working_directory_does_not_keep_it_from_starting(
    processor: ConversationSpanProcessor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, Path("no text"), None])
    proxy = tmp_path / "started here"
    proxy.mkdir()
    (proxy / "json.py").write_text("raise ImportError('not the one that is meant')")
    monkeypatch.chdir(proxy)
    process = begin(processor)
    record(0, 5)
    assert processor.force_flush()
    assert numbers(tmp_path) == Counter(range(5))
    assert process.poll() is None


def test_a_process_that_ends_at_once_again_and_again_is_started_no_more(
    processor: ConversationSpanProcessor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("otel_convlog.own_process._RUN", "raise SystemExit(1)")
    for number in range(TURNS_BEFORE + 5):
        record(number, 1)
        assert processor.force_flush()
        wait_until(lambda: writer_of(processor)._process is None)
    assert numbers(tmp_path) == Counter(range(TURNS_BEFORE + 5))
    assert "it ends as soon as it is started" in caplog.text


def test_spans_of_instrumentations_are_put_together_here(processor: ConversationSpanProcessor, tmp_path: Path) -> None:
    begin(processor)
    record(0, 5)
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]',
        "gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "text", "content": "ho"}]}]',
    }
    with trace.get_tracer("opentelemetry.instrumentation.openai").start_as_current_span("chat m") as span:
        span.set_attributes(attributes)
    record(5, 5)
    assert processor.force_flush()
    found = [turn for path in tmp_path.glob("*/*.json") for turn in read_document(path)["turns"]]
    assert len(found) == TURNS_BEFORE + 11
    assert len({turn["turn_id"] for turn in found}) == TURNS_BEFORE + 11


def test_it_ends_with_its_proxy(tmp_path: Path) -> None:
    code = (
        "import sys, time; from delivery_process import record, set_up; from opentelemetry import trace\n"
        f"set_up({str(tmp_path)!r}, 'process'); record(0, 20)\n"
        "(processor,) = trace.get_tracer_provider()._active_span_processor._span_processors\n"
        "while processor.queue_bytes: time.sleep(0.01)\n"
        "print(processor.exporter._process.pid, flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as proxy:
        assert proxy.stdout is not None
        pid = int(proxy.stdout.readline())
        os.kill(pid, 0)  # it is there
        proxy.kill()
    wait_until(lambda: not _runs(pid))
    assert not _runs(pid)
    assert numbers(tmp_path) == Counter(range(20))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        # One that has ended, and nobody has asked for it.
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True
