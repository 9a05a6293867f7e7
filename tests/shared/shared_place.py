"""A shared log under test, and machines that write to it."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import psycopg
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from simulated_clients import chat_stream

import otel_convlog
from otel_convlog import ConversationSpanExporter, attach_client_response, finalize_turn, start_turn
from otel_convlog.identity.grouping import Grouping
from otel_convlog.settings import Settings
from otel_convlog.shared.database import Database
from otel_convlog.shared.delivering import Deliverer
from otel_convlog.shared.documents import DocumentMaker
from otel_convlog.shared.launching import Launcher
from otel_convlog.shared.mirror import Mirror
from otel_convlog.shared.objects import Objects
from otel_convlog.shared.settling import make_one
from otel_convlog.shared.shared_key import share_key
from otel_convlog.shared_log import SharedLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import timedelta
    from pathlib import Path

    from simulated_clients import Turn

_WAIT_S = 60.0


class Machine:
    """An exporter with a spool, and who delivers it, in this process."""

    def __init__(self, place: Place, name: str, **options: Any) -> None:
        self.keywords = {
            "directory": place.store,
            "catalog": place.database,
            "spool": place.folder / name,
            "quiet_ms": 0,
            **options,
        }
        self.settings = Settings.resolve(**self.keywords)
        self._exporter = ConversationSpanExporter(**self.keywords)
        self.deliverer = Deliverer(self.settings)

    def write(self, *spans: ReadableSpan) -> None:
        """Write turns into the spool, and start nobody: the test says when what is delivered."""
        with patch.object(Launcher, "begin"):
            self._exporter.export(spans)

    def deliver(self) -> int:
        """Deliver all that is in the spool; return how many turns that were."""
        count = 0
        while delivered := self.deliverer.deliver_some():
            count += delivered
        return count

    def run_until(self, said: Callable[[], object]) -> None:
        """Let it deliver by itself, until something is so."""
        stop = threading.Event()
        thread = threading.Thread(target=self.deliverer.run, args=(stop,))
        thread.start()
        deadline = time.monotonic() + _WAIT_S
        while not said() and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        thread.join()
        assert said()

    def run(self, seconds: float) -> None:
        """Let it deliver by itself, for a while."""
        stop = threading.Event()
        thread = threading.Thread(target=self.deliverer.run, args=(stop,))
        thread.start()
        stop.wait(seconds)
        stop.set()
        thread.join()

    def waiting(self) -> int:
        """How many files wait in the spool."""
        return self.deliverer._spool.state().files


class Place:
    """A shared log."""

    def __init__(self, store: str, database: str, folder: Path) -> None:
        self.store, self.database, self.folder = store, database, folder
        self._stack = ExitStack()
        self._one_machine: ConversationSpanExporter | None = None

    @property
    def options(self) -> list[str]:
        """Those of a command that is about it."""
        return ["--directory", self.store, "--catalog", self.database]

    def machine(self, name: str = "spool", **options: Any) -> Machine:
        """A machine that writes to it."""
        machine = Machine(self, name, **options)
        self._stack.callback(machine.deliverer.close)
        return machine

    def make_documents(self, grouping: str = "lineage", *, most: float = float("inf")) -> int:
        """Make all documents that lack something; return how many that were, or the most."""
        objects = Objects(self.store)
        with closing(Database(self.database)) as database, closing(objects):
            maker = DocumentMaker(database, objects)
            made = 0
            while made < most and make_one(maker, database, objects, Grouping(grouping), quiet_s=0):
                made += 1
        return made

    def mirror(self) -> Mirror:
        """A copy of it on this machine."""
        mirror = Mirror(SharedLog(self.store, self.database))
        self._stack.callback(mirror.close)
        return mirror

    def documents(self) -> dict[str, bytes]:
        """The documents in the store."""
        objects = Objects(self.store)
        found: dict[str, bytes] = {}
        with closing(objects):
            for (name,) in self.rows("SELECT file FROM convlog_files WHERE document IS NOT NULL"):
                path = self.folder / "document.json"
                path.unlink(missing_ok=True)
                assert objects.fetch(str(name), path) is not None, name
                found[str(name)] = path.read_bytes()
        return found

    def written_by_one_machine(self, *spans: ReadableSpan, **options: Any) -> dict[str, bytes]:
        """What a single machine makes of turns that reach it one by one, with the key of all."""
        directory = self.folder / "one-machine"
        with closing(Database(self.database)) as database:
            share_key(database, directory)
        exporter = ConversationSpanExporter(directory=directory, catalog="", **options)
        for span in spans:
            exporter.export([span])
        exporter.shutdown()
        return {
            path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.glob("????-??-??/*.json")
        }

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        """Ask its database."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def close(self) -> None:
        """Close what is open."""
        self._stack.close()


def dialogue(name: str, turns: int, **options: Any) -> list[ReadableSpan]:
    """The spans of a dialogue's turns, one after another.

    Args:
        name: What tells it from others.
        turns: How many.
        options: More of what `turn_span` is given.
    """
    messages: list[dict[str, str]] = []
    spans: list[ReadableSpan] = []
    for number in range(turns):
        messages.append({"role": "user", "content": f"Question {number} of {name}, which is no other dialogue's."})
        answer = {"role": "assistant", "content": f"Answer {number} to {name}, which is no other dialogue's either."}
        spans.append(turn_span({"model": "test", "messages": list(messages)}, answer, **options))
        messages.append(answer)
    return spans


def turn_span(
    request: dict[str, Any], answer: dict[str, str] | None, *, stream: bool = False, **options: Any
) -> ReadableSpan:
    """The span of one turn, whose answer stands in the events of a stream alone, if it is one."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    arguments = {"route": "chat", "client_model": "test", "backend": "test", "stream": stream, **options}
    turn = started(provider, client_request=json.loads(json.dumps(request)), **arguments)
    if answer is not None and stream:
        for name, *arguments_of_call in chat_stream(answer["content"], upstream=False):
            getattr(otel_convlog, name)(turn, *arguments_of_call)
    elif answer is not None:
        attach_client_response(turn, {"choices": [{"message": answer}]})
    finalize_turn(turn, duration_ms=1.0)
    (span,) = exporter.get_finished_spans()
    return span


def recorded(turns: Iterable[Turn]) -> list[ReadableSpan]:
    """The spans of turns as `simulated_clients` has them."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for of_it in turns:
        turn = started(provider, **of_it["start"])
        for name, *arguments in of_it["calls"]:
            getattr(otel_convlog, name)(turn, *arguments)
        finalize_turn(turn)
    return list(exporter.get_finished_spans())


def started(provider: TracerProvider, **arguments: Any) -> Any:
    """Start a turn with a provider that is not the process's."""
    before = trace._TRACER_PROVIDER
    trace._TRACER_PROVIDER = provider
    try:
        return start_turn(**arguments)
    finally:
        trace._TRACER_PROVIDER = before


def with_attributes(span: ReadableSpan, more: dict[str, str]) -> ReadableSpan:
    """The same span, exported once more with other attributes."""
    return _with(span, attributes={**(span.attributes or {}), **more})


def later(span: ReadableSpan, by: timedelta) -> ReadableSpan:
    """The same turn at another time."""
    nanoseconds = int(by.total_seconds() * 1e9)
    return _with(span, start_time=(span.start_time or 0) + nanoseconds, end_time=(span.end_time or 0) + nanoseconds)


def _with(span: ReadableSpan, **changes: Any) -> ReadableSpan:
    names = ("name", "context", "attributes", "events", "resource", "start_time", "end_time", "instrumentation_scope")
    return ReadableSpan(**{**{name: getattr(span, name) for name in names}, **changes})


def interleaved(dialogues: Sequence[Sequence[ReadableSpan]]) -> list[ReadableSpan]:
    """The turns of dialogues in the order in which they were."""
    return sorted((span for turns in dialogues for span in turns), key=lambda span: span.start_time or 0)
