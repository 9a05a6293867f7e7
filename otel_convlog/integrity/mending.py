"""Making a log whole again, without losing a turn that is whole; what a file was before is kept beside it."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from otel_convlog.integrity.catalog_checks import catalog_problems
from otel_convlog.integrity.file_checks import check_file
from otel_convlog.integrity.turn_checks import KEYS, OPTIONAL_KEYS, TURN_ID
from otel_convlog.integrity.verification import leftovers, verify_log
from otel_convlog.jsontext import from_any_json, to_indented_json
from otel_convlog.store import document
from otel_convlog.store.catalog import Catalog
from otel_convlog.store.catalog_database import FILE_NAME
from otel_convlog.store.layout import conversation_path, is_conversation_file, is_day, matching
from otel_convlog.store.locked_file import replacement_file
from otel_convlog.store.reading import index_file, reindex
from otel_convlog.store.regrouping import put_turns
from otel_convlog.store.repair import as_object, keep_beside, time_of, whole_turns
from otel_convlog.store.rewriting import held, rewrite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from otel_convlog.jsontext import Json
    from otel_convlog.store.locked_file import LockedFile

    Turn = dict[str, Json]

_OWNER_AND_GROUP = 0o770
_UNKNOWN_DAY = "1970-01-01"
_DAY = len("YYYY-MM-DD")
_OF_CATALOG = ("catalog", "evidence")


@dataclass(frozen=True)
class Mended:
    """What was done to a file.

    Attributes:
        path: The file.
        what: What was done.
        turns: How many turns are in it now, or were moved to where they belong.
        kept: Where it stands as it was, if something was changed in it.
    """

    path: Path
    what: str
    turns: int = 0
    kept: Path | None = None


def repair_log(directory: Path, on_progress: Callable[[int, int], object] | None = None) -> Iterator[Mended]:
    """Mend what `verify_log` finds, and yield what was done.

    Args:
        directory: The log's directory.
        on_progress: As for `verify_log`.

    Raises:
        OSError: A file could not be written; it is as it was, or kept beside.
    """
    paths = matching(directory, "*/*.json")
    for number, path in enumerate(paths):
        if on_progress is not None:
            on_progress(number, len(paths))
        if not is_conversation_file(path):
            yield _set_aside(path)
            continue
        kinds = {problem.kind for problem in check_file(directory, path).problems if problem.is_damage}
        if "mode" in kinds and sys.platform != "win32":
            path.chmod(path.stat().st_mode & _OWNER_AND_GROUP)
            yield Mended(path, "is its owner's and group's alone")
        if kinds - {"mode", "unreadable"}:
            yield from _mend(directory, path)
    for problem in list(leftovers(directory)):
        yield _set_aside(problem.path)
    yield from _mend_catalog(directory)
    yield from _mend_rest(directory)


def _mend(directory: Path, path: Path) -> Iterator[Mended]:
    """Write a file anew, with the turns that are whole in it; those of other days go into their own files before."""
    moved: list[Turn] = []
    while True:
        with held(path) as file:
            if file is None:
                return
            data = file.read(0, file.size)
            old = as_object(data)
            head = old if old is not None else document.head_fields(data)
            turns = _turns(data, old)
            conversation_id = _conversation_id(directory, path, head, turns)
            turns = _well_formed(turns, conversation_id, path.parent.name)
            here = [turn for turn in turns if _path_of(directory, turn, conversation_id) == path]
            elsewhere = [turn for turn in turns if _path_of(directory, turn, conversation_id) != path]
            if elsewhere == moved:
                kept = keep_beside(path, data)
                if here:
                    _write(file, conversation_id, head, here)
                else:
                    file.remove()
                break
        put_turns(directory, conversation_id, elsewhere, like=path)
        moved = elsewhere
    what = "written anew" if here else "moved to where it belongs" if moved else "put aside: no turn is whole in it"
    yield Mended(path, what, len(turns), kept)


def _path_of(directory: Path, turn: Turn, conversation_id: str) -> Path:
    return conversation_path(directory, str(turn["started_at"])[:_DAY], conversation_id)


def _turns(data: bytes, old: dict[str, Json] | None) -> list[Turn]:
    listed = old.get("turns") if old is not None else None
    found: list[Json] = (
        listed if isinstance(listed, list) else [from_any_json(bytes(body)) for body in whole_turns(data)]
    )
    return [turn for turn in found if isinstance(turn, dict)]


def _conversation_id(directory: Path, path: Path, head: dict[str, Json], turns: Sequence[Turn]) -> str:
    """Return the id that the document says, else what its turns say, else its name."""
    said = [head.get("conversation_id"), *(turn.get("conversation_id") for turn in turns)]
    known = [text for text in said if isinstance(text, str) and text]
    named = [text for text in known if conversation_path(directory, path.parent.name, text) == path]
    return (named or known or [path.name.removesuffix(".json")])[0]


def _well_formed(turns: Sequence[Turn], conversation_id: str, day: str) -> list[Turn]:
    """Return the turns as the format has them, none twice: of two with an id, the later in the place of the first."""
    by_id: dict[str, Turn] = {}
    for turn in turns:
        mended = _mended_turn(turn, conversation_id, day)
        turn_id = str(mended["turn_id"])
        if by_id.get(turn_id, mended) != mended and not _is_newer(mended, by_id[turn_id]):
            continue
        by_id[turn_id] = mended
    return list(by_id.values())


def _is_newer(turn: Turn, other: Turn) -> bool:
    return str(turn["updated_at"]) >= str(other["updated_at"])


def _mended_turn(turn: Turn, conversation_id: str, day: str) -> Turn:
    defaults: Turn = {
        "stream": False,
        "duration_ms": 0,
        "stream_trace": {"upstream_events": [], "client_events": [], "summary": {}},
        "request_headers": {},
        "metadata": {},
        **dict.fromkeys(("route", "client_model", "backend", "target_url", "upstream_model"), ""),
    }
    mended: Turn = {key: turn.get(key, defaults.get(key)) for key in KEYS}
    more = {key: value for key, value in turn.items() if key not in KEYS and key not in OPTIONAL_KEYS}
    mended["conversation_id"] = conversation_id
    if not isinstance(mended["stream"], bool):
        more["stream"], mended["stream"] = mended["stream"], False
    if isinstance(mended["duration_ms"], bool) or not isinstance(mended["duration_ms"], (int, float)):
        more["duration_ms"], mended["duration_ms"] = mended["duration_ms"], 0
    started = day if is_day(day) else _UNKNOWN_DAY
    mended["started_at"] = time_of(turn.get("started_at"), default=f"{started}T00:00:00.000000Z")
    mended["updated_at"] = time_of(turn.get("updated_at"), default=str(mended["started_at"]))
    mended["stream_trace"], stream_rest = _mended_streams(mended["stream_trace"])
    more.update(stream_rest)
    otel = turn.get("otel")
    notes = dict(otel) if isinstance(otel, dict) else {}
    _mend_offsets(notes, mended["stream_trace"])
    mended["turn_id"] = _turn_id(turn, notes)
    if "usage" in turn:
        mended["usage"] = turn["usage"]
    if more:  # what the format has no place for
        notes["mended"] = more
    if otel is not None or more:
        mended["otel"] = notes
    return mended


def _mended_streams(trace: Json) -> tuple[Json, dict[str, Json]]:
    if not isinstance(trace, dict):
        return {"upstream_events": [], "client_events": [], "summary": {}}, {"stream_trace": trace}
    rest = {}
    mended = dict(trace)
    for name in ("upstream_events", "client_events"):
        if not isinstance(mended.setdefault(name, []), list):
            rest[name], mended[name] = mended[name], []
    return mended, rest


def _mend_offsets(notes: dict[str, Json], trace: Json) -> None:
    """Take out the times of events that are not as many as the events."""
    for side in ("upstream", "client"):
        offsets = notes.get(f"{side}_offsets_ms")
        events = trace.get(f"{side}_events") if isinstance(trace, dict) else None
        if isinstance(offsets, list) and isinstance(events, list) and len(offsets) != len(events):
            del notes[f"{side}_offsets_ms"]


def _turn_id(turn: Turn, notes: dict[str, Json]) -> str:
    """Return the id of a turn's span, else the one that it has, else one that its content gives."""
    trace_id, span_id = str(notes.get("trace_id", "")), str(notes.get("span_id", ""))
    of_span = f"turn_{trace_id[-8:]}{span_id}"
    if notes.get("source") == "turn" and TURN_ID.fullmatch(of_span):
        return of_span
    known = turn.get("turn_id")
    if isinstance(known, str) and TURN_ID.fullmatch(known):
        return known
    return f"turn_{sha256(to_indented_json(turn)).hexdigest()[:24]}"


def _write(file: LockedFile, conversation_id: str, head: dict[str, Json], turns: Sequence[Turn]) -> None:
    last = max(turns, key=lambda turn: str(turn["updated_at"]))
    ours = ("conversation_id", "route", "created_at", "updated_at")
    tail = ("turns", "last_client_model", "last_backend", "turn_count")
    fields: dict[str, Json] = {
        "conversation_id": conversation_id,
        "route": route if isinstance(route := head.get("route"), str) else turns[0]["route"],
        "created_at": turns[0]["started_at"],
        "updated_at": last["updated_at"],
        **{key: value for key, value in head.items() if key not in (*ours, *tail)},
    }
    with replacement_file(file) as new:
        new.write(0, document.head(fields))
        for number, turn in enumerate(turns):
            new.write(new.size, document.SEPARATOR if number else b"", document.turn_body(turn))
        model, backend = to_indented_json(last["client_model"]), to_indented_json(last["backend"])
        new.write(new.size, document.tail(model, backend, len(turns)))


def _set_aside(path: Path) -> Mended:
    """Rename what has no place in a log, so that nothing takes it for a conversation."""
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name.removeprefix('.')}.damaged-{number}")):
        number += 1
    path.rename(aside)
    return Mended(path, "put aside", 0, aside)


def _mend_catalog(directory: Path) -> Iterator[Mended]:
    path = directory / FILE_NAME
    if any(catalog_problems(directory)) and matching(directory, "*/*.json"):
        for suffix in ("", "-wal", "-shm"):
            path.with_name(FILE_NAME + suffix).unlink(missing_ok=True)
        yield Mended(path, "made anew from the files")
    with closing(Catalog(directory)) as catalog:
        gone = [name for name in catalog.known_files() if not (directory / name).exists()]
    read = reindex(directory)
    if read or gone:
        yield Mended(path, f"brought up to date: {read} files read, {len(gone)} that are gone forgotten")


def _mend_rest(directory: Path) -> Iterator[Mended]:
    """Mend what concerns more than one file: turns that are continued and not there, and the catalog's words."""
    unlinked: dict[Path, set[str]] = {}
    misread: set[Path] = set()
    for problem in verify_log(directory):
        if problem.kind == "continues":
            unlinked.setdefault(problem.path, set()).add(problem.turn_id)
        elif problem.kind.startswith(_OF_CATALOG):
            misread.add(problem.path)
    for path, turn_ids in unlinked.items():
        with held(path) as file:
            if file is not None:
                rewrite(file, partial(_without_link, turn_ids=turn_ids))
        yield Mended(path, "continues no turn that is not there", len(turn_ids))
    with closing(Catalog(directory)) as catalog:
        for path in sorted({*unlinked, *misread}):
            catalog.forget(path.relative_to(directory).as_posix())
            if path.exists():
                index_file(directory, catalog, path)
            if path in misread:
                yield Mended(path, "read into the catalog anew")


def _without_link(turn: Turn, *, turn_ids: set[str]) -> Turn:
    """Return a turn that continues none; what it continued is kept under another name."""
    otel = turn.get("otel")
    if isinstance(otel, dict) and turn.get("turn_id") in turn_ids:
        return {**turn, "otel": {**otel, "continues": None, "continued": otel.get("continues")}}
    return turn
