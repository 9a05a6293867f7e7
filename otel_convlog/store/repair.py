"""Making a file whole again that is not a document of ours, without losing a turn that is whole in it.

A crash in the middle of a commit, a full disk, an editor or another program leaves such files. A document that is
whole JSON in another layout is written anew in ours, with everything in it. From any other the whole turns are taken,
and the file as it was is kept beside the new one.
"""

from __future__ import annotations

import logging
import os
import re
from datetime import timezone
from json import JSONDecoder
from typing import TYPE_CHECKING

import orjson

from otel_convlog.jsontext import exact_int, from_any_json, to_indented_json
from otel_convlog.store import document
from otel_convlog.store.locked_file import replacement_file
from otel_convlog.times import TIME_PATTERN, format_datetime, parse_time

if TYPE_CHECKING:
    from pathlib import Path

    from otel_convlog.jsontext import Json
    from otel_convlog.store.document import RenderedTurn
    from otel_convlog.store.locked_file import LockedFile

_logger = logging.getLogger(__name__)

_TURNS = re.compile(rb'"turns"\s*:\s*\[')
_FIRST_TURN = re.compile(rb"\s*\n([ \t]*)\{")
_END_OF_TURNS = re.compile(rb"\s*\]")
_BETWEEN_TURNS = re.compile(r"[\s,]*")
_UNFINISHED = re.compile(rb"(?<!\0)\0")  # document.UNFINISHED, and not one of a run of zeros that a file system left
_INDENTATION = b"    "  # of a turn in a document of ours
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
    old = as_object(data) if salvage else None
    turns = old.get("turns") if old else None
    if old and turns and isinstance(turns, list):
        _write_document(file, old, [document.turn_body(turn) for turn in turns], incoming)
        _logger.warning("%s was in another layout; it has been rewritten with everything in it", path)
        return
    salvaged = whole_turns(data) if salvage else []
    beside = keep_beside(path, data)
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


def as_object(data: bytes) -> dict[str, Json] | None:
    """Return the object that a file's bytes are as JSON; None where they are none."""
    if not data.rstrip().endswith(b"}"):  # most of what a crash has torn; a look is cheaper than to read it all
        return None
    try:
        value = from_any_json(data)
    except ValueError:  # also bytes that are no UTF-8
        return None
    return value if isinstance(value, dict) else None


def whole_turns(data: bytes) -> list[memoryview]:
    """Return the turns that can be read, rendered for a document of ours, also those behind a damaged one."""
    start = _TURNS.search(data)
    if start is None:
        return []
    first = _FIRST_TURN.match(data, start.end())
    if first is None:
        return _turns_in_a_row(data[start.end() :].decode("utf-8", "backslashreplace"))
    return _turns_on_lines(data, first.start(1) - 1, first[1])


def _turns_on_lines(data: bytes, position: int, indentation: bytes) -> list[memoryview]:
    """Return the turns of a document in which they begin and end on lines of their own, as the indentation tells.

    Each byte is read once, however many turns are damaged.

    Args:
        data: The document.
        position: The line break before the first turn.
        indentation: What stands before the brackets of a turn on their lines.
    """
    view = memoryview(data)
    first_line, last_line = b"\n" + indentation + b"{", b"\n" + indentation + b"}"
    turns: list[memoryview] = []
    while position >= 0 and not _UNFINISHED.match(data, position - 1):
        following = data.find(first_line, position + 1)
        stop = data.find(last_line, position, following if following >= 0 else len(data))
        if stop >= 0:
            stop += len(last_line)
            body = _readable(view[position + 1 : stop], as_it_is=indentation == _INDENTATION)
            if body is not None:
                turns.append(body)
                if _END_OF_TURNS.match(data, stop):
                    break
        position = following
    return turns


def _readable(text: memoryview, *, as_it_is: bool) -> memoryview | None:
    """Return a turn for a document of ours; None where it is no whole one."""
    try:
        turn = orjson.loads(text)
    except orjson.JSONDecodeError:  # or it holds what orjson refuses: NaN, half of a surrogate pair
        as_it_is = False
    try:
        turn = turn if as_it_is else from_any_json(bytes(text))
    except ValueError:
        return None
    if not (isinstance(turn, dict) and isinstance(turn.get("turn_id"), str)):
        return None
    return text if as_it_is else document.turn_body(turn)


def _turns_in_a_row(text: str) -> list[memoryview]:
    """Return the turns up to the first damaged one, of a document in any layout."""
    turns: list[memoryview] = []
    position = 0
    while between := _BETWEEN_TURNS.match(text, position):
        try:
            turn, position = _DECODER.raw_decode(text, between.end())
        except (ValueError, RecursionError):
            break
        if isinstance(turn, dict) and isinstance(turn.get("turn_id"), str):
            turns.append(document.turn_body(turn))
    return turns


def _write_document(file: LockedFile, old: dict[str, Json], bodies: list[memoryview], incoming: RenderedTurn) -> None:
    first, last = (as_object(bytes(body)) or {} for body in (bodies[0], bodies[-1]))
    fields: dict[str, Json] = {
        "conversation_id": _plain(old.get("conversation_id", incoming.conversation_id)),
        "route": _plain(old.get("route", first.get("route", incoming.route))),
        "created_at": time_of(old.get("created_at"), first.get("started_at"), default=incoming.started_at),
        "updated_at": time_of(old.get("updated_at"), last.get("updated_at"), default=incoming.updated_at),
    }
    ours = {"turns", "last_client_model", "last_backend", "turn_count"}
    fields.update({key: value for key, value in old.items() if key not in fields and key not in ours})
    model = old.get("last_client_model", last.get("client_model", ""))
    backend = old.get("last_backend", last.get("backend", ""))
    with replacement_file(file) as new:
        pieces: list[bytes | memoryview] = [document.head(fields)]
        for body in bodies:
            pieces += (body, document.SEPARATOR)
        pieces[-1] = document.tail(to_indented_json(_plain(model)), to_indented_json(_plain(backend)), len(bodies))
        new.write(0, *pieces)


def _plain(value: Json) -> Json:
    """Return a value that stands on one line, as the head and the tail of a document of ours have them."""
    return str(value) if isinstance(value, (dict, list)) else value


def time_of(*candidates: Json, default: str) -> str:
    """Return the first candidate that is a time, in our form."""
    for candidate in candidates:
        if not isinstance(candidate, str):
            continue
        if TIME_PATTERN.fullmatch(candidate):
            return candidate
        try:
            time = parse_time(candidate)
            time = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
            return format_datetime(time)
        except (ValueError, OverflowError):
            continue
    return default


def keep_beside(path: Path, data: bytes) -> Path:
    """Keep the file as it was under a second name, the same one again where its repair is tried again.

    Raises:
        OSError: It cannot be kept.
    """
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
