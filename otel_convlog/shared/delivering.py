"""The process that delivers the turns of a spool, and makes documents: one a spool, whoever starts it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from time import monotonic, time
from typing import TYPE_CHECKING

from otel_convlog.identity.grouping import Grouping
from otel_convlog.settings import Settings
from otel_convlog.shared.away import AwayError
from otel_convlog.shared.database import Database
from otel_convlog.shared.documents import DocumentMaker
from otel_convlog.shared.expiry import Expiry
from otel_convlog.shared.health import Health, write_health
from otel_convlog.shared.keeping import MOST_BYTES, MOST_TURNS, NewTurn, keep
from otel_convlog.shared.objects import Objects, turn_object
from otel_convlog.shared.only_one import only_one
from otel_convlog.shared.pruning import Pruner
from otel_convlog.shared.removals import Remover
from otel_convlog.shared.settling import make_one
from otel_convlog.shared.shared_key import share_key
from otel_convlog.shared.spool import Spool

if TYPE_CHECKING:
    from otel_convlog.shared.spool import SpooledTurn
    from otel_convlog.shared_log import SharedLog

_POLL_S = 0.1
_SHORTEST_PAUSE_S = 0.25  # where the database or the store is away
_LONGEST_PAUSE_S = 5.0
_HEALTH_S = 1.0
_DOCUMENTS_S = 0.5
_LAST_S = 10.0  # for what is left when it is to end

_AS_SPOOLED = Grouping("seed")  # in the conversation that its own machine has found

_logger = logging.getLogger(__name__)


class Deliverer:
    """Delivers the turns of one spool. It must be the only one: see `only_one`.

    Args:
        settings: Where from and where to.
    """

    def __init__(self, settings: Settings) -> None:
        assert settings.shared is not None  # noqa: S101  who calls this has asked
        self._log: SharedLog = settings.shared
        self._directory = settings.directory
        self._grouping = Grouping(settings.grouping)
        self._quiet_s = settings.quiet_ms / 1e3
        self._spool = Spool(settings.directory)
        self._database = Database(self._log.database)
        self._objects: Objects | None = None
        self._expiry = Expiry(self._database, days=settings.evidence_days)
        self._bounds = {"max_age_days": settings.max_age_days, "max_bytes": settings.max_bytes}
        self._has_key = False
        self._next_health = 0.0
        self._away = False
        self._reason = "nothing has been delivered yet"  # why it is not ready
        self._delivered = self._repeated = 0
        self._documents = 0  # counted by another thread

    def run(self, stop: threading.Event) -> None:
        """Deliver until told to stop, and what is left then, as far as that goes quickly."""
        documents = threading.Thread(target=self._make_documents, args=(stop,), name="convlog-documents", daemon=True)
        documents.start()
        pause = _SHORTEST_PAUSE_S
        deadline = float("inf")
        while monotonic() < deadline:
            if stop.is_set() and deadline == float("inf"):
                deadline = monotonic() + _LAST_S
            try:
                delivered = self.deliver_some()
                pause = _SHORTEST_PAUSE_S
            except AwayError as error:
                self._say_away(error)
                if stop.wait(min(pause, max(0.0, deadline - monotonic()))) and deadline < float("inf"):
                    break
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                if not delivered and (stop.is_set() or stop.wait(_POLL_S)):
                    break
        self._say(force=True)
        documents.join(_LAST_S)
        self.close()

    def close(self) -> None:
        """Close the connections. The next use opens others."""
        self._spool.close()
        self._database.close()
        if self._objects is not None:
            self._objects.close()
            self._objects = None

    def deliver_some(self) -> int:
        """Deliver a batch; return how many turns that were.

        Raises:
            AwayError: The database or the store cannot be used now. What was to be delivered stays.
        """
        if not self._has_key:
            share_key(self._database, self._directory)
            self._has_key = True
        batch = self._spool.take(MOST_TURNS, MOST_BYTES)
        if batch:
            self._deliver(batch)
        self._expiry.expire_some()
        if self._away:
            self._away = False
            _logger.warning("%s can be used again", self._log)
        self._reason = ""
        self._say()
        return len(batch)

    @property
    def health(self) -> Health:
        """How it is doing."""
        state = self._spool.state()
        return Health(
            ready=not self._reason,
            reason=self._reason,
            lag_s=round(state.oldest_s, 3),
            waiting_bytes=state.size_bytes,
            waiting_files=state.files,
            turns_delivered=self._delivered,
            turns_repeated=self._repeated,
            documents_made=self._documents,
            looked_at=time(),
        )

    def _deliver(self, batch: list[SpooledTurn]) -> None:
        try:
            self._deliver_together(batch, self._grouping)
        except AwayError:
            raise
        except Exception:
            _logger.exception("turns are delivered one by one, because one of them cannot be")
            for turn in batch:
                self._deliver_alone(turn)

    def _deliver_alone(self, turn: SpooledTurn) -> None:
        for grouping in (self._grouping, _AS_SPOOLED):
            try:
                self._deliver_together([turn], grouping)
            except AwayError:
                raise
            except Exception:
                _logger.exception("%s of %s could not be delivered", turn.turn_id, turn.path)
            else:
                return
        self._spool.put_aside(turn)

    def _deliver_together(self, batch: list[SpooledTurn], grouping: Grouping) -> None:
        objects = self._store()
        names = [turn_object(turn.turn_id, turn.started_at, turn.body) for turn in batch]
        put = objects.put_turns((name, turn.body) for name, turn in zip(names, batch, strict=True))
        new = [NewTurn(turn.value, name, len(turn.body), turn.seal) for name, turn in zip(names, batch, strict=True)]
        kept = keep(self._database, grouping, new, objects=put)
        self._spool.done(batch)
        self._delivered += kept
        self._repeated += len(batch) - kept

    def _make_documents(self, stop: threading.Event) -> None:
        """Make documents, with a connection of its own: a long one holds up no delivery."""
        database = Database(self._log.database)
        pruner: Pruner | None = None
        remover: Remover | None = None
        try:
            while not stop.wait(_DOCUMENTS_S):
                try:
                    pruner = pruner or Pruner(database, self._store(), **self._bounds)
                    pruner.prune_sometimes()
                    remover = remover or Remover(database, self._store())
                    remover.remove_sometimes()
                    maker = DocumentMaker(database, self._store())
                    while not stop.is_set() and make_one(
                        maker, database, self._store(), self._grouping, quiet_s=self._quiet_s
                    ):
                        self._documents += 1
                except AwayError as error:
                    _logger.debug("documents have to wait: %s", error)
                    stop.wait(_LONGEST_PAUSE_S)
                except Exception:
                    _logger.exception("a document could not be made")
                    stop.wait(_LONGEST_PAUSE_S)
        finally:
            database.close()

    def _store(self) -> Objects:
        if self._objects is None:
            self._objects = Objects(self._log.store)
        return self._objects

    def _say_away(self, error: AwayError) -> None:
        if not self._away:
            self._away = True
            _logger.warning("%s; turns wait in %s", error, self._directory)
        self._reason = str(error)
        self._say()

    def _say(self, *, force: bool = False) -> None:
        if monotonic() < self._next_health and not force:
            return
        self._next_health = monotonic() + _HEALTH_S
        with suppress(OSError):
            write_health(self._directory, self.health)


def main(settings: dict[str, object]) -> None:
    """Deliver until standard input ends, which it does with the process that has it: what an exporter starts.

    Args:
        settings: The keyword arguments of `ConversationSpanExporter`.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):  # they may reach all processes of a proxy
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    stop = threading.Event()

    def wait_for_end() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        stop.set()

    threading.Thread(target=wait_for_end, name="convlog-parent", daemon=True).start()
    run(Settings.resolve(**settings), stop)


def run(settings: Settings, stop: threading.Event) -> bool:
    """Deliver the turns of a spool until told to stop; return whether nobody else does already.

    What a store that is a directory gets is its owner's alone.
    """
    os.umask(0o077)
    with only_one(settings.directory) as alone:
        if alone:
            Deliverer(settings).run(stop)
        return alone
