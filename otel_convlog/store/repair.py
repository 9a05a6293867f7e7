"""Making a file whole again that is not a document of ours, without losing a turn that is whole in it.

A crash in the middle of a commit, a full disk, an editor or another program leaves such files. A document that is
whole JSON in another layout is written anew in ours, with everything in it. From any other the whole turns are taken,
and the file as it was is kept beside the new one.
"""

from __future__ import annotations

import logging
import os
import re
from datetime import datetime, timezone
from json import JSONDecoder
from typing import TYPE_CHECKING

from otel_convlog.jsontext import exact_int, from_any_json, to_indented_json
from otel_convlog.store import document
from otel_convlog.store.locked_file import replacement_file
from otel_convlog.times import TIME_PATTERN, format_datetime

if TYPE_CHECKING:
    from pathlib import Path

    from otel_convlog.jsontext import Json
    from otel_convlog.store.document import RenderedTurn
    from otel_convlog.store.locked_file import LockedFile

_logger = logging.getLogger(__name__)

_TURNS = re.compile(r'"turns"\s*:\s*\[')
_BETWEEN_TURNS = re.compile(r"[\s,]*")
_NEXT_TURN = re.compile(r"\n    \{\n")
_UNFINISHED = re.compile(r"\0(?!\0)")  # document.UNFINISHED, and not one of a run of zeros that a file system left
_DECODER = JSONDecoder(parse_int=exact_int, parse_constant=lambda _: None)


def repair(file: LockedFile, incoming: RenderedTurn, *, salvage: bool = True) -> None:
    """Replace the file by a whole document with the turns that are whole in it; remove it where there are none.

    Args:
        file: The file, locked by the caller, who opens its path anew afterwards.
        incoming: The turn that is to be written; what the old document does not say is taken from it.
        salvage: Whether to take turns from it; else it is only put aside.

    Raises:
        OSError: The new file could not be written; the old one is as it was.
    """
    path = file.path
    data = file.read(0, file.size)
    old = _as_object(data) if salvage else None
    turns = old.get("turns") if old else None
    if old and turns and isinstance(turns, list):
        _write_document(file, old, turns, incoming)
        _logger.warning("%s was in another layout; it has been rewritten with everything in it", path)
        return
    text = data.decode("utf-8", "backslashreplace")
    salvaged = _whole_turns(text) if salvage else []
    beside = _keep_beside(path, data)
    if salvaged:
        _write_document(file, document.head_fields(data), salvaged, incoming)
    else:
        file.remove()
    _logger.warning(
        "%s was not whole; %d whole turns of it have been kept, and the file as it was is %s",
        path,
        len(salvaged),
        beside.name,
    )


def _as_object(data: bytes) -> dict[str, Json] | None:
    try:
        value = from_any_json(data)
    except ValueError:  # also bytes that are no UTF-8
        return None
    return value if isinstance(value, dict) else None


def _whole_turns(text: str) -> list[Json]:
    """Return the turns that can be read, also those behind a damaged one."""
    start = _TURNS.search(text)
    turns: list[Json] = []
    position = start.end() if start else len(text)
    while between := _BETWEEN_TURNS.match(text, position):
        if text.startswith("]", between.end()) or _UNFINISHED.match(text, between.end()):
            break
        try:
            turn, position = _DECODER.raw_decode(text, between.end())
        except (ValueError, RecursionError):
            turn = None
        if isinstance(turn, dict) and isinstance(turn.get("turn_id"), str):
            turns.append(turn)
            continue
        following = _NEXT_TURN.search(text, between.end())
        if following is None:
            break
        position = following.start()
    return turns


def _write_document(file: LockedFile, old: dict[str, Json], turns: list[Json], incoming: RenderedTurn) -> None:
    dicts = [turn for turn in turns if isinstance(turn, dict)]
    first, last = (dicts[0], dicts[-1]) if dicts else ({}, {})
    fields: dict[str, Json] = {
        "conversation_id": _plain(old.get("conversation_id", incoming.conversation_id)),
        "route": _plain(old.get("route", first.get("route", incoming.route))),
        "created_at": _time(old.get("created_at"), first.get("started_at"), default=incoming.started_at),
        "updated_at": _time(old.get("updated_at"), last.get("updated_at"), default=incoming.updated_at),
    }
    ours = {"turns", "last_client_model", "last_backend", "turn_count"}
    fields.update({key: value for key, value in old.items() if key not in fields and key not in ours})
    model = old.get("last_client_model", last.get("client_model", ""))
    backend = old.get("last_backend", last.get("backend", ""))
    with replacement_file(file) as new:
        content = document.head(fields) + document.SEPARATOR.join(document.turn_body(turn) for turn in turns)
        new.write(0, content)
        new.write(
            len(content), document.tail(to_indented_json(_plain(model)), to_indented_json(_plain(backend)), len(turns))
        )


def _plain(value: Json) -> Json:
    """Return a value that stands on one line, as the head and the tail of a document of ours have them."""
    return str(value) if isinstance(value, (dict, list)) else value


def _time(*candidates: Json, default: str) -> str:
    """Return the first candidate that is a time, in our form."""
    for candidate in candidates:
        if not isinstance(candidate, str):
            continue
        if TIME_PATTERN.fullmatch(candidate):
            return candidate
        try:
            time = datetime.fromisoformat(candidate.replace("Z", "+00:00"))
            time = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
            return format_datetime(time)
        except (ValueError, OverflowError):
            continue
    return default


def _keep_beside(path: Path, data: bytes) -> Path:
    """Keep the file as it was under a second name, the same one again where its repair is tried again."""
    number = 1
    while True:
        beside = path.with_name(f"{path.name}.damaged-{number}")
        try:
            os.link(path, beside, follow_symlinks=False)
        except FileExistsError:
            if beside.samefile(path):  # a repair that failed has done it
                return beside
            number += 1
        except OSError:  # a file system without links
            with open(beside, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as copy:
                copy.write(data)
            return beside
        else:
            return beside
