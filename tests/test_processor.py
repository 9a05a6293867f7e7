"""The processor: what it takes, what it drops, and that it writes everything however its process ends."""

from __future__ import annotations

import functools
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conversation_log import read_document
from delivery_process import AGAIN, TURNS, record
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import otel_convlog
from otel_convlog import ConversationSpanExporter, ConversationSpanProcessor, TurnSampler
from otel_convlog.assembly.assembler import Assembler
from otel_convlog.delivery import TurnDelivery
from otel_convlog.store import ConversationStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_convlog.record import TurnRecord

_HERE = Path(__file__).parent


def numbers(directory: Path) -> Counter[int]:
    """Return how often each turn is in the files; one that a process was writing when it was ended is in none."""
    found: Counter[int] = Counter()
    for path in directory.glob("*/*.json"):
        with suppress(ValueError):
            found.update(turn["metadata"]["number"] for turn in read_document(path)["turns"])
    found.pop(-1, None)  # which is there to begin with
    return found


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for what others do; whether it has happened is for the test to say."""
    deadline = time.monotonic() + 10
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.fixture
def provider(no_sdk: None) -> Iterator[TracerProvider]:  # noqa: ARG001
    provider = TracerProvider()
    trace.set_tracer_provider(provider)
    yield provider
    provider.shutdown()


def slow_down(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let each write to a file take so long."""
    write = ConversationStore.write

    def slowly(self: ConversationStore, *arguments: Any) -> None:
        time.sleep(seconds)
        write(self, *arguments)

    monkeypatch.setattr(ConversationStore, "write", slowly)


def burst(turns: int, conversations: int = 5) -> None:
    """End so many turns from eight threads."""
    share = turns // 8
    threads = [threading.Thread(target=record, args=(thread * share, share, conversations)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.crash
def test_a_burst_is_written_however_slow_the_disk(
    provider: TracerProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(monkeypatch, 0.005)
    ours = ConversationSpanProcessor(directory=tmp_path)
    provider.add_span_processor(ours)
    burst(20_000, conversations=100)
    assert ours.force_flush(240_000)
    assert (ours.turns_dropped, ours.queue_bytes) == (0, 0)
    assert numbers(tmp_path) == Counter(range(20_000))


def test_the_batch_processor_drops_most_of_such_a_burst(
    provider: TracerProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slow_down(monkeypatch, 0.005)
    provider.add_span_processor(BatchSpanProcessor(ConversationSpanExporter(directory=tmp_path, grouping="seed")))
    with caplog.at_level(logging.ERROR):  # it says that it drops, thousands of times
        burst(8_000, conversations=8_000)
        provider.shutdown()
    assert len(numbers(tmp_path)) < 8_000


def test_beyond_its_bound_it_drops_counts_and_says_so_once(
    provider: TracerProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slow_down(monkeypatch, 0.005)
    ours = ConversationSpanProcessor(directory=tmp_path, queue_bytes=1_000_000)
    provider.add_span_processor(ours)
    burst(4_000)
    assert ours.force_flush(60_000)
    written = numbers(tmp_path)
    assert 100 < len(written) < 4_000
    assert set(written.values()) == {1}
    assert ours.turns_dropped == 4_000 - len(written)
    begins = [entry.getMessage() for entry in caplog.records if "turns are dropped" in entry.getMessage()]
    ends = [entry.getMessage() for entry in caplog.records if "were dropped" in entry.getMessage()]
    assert len(begins) == len(ends) >= 1
    assert "OTEL_EXPORTER_CONVLOG_QUEUE_BYTES is 1000000" in begins[0]
    assert sum(int(line.split(";")[1].split()[0]) for line in ends) == ours.turns_dropped


def test_who_ends_a_span_does_not_wait_for_the_disk(
    provider: TracerProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    write = ConversationStore.write

    def waiting(self: ConversationStore, *arguments: Any) -> None:
        assert go_on.wait(30)
        write(self, *arguments)

    monkeypatch.setattr(ConversationStore, "write", waiting)
    ours = ConversationSpanProcessor(directory=tmp_path)
    provider.add_span_processor(ours)
    record(0, 20)  # returns, although nothing can be written
    assert not ours.force_flush(100)
    assert ours.queue_bytes > 0
    go_on.set()
    assert ours.force_flush()
    assert numbers(tmp_path) == Counter(range(20))


def test_no_flush_takes_longer_than_it_may_though_a_disk_hangs(
    provider: TracerProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = ConversationSpanProcessor(directory=tmp_path)
    provider.add_span_processor(ours)
    hangs, go_on = threading.Event(), threading.Event()
    write = ConversationStore.write

    def refuse(*_: object) -> None:
        raise OSError("no space")

    def hang(self: ConversationStore, *arguments: Any) -> None:
        hangs.set()
        assert go_on.wait(60)
        write(self, *arguments)

    monkeypatch.setattr(ConversationStore, "write", refuse)
    record(0, 20)
    assert not ours.force_flush()
    monkeypatch.setattr(ConversationStore, "write", hang)
    assert not ours.force_flush(200)
    assert hangs.is_set()
    monkeypatch.setattr("otel_convlog.processor._SHUTDOWN_S", 0.1)
    ours.shutdown()
    assert not numbers(tmp_path)
    go_on.set()
    ours._writer.join(60)  # type: ignore[union-attr]
    assert numbers(tmp_path) == Counter(range(20))


def test_a_handler_may_flush_while_who_it_interrupts_takes_a_turn(provider: TracerProvider, tmp_path: Path) -> None:
    ours = ConversationSpanProcessor(directory=tmp_path)
    provider.add_span_processor(ours)
    record(0, 20)
    with ours._lock:  # as on the way into the queue
        assert ours.force_flush(30_000)
    assert numbers(tmp_path) == Counter(range(20))


def test_a_handler_may_flush_when_turns_have_been_dropped_before(
    provider: TracerProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slow_down(monkeypatch, 0.005)
    ours = ConversationSpanProcessor(directory=tmp_path, queue_bytes=100_000)
    provider.add_span_processor(ours)
    record(0, 100)
    assert ours.turns_dropped
    with ours._lock:  # as on the way into the queue
        assert ours.force_flush(30_000)
    record(100, 1)
    assert ours.force_flush()
    assert [f"{ours.turns_dropped} were dropped" in entry.getMessage() for entry in caplog.records][1:] == [True]


def test_who_ends_a_turn_during_the_shutdown_takes_no_mark_from_the_writer(
    provider: TracerProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(monkeypatch, 0.5)
    ours = ConversationSpanProcessor(directory=tmp_path)
    provider.add_span_processor(ours)
    queue = ours._queue
    record(0, 1)
    wait_until(queue.empty)  # and the writer is at it
    writer = ours._writer
    assert writer is not None
    late: list[object] = []

    class Queue:
        """Lets a turn come behind the last mark, of somebody who has seen before that the processor is open."""

        def put(self, item: Any) -> None:
            queue.put(item)
            if not isinstance(item, tuple) and not late:
                late.append(item)
                with pytest.MonkeyPatch.context() as patch:
                    seen = iter([False, True])
                    patch.setattr(ConversationSpanProcessor, "_closed", property(lambda _: next(seen)), raising=False)
                    record(100, 1)

        def __getattr__(self, name: str) -> Any:
            return getattr(queue, name)

    monkeypatch.setattr(ours, "_queue", Queue())
    ours.shutdown()
    writer.join(10)
    assert not writer.is_alive()
    assert numbers(tmp_path) == Counter([0, 100])


def test_only_turns_are_taken_sampled_or_not(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    provider = TracerProvider(sampler=TurnSampler(ALWAYS_OFF))
    provider.add_span_processor(ConversationSpanProcessor(directory=tmp_path))
    trace.set_tracer_provider(provider)
    with provider.get_tracer("other").start_as_current_span("GET /") as span:
        assert not span.is_recording()
    record(0, 3)
    provider.shutdown()
    assert numbers(tmp_path) == Counter(range(3))
    (path, *_) = tmp_path.glob("*/*.json")
    assert read_document(path)["turns"][0]["otel"]["sampled"] is False


def test_a_turn_that_ends_after_shutdown_is_written_at_once(provider: TracerProvider, tmp_path: Path) -> None:
    ours = ConversationSpanProcessor(directory=tmp_path)
    provider.add_span_processor(ours)
    record(0, 1)
    ours.shutdown()
    record(1, 1)
    assert numbers(tmp_path) == Counter(range(2))
    ours.shutdown()
    assert ours.force_flush()


def test_an_exporter_and_settings_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="directory"):
        ConversationSpanProcessor(ConversationSpanExporter(directory=tmp_path), directory=tmp_path)
    with pytest.raises(ValueError, match="grouping"):
        ConversationSpanProcessor(directory=tmp_path, grouping="?")


def test_no_thread_runs_before_the_first_turn(tmp_path: Path) -> None:
    before = threading.active_count()
    processor = ConversationSpanProcessor(directory=tmp_path)
    assert threading.active_count() == before
    processor.shutdown()


@pytest.mark.parametrize("kind", ["ours", "simple"])
def test_a_signal_s_handler_may_end_a_turn_of_any_conversation(
    kind: str, provider: TracerProvider, tmp_path: Path
) -> None:
    exporter = ConversationSpanExporter(directory=tmp_path)
    provider.add_span_processor(
        ConversationSpanProcessor(exporter) if kind == "ours" else SimpleSpanProcessor(exporter)
    )
    interrupting = 0

    def end_a_turn(*_: object) -> None:
        nonlocal interrupting
        record(10_000 + interrupting, 1, conversations=1)
        interrupting += 1
        if interrupting < 300:  # on a slow machine they would leave no time for what they interrupt
            signal.setitimer(signal.ITIMER_REAL, 0.001)  # the next one, once this one is done

    before = signal.signal(signal.SIGALRM, end_a_turn)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    try:
        record(0, 500, conversations=1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    provider.force_flush()
    assert numbers(tmp_path) == Counter([*range(500), *range(10_000, 10_000 + interrupting)])


def test_turns_that_end_in_the_middle_of_a_flush_are_written_by_it(
    provider: TracerProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = Assembler.flush
    left = list(range(5))

    def flush_interrupted(self: Assembler, *, last: bool = False) -> list[TurnRecord]:
        with self._lock:
            if left:
                record(left.pop(), 1, conversations=1)  # as a signal's handler does
        return flush(self, last=last)

    monkeypatch.setattr(Assembler, "flush", flush_interrupted)
    exporter = ConversationSpanExporter(directory=tmp_path)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    assert exporter.force_flush()
    assert numbers(tmp_path) == Counter(range(5))


def test_a_turn_that_ends_in_the_middle_of_the_shutdown_is_written(
    provider: TracerProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up = TurnDelivery.give_up

    def give_up_interrupted(self: TurnDelivery) -> None:
        with self._pending._lock:
            record(0, 1)  # as a signal's handler does
        give_up(self)

    monkeypatch.setattr(TurnDelivery, "give_up", give_up_interrupted)
    exporter = ConversationSpanExporter(directory=tmp_path)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    exporter.shutdown()
    assert numbers(tmp_path) == Counter([0])


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_turn_that_ends_while_the_writer_is_started_starts_no_other(
    moment: str, provider: TracerProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, start = threading.Thread.__init__, threading.Thread.start
    writers: list[threading.Thread] = []
    come_already = False

    def as_a_handler_does(when: str) -> None:
        nonlocal come_already
        if when == moment and not come_already:
            come_already = True
            record(1, 1, conversations=1)

    def make(self: threading.Thread, *arguments: Any, **keywords: Any) -> None:
        if keywords.get("name") == "convlog-writer":
            as_a_handler_does("before")
        made(self, *arguments, **keywords)

    def start_it(self: threading.Thread) -> None:
        start(self)
        if self.name == "convlog-writer":
            writers.append(self)
            as_a_handler_does("after")

    monkeypatch.setattr(threading.Thread, "__init__", make)
    monkeypatch.setattr(threading.Thread, "start", start_it)
    provider.add_span_processor(ConversationSpanProcessor(directory=tmp_path))
    record(0, 1, conversations=1)
    provider.force_flush()
    assert numbers(tmp_path) == Counter([0, 1])
    assert len(writers) == 1


def test_a_second_shutdown_waits_for_the_first(
    provider: TracerProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, write = threading.Event(), ConversationStore.write

    def write_then(self: ConversationStore, *arguments: Any) -> None:
        held.wait()
        write(self, *arguments)

    monkeypatch.setattr(ConversationStore, "write", write_then)
    ours = ConversationSpanProcessor(directory=tmp_path)
    provider.add_span_processor(ours)
    record(0, 20)
    both = [threading.Thread(target=ours.shutdown) for _ in range(2)]
    for thread in both:
        thread.start()
    both[1].join(0.5)
    assert both[1].is_alive()
    held.set()
    for thread in both:
        thread.join()
    assert numbers(tmp_path) == Counter(range(20))


_INTERRUPTED_SHUTDOWN = """
import signal, sys, time
import delivery_process
from opentelemetry import trace
from otel_convlog.store import ConversationStore
write = ConversationStore.write
def slowly(*arguments):
    time.sleep(0.01)
    write(*arguments)
ConversationStore.write = slowly
def interrupt(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
delivery_process.set_up(sys.argv[1], "ours")
delivery_process.record(0, 200, conversations=200)
signal.setitimer(signal.ITIMER_REAL, 0.05)
trace.get_tracer_provider().shutdown()
"""


def test_who_interrupts_the_shutdown_loses_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _INTERRUPTED_SHUTDOWN, str(tmp_path)]
    done = subprocess.run(command, cwd=_HERE, capture_output=True, text=True, check=False, timeout=60)
    assert "KeyboardInterrupt" in done.stderr
    assert numbers(tmp_path) == Counter(range(200))


def test_a_handler_may_shut_down_what_is_being_shut_down(
    provider: TracerProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(monkeypatch, 0.01)
    ours = ConversationSpanProcessor(directory=tmp_path)
    provider.add_span_processor(ours)
    record(0, 50, conversations=50)
    calls = 0

    def shut_down(*_: object) -> None:
        nonlocal calls
        calls += 1
        ours.shutdown()

    before = signal.signal(signal.SIGALRM, shut_down)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        ours.shutdown()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert calls == 1
    assert numbers(tmp_path) == Counter(range(50))


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_handler_that_raises_while_a_turn_is_taken_costs_no_turn(
    kind: type[BaseException],
    moment: str,
    provider: TracerProvider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = ConversationSpanProcessor(directory=tmp_path)
    provider.add_span_processor(ours)
    record(0, 1)
    take = ConversationSpanProcessor._take

    def interrupted(self: ConversationSpanProcessor, *arguments: Any) -> None:
        monkeypatch.undo()
        if moment == "after":
            take(self, *arguments)
        raise kind

    monkeypatch.setattr(ConversationSpanProcessor, "_take", interrupted)
    with suppress(KeyboardInterrupt):
        record(1, 1)
    record(2, 1)
    assert ours.force_flush()
    assert numbers(tmp_path) == Counter(range(3))
    wait_until(lambda: ours._taken_bytes == ours._written_bytes)
    assert ours._taken_bytes == ours._written_bytes  # also where the turn was counted once, and written twice


def test_a_handler_that_raises_while_the_writer_is_started_leaves_it_known(
    provider: TracerProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = ConversationSpanProcessor(directory=tmp_path)
    provider.add_span_processor(ours)
    start = threading.Thread.start
    writers: list[threading.Thread] = []

    def interrupted(self: threading.Thread) -> None:
        start(self)
        if self.name == "convlog-writer":
            writers.append(self)
            if len(writers) == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with suppress(KeyboardInterrupt):
        record(0, 1)
    record(1, 2)
    assert ours.force_flush()
    assert len(writers) == 1
    assert numbers(tmp_path) == Counter(range(3))


@pytest.mark.parametrize("writer", ["thread", "process"])
def test_a_child_counts_its_own_turns(writer: str, provider: TracerProvider, tmp_path: Path) -> None:
    ours = ConversationSpanProcessor(directory=tmp_path, writer=writer)
    provider.add_span_processor(ours)
    record(0, 30)
    ours.force_flush()
    ours._dropped = 1
    counted = ours.exporter.turns_written
    child = os.fork()
    if child == 0:
        record(30, 5)
        ours.force_flush()
        os._exit(10 * ours.turns_dropped + ours.exporter.turns_written)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
    assert (ours.exporter.turns_written, ours.turns_dropped) == (counted, 1)
    assert numbers(tmp_path) == Counter(range(35))


def test_its_figures_are_metrics(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    reader = InMemoryMetricReader()
    meters = MeterProvider(metric_readers=[reader])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("opentelemetry.metrics.get_meter", meters.get_meter)
        ours = ConversationSpanProcessor(directory=tmp_path, queue_bytes=30_000)
    provider = TracerProvider()
    provider.add_span_processor(ours)
    trace.set_tracer_provider(provider)
    burst(80)
    ours.force_flush()
    data = reader.get_metrics_data()
    assert data is not None
    found: dict[tuple[str, Any], Any] = {}
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            attributes = dict(point.attributes or {})
            found[metric.name, attributes.get("error.type")] = point
    written = sum(numbers(tmp_path).values())
    assert found["otel.sdk.exporter.span.exported", None].value == written
    assert found["otel.sdk.processor.span.processed", "queue_full"].value == 80 - written == ours.turns_dropped > 0
    assert found["otel.sdk.processor.span.processed", None].value == written
    assert found["convlog.written", None].value > written * 5_000
    assert found["convlog.waiting", None].value == 0
    assert found["otel.sdk.exporter.operation.duration", None].count >= 1
    provider.shutdown()
    meters.shutdown()


# 50 ms is enough for the writer, unless the machine is busy with something else.
_PAUSES_S = (0.05, 0.5, 2.0)
_LOSES_NOTHING = {
    "ours": {"exit", "exception", "SIGINT", "SIGTERM", "os._exit", "SIGKILL"},
    "process": {"exit", "exception", "SIGINT", "SIGTERM", "os._exit", "SIGKILL"},
    "batch": {"exit", "exception", "SIGINT"},
}


@pytest.mark.parametrize(
    ("processor", "way"),
    [
        *((processor, way) for processor in ("ours", "process", "batch") for way in ("exit", "exception", "SIGINT")),
        *((processor, way) for processor in ("ours", "process", "batch") for way in ("SIGTERM", "os._exit")),
        ("ours", "SIGKILL"),
        ("process", "SIGKILL"),
        ("batch", "SIGKILL"),
    ],
)
def test_a_process_that_ends_has_written_its_turns(processor: str, way: str, tmp_path: Path) -> None:
    expected = 0 if way in _LOSES_NOTHING[processor] else TURNS  # what docs/durability.md says
    for pause in _PAUSES_S:
        directory = tmp_path / str(pause)
        command = [sys.executable, str(_HERE / "delivery_process.py"), str(directory), processor, way, str(pause)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            if way.startswith("SIG"):
                time.sleep(pause)
                process.send_signal(getattr(signal, way))
            process.wait(30)
        if processor == "process":  # which goes on until it has written what it was given
            wait_until(lambda: len(numbers(directory)) == TURNS)  # noqa: B023  at once
        lost = TURNS - len(numbers(directory))
        if lost == expected:
            break
    assert lost == expected


@pytest.mark.parametrize("processor", ["ours", "process"])
def test_children_of_multiprocessing_write_what_they_have(processor: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", str(_HERE / "delivery_process.py"), str(tmp_path), processor]
    subprocess.run([*command, "multiprocessing"], check=True, timeout=60)
    assert numbers(tmp_path) == Counter(range(50))


@pytest.mark.parametrize("processor", ["ours", "process"])
def test_sigkill_costs_at_most_the_turns_of_the_last_moment(processor: str, tmp_path: Path) -> None:
    source = random.Random(3)
    for attempt in range(6 if processor == "ours" else 3):
        directory = tmp_path / str(attempt)
        command = [sys.executable, str(_HERE / "delivery_process.py"), str(directory), processor, "random"]
        ended: list[int] = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            killed_after = source.randrange(200, 600)
            for line in process.stdout:
                ended.append(int(line))
                if len(ended) == killed_after:
                    process.kill()
        # The kill may have torn the file that was being written; the next write to it repairs it.
        subprocess.run([*command[:-2], "ours", "again"], check=True)
        if processor == "process":  # which has outlived its proxy, to write what that has handed over
            wait_until(functools.partial(_are_written, ended, directory))
        written = numbers(directory)
        missing = [number for number in ended if number not in written]
        assert set(range(AGAIN, AGAIN + 5)) <= set(written)
        # Of a turn each 2 ms usually fewer than ten, of the last moment; on a busy machine not of the first half.
        assert not set(missing) & set(ended[: len(ended) // 2])


def _are_written(ended: list[int], directory: Path) -> bool:
    return set(ended) <= set(numbers(directory))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _ask(port: int, number: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{number}", timeout=10) as answer:
                assert answer.read() == b"ok"
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


_SERVERS = {
    "uvicorn": ["-m", "uvicorn", "--port", "{port}", "--log-level", "error", "delivery_app:asgi"],
    "uvicorn, two workers": [
        *("-m", "uvicorn", "--port", "{port}", "--log-level", "error", "--workers", "2", "delivery_app:asgi"),
    ],
    "gunicorn": ["-m", "gunicorn", "-b", "127.0.0.1:{port}", "-w", "2", "--log-level", "error", "delivery_app:wsgi"],
    "gunicorn, preloaded": [
        *("-m", "gunicorn", "-b", "127.0.0.1:{port}", "-w", "2", "--log-level", "error", "--preload"),
        "delivery_app:wsgi",
    ],
    "gunicorn, recycled workers": [
        *("-m", "gunicorn", "-b", "127.0.0.1:{port}", "-w", "2", "--log-level", "error", "--max-requests", "7"),
        "delivery_app:wsgi",
    ],
}


@pytest.mark.parametrize("processor", ["ours", "process"])
@pytest.mark.parametrize("server", _SERVERS)
def test_a_server_that_is_stopped_has_written_its_turns(server: str, processor: str, tmp_path: Path) -> None:
    port = _free_port()
    environment = {**os.environ, "DIRECTORY": str(tmp_path), "PROCESSOR": processor, "PYTHONPATH": str(_HERE)}
    command = [sys.executable, *(word.format(port=port) for word in _SERVERS[server])]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        try:
            for number in range(TURNS):
                _ask(port, number)
            time.sleep(_PAUSES_S[1])  # uvicorn ends by the signal that it got, which runs no exit hooks
        finally:
            process.terminate()
            process.wait(30)
    wait_until(lambda: len(numbers(tmp_path)) == TURNS)
    assert numbers(tmp_path) == Counter(range(TURNS))


@pytest.mark.crash
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("writer", ["thread", "process"])
def test_forks_in_every_phase_of_an_export_lose_nothing(writer: str, provider: TracerProvider, tmp_path: Path) -> None:
    ours = ConversationSpanProcessor(directory=tmp_path, writer=writer)
    provider.add_span_processor(ours)
    stop = threading.Event()
    recorded = 0

    def keep_recording() -> None:
        nonlocal recorded
        while not stop.is_set():
            record(recorded, 1)
            recorded += 1
            time.sleep(0.001 if ours.queue_bytes < 1_000_000 else 0.05)  # no more than can be written

    thread = threading.Thread(target=keep_recording)
    thread.start()
    try:
        for child in range(200):
            pid = os.fork()
            if pid == 0:
                signal.alarm(30)  # a child that hangs fails
                record(1_000_000 + child, 1)
                os._exit(0 if ours.force_flush() else 1)
            assert os.waitpid(pid, 0)[1] == 0
    finally:
        stop.set()
        thread.join(30)
    assert ours.force_flush()
    assert numbers(tmp_path) == Counter([*range(recorded), *range(1_000_000, 1_000_200)])


def test_public_names_are_there() -> None:
    for name in otel_convlog.__all__:
        assert getattr(otel_convlog, name) is not None
