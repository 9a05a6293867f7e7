"""The evidence by which turns find their conversations, in the database, for the turns of one batch.

What nearly every search asks for is fetched for all of them at once, and what they leave is kept at once: two round
trips, whatever the batch's size. What else a rule asks for is fetched when it is asked for, for one turn at a time.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.identity.evidence import KEY_BYTES, Kind, KnownTurn, Match
from otel_convlog.shared.database import text, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg import Connection

    from otel_convlog.shared.database import Database

_MOST_MATCHES = 64
_SLOTS = 1 << 20
_COLUMNS = (
    "number, turn_id, conversation_id, evidence, continues, thread, started_at,"
    " system, opening, chain, answered, failed, continued"
)
_OF_TURNS = ", ".join(f"t.{name.strip()}" for name in _COLUMNS.split(","))
_MATCHES = (
    f"SELECT wanted.key, e.kind, {_OF_TURNS} FROM unnest(%s::bytea[]) AS wanted (key)"  # noqa: S608  our own names
    f" CROSS JOIN LATERAL (SELECT kind, number FROM convlog_evidence WHERE key = wanted.key"
    f" ORDER BY number DESC LIMIT {_MOST_MATCHES}) e JOIN convlog_turns t ON t.number = e.number"
)
_MATCHES_OF_CONVERSATION = (
    f"SELECT e.kind, {_OF_TURNS} FROM convlog_evidence e JOIN convlog_turns t ON t.number = e.number"  # noqa: S608  our own names
    f" WHERE e.key = %s AND t.conversation_id = %s ORDER BY e.number DESC LIMIT {_MOST_MATCHES}"
)
_KINDS = {int(kind): kind for kind in Kind}


class WrittenTurn(NamedTuple):
    """A turn that the database has, where, and what is compared of it where its object does not tell that.

    Attributes:
        keys: Those of its evidence, as `packed_keys` has them; none where that is too old.
    """

    known: KnownTurn
    scope: str
    object: str
    file: str
    seal: str | None
    keys: bytes | None


class NewEvidence(NamedTuple):
    """What is to be kept of a turn."""

    turn: KnownTurn
    keys: list[tuple[bytes, Kind]]


def slot_of(key: bytes) -> int:
    """Return what is locked for a key: few enough of them that they are never cleaned up."""
    return int.from_bytes(key[:4], "big") % _SLOTS


class BatchEvidence:
    """The evidence for a batch, within one transaction; an `otel_convlog.identity.evidence.EvidenceSession`.

    Args:
        database: The database.
        connection: Its connection, within the transaction.

    Attributes:
        added: What is to be kept, by the turns' ids, in their order.
        written: The turns of the batch that the database has already, by their ids.
        removed: Those of the batch's objects that were removed, or about to be.
    """

    def __init__(self, database: Database, connection: Connection) -> None:
        self._database = database
        self._connection = connection
        self._matches: dict[bytes, list[Match]] = {}
        self._added_matches: defaultdict[bytes, list[tuple[Kind, str]]] = defaultdict(list)
        self._continued: dict[str, None] = {}
        self._numbers: list[int] = []
        self.written: dict[str, WrittenTurn] = {}
        self.removed: list[str] = []
        self.added: dict[str, NewEvidence] = {}

    @property
    def continued(self) -> list[str]:
        """The ids of turns that those added continue."""
        return list(self._continued)

    def begin(
        self, turn_ids: Sequence[str], objects: Sequence[str], keys: Iterable[bytes], slots: Iterable[int]
    ) -> None:
        """Wait for others who are at the same dialogues, then fetch what is known: one round trip.

        Args:
            turn_ids: Those of the batch.
            objects: The names of their objects: from now on nobody removes these.
            keys: What will be asked for.
            slots: Those of the dialogues that the batch has turns of.
        """
        wanted = list(dict.fromkeys(keys))
        connection = self._connection
        with connection.pipeline():
            # All take them in the same order, so that nobody waits for somebody who waits for him. What follows sees
            # what the one before has kept, since each statement sees what is there when it begins.
            connection.execute(
                "INSERT INTO convlog_slots SELECT * FROM unnest(%s::int[])"
                " ON CONFLICT (slot) DO UPDATE SET slot = excluded.slot",
                (sorted(set(slots)),),
            )
            written = connection.execute(
                f"SELECT {_COLUMNS}, scope, object, file, seal, keys FROM convlog_turns"  # noqa: S608  our own names
                " WHERE turn_id = ANY(%s) ORDER BY turn_id FOR UPDATE",
                (texts(turn_ids),),
                binary=True,
            )
            removed = connection.execute(
                "DELETE FROM convlog_removals WHERE name = ANY(%s) RETURNING name", (list(objects),)
            )
            matches = connection.execute(_MATCHES, (wanted,), binary=True)
            numbers = connection.execute(
                "SELECT nextval('convlog_numbers') FROM generate_series(1, %s)", (len(turn_ids),)
            )
        self._database.round_trips += 1
        for *known, scope, name, file, seal, packed in written.fetchall():
            turn = KnownTurn._make(known)
            self.written[turn.turn_id] = WrittenTurn(turn, scope, name, file, seal, packed)
        self.removed = [row[0] for row in removed.fetchall()]
        self._take(wanted, matches.fetchall())
        self._numbers = [row[0] for row in numbers.fetchall()][::-1]

    def turn(self, turn_id: str) -> KnownTurn | None:
        """Return a turn that was kept, of those of the batch."""
        added = self.added.get(turn_id)
        written = self.written.get(text(turn_id))
        return added.turn if added else written.known if written else None

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return those of the keys that some turn has."""
        self._fetch(keys)
        return {key for key in keys if self._matches[key] or key in self._added_matches}

    def matches(self, key: bytes, conversation_id: str | None = None) -> list[Match]:
        """Return the turns that have the key, the newest first, a bounded number of them."""
        self._fetch([key])
        found = self._matches[key]
        if conversation_id is not None:
            if len(found) == _MOST_MATCHES:  # his may be behind those of others
                found = self._matches_of(key, conversation_id)
            found = [match for match in found if match.turn.conversation_id == conversation_id]
        added = [Match(kind, self.added[turn_id].turn) for kind, turn_id in reversed(self._added_matches.get(key, []))]
        mine = [match for match in added if conversation_id in (None, match.turn.conversation_id)]
        return [self._as_continued(match) for match in [*mine, *found]]

    def next_opening(self, seed: str) -> int:
        """Count a request that opens a conversation; return how many this seed has had, with this one."""
        row = self._connection.execute(
            "INSERT INTO convlog_openings VALUES (%s, 1, now()) ON CONFLICT (seed)"
            " DO UPDATE SET count = convlog_openings.count + 1, last_at = excluded.last_at RETURNING count",
            (text(seed),),
        ).fetchone()
        self._database.round_trips += 1
        return int(row[0]) if row else 1

    def note_opening(self, seed: str, number: int) -> None:
        """Note that a seed has had so many openings at least."""
        self._connection.execute(
            "INSERT INTO convlog_openings VALUES (%s, %s, now()) ON CONFLICT (seed) DO UPDATE"
            " SET count = greatest(convlog_openings.count, excluded.count), last_at = excluded.last_at",
            (text(seed), number),
        )
        self._database.round_trips += 1

    def add(self, turn: KnownTurn, keys: Iterable[tuple[bytes, Kind]]) -> None:
        """Keep a turn and its keys, and note that the turn which it continues is continued."""
        numbered = turn._replace(number=self._numbers.pop())
        self.added[turn.turn_id] = NewEvidence(numbered, list(dict.fromkeys(keys)))
        for key, kind in self.added[turn.turn_id].keys:
            self._added_matches[key].append((kind, turn.turn_id))
        if turn.continues is not None:
            self._continued[turn.continues] = None

    def forget(self, turn: KnownTurn) -> None:
        """Forget a turn of the batch that was kept, which is to be kept anew."""
        written = self.written.pop(text(turn.turn_id))
        forget_evidence(self._connection, [(turn.number, written.keys)])
        self._connection.execute("DELETE FROM convlog_turns WHERE number = %s", (turn.number,))
        self._database.round_trips += 2

    def _fetch(self, keys: Sequence[bytes]) -> None:
        missing = [key for key in dict.fromkeys(keys) if key not in self._matches]
        if missing:
            rows = self._connection.execute(_MATCHES, (missing,), binary=True).fetchall()
            self._database.round_trips += 1
            self._take(missing, rows)

    def _take(self, keys: Sequence[bytes], rows: Iterable[tuple[object, ...]]) -> None:
        found: defaultdict[bytes, list[Match]] = defaultdict(list)
        for key, kind, *turn in rows:
            assert isinstance(key, bytes)  # noqa: S101  of the column's type
            assert isinstance(kind, int)  # noqa: S101  of the column's type
            found[key].append(Match(_KINDS[kind], KnownTurn._make(turn)))
        for key in keys:
            self._matches[key] = sorted(found.get(key, []), key=lambda match: -match.turn.number)

    def _matches_of(self, key: bytes, conversation_id: str) -> list[Match]:
        rows = self._connection.execute(_MATCHES_OF_CONVERSATION, (key, text(conversation_id)), binary=True).fetchall()
        self._database.round_trips += 1
        return [Match(_KINDS[kind], KnownTurn._make(turn)) for kind, *turn in rows]

    def _as_continued(self, match: Match) -> Match:
        if match.turn.turn_id not in self._continued or match.turn.continued:
            return match
        return Match(match.kind, match.turn._replace(continued=True))


def forget_evidence(connection: Connection, turns: Iterable[tuple[int, bytes | None]]) -> None:
    """Remove the evidence of turns, given their numbers, and their keys as `packed_keys` has them."""
    pairs = [
        (keys[start : start + KEY_BYTES], number)
        for number, keys in turns
        if keys
        for start in range(0, len(keys), KEY_BYTES)
    ]
    connection.execute(
        "DELETE FROM convlog_evidence e USING unnest(%s::bytea[], %s::bigint[]) AS gone (key, number)"
        " WHERE e.key = gone.key AND e.number = gone.number",
        ([key for key, _ in pairs], [number for _, number in pairs]),
    )


def packed_keys(keys: Iterable[tuple[bytes, Kind]]) -> bytes:
    """Return keys one behind the other, without their kinds."""
    return b"".join(dict.fromkeys(key for key, _ in keys))
