"""How a shared log is doing, as this machine sees it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from otel_convlog.shared.away import AwayError
from otel_convlog.shared.database import Database
from otel_convlog.shared.health import Health, read_health
from otel_convlog.shared.objects import Objects
from otel_convlog.shared.spool import SpoolState, spool_state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otel_convlog.jsontext import Json
    from otel_convlog.shared_log import SharedLog


@dataclass(frozen=True)
class Status:
    """How a shared log is doing.

    Attributes:
        store: Why the store cannot be used; None where it can.
        store_ms: How long it took to ask; likewise `database_ms`.
        turns: How many turns the database has, about; None where it cannot be asked, as `pending_documents`.
        pending_documents: How many documents lack turns that came since.
        spool: What waits on this machine.
        delivery: What who delivers it says.
    """

    store: str | None
    store_ms: float
    database: str | None
    database_ms: float
    turns: int | None
    pending_documents: int | None
    spool: SpoolState
    delivery: Health

    @property
    def is_well(self) -> bool:
        """Whether it can be used, and whatever waits is delivered."""
        return self.store is None and self.database is None and (self.delivery.ready or not self.spool.files)

    def as_json(self) -> dict[str, Json]:
        """Return it as JSON."""
        return {**asdict(self), "spool": self.spool._asdict(), "is_well": self.is_well}

    def lines(self) -> list[tuple[str, str, bool]]:
        """Return it for people: what it is about, what there is to say, and whether that is well."""
        spool, delivery = self.spool, self.delivery
        waits = f"{spool.size_bytes:,} bytes in {spool.files:,} files, the oldest since {spool.oldest_s:.1f} s"
        said = f"{delivery.turns_delivered:,} turns and {delivery.documents_made:,} documents since it began"
        counted = f"{self.turns or 0:,} turns, {self.pending_documents or 0:,} documents to be made"
        return [
            ("store", self.store or f"can be used ({self.store_ms:.0f} ms)", self.store is None),
            ("database", self.database or f"can be used ({self.database_ms:.0f} ms): {counted}", self.database is None),
            ("spool", waits if spool.files else "empty", True),
            ("delivery", said if delivery.ready else delivery.reason, delivery.ready or not spool.files),
        ]


def status_of(log: SharedLog, directory: Path) -> Status:
    """Ask the store, the database and the spool how they are doing."""
    counts: list[int] = []

    def count() -> None:
        database = Database(log.database)
        with database.transaction() as connection:
            # An estimate: to count a billion rows takes minutes.
            row = connection.execute(
                "SELECT greatest(0, reltuples)::bigint, (SELECT count(*) FROM convlog_files WHERE pending)"
                " FROM pg_class WHERE oid = 'convlog_turns'::regclass"
            ).fetchone()
            counts.extend(row or ())
        database.close()

    store, store_ms = _tried(lambda: Objects(log.store).check())
    database, database_ms = _tried(count)
    turns, pending = counts or (None, None)
    return Status(
        store, store_ms, database, database_ms, turns, pending, spool_state(directory), read_health(directory)
    )


def _tried(action: Callable[[], object]) -> tuple[str | None, float]:
    started = perf_counter()
    reason = None
    try:
        action()
    except AwayError as error:
        reason = str(error)
    return reason, round(1e3 * (perf_counter() - started), 1)
