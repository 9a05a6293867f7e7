"""Forgets evidence that is too old: a dialogue that goes on after that is a new conversation."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from otel_convlog.shared.evidence import forget_evidence

if TYPE_CHECKING:
    from otel_convlog.shared.database import Database

_INTERVAL_S = 5.0
_BEHIND_S = 0.2  # the same while there is more of it
_MOST = 1_000  # turns in one step


class Expiry:
    """Forgets a few turns' evidence now and then, the oldest first.

    Args:
        database: The database.
        days: How old it may get.
    """

    def __init__(self, database: Database, *, days: float) -> None:
        self._database = database
        self._days = days
        self._next = monotonic() + _INTERVAL_S

    def expire_some(self, *, at_once: bool = False) -> int:
        """Forget what is due; return of how many turns.

        Raises:
            AwayError: The database cannot be used now.
        """
        if monotonic() < self._next and not at_once:
            return 0
        self._next = monotonic() + _INTERVAL_S
        forgotten = self._expire()
        if forgotten == _MOST:
            self._next = monotonic() + _BEHIND_S
        return forgotten

    def _expire(self) -> int:
        with self._database.transaction() as connection:
            # Whom another is ahead of has nothing to do.
            connection.execute("INSERT INTO convlog_notes VALUES ('expired_to', '0') ON CONFLICT (name) DO NOTHING")
            row = connection.execute(
                "SELECT value FROM convlog_notes WHERE name = 'expired_to' FOR UPDATE SKIP LOCKED"
            ).fetchone()
            if row is None:
                return 0
            old = connection.execute(
                "SELECT number, keys FROM (SELECT number, keys, kept_at FROM convlog_turns WHERE number > %s"
                " ORDER BY number LIMIT %s) oldest WHERE kept_at < now() - %s * interval '1 day' ORDER BY number",
                (int(row[0]), _MOST, self._days),
            ).fetchall()
            if not old:
                return 0
            forget_evidence(connection, old)
            connection.execute(
                "UPDATE convlog_turns SET keys = NULL, seal = NULL, unmatched = FALSE WHERE number = ANY(%s)",
                ([number for number, _ in old],),
            )
            connection.execute("UPDATE convlog_notes SET value = %s WHERE name = 'expired_to'", (str(old[-1][0]),))
            connection.execute(
                "DELETE FROM convlog_openings WHERE last_at < now() - %s * interval '1 day'", (self._days,)
            )
        return len(old)
