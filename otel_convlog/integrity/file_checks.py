"""A conversation's file against docs/format.md."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otel_convlog.integrity.problem import Problem
from otel_convlog.integrity.turn_checks import turn_problems
from otel_convlog.jsontext import from_any_json, to_indented_json
from otel_convlog.store import commit, document
from otel_convlog.store.entries import describe
from otel_convlog.store.layout import conversation_path
from otel_convlog.store.locked_file import Stamp, shared_file
from otel_convlog.store.turn_bytes import turn_bytes, turns_start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_convlog.jsontext import Json
    from otel_convlog.store.entries import PlacedTurn
    from otel_convlog.store.locked_file import LockedFile

_WINDOW_BYTES = 1 << 16
_OTHERS_MAY_READ = 0o007


@dataclass
class CheckedFile:
    """A file, and what was found in it.

    Attributes:
        stamp: Which state of it was looked at.
        turns: What the catalog should say of its turns.
        continues: The turns that its turns continue: by their own ids.
        recognisable: The turns by which later ones are recognised.
        problems: What is wrong with it.
        head: What stands before its turns.
    """

    path: Path
    stamp: Stamp | None = None
    conversation_id: str = ""
    turns: list[PlacedTurn] = field(default_factory=list)
    continues: dict[str, str] = field(default_factory=dict)
    recognisable: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    head: dict[str, Json] = field(default_factory=dict)


def check_file(directory: Path, path: Path) -> CheckedFile:
    """Look whether a file is a whole document of the format, one of its turns at a time in memory."""
    found = CheckedFile(path)
    try:
        with shared_file(path) as file:
            found.stamp = file.stamp
            whole = commit.inspect(file)
            if whole is None:
                found.problems += _problems_of_torn(file)
            else:
                file.unlock()
                found.problems += _problems_of_whole(directory, file, whole, found)
            if sys.platform != "win32" and file.mode & _OTHERS_MAY_READ:
                found.problems.append(Problem(path, "mode", oct(file.mode)))
    except OSError as error:
        found.problems.append(Problem(path, "unreadable", str(error)))
    return found


def _problems_of_torn(file: LockedFile) -> Iterator[Problem]:
    if not file.size:
        yield Problem(file.path, "empty")
        return
    data = file.read(0, file.size)
    try:
        value = from_any_json(data)
    except ValueError as error:
        if b"\0" in data:
            yield Problem(file.path, "zeros", f"the first at byte {data.index(0):,}")
        elif not data.rstrip().endswith(b"}"):
            yield Problem(file.path, "torn", f"behind {len(data):,} bytes")
        else:
            yield Problem(file.path, "no-json", str(error))
        return
    is_document = isinstance(value, dict) and isinstance(value.get("turns"), list) and value["turns"]
    yield Problem(file.path, "layout" if is_document else "no-document")


def _problems_of_whole(directory: Path, file: LockedFile, whole: commit.Whole, found: CheckedFile) -> Iterator[Problem]:
    path, end = file.path, whole.tail_offset
    found.head = document.head_fields(file.read(0, _WINDOW_BYTES))
    conversation_id = found.head.get("conversation_id")
    found.conversation_id = str(conversation_id)
    if conversation_path(directory, path.parent.name, found.conversation_id) != path:
        yield Problem(path, "file-name", found.conversation_id)
    start = turns_start(file, end)
    expected = start + 1
    seen: set[str] = set()
    times: list[tuple[str, str]] = []  # when each turn started, and was written
    last: list[tuple[str, Json, Json]] = []
    for offset, body in turn_bytes(file, start, end):
        if offset != expected:
            yield Problem(path, "between-turns", f"at byte {expected:,}")
        expected = offset + len(body) + len(document.SEPARATOR)
        turn, problems = _check_turn(path, body, conversation_id, seen)
        yield from problems
        if turn is None:
            continue
        times.append((str(turn.get("started_at")), str(turn.get("updated_at"))))
        last.append((times[-1][1], turn.get("client_model"), turn.get("backend")))
        found.turns.append((describe(turn), offset, len(body)))
        _note_links(turn, found)
    if expected != end + len(document.SEPARATOR):
        yield Problem(path, "between-turns", f"at byte {expected:,}")
    yield from _problems_of_ends(path, whole, times, last)


def _check_turn(
    path: Path, body: bytes, conversation_id: Json, seen: set[str]
) -> tuple[dict[str, Json] | None, list[Problem]]:
    try:
        turn = from_any_json(body)
    except ValueError as error:
        return None, [Problem(path, "turn-json", str(error))]
    if not isinstance(turn, dict):
        return None, [Problem(path, "turn-json", "it is no object")]
    turn_id = str(turn.get("turn_id"))
    problems = [
        Problem(path, kind, detail, turn_id) for kind, detail in turn_problems(turn, conversation_id, path.parent.name)
    ]
    if turn_id in seen:
        problems.append(Problem(path, "turn-twice", turn_id, turn_id))
    seen.add(turn_id)
    if bytes(document.turn_body(turn)) != body:
        problems.append(Problem(path, "turn-layout", "", turn_id))
    otel = turn.get("otel")
    if isinstance(otel, dict) and otel.get("complete") is False:
        lost = to_indented_json(otel.get("lost")).decode("utf-8", "replace")
        problems.append(Problem(path, "incomplete", " ".join(lost.split()), turn_id))
    return turn, problems


def _note_links(turn: dict[str, Json], found: CheckedFile) -> None:
    """Note which turn one continues, and whether later ones can continue it."""
    identified = document.turn_of(turn)
    record, continues = identified.record, identified.identity.continues
    if continues is not None:
        found.continues[record.turn_id] = continues
    if record.turn_id and record.request_is_whole:
        found.recognisable.add(record.turn_id)


def _problems_of_ends(
    path: Path, whole: commit.Whole, times: list[tuple[str, str]], last: list[tuple[str, Json, Json]]
) -> Iterator[Problem]:
    created_at, updated_at = whole.times.created_at.decode(), whole.times.updated_at.decode()
    if whole.turn_count != len(times):
        yield Problem(path, "turn-count", f"{whole.turn_count}, and there are {len(times)}")
    if times and created_at != times[0][0]:
        yield Problem(path, "created-at", created_at)
    written_last = [turn for turn in last if turn[0] == updated_at]
    if times and not written_last:
        yield Problem(path, "updated-at", updated_at)
    tails = {
        document.tail(to_indented_json(model), to_indented_json(backend), whole.turn_count)
        for _, model, backend in written_last
    }
    if tails and whole.tail not in tails:
        yield Problem(path, "last")
