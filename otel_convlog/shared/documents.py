"""Makes the documents of a shared log from its turns, when their conversations have been quiet for a while.

Anybody may do it: who takes a document has it for a while, by a row of the database that nobody else takes meanwhile,
and the store takes it only in the place of the version that it was made from.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.jsontext import from_any_json
from otel_convlog.record import Identity
from otel_convlog.shared.away import AwayError, ChangedError
from otel_convlog.shared.database import texts
from otel_convlog.shared.removals import note_removals, remove_noted
from otel_convlog.store import commit
from otel_convlog.store.document import rendered_from, with_identity
from otel_convlog.store.layout import is_conversation_name
from otel_convlog.store.locked_file import locked_file
from otel_convlog.store.reading import iterate_turns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from psycopg import Connection

    from otel_convlog.jsontext import Json
    from otel_convlog.shared.database import Database
    from otel_convlog.shared.objects import Objects
    from otel_convlog.store.document import RenderedTurn

_LEASE_S = 300  # after that its holder is taken for dead
_MOST_BYTES = 16 << 20  # of turns that are added in one step

_logger = logging.getLogger(__name__)


class DocumentTurn(NamedTuple):
    """A turn of a document, as the database has it."""

    number: int
    turn_id: str
    object: str
    size: int
    started_at: str
    in_document: bool
    identity: Identity


@dataclass
class Leased:
    """A document that is to be made, and is nobody else's for a while."""

    file: str
    conversation_id: str
    document: str | None
    rebuild: bool
    disordered: bool


class DocumentMaker:
    """Makes documents. For one thread at a time.

    Args:
        database: The database.
        objects: The store.
    """

    def __init__(self, database: Database, objects: Objects) -> None:
        self._database = database
        self._objects = objects
        self._lease = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

    def lease(self, *, quiet_s: float, file: str | None = None, conversation_id: str | None = None) -> Leased | None:
        """Take a document that lacks turns, and that nobody else has; None where there is none.

        Args:
            quiet_s: How long no turn of it has come.
            file: This one.
            conversation_id: One of this conversation.
        """
        with self._database.transaction() as connection:
            row = connection.execute(
                "UPDATE convlog_files SET lease = %(lease)s, leased_until = now() + %(held)s * interval '1 second'"
                " WHERE file = (SELECT file FROM convlog_files WHERE pending"
                " AND touched <= now() - %(quiet)s * interval '1 second'"
                " AND (%(file)s::text IS NULL OR file = %(file)s)"
                " AND (%(id)s::text IS NULL OR conversation_id = %(id)s)"
                " AND (leased_until IS NULL OR leased_until < now())"
                " ORDER BY touched LIMIT 1 FOR UPDATE SKIP LOCKED)"
                " RETURNING file, conversation_id, document, rebuild, disordered",
                {"lease": self._lease, "held": _LEASE_S, "quiet": quiet_s, "file": file, "id": conversation_id},
            ).fetchone()
        return Leased(*row) if row else None

    def make(self, leased: Leased) -> None:
        """Make a document, and give it back; one that has no turns any more is removed.

        Raises:
            AwayError: The database or the store cannot be used now.
        """
        try:
            with self._database.transaction() as connection:
                turns = turns_of_file(connection, leased.file)
            if not turns or not is_conversation_name(leased.file):
                self._drop(leased)
                return
            with TemporaryDirectory(prefix="convlog-") as folder:
                path = Path(folder) / "day" / "document.json"
                known = self.write(path, leased.file, turns, known=leased.document, rebuild=leased.rebuild)
                version = self._objects.put_document(leased.file, path, known) if path.exists() else known
            if not self._note(leased.file, version, turns):
                self._take_back(leased.file)
        except ChangedError:
            # Its last maker has died before he said so, or was taken for dead: what is there is looked at once more.
            self.give_back(leased, rebuild=True)
        except BaseException:
            with suppress(AwayError):  # then it is given back when its time is over
                self.give_back(leased)
            raise

    def give_back(self, leased: Leased, *, rebuild: bool = False) -> None:
        """Let others have a document, which is still to be made; first what has waited longer than it does from now."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE convlog_files SET lease = NULL, leased_until = NULL, touched = now(), rebuild = rebuild OR %s"
                " WHERE file = %s AND lease = %s",
                (rebuild, leased.file, self._lease),
            )

    def write(
        self, path: Path, file: str, turns: Sequence[DocumentTurn], *, known: str | None, rebuild: bool
    ) -> str | None:
        """Write a document with all its turns to a path, from the one in the store and the turns that it lacks.

        Of turns that are nowhere the log says that they are lost; where there is no other, no document is written.

        Args:
            path: Where to.
            file: Its name.
            turns: From `turns_of_file`.
            known: The version of it that has those turns which are `in_document`; None where there is none.
            rebuild: Whether that one is of no use.

        Returns:
            The version that is in the store; None where there is none.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        version = self._objects.fetch(file, path)
        new = [turn for turn in turns if not turn.in_document]
        last = max((turn.started_at for turn in turns if turn.in_document), default="")
        if version is None or version != known or rebuild or any(turn.started_at < last for turn in new):
            old = path.with_name("old.json")
            if version is not None:
                path.replace(old)
            self._add(path, self._rendered(turns, old if version is not None else None))
        else:
            self._add(path, self._rendered(new, path))
        return version

    def _rendered(self, turns: Sequence[DocumentTurn], old: Path | None) -> Iterator[RenderedTurn]:
        """Yield turns; one whose object is gone, or is another, is taken from the document that there was."""
        for turn, body in zip(turns, self._objects.get_turns((turn.object, turn.size) for turn in turns), strict=True):
            value = turn_value(body) if body is not None else _turn_in(old, turn.turn_id) if old is not None else None
            if value is None:
                self._see_that_it_counts(turn)
                _logger.error("%s is not in the store as it was written: a turn is lost", turn.object)
            else:
                yield rendered_from(with_identity(value, turn.identity), turn.identity.conversation_id)

    def _add(self, path: Path, turns: Iterable[RenderedTurn]) -> None:
        step: list[RenderedTurn] = []
        size = 0
        for turn in turns:
            step.append(turn)
            size += len(turn.body)
            if size >= _MOST_BYTES:
                _append(path, step)
                step, size = [], 0
        if step:
            _append(path, step)

    def _see_that_it_counts(self, turn: DocumentTurn) -> None:
        """See that an object is still that of the turn.

        Raises:
            ChangedError: Another has come in its place, or the turn has been removed.
        """
        with self._database.transaction() as connection:
            row = connection.execute("SELECT object FROM convlog_turns WHERE number = %s", (turn.number,)).fetchone()
        if row is None or row[0] != turn.object:
            raise ChangedError(f"{turn.object} does not count any more")

    def _drop(self, leased: Leased) -> None:
        """Remove a document that has no turns, or whose name is none; unless a turn comes meanwhile."""
        with self._database.transaction() as connection:
            gone = connection.execute(
                "DELETE FROM convlog_files f WHERE file = %s AND lease = %s"
                " AND NOT EXISTS (SELECT 1 FROM convlog_turns WHERE file = f.file) RETURNING file",
                (leased.file, self._lease),
            ).fetchone()
            if gone is not None:
                note_removals(connection, [leased.file])
            else:
                connection.execute(
                    "UPDATE convlog_files SET lease = NULL, leased_until = NULL, pending = %s"
                    " WHERE file = %s AND lease = %s",
                    (is_conversation_name(leased.file), leased.file, self._lease),
                )
        if gone is not None:
            remove_noted(self._database, self._objects)

    def _take_back(self, file: str) -> None:
        """See to a document that has been made while somebody else has taken it, or removed it."""
        with self._database.transaction() as connection:
            note_removals(connection, [file])  # or, where it goes on, it is made once more
        remove_noted(self._database, self._objects)

    def _note(self, file: str, version: str | None, turns: Sequence[DocumentTurn]) -> bool:
        """Say that a document has been made; return whether it is still wanted, and nobody else's."""
        added = [turn for turn in turns if not turn.in_document]
        with self._database.transaction() as connection:
            # A turn that was replaced meanwhile is not in it.
            connection.execute(
                "UPDATE convlog_turns t SET in_document = TRUE"
                " FROM unnest(%s::bigint[], %s::text[]) AS made (number, object)"
                " WHERE t.number = made.number AND t.object = made.object",
                ([turn.number for turn in added], [turn.object for turn in added]),
            )
            noted = connection.execute(
                "UPDATE convlog_files f SET document = %(version)s, lease = NULL, leased_until = NULL,"
                " version = nextval('convlog_versions'), pending = left_over.any, rebuild = f.rebuild AND left_over.any"
                " FROM (SELECT EXISTS (SELECT 1 FROM convlog_turns WHERE file = %(file)s AND NOT in_document) AS any)"
                " left_over WHERE f.file = %(file)s AND f.lease = %(lease)s",
                {"version": version, "file": file, "lease": self._lease},
            )
        return noted.rowcount > 0


def turns_of_file(connection: Connection, file: str) -> list[DocumentTurn]:
    """Return the turns of a document, in the order in which they stand in it: that in which they began."""
    return _turns(connection, "file = %s", file)


def turns_of_conversations(connection: Connection, conversation_ids: Sequence[str]) -> list[DocumentTurn]:
    """Return the turns of conversations, in the order in which they began."""
    of_them = "file IN (SELECT file FROM convlog_files WHERE conversation_id = ANY(%s))"
    return _turns(connection, of_them, texts(conversation_ids))


def turn_value(body: bytes) -> dict[str, Json]:
    """Return the JSON of a turn's object."""
    value = from_any_json(body)
    if not isinstance(value, dict):
        raise AwayError("an object of a turn holds no turn")
    return value


def _turns(connection: Connection, where: str, value: object) -> list[DocumentTurn]:
    rows = connection.execute(
        "SELECT number, turn_id, object, size, started_at, in_document,"  # noqa: S608  our own texts
        f" conversation_id, evidence, continues, thread, scope FROM convlog_turns WHERE {where}"
        " ORDER BY started_at, number",
        (value,),
    ).fetchall()
    return [DocumentTurn(*row[:6], Identity(*row[6:])) for row in rows]  # type: ignore[call-arg]  # its columns


def _append(path: Path, turns: Sequence[RenderedTurn]) -> None:
    with locked_file(path) as file:
        whole = commit.inspect(file)
        if whole is None:
            commit.create(file, turns)
        else:
            commit.append(file, whole, turns)


def _turn_in(path: Path, turn_id: str) -> dict[str, Json] | None:
    try:
        return next((turn.value for turn in iterate_turns(path) if turn.value.get("turn_id") == turn_id), None)
    except (FileNotFoundError, ValueError):  # it is of no use either
        return None
