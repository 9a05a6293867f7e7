"""A copy of a shared log on this machine, or of a part of it: what whoever reads it reads.

It is a log as any other, so that all that can be done with one can be done with it. What is asked for is fetched: the
document, and the turns that are not in it yet; it is fetched again where the shared log has something newer. What is
changed here is brought back.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.identity.grouping import Grouping
from otel_convlog.reading.conversations import UnknownConversationError
from otel_convlog.shared.away import ChangedError
from otel_convlog.shared.changing import Seen, add_turns, describe_file, remove_file, seen
from otel_convlog.shared.copying import digests_in
from otel_convlog.shared.database import Database, text
from otel_convlog.shared.documents import DocumentMaker, turns_of_file
from otel_convlog.shared.objects import Objects
from otel_convlog.shared.pruning import Pruner
from otel_convlog.shared.settling import make_one
from otel_convlog.store.access import OWNER, make_folder
from otel_convlog.store.catalog import Catalog
from otel_convlog.store.layout import is_conversation_name
from otel_convlog.store.locked_file import Stamp, make_private_file
from otel_convlog.store.reading import ALL_READ, index_file
from otel_convlog.store.rewriting import conversation_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import LiteralString

    from otel_convlog.shared_log import SharedLog

_STATE = ".mirror.sqlite3"
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS files (
        file TEXT PRIMARY KEY, version INTEGER NOT NULL, inode TEXT NOT NULL, size INTEGER NOT NULL,
        modified_ns INTEGER NOT NULL
    ) WITHOUT ROWID
"""
_PATIENCE_S = 60.0
_MOST_TRIES = 5
_MOST_ALIKE = 50  # conversations that a shortened id may be the beginning of
_CACHE_VARIABLE = "XDG_CACHE_HOME"  # https://specifications.freedesktop.org/basedir-spec/latest/


class _Wanted(NamedTuple):
    file: str
    version: int
    document: str | None
    rebuild: bool


class Mirror:
    """A copy of a shared log. For any number of threads; each use waits for the one before.

    Args:
        log: The shared log.
        directory: Where it is; `mirror_directory` where nothing is said.
        grouping: How a turn finds its conversation.

    Raises:
        AwayError: The store cannot be used.
        OSError: The directory cannot be made.
    """

    def __init__(self, log: SharedLog, directory: Path | None = None, *, grouping: str = "lineage") -> None:
        self.log = log
        self.directory = directory or mirror_directory(log)
        make_folder(self.directory, OWNER)
        self._database = Database(log.database)
        self._objects = Objects(log.store)
        self._maker = DocumentMaker(self._database, self._objects)
        self._grouping = Grouping(grouping)
        self._lock = RLock()
        self._state: sqlite3.Connection | None = None

    def refresh(
        self,
        *,
        conversation: str | None = None,
        since: str | None = None,
        newest: int | None = None,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> int:
        """Fetch what is new.

        Args:
            conversation: Only of conversations with this id, or whose id begins so.
            since: Only of those that were written since then, as the log has times.
            newest: Only so many documents, those that were changed last.
            on_progress: Told, before each document, how many have been fetched, of how many.

        Returns:
            How many documents were fetched.

        Raises:
            AwayError: The database or the store cannot be used now.
            UnknownConversationError: Too many conversations begin so.
        """
        with self.held() as state, closing(Catalog(self.directory)) as catalog:
            wanted = self._wanted(conversation, since, newest)
            known = _known(state)
            stale = [want for want in wanted if not self._has(want, known)]
            for number, want in enumerate(stale):
                if on_progress is not None:
                    on_progress(number, len(stale))
                self._fetch(want, state, catalog)
            if conversation is None and since is None and len(wanted) != newest:
                for file in set(known) - {want.file for want in wanted}:
                    self._drop(file, state, catalog)
            catalog.note(ALL_READ, "yes")
            return len(stale)

    def give_back(self) -> int:
        """Bring to the shared log what has been changed here since `refresh`; return how many documents that were.

        Within `changing`: what a cleaner of caches has removed before is removed from nothing else.

        Raises:
            AwayError: The database or the store cannot be used now. What was not brought is fetched again next time.
            ChangedError: A document has been changed there, too: it is as it is there; the next `refresh` fetches it.
        """
        with self.held() as state:
            known = _known(state)
            there = {path.relative_to(self.directory).as_posix(): path for path in conversation_files(self.directory)}
            changed = {
                file: path
                for file, path in there.items()
                if file not in known or known[file][1] != Stamp.of(path.lstat())
            }
            gone = [file for file in known if file not in there]
            before = {file: self._seen(file, known[file][0], state) for file in (*changed, *gone) if file in known}
            # Turns come to where they go before they leave where they were: who is killed in between loses none.
            for path in changed.values():
                add_turns(self._database, self._objects, path)
            for file, path in changed.items():
                turns = before[file].turns if file in before else []
                describe_file(self._database, self._objects, file, path, turns)
                self.make_document(file)
                self._note(state, file, self._version(file), path)
            for file in gone:
                remove_file(self._database, self._objects, file, before[file].version)
                state.execute("DELETE FROM files WHERE file = ?", (file,))
            return len(changed) + len(gone)

    @contextmanager
    def held(self) -> Iterator[sqlite3.Connection]:
        """Keep others from refreshing the copy, also other processes: what is changed here is not fetched again.

        Raises:
            OSError: Somebody else has been at it for a minute.
        """
        with self._lock:
            if self._state is not None:
                yield self._state
                return
            path = self.directory / _STATE
            make_private_file(path)
            with closing(sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)) as state:
                try:
                    state.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as error:
                    raise OSError(f"{self.directory} is being used by another process") from error
                state.execute(_SCHEMA)
                self._state = state
                try:
                    yield state
                finally:
                    self._state = None
                    state.execute("COMMIT")

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Bring what is changed within the block to the shared log at its end; the errors are those of `give_back`."""
        with self.held() as state:
            self._reconcile(state)
            yield
            self.give_back()

    def add(self, file: str, path: Path) -> int:
        """Bring the turns of a document to the shared log, besides those that are there, and make the document there.

        Returns:
            How many turns it did not have.

        Raises:
            AwayError: The database or the store cannot be used now.
        """
        added = add_turns(self._database, self._objects, path)
        describe_file(self._database, self._objects, file, path)
        self.make_document(file)
        return added

    def digests(self, file: str) -> dict[str, bytes]:
        """Return a digest of each turn that a document of the shared log has, by the turn's id.

        Raises:
            AwayError: The database or the store cannot be used now.
        """
        with TemporaryDirectory(prefix=".fetched-", dir=self.directory) as folder:
            path = Path(folder) / "document.json"
            return digests_in(path) if self._objects.fetch(file, path) is not None else {}

    def make_document(self, file: str) -> None:
        """Make a document now, unless somebody else is at it."""
        leased = self._maker.lease(quiet_s=0, file=file)
        if leased is not None:
            self._maker.make(leased)

    def make_documents(
        self, conversation_id: str | None, on_progress: Callable[[int, int], object] | None = None
    ) -> int:
        """Make the documents now that lack turns, of a conversation, or of all; return how many that were.

        Raises:
            AwayError: The database or the store cannot be used now.
        """
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT file FROM convlog_files WHERE pending AND (%(id)s::text IS NULL OR conversation_id = %(id)s)",
                {"id": conversation_id},
            ).fetchall()
        made = 0
        while make_one(
            self._maker, self._database, self._objects, self._grouping, quiet_s=0, conversation_id=conversation_id
        ):
            made += 1
            if on_progress is not None:
                on_progress(min(made, len(rows)), len(rows))
        return made

    def prune(self, *, max_age_days: float | None, max_bytes: int | None) -> int:
        """Remove conversations from the shared log that are past the bounds; return how many that were.

        Raises:
            AwayError: The database or the store cannot be used now.
        """
        return Pruner(self._database, self._objects, max_age_days=max_age_days, max_bytes=max_bytes).prune()

    def whole_id(self, shortened: str) -> str:
        """Return the id of the one conversation of the shared log whose id begins so.

        Raises:
            AwayError: The database cannot be used now.
            UnknownConversationError: There is none, or there are several.
        """
        ids = self._ids(shortened)
        if len(ids) != 1:
            raise UnknownConversationError(f"{shortened} is the beginning of {len(ids)} conversations' ids")
        return ids[0]

    def close(self) -> None:
        """Close the connections."""
        self._database.close()
        self._objects.close()

    def _wanted(self, conversation: str | None, since: str | None, newest: int | None) -> list[_Wanted]:
        where: LiteralString = "TRUE"
        values: tuple[object, ...] = ()
        if conversation is not None:
            where, values = "conversation_id = ANY(%s)", (self._ids(conversation),)
        elif since is not None:
            where, values = "updated_at >= %s", (since,)
        with self._database.transaction() as connection:
            rows = connection.execute(
                f"SELECT file, version, document, rebuild FROM convlog_files WHERE {where}"  # noqa: S608  our own texts
                " ORDER BY version DESC LIMIT %s",
                (*values, newest),
            ).fetchall()
        # Whoever writes there could otherwise write anywhere here.
        return [_Wanted(*row) for row in rows if is_conversation_name(row[0])]

    def _ids(self, shortened: str) -> list[str]:
        known = text(shortened)
        with self._database.transaction() as connection:
            if connection.execute("SELECT 1 FROM convlog_files WHERE conversation_id = %s", (known,)).fetchone():
                return [known]
            rows = connection.execute(
                "SELECT DISTINCT conversation_id FROM convlog_files WHERE starts_with(conversation_id, %(id)s)"
                " OR starts_with(conversation_id, 'conv_' || %(id)s) LIMIT %(most)s",
                {"id": known, "most": _MOST_ALIKE + 1},
            ).fetchall()
        ids = [row[0] for row in rows]
        if len(ids) > _MOST_ALIKE:
            raise UnknownConversationError(f"{shortened} is the beginning of more than {_MOST_ALIKE}")
        return ids

    def _has(self, want: _Wanted, known: dict[str, tuple[int, Stamp]]) -> bool:
        """Say whether a document is here as it is there. One that was changed here, and not brought back, is not."""
        try:
            return known.get(want.file) == (want.version, Stamp.of((self.directory / want.file).lstat()))
        except FileNotFoundError:
            return False

    def _fetch(self, want: _Wanted, state: sqlite3.Connection, catalog: Catalog) -> None:
        path = self.directory / want.file
        with TemporaryDirectory(prefix=".fetched-", dir=self.directory) as folder:
            new = Path(folder) / "day" / "document.json"
            self._write(new, want)
            if not new.exists():
                self._drop(want.file, state, catalog)
                return
            make_folder(path.parent, OWNER)
            os.replace(new, path)  # noqa: PTH105  as in posix_files
        index_file(self.directory, catalog, path)
        self._note(state, want.file, want.version, path)

    def _write(self, path: Path, want: _Wanted) -> None:
        """Write a document with the turns that it has now, if it has any."""
        for last in (False,) * _MOST_TRIES + (True,):
            with self._database.transaction() as connection:
                turns = turns_of_file(connection, want.file)
            try:
                if turns:
                    self._maker.write(path, want.file, turns, known=want.document, rebuild=want.rebuild)
            except ChangedError:  # while it was read
                shutil.rmtree(path.parent)
                if last:
                    raise
            else:
                return

    def _reconcile(self, state: sqlite3.Connection) -> None:
        """Forget what is not here as it was fetched, whoever has changed or removed it, and whatever else is here."""
        with closing(Catalog(self.directory)) as catalog:
            there = {path.relative_to(self.directory).as_posix(): path for path in conversation_files(self.directory)}
            known = _known(state)
            for file in known.keys() | there.keys():
                if file not in there or file not in known or known[file][1] != Stamp.of(there[file].lstat()):
                    self._drop(file, state, catalog)

    def _drop(self, file: str, state: sqlite3.Connection, catalog: Catalog) -> None:
        with suppress(FileNotFoundError):
            (self.directory / file).unlink()
        catalog.forget(file)
        state.execute("DELETE FROM files WHERE file = ?", (file,))

    def _note(self, state: sqlite3.Connection, file: str, version: int, path: Path) -> None:
        stamp = Stamp.of(path.lstat())
        state.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
            (file, version, str(stamp.inode), stamp.size, stamp.modified_ns),
        )

    def _version(self, file: str) -> int:
        with self._database.transaction() as connection:
            row = connection.execute("SELECT version FROM convlog_files WHERE file = %s", (text(file),)).fetchone()
        return row[0] if row else 0

    def _seen(self, file: str, version: int, state: sqlite3.Connection) -> Seen:
        try:
            return seen(self._database, file, version)
        except ChangedError:
            state.execute("UPDATE files SET version = 0 WHERE file = ?", (file,))
            raise


def _known(state: sqlite3.Connection) -> dict[str, tuple[int, Stamp]]:
    rows = state.execute("SELECT file, version, inode, size, modified_ns FROM files")
    return {file: (version, Stamp(int(inode), size, modified)) for file, version, inode, size, modified in rows}


def mirror_directory(log: SharedLog) -> Path:
    """Return where the copy of a shared log is that this machine's user has."""
    name = sha256(f"{log.store}\n{log.database}".encode()).hexdigest()[:16]
    cache = os.environ.get(_CACHE_VARIABLE)
    return (Path(cache) if cache else Path.home() / ".cache") / "otel-convlog" / name
