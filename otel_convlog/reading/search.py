"""Full text over what users and models have said, kept in the catalog: read when somebody searches, once.

Of each turn only what it adds is kept, so that a history which is sent a hundred times is found once.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.reading.conversations import find_conversations
from otel_convlog.reading.dialogue import Dialogue
from otel_convlog.reading.turns import places_of
from otel_convlog.store.catalog import Catalog
from otel_convlog.store.evidence import database_text
from otel_convlog.store.full_text import forget_texts, has_texts, make_texts
from otel_convlog.store.reading import read_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_convlog.jsontext import Json
    from otel_convlog.reading.dialogue import NewOfTurn

_ROLES = {"user": "user", "assistant": "assistant", "model": "assistant"}
# What is noted in one transaction, so that no writer waits long: up to two tenths of a second for any of the three.
_STEP_TURNS = 64
_STEP_CHARACTERS = 1_000_000
_STEP_TEXTS = 500
_LONGEST_PIECE = 200_000  # characters of a message that are one text; a longer one is several
_AROUND = 60  # characters around what a pattern has found
_WORD = re.compile(r'"([^"]*)"|(\S+)')
# Chinese, Japanese and Korean put no blanks between words, so each of their characters is a word here.
_IDEOGRAPH = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff])")
_BESIDE_IDEOGRAPH = "\u200b"


class NoFullTextError(OSError):
    """The catalog cannot hold the texts."""


@dataclass(frozen=True)
class Found:
    """A place where it was found.

    Attributes:
        snippet: The text around, in pieces: those with a true are what was looked for.
    """

    conversation_id: str
    turn_id: str
    started_at: str
    role: str
    snippet: tuple[tuple[str, bool], ...]

    @property
    def text(self) -> str:
        """The text around."""
        return "".join(piece for piece, _ in self.snippet)


def bring_texts_up_to_date(directory: Path, on_progress: Callable[[int, int], object] | None = None) -> None:
    """Read the texts of turns that have been written since the last search.

    Raises:
        NoFullTextError: The catalog cannot be written, or this SQLite was built without FTS5.
    """
    with closing(Catalog(directory)) as catalog:
        with catalog.transaction() as connection:
            if connection is None:
                raise NoFullTextError(f"{catalog.path} cannot be used")
            try:
                make_texts(connection)
            except sqlite3.OperationalError as error:
                raise NoFullTextError(f"no full text can be kept here ({error}); --regex needs none") from error
        behind = catalog.query(
            "SELECT c.file, c.inode, c.tail_offset, s.inode AS known, s.tail_offset AS known_to FROM conversations c"
            " LEFT JOIN said_to s USING (file)"
            " WHERE s.file IS NULL OR s.inode <> c.inode OR s.tail_offset <> c.tail_offset"
        )
        for number, row in enumerate(behind):
            if on_progress is not None:
                on_progress(number, len(behind))
            is_longer = row["known"] == row["inode"] and row["known_to"] < row["tail_offset"]
            _read_file(directory, catalog, row["file"], row["known_to"] if is_longer else 0)


def search(directory: Path, wanted: str, *, role: str | None = None, limit: int = 50) -> list[Found]:
    r"""Find what was said, the newest first.

    Args:
        directory: The log's directory, its texts up to date.
        wanted: Words that must all be in a message (of a very long one, in the same 200,000 characters);
            ``"some words"`` in this order, ``begin*`` a word's beginning.
        role: ``user`` or ``assistant``; None for both.
        limit: How many at most.

    Raises:
        ValueError: There is no word to look for.
    """
    terms = _terms(wanted)
    query = " ".join(term.query for term in terms)
    pattern = re.compile("|".join(term.pattern for term in terms))
    found: list[Found] = []
    with closing(Catalog(directory)) as catalog, catalog.transaction("BEGIN") as connection:
        if connection is not None and has_texts(connection):
            rows = connection.execute(
                # The texts only of those that are shown: what is sorted may be hundreds of thousands.
                "SELECT c.conversation_id, s.turn_id, found.started_at, s.role, s.text FROM"
                " (SELECT s.number, t.started_at FROM said_words JOIN said s ON s.number = said_words.rowid"
                " JOIN turns t ON t.file = s.file AND t.turn_id = s.turn_id"
                " WHERE said_words MATCH ? AND (? IS NULL OR s.role = ?)"
                " ORDER BY t.started_at DESC, s.number DESC LIMIT ?) found"
                " JOIN said s USING (number) JOIN conversations c USING (file)"
                " ORDER BY found.started_at DESC, s.number DESC",
                (query, role, role, limit),
            )
            for row in rows:
                snippet = _snippet(row["text"], pattern)
                found.append(Found(row["conversation_id"], row["turn_id"], row["started_at"], row["role"], snippet))
    return found


def search_files(
    directory: Path,
    pattern: re.Pattern[str],
    *,
    role: str | None = None,
    on_progress: Callable[[int, int], object] | None = None,
) -> Iterator[Found]:
    """Find what a pattern matches in what was said, by reading the files, the conversations written last first."""
    conversations = find_conversations(directory)
    for number, conversation in enumerate(conversations):
        if on_progress is not None:
            on_progress(number, len(conversations))
        dialogue = Dialogue()
        for place in places_of(directory, conversation):
            for said_by, text in _said(dialogue.add(place.read())):
                for match in pattern.finditer(text) if role in (None, said_by) else ():
                    begin, end = match.span()
                    snippet = (
                        (text[max(0, begin - _AROUND) : begin], False),
                        (match[0], True),
                        (text[end : end + _AROUND], False),
                    )
                    yield Found(conversation.conversation_id, place.turn_id, place.started_at, said_by, snippet)


def _read_file(directory: Path, catalog: Catalog, file: str, start: int) -> None:
    rows = catalog.query("SELECT turn_id, offset, length FROM turns WHERE file = ? ORDER BY offset", (file,))
    states = catalog.query("SELECT inode FROM conversations WHERE file = ?", (file,))
    new = [row for row in rows if row["offset"] >= start]
    if not states:
        return
    dialogue = Dialogue()
    with suppress(OSError, ValueError):  # it cannot be read; then the next one's history counts as new
        for turn in _turns_before(directory / file, rows, new):
            dialogue.add(turn)
    step = _Step(catalog, file, states[0]["inode"], start)
    for number, row in enumerate(new, 1):
        try:
            turn = read_turn(directory / file, row["offset"], row["length"])
        except (OSError, ValueError):  # it is being replaced; the next search finds it
            return
        for role, text in _said(dialogue.add(turn)):
            step.add(row["turn_id"], role, _spaced(database_text(text)))
        if number % _STEP_TURNS == 0 or number == len(new):
            step.write(read_to=row["offset"] + row["length"])


class _Step:
    """Notes the texts of a file, a bounded number at a time.

    Args:
        catalog: The catalog.
        file: The file, as the catalog names it.
        inode: Which file it is.
        start: Up to where it is known to be read, in bytes.
    """

    def __init__(self, catalog: Catalog, file: str, inode: str, start: int) -> None:
        self._catalog = catalog
        self._file = file
        self._inode = inode
        self._start: int | None = start  # until what was noted behind it, by a step that did not end, is forgotten
        self._texts: list[tuple[str, str, str, str]] = []
        self._size = 0

    def add(self, turn_id: str, role: str, text: str) -> None:
        """Note a text; a long one in pieces."""
        for piece in _pieces_of(text):
            self._texts.append((self._file, turn_id, role, piece))
            self._size += len(piece)
            if self._size >= _STEP_CHARACTERS or len(self._texts) >= _STEP_TEXTS:
                self.write()

    def write(self, read_to: int | None = None) -> None:
        """Write what was noted; and up to where the file is read with it, where that is the end of a turn."""
        with self._catalog.transaction() as connection:
            if connection is None:
                raise NoFullTextError(f"{self._catalog.path} cannot be written")
            if self._start is not None:
                _forget_unfinished(connection, self._file, self._start)
            connection.executemany("INSERT INTO said (file, turn_id, role, text) VALUES (?, ?, ?, ?)", self._texts)
            if read_to is not None:
                connection.execute(
                    "INSERT OR REPLACE INTO said_to VALUES (?, ?, ?)", (self._file, self._inode, read_to)
                )
        self._start = None
        self._texts.clear()
        self._size = 0


def _forget_unfinished(connection: sqlite3.Connection, file: str, start: int) -> None:
    """Forget what was noted of turns behind the place up to which a file is known to be read."""
    if start == 0:
        forget_texts(connection, file)
    else:
        connection.execute(
            "DELETE FROM said WHERE file = ?"
            " AND turn_id NOT IN (SELECT turn_id FROM turns WHERE file = ? AND offset < ?)",
            (file, file, start),
        )


def _pieces_of(text: str) -> Iterator[str]:
    """Yield a text in pieces of bounded length, cut between words."""
    start = 0
    while len(text) - start > _LONGEST_PIECE:
        end = text.rfind(" ", start + _LONGEST_PIECE // 2, start + _LONGEST_PIECE)
        end = end if end > start else start + _LONGEST_PIECE
        yield text[start:end]
        start = end
    yield text[start:]


def _turns_before(path: Path, rows: list[sqlite3.Row], new: list[sqlite3.Row]) -> Iterator[dict[str, Json]]:
    """Yield the turns that the first of the new ones may continue: the ones before it."""
    if new and len(new) < len(rows):
        last = rows[len(rows) - len(new) - 1]
        yield read_turn(path, last["offset"], last["length"])


def _said(new: NewOfTurn) -> list[tuple[str, str]]:
    return [
        (_ROLES[message.role], message.text)
        for message in (*new.messages, *new.answers)
        if message.role in _ROLES and message.text.strip()
    ]


def _spaced(text: str) -> str:
    return _IDEOGRAPH.sub(rf"\1{_BESIDE_IDEOGRAPH}", text)


class _Term(NamedTuple):
    """A word, or some words in their order, that must be there.

    Attributes:
        query: As FTS5 has it.
        pattern: That matches it in a text that was folded.
    """

    query: str
    pattern: str


def _terms(wanted: str) -> list[_Term]:
    terms: list[_Term] = []
    for phrase, word in _WORD.findall(wanted):
        text = phrase or word
        is_beginning = not phrase and text.endswith("*")
        text = text.rstrip("*") if is_beginning else text
        spaced = _spaced(database_text(text))
        words = re.findall(r"[^\W_]+", spaced.translate(_FOLDED))
        if words:
            quoted = spaced.replace('"', '""')
            pattern = r"[\W_]+".join(map(re.escape, words))
            end = r"[^\W_]*" if is_beginning else r"(?![^\W_])"
            terms.append(_Term(f'"{quoted}"' + "*" * is_beginning, rf"(?<![^\W_]){pattern}{end}"))
    if not terms:
        raise ValueError(f"there is no word in {wanted!r}")
    return terms


class _Folding(dict[int, str]):
    """Letters without their marks, and small, as FTS5's tokenizer has them: one for each, so that places stay."""

    def __missing__(self, code: int) -> str:
        """Fold a letter."""
        folded = self[code] = unicodedata.normalize("NFD", chr(code))[0].lower()[0]
        return folded


_FOLDED = _Folding()


def _snippet(text: str, pattern: re.Pattern[str]) -> tuple[tuple[str, bool], ...]:
    """Return the text around the first place where a term stands, what was found told from the rest.

    SQLite's own function for it takes minutes where a long text has a word thousands of times.
    """
    folded = text.translate(_FOLDED)
    first = pattern.search(folded)
    start = max(0, (first.start() if first else 0) - _AROUND)
    end = min(len(text), (first.end() if first else 0) + 2 * _AROUND)
    if start:
        start = max(start, folded.find(" ", start, start + _AROUND) + 1)
    pieces: list[tuple[str, bool]] = [("…", False)] if start else []
    at = start
    for match in pattern.finditer(folded, start, end):
        pieces += [(text[at : match.start()], False), (text[match.start() : match.end()], True)]
        at = match.end()
    pieces += [(text[at:end], False), ("…" if end < len(text) else "", False)]
    return tuple((shown, is_match) for piece, is_match in pieces if (shown := piece.replace(_BESIDE_IDEOGRAPH, "")))
