"""What it costs to deliver turns to a log that several machines share, and whether that grows with what is there.

``python tests/benchmarks/shared_log.py`` runs PostgreSQL from the system's packages; the store is a directory, so that
what is measured is this package and the database. The second line of a pair is with 10,000,000 rows of evidence.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "shared"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from servers import postgres
from shared_place import dialogue, interleaved

from otel_convlog import ConversationSpanExporter
from otel_convlog.settings import Settings
from otel_convlog.shared.delivering import Deliverer

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue
    from multiprocessing.synchronize import Barrier

_TURNS_OF_DIALOGUE = 5
_EVIDENCE_OF_TURN = 8
_PROCESSES = (1, 2, 4, 8)


class Cost(NamedTuple):
    """What a number of turns have cost."""

    turns: int
    seconds: float
    cpu_s: float  # of who delivers them
    round_trips: int
    rows: int
    object_bytes: int
    log_bytes: int  # that the database has written ahead: of what was changed,
    page_bytes: int  # and of pages that are written whole, the first time that they change after a checkpoint

    def line(self) -> str:
        """Return it by turn."""
        count = self.turns
        return (
            f"{1e6 * self.cpu_s / count:7,.0f} µs   {self.round_trips / count:6.4f}   {self.rows / count:5.1f}"
            f"   {self.log_bytes / count:7,.0f}   {self.page_bytes / count:8,.0f}   {self.object_bytes / count:9,.0f}"
            f"   {count / self.seconds:7,.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000, help="of evidence that is there before")
    parser.add_argument("--turns", type=int, default=2_000)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="convlog-benchmark-") as folder, postgres() as server:
        place = Path(folder)
        spools = {size: _filled(place / f"full-{size}", options.turns, size) for size in (1_500, 45_000)}
        few, many = server.database("few"), server.database("many")
        for url in (few, many):
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE EXTENSION pg_walinspect")
        _deliver(place, few, "warm-up", _filled(place / "warm-up", 50, 1_500))
        _deliver(place, many, "warm-up", place / "warm-up")
        _fill(many, options.rows)
        print(f"{_bytes_of_turn(many):,.0f} bytes of the database for each turn, with its evidence and all indexes")
        print("one process, by turn:  processor   round trips   rows   log bytes   of pages   object bytes   turns/s")
        for size, spool in spools.items():
            for url, rows in ((few, 0), (many, options.rows)):
                print(f"{size:>7,} bytes, {rows:>10,} rows  {_deliver(place, url, f'{size}-{rows}', spool).line()}")
        alone = 0.0
        for count in _PROCESSES:
            each = [_filled(place / f"{count}-{number}", options.turns // 2, 1_500) for number in range(count)]
            cost = _together(place, many, each)
            a_second = cost.turns / cost.seconds
            alone = alone or a_second
            print(f"{count:>11} processes at once  {cost.line()}, {a_second / alone:4.2f} times one")


def _filled(spool: Path, turns: int, size: int) -> Path:
    """Fill a spool with turns of dialogues, as an exporter does."""
    exporter = ConversationSpanExporter(directory=spool)
    words = "All work and no play makes a dull log. " * (size // 40)
    for start in range(0, turns, 100):
        dialogues = [
            dialogue(f"{spool.name} {start + number} {words}", _TURNS_OF_DIALOGUE)
            for number in range(100 // _TURNS_OF_DIALOGUE)
        ]
        exporter.export(interleaved(dialogues))
    exporter.shutdown()
    return spool


def _fill(url: str, rows: int) -> None:
    """Put evidence of other turns into the database, as it would be there after a while."""
    turns = rows // _EVIDENCE_OF_TURN
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO convlog_turns SELECT -n, 'turn_' || md5(n::text), '2026-01-01/' || md5((n / 5)::text),"
            " '.turns/2026-01-01/' || md5(n::text), 2000, TRUE, now(), 'conv_' || md5((n / 5)::text), 'prefix', NULL,"
            " NULL, '', '', '', '', TRUE, FALSE, FALSE, '', '', '2026-01-01T00:00:00.000000Z',"
            " '2026-01-01T00:00:00.000000Z', 'chat', 'm', 'm', 'b', FALSE, 1, 1, 1, FALSE, TRUE, NULL"
            " FROM generate_series(1, %s) n",
            (turns,),
        )
        connection.execute(
            "INSERT INTO convlog_evidence SELECT decode(md5(n || ' ' || k), 'hex'), -n, k"
            " FROM generate_series(1, %s) n, generate_series(1, %s) k",
            (turns, _EVIDENCE_OF_TURN),
        )
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def _bytes_of_turn(url: str) -> float:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT (pg_total_relation_size('convlog_turns') + pg_total_relation_size('convlog_evidence'))"
            " / (SELECT count(*) FROM convlog_turns)::float"
        ).fetchone()
    assert row is not None
    return float(row[0])


def _deliver(place: Path, url: str, name: str, spool: Path) -> Cost:
    """Deliver a copy of a spool, once."""
    copy = place / "copy"
    shutil.copytree(spool, copy)
    settings = Settings.resolve(directory=str(place / "stores" / name), catalog=url, spool=copy)
    deliverer = Deliverer(settings)
    with deliverer._database.transaction():
        pass  # it connects, and makes the tables where there are none
    with psycopg.connect(url, autocommit=True) as connection:
        before = _counts(connection)
        started, cpu = time.perf_counter(), _cpu_s()
        turns = 0
        while delivered := deliverer.deliver_some():
            turns += delivered
        seconds, cpu_s = time.perf_counter() - started, _cpu_s() - cpu
        after = _counts(connection)
        log_bytes, page_bytes = _log(connection, before.log_position, after.log_position)
    round_trips = deliverer._database.round_trips
    deliverer.close()
    shutil.rmtree(copy)
    rows, object_bytes = after.rows - before.rows, after.object_bytes - before.object_bytes
    return Cost(turns, seconds, cpu_s, round_trips, rows, object_bytes, log_bytes, page_bytes)


class _Counts(NamedTuple):
    rows: int
    object_bytes: int
    log_position: str


def _counts(connection: psycopg.Connection) -> _Counts:
    row = connection.execute(
        "SELECT (SELECT count(*) FROM convlog_turns WHERE number > 0) +"
        " (SELECT count(*) FROM convlog_evidence WHERE number > 0) + (SELECT count(*) FROM convlog_files)"
        " + (SELECT count(*) FROM convlog_slots),"
        " (SELECT coalesce(sum(size), 0)::bigint FROM convlog_turns WHERE number > 0), pg_current_wal_lsn()::text"
    ).fetchone()
    assert row is not None
    return _Counts(*row)


def _log(connection: psycopg.Connection, start: str, end: str) -> tuple[int, int]:
    """Return how many bytes the log has between two positions: of what was changed, and of whole pages."""
    row = connection.execute(
        "SELECT sum(record_size)::bigint, sum(fpi_size)::bigint FROM pg_get_wal_stats(%s::pg_lsn, %s::pg_lsn)",
        (start, end),
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _together(place: Path, url: str, spools: list[Path]) -> Cost:
    """Deliver several spools at once, each by a process of its own."""
    context = multiprocessing.get_context("spawn")
    barrier, used = context.Barrier(len(spools) + 1), context.SimpleQueue()
    processes = [context.Process(target=_one, args=(place, url, spool, barrier, used)) for spool in spools]
    for process in processes:
        process.start()
    with psycopg.connect(url, autocommit=True) as connection:
        barrier.wait()
        before = _counts(connection)
        barrier.wait()
        started = time.perf_counter()
        barrier.wait()
        seconds = time.perf_counter() - started
        after = _counts(connection)
        log_bytes, page_bytes = _log(connection, before.log_position, after.log_position)
    each = [used.get() for _ in processes]
    for process in processes:
        process.join()
    return Cost(
        turns=sum(turns for turns, *_ in each),
        seconds=seconds,
        cpu_s=sum(cpu_s for _, cpu_s, _ in each),
        round_trips=sum(round_trips for *_, round_trips in each),
        rows=after.rows - before.rows,
        object_bytes=after.object_bytes - before.object_bytes,
        log_bytes=log_bytes,
        page_bytes=page_bytes,
    )


def _one(place: Path, url: str, spool: Path, barrier: Barrier, used: SimpleQueue[tuple[int, float, int]]) -> None:
    deliverer = Deliverer(Settings.resolve(directory=str(place / "stores" / "together"), catalog=url, spool=spool))
    with deliverer._database.transaction():
        pass
    barrier.wait()  # all are connected
    barrier.wait()
    turns, cpu, round_trips = 0, _cpu_s(), deliverer._database.round_trips
    while delivered := deliverer.deliver_some():
        turns += delivered
    barrier.wait()
    used.put((turns, _cpu_s() - cpu, deliverer._database.round_trips - round_trips))
    deliverer.close()


if __name__ == "__main__":
    main()
