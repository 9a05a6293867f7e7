"""Where an exporter writes to, and what is done about it beside."""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING

from otel_convlog.store import ConversationStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_convlog.settings import Settings
    from otel_convlog.shared.launching import Launcher
    from otel_convlog.store import RenderedTurn

_logger = logging.getLogger(__name__)

_PRUNING_INTERVAL_S = 600.0


class Destination:
    """The store of an exporter: a log of this machine, which is pruned, or a spool, from which turns are delivered.

    Args:
        settings: The exporter's.
        keywords: The arguments that make an exporter like it in another process.
        environment: The variables that it needs there.

    Attributes:
        store: Where turns are written to.
    """

    def __init__(self, settings: Settings, keywords: Mapping[str, object], environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._next_pruning = 0.0
        self._launcher: Launcher | None = None
        self.store: ConversationStore
        if settings.shared is None:
            self.store = ConversationStore(settings.directory, fsync=settings.fsync, group_access=settings.group_access)
            return
        # Not before it is needed: most logs are of one machine.
        from otel_convlog.shared.launching import Launcher  # noqa: PLC0415
        from otel_convlog.shared.spool_store import SpoolStore  # noqa: PLC0415

        self.store = SpoolStore(
            settings.directory,
            most_bytes=settings.spool_bytes,
            fsync=settings.fsync,
            group_access=settings.group_access,
        )
        self._launcher = Launcher(settings.directory, keywords, environment)

    def sealed(self, turn: RenderedTurn, seal: Callable[[], str | None]) -> RenderedTurn:
        """Return a turn that does not tell by what its conversation is found, as it is to be written.

        Args:
            turn: The turn.
            seal: Returns by what another machine finds it: `otel_convlog.identity.identifier.Identifier.seal`.
        """
        if not self._is_spool or (text := seal()) is None:
            return turn
        from otel_convlog.shared.spooled_seal import with_seal  # noqa: PLC0415  as above

        return with_seal(turn, text)

    def look_after(self) -> None:
        """Do what is due beside the writing, in threads and processes of its own."""
        if self._launcher is not None:
            self._launcher.begin()
            return
        settings = self._settings
        if (settings.max_age_days is None and settings.max_bytes is None) or monotonic() < self._next_pruning:
            return
        self._next_pruning = monotonic() + _PRUNING_INTERVAL_S
        try:
            threading.Thread(target=self._prune, name="convlog-retention", daemon=True).start()
        except RuntimeError:  # no more threads; or the interpreter is ending
            _logger.warning("retention could not be started", exc_info=True)

    def close(self) -> None:
        """Close the store, and have delivered what is in the spool, as far as that goes quickly."""
        self.store.close()
        if self._launcher is not None:
            self._launcher.end()

    @property
    def _is_spool(self) -> bool:
        """Whether somebody delivers what is written, also where the exporter has not been told so."""
        if self._launcher is not None:
            return True
        from otel_convlog.shared.health import FILE_NAME  # noqa: PLC0415  as above

        return (self._settings.directory / FILE_NAME).exists()

    def _prune(self) -> None:
        try:
            self.store.prune(max_age_days=self._settings.max_age_days, max_bytes=self._settings.max_bytes)
        except Exception:
            _logger.exception("retention failed in %s", self._settings.directory)
