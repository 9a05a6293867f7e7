from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conversation_log import forget_tracer_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from servers import postgres, s3
from shared_place import Place, dialogue, interleaved

from otel_convlog import ConversationSpanExporter
from otel_convlog.shared.health import read_health

if TYPE_CHECKING:
    from collections.abc import Callable

_WAIT_S = 60.0


def wait_until(said: Callable[[], object]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def delivering(spool: Path) -> list[int]:
    """The ids of the processes that deliver a spool."""
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if b"shared.delivering" in command and str(spool).encode() in command:
                found.append(int(process.name))
    return found


def exporter_for(place: Place, **options: object) -> ConversationSpanExporter:
    return ConversationSpanExporter(
        directory=place.store,
        catalog=place.database,
        spool=place.folder / "spool",
        **{"quiet_ms": 100, **options},  # type: ignore[arg-type]
    )


def test_an_exporter_has_its_turns_delivered_by_a_process_of_its_own(place: Place) -> None:
    spans = dialogue("one", 4)
    exporter = exporter_for(place)
    exporter.export(spans)
    wait_until(lambda: place.rows("SELECT to_regclass('convlog_files')") != [(None,)])
    wait_until(lambda: place.rows("SELECT pending FROM convlog_files") == [(False,)])
    assert read_health(place.folder / "spool").ready
    (process,) = delivering(place.folder / "spool")
    assert b"postgresql" not in Path(f"/proc/{process}/cmdline").read_bytes()  # a password may be in it
    exporter.shutdown()
    assert delivering(place.folder / "spool") == []
    assert place.documents() == place.written_by_one_machine(*spans)


def test_what_is_in_the_spool_is_delivered_when_the_exporter_shuts_down(place: Place) -> None:
    exporter = exporter_for(place)
    exporter.export(dialogue("one", 200))
    exporter.shutdown()
    assert place.rows("SELECT count(*) FROM convlog_turns") == [(200,)]


@pytest.mark.parametrize("writer", ["thread", "process"])
def test_whoever_is_killed_nothing_is_lost(place: Place, writer: str) -> None:
    """The process that delivers is killed again and again, then the proxy is."""
    script = (
        "import sys, time\n"
        "from shared_place import dialogue\n"
        "from otel_convlog import ConversationSpanExporter, ConversationSpanProcessor\n"
        "processor = ConversationSpanProcessor(ConversationSpanExporter())\n"
        "for number in range(30):\n"
        "    for span in dialogue(f'dialogue {number}', 5):\n"
        "        processor.on_end(span)\n"
        "    processor.force_flush()\n"
        "    print(number, flush=True)\n"
        "    time.sleep(0.05)\n"
        "time.sleep(600)\n"
    )
    spool = place.folder / "spool"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2])),
        "OTEL_EXPORTER_CONVLOG_DIRECTORY": place.store,
        "OTEL_EXPORTER_CONVLOG_CATALOG": place.database,
        "OTEL_EXPORTER_CONVLOG_SPOOL": str(spool),
        "OTEL_EXPORTER_CONVLOG_WRITER": writer,
    }
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as proxy:
        assert proxy.stdout is not None
        for _ in range(30):
            assert proxy.stdout.readline()
            for process in delivering(spool):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        proxy.kill()
    wait_until(lambda: not delivering(spool))
    machine = place.machine()
    machine.deliver()
    assert machine.waiting() == 0
    assert place.rows("SELECT count(*), count(DISTINCT turn_id) FROM convlog_turns") == [(150, 150)]
    place.make_documents()
    assert place.rows("SELECT count(*) FROM convlog_files WHERE turn_count = 5") == [(30,)]
    assert len(place.documents()) == 30


def test_while_the_database_is_away_turns_wait_and_are_delivered_in_order(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with postgres() as server:
        place.database = server.database("log")
        spans = interleaved([dialogue(f"dialogue {number}", 4) for number in range(5)])
        exporter = exporter_for(place)
        exporter.export(spans[:8])
        wait_until(lambda: read_health(place.folder / "spool").turns_delivered == 8)
        server.stop()
        for span in spans[8:]:
            started = time.monotonic()
            exporter.export([span])
            assert time.monotonic() - started < 5  # it waits for nobody
        wait_until(lambda: not read_health(place.folder / "spool").ready)
        assert "cannot be used" in read_health(place.folder / "spool").reason
        server.start()
        wait_until(lambda: read_health(place.folder / "spool").turns_delivered == 20)
        wait_until(lambda: place.rows("SELECT count(*) FROM convlog_files WHERE pending") == [(0,)])
        exporter.shutdown()
        assert place.documents() == place.written_by_one_machine(*spans)
        assert not caplog.records


def test_while_the_store_is_away_turns_wait(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3() as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        machine = place.machine()
        machine.write(*dialogue("before", 2))
        assert machine.deliver() == 2
    machine.write(*dialogue("meanwhile", 2))
    machine.run(1.0)
    assert machine.waiting() == 1
    assert not read_health(machine.settings.directory).ready
    assert place.rows("SELECT count(*) FROM convlog_turns") == [(2,)]


def test_a_full_spool_is_like_a_full_disk(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.database = "postgresql://convlog@127.0.0.1:1/nowhere"
    exporter = exporter_for(place, spool_bytes=20_000, queue_bytes=4_000)
    for number in range(20):
        exporter.export(dialogue(f"dialogue {number}", 1))
    spool = place.folder / "spool"
    assert 0 < sum(path.stat().st_size for path in spool.glob("????-??-??/*.json")) <= 24_000
    assert exporter.waiting_bytes > 0
    assert exporter.turns_failed > 0
    assert exporter.turns_written + exporter.turns_failed < 20
    assert "SPOOL_BYTES" in caplog.text
    exporter.shutdown()


def test_metrics_say_how_the_delivery_is_doing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr("opentelemetry.metrics.get_meter", lambda *_: provider.get_meter("test"))
    exporter = exporter_for(place)
    exporter.export(dialogue("one", 2))
    wait_until(lambda: read_health(place.folder / "spool").turns_delivered == 2)
    data = reader.get_metrics_data()
    assert data is not None
    found = {
        metric.name: metric.data.data_points[0].value  # type: ignore[union-attr]
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        if metric.name.startswith("convlog.delivery")
    }
    assert found == {"convlog.delivery.ready": 1, "convlog.delivery.lag": 0, "convlog.delivery.waiting": 0}
    exporter.shutdown()
    provider.shutdown()


def test_status_says_what_is_away(place: Place) -> None:
    def status(*options: str) -> tuple[int, dict[str, object]]:
        command = [sys.executable, "-m", "otel_convlog.cli", "status", "--json", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout)

    machine = place.machine()
    machine.write(*dialogue("one", 2))
    spool = ["--spool", str(machine.settings.directory)]
    code, said = status(*place.options, *spool)
    assert (code, said["is_well"]) == (1, False)  # turns wait, and nobody delivers them
    machine.run(0.5)
    place.make_documents()
    code, said = status(*place.options, *spool)
    assert (code, said["is_well"], said["pending_documents"]) == (0, True, 0)
    code, said = status("--directory", place.store, "--catalog", "postgresql://127.0.0.1:1/nowhere", *spool)
    assert (code, said["store"]) == (1, None)
    assert "127.0.0.1" in str(said["database"])


def test_a_password_is_shown_nowhere(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.database = "postgresql://convlog:s3cr3t-w0rd@127.0.0.1:1/nowhere"
    machine = place.machine()
    machine.write(*dialogue("one", 1))
    machine.run(0.5)
    assert "s3cr3t-w0rd" not in caplog.text
    assert "s3cr3t-w0rd" not in read_health(machine.settings.directory).reason
    assert "s3cr3t-w0rd" not in repr(machine.settings.shared)


def test_an_object_store_needs_a_database(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="OTEL_EXPORTER_CONVLOG_CATALOG"):
        ConversationSpanExporter(directory="s3://bucket/log")
    with pytest.raises(ValueError, match="s3://"):
        ConversationSpanExporter(directory="ftp://host/log", catalog="postgresql://host/log")
    with pytest.raises(ValueError, match="postgresql://"):
        ConversationSpanExporter(directory=tmp_path, catalog="mysql://host/log")


def test_without_its_database_an_object_store_named_by_a_variable_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forget_tracer_provider()
    monkeypatch.setenv("OTEL_EXPORTER_CONVLOG_DIRECTORY", "s3://bucket/log")
    monkeypatch.setenv("OTEL_EXPORTER_CONVLOG_SPOOL", str(tmp_path / "spool"))
    exporter = ConversationSpanExporter()
    exporter.export(dialogue("one", 2))
    exporter.shutdown()
    assert "OTEL_EXPORTER_CONVLOG_CATALOG" in caplog.text
    assert len(list((tmp_path / "spool").glob("*/*.json"))) == 1


def test_a_directory_that_machines_share_works_like_a_store(place: Place) -> None:
    place.store = str(place.folder / "mounted")
    spans = interleaved([dialogue(f"dialogue {number}", 3) for number in range(4)])
    machines = [place.machine(f"spool-{number}") for number in range(2)]
    for number, span in enumerate(spans):
        machines[number % 2].write(span)
        machines[number % 2].deliver()
    place.make_documents()
    assert place.documents() == place.written_by_one_machine(*spans)
    there = {path.name: path.read_bytes() for path in (place.folder / "mounted").glob("????-??-??/*.json")}
    assert sorted(there.values()) == sorted(place.documents().values())


def test_psycopg_is_not_needed_to_write(place: Place) -> None:
    code = (
        "import sys; from otel_convlog import ConversationSpanExporter as Exporter\n"
        f"Exporter(directory={place.store!r}, catalog={place.database!r}, spool={str(place.folder)!r})\n"
        "print([name for name in ('psycopg', 'obstore') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
