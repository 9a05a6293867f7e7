"""Full text over what users and models have said, kept in the catalog: read when somebody searches, once.

Of each turn only what it adds is kept, so that a history which is sent a hundred times is found once.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_convlog.reading.conversations import find_conversations
from otel_convlog.reading.dialogue import Dialogue
from otel_convlog.reading.turns import places_of
from otel_convlog.store.catalog import Catalog
from otel_convlog.store.evidence import database_text
from otel_convlog.store.full_text import forget_texts, make_texts
from otel_convlog.store.reading import read_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_convlog.jsontext import Json
    from otel_convlog.reading.dialogue import NewOfTurn

_ROLES = {"user": "user", "assistant": "assistant", "model": "assistant"}
_STEP = 64  # turns that are noted in one transaction, so that no writer waits long
_BEGIN, _END = "\ue000", "\ue001"  # of what was found, in a snippet; of no use in text
_SNIPPET_WORDS = 24
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
        wanted: Words that must all be in a message; ``"some words"`` in this order, ``begin*`` a word's beginning.
        role: ``user`` or ``assistant``; None for both.
        limit: How many at most.

    Raises:
        ValueError: There is no word to look for.
    """
    query = _query(wanted)
    with closing(Catalog(directory)) as catalog:
        rows = catalog.query(
            "SELECT c.conversation_id, s.turn_id, t.started_at, s.role,"  # noqa: S608  our own texts
            f" snippet(said_words, 0, '{_BEGIN}', '{_END}', '…', {_SNIPPET_WORDS}) AS snippet"
            " FROM said_words JOIN said s ON s.number = said_words.rowid"
            " JOIN conversations c USING (file) JOIN turns t ON t.file = s.file AND t.turn_id = s.turn_id"
            " WHERE said_words MATCH ? AND (? IS NULL OR s.role = ?) ORDER BY t.started_at DESC, s.number DESC LIMIT ?",
            (query, role, role, limit),
        )
    return [
        Found(row["conversation_id"], row["turn_id"], row["started_at"], row["role"], _pieces(row["snippet"]))
        for row in rows
    ]


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
    for turn in _turns_before(directory / file, rows, new):
        dialogue.add(turn)
    for first in range(0, len(new), _STEP):
        texts: list[tuple[str, str, str]] = []
        step = new[first : first + _STEP]
        for row in step:
            try:
                turn = read_turn(directory / file, row["offset"], row["length"])
            except (OSError, ValueError):  # it is being replaced; the next search finds it
                return
            texts += [(row["turn_id"], role, text) for role, text in _said(dialogue.add(turn))]
        with catalog.transaction() as connection:
            if connection is None:
                raise NoFullTextError(f"{catalog.path} cannot be written")
            if start == 0 and first == 0:
                forget_texts(connection, file)
            connection.executemany(
                "INSERT INTO said (file, turn_id, role, text) VALUES (?, ?, ?, ?)",
                [(file, turn_id, role, _spaced(database_text(text))) for turn_id, role, text in texts],
            )
            read_to = step[-1]["offset"] + step[-1]["length"]
            connection.execute("INSERT OR REPLACE INTO said_to VALUES (?, ?, ?)", (file, states[0]["inode"], read_to))


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


def _query(wanted: str) -> str:
    terms = []
    for phrase, word in _WORD.findall(wanted):
        text = phrase or word
        is_beginning = not phrase and text.endswith("*")
        text = text.rstrip("*") if is_beginning else text
        if any(map(str.isalnum, text)):
            quoted = _spaced(database_text(text)).replace('"', '""')
            terms.append(f'"{quoted}"' + "*" * is_beginning)
    if not terms:
        raise ValueError(f"there is no word in {wanted!r}")
    return " ".join(terms)


def _pieces(snippet: str) -> tuple[tuple[str, bool], ...]:
    pieces: list[tuple[str, bool]] = []
    for number, piece in enumerate(snippet.replace(_BESIDE_IDEOGRAPH, "").split(_BEGIN)):
        found, _, rest = piece.partition(_END) if number else ("", "", piece)
        pieces += [(found, True), (rest, False)]
    return tuple((text, is_match) for text, is_match in pieces if text)
