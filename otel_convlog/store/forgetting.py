"""Removing what is asked to be forgotten from files, catalog and evidence; and looking whether anything is left."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from os import fsencode
from typing import TYPE_CHECKING

from otel_convlog.identity.identifier import keyed_id
from otel_convlog.jsontext import from_any_json
from otel_convlog.redaction.headers import sanitize_headers
from otel_convlog.request_fields import RequestField, text_of
from otel_convlog.store import commit, document
from otel_convlog.store.catalog import Catalog
from otel_convlog.store.catalog_database import FILE_NAME
from otel_convlog.store.directory_key import DirectoryKey
from otel_convlog.store.evidence import forget_conversation, forget_turns
from otel_convlog.store.layout import matching
from otel_convlog.store.locked_file import shared_file
from otel_convlog.store.reading import index_file
from otel_convlog.store.rewriting import HEAD_BYTES, conversation_files, held, kept_beside, rewrite, told
from otel_convlog.store.turn_bytes import turn_bytes, turns_start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from otel_convlog.jsontext import Json

_SCOPED = re.compile(r"-[0-9a-f]{16}\Z")  # what a tenant's id is appended by (identity/identifier.py)
_MOST_LEVELS = 4  # of JSON in JSON
_PIECE_BYTES = 1 << 20
_SHORTEST_IN_CATALOG = 6  # of an id that is looked for among the database's bytes: a shorter one is there by chance


@dataclass(frozen=True)
class Target:
    """What is to be forgotten: one of these.

    Attributes:
        conversation_id: A conversation, by its id; also one whose id was digested because its content is not written.
        turn_id: A turn.
        text: All conversations in which it stands.
        caller: All conversations with a turn of this caller: ``header:x-user=alice``, ``body:user=alice``. Of a header
            that is masked the whole value is to be given.
    """

    conversation_id: str | None = None
    turn_id: str | None = None
    text: str | None = None
    caller: str | None = None

    def __post_init__(self) -> None:
        """Refuse what would match all, or nothing.

        Raises:
            ValueError: Not exactly one is given, or it is empty, or the caller is none.
        """
        if [bool(value) for value in vars(self).values()].count(True) != 1:
            raise ValueError("give one of conversation_id, turn_id, text and caller")
        if self.caller is not None:
            _place, _value = _parse_caller(self.caller)


@dataclass
class Forgotten:
    """What has been removed.

    Attributes:
        conversations: Their ids.
        turns: How many turns.
        files: The files that were removed, or written without a turn.
        complete: Whether nothing is left in the catalog's own files either.
    """

    conversations: set[str] = field(default_factory=set)
    turns: int = 0
    files: list[Path] = field(default_factory=list)
    complete: bool = True


def forget(
    directory: Path,
    target: Target,
    *,
    dry_run: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Forgotten:
    """Remove a conversation, a turn, or all conversations that match; also beside running writers.

    Copies of damaged files, and all days' files, are removed too. What comes later of the same dialogue is new.

    Args:
        directory: The log's directory.
        target: What is to be forgotten.
        dry_run: Whether only to say what would be.
        on_progress: Told how many files have been looked at, and of how many.

    Raises:
        OSError: A file cannot be removed.
    """
    forgotten = Forgotten()
    catalog = Catalog(directory)
    try:
        if target.turn_id is not None:
            paths = told(conversation_files(directory), on_progress)
            _forget_turn(directory, target.turn_id, catalog, forgotten, paths, dry_run=dry_run)
        else:
            forgotten.conversations = set(_matching(directory, target, on_progress))
            _forget_conversations(directory, target, catalog, forgotten, dry_run=dry_run)
        if not dry_run:
            with catalog.transaction() as connection:
                if connection is not None:
                    for conversation_id in forgotten.conversations:
                        forget_conversation(connection, conversation_id)
                    forget_turns(connection, [target.turn_id] if target.turn_id is not None else [])
            forgotten.complete = catalog.purge()
    finally:
        catalog.close()
    return forgotten


def verify(directory: Path, target: Target, *, on_progress: Callable[[int, int], None] | None = None) -> list[str]:
    """Say where something is left of what was to be forgotten; an empty list where nothing is.

    All bytes of the directory are read: files and their names, what stands beside them, and the catalog.

    Args:
        directory: The log's directory.
        target: What was to be forgotten.
        on_progress: Told how many files have been looked at, and of how many.
    """
    left = [f"conversation {found}" for found in sorted(set(_matching(directory, target)))]
    forms: set[bytes] = set()
    in_catalog: set[bytes] = set()
    if target.conversation_id is not None:
        ids = _ids(directory, target.conversation_id)
        forms = {form for found in ids for form in _forms(f'"{found}"')}
        in_catalog = {found.encode("utf-8", "replace") for found in ids if len(found) >= _SHORTEST_IN_CATALOG}
        left += [
            f"the name of {path}" for path in matching(directory, "**/*") if path.stem.partition(".json")[0] in ids
        ]
    elif (wanted := target.turn_id or target.text) is not None:
        forms = in_catalog = _forms(wanted)
        left += [
            f"the name of {path}"
            for path in matching(directory, "**/*")
            if any(form in fsencode(path.name) for form in forms)
        ]
    for path in told(matching(directory, "**/*"), on_progress):
        wanted_there = in_catalog if path.name.startswith(FILE_NAME) else forms
        if wanted_there and path.is_file() and not path.is_symlink() and _holds(path, wanted_there):
            left.append(str(path))
    return left


def _matching(directory: Path, target: Target, on_progress: Callable[[int, int], None] | None = None) -> Iterator[str]:
    """Yield the ids of the conversations that match."""
    ids = _ids(directory, target.conversation_id) if target.conversation_id is not None else set()
    forms = _forms(target.text) if target.text is not None else set()
    for path in told(conversation_files(directory), on_progress):
        conversation_id = _conversation_of(path)
        if target.conversation_id is not None:
            if conversation_id in ids or (_SCOPED.sub("", conversation_id) in ids):
                yield conversation_id
        elif target.text is not None:
            if _holds(path, forms):
                yield conversation_id
        elif any(_fits(turn, target) for turn in _turns(path)):
            yield conversation_id


def _fits(turn: dict[str, Json], target: Target) -> bool:
    if target.turn_id is not None:
        return turn.get("turn_id") == target.turn_id
    place, value = _parse_caller(target.caller or "")
    found = place.value(turn.get("client_request"), turn.get("request_headers"), {})
    masked = sanitize_headers({place.name: value})[place.name] if place.place == "header" else value
    return any(text_of(item) in (value, masked) for item in (found if isinstance(found, list) else [found]))


def _ids(directory: Path, conversation_id: str) -> set[str]:
    """Return the ids under which a conversation may stand: its own, and what it is without content."""
    key = DirectoryKey(directory).read()
    return {conversation_id} | ({keyed_id(key, conversation_id)} if key else set())


def _forget_conversations(
    directory: Path, target: Target, catalog: Catalog, forgotten: Forgotten, *, dry_run: bool
) -> None:
    forms = _forms(target.text) if target.text is not None else set()
    names: set[str] = set()
    for path in conversation_files(directory):
        if _conversation_of(path) in forgotten.conversations:
            names.add(path.name)
            forgotten.turns += sum(1 for _ in _turns(path))
            _remove(directory, path, catalog, forgotten, dry_run=dry_run)
    for path in kept_beside(directory):
        of = path.name.removeprefix(".").partition(".json.")[0] + ".json"
        of_id = f"{target.conversation_id}.json"
        if of in names or of == of_id or (forms and _holds(path, forms)):
            _remove(directory, path, catalog, forgotten, dry_run=dry_run)


def _forget_turn(  # noqa: PLR0913  what it works on
    directory: Path, turn_id: str, catalog: Catalog, forgotten: Forgotten, paths: Iterable[Path], *, dry_run: bool
) -> None:
    def change(turn: dict[str, Json]) -> dict[str, Json] | None:
        return None if turn.get("turn_id") == turn_id else _without_continues(turn, turn_id)

    forms = _forms(turn_id)
    for path in paths:
        if not _holds(path, forms):
            continue
        with held(path) as file:
            result = rewrite(file, change, dry_run=dry_run) if file is not None else None
        if result is not None:
            forgotten.turns += len(result.removed)
            forgotten.files.append(path)
            _note_change(directory, path, catalog, dry_run=dry_run)
    for path in kept_beside(directory):
        if _holds(path, forms):
            _remove(directory, path, catalog, forgotten, dry_run=dry_run)


def _without_continues(turn: dict[str, Json], turn_id: str) -> dict[str, Json]:
    """Return a turn without its reference to one that it continues."""
    otel = turn.get("otel")
    if isinstance(otel, dict) and otel.get("continues") == turn_id:
        return {**turn, "otel": {**otel, "continues": None}}
    return turn


def _note_change(directory: Path, path: Path, catalog: Catalog, *, dry_run: bool) -> None:
    if dry_run:
        return
    if path.exists():
        index_file(directory, catalog, path)
    else:
        catalog.forget(path.relative_to(directory).as_posix())


def _remove(directory: Path, path: Path, catalog: Catalog, forgotten: Forgotten, *, dry_run: bool) -> None:
    forgotten.files.append(path)
    if dry_run:
        return
    with held(path) as file:
        if file is not None:
            file.remove()
        catalog.forget(path.relative_to(directory).as_posix())


def _conversation_of(path: Path) -> str:
    """Return the id of a file's conversation; what its name says where the file does not."""
    try:
        with path.open("rb") as file:
            found = document.head_fields(file.read(HEAD_BYTES)).get("conversation_id")
    except OSError:
        found = None
    return found if isinstance(found, str) else path.name.removesuffix(".json")


def _turns(path: Path) -> Iterator[dict[str, Json]]:
    try:
        with shared_file(path) as file:
            whole = commit.inspect(file)
            if whole is None:
                return
            for _, body in turn_bytes(file, turns_start(file, whole.tail_offset), whole.tail_offset):
                turn = from_any_json(body)
                if isinstance(turn, dict):
                    yield turn
    except FileNotFoundError:
        return


def _parse_caller(caller: str) -> tuple[RequestField, str]:
    place, equals, value = caller.partition("=")
    field_ = RequestField.parse(place)
    if not (equals and value.strip()) or field_.place == "attribute":
        raise ValueError(f"{caller!r} is no caller: header:NAME=VALUE or body:NAME=VALUE")
    return field_, value.strip()


def _forms(text: str) -> set[bytes]:
    """Return the bytes that a text may be in a file: as it is, and in JSON, also within JSON."""
    forms = {text.encode("utf-8", "replace")}
    for ascii_only in (False, True):
        form = text
        for _ in range(_MOST_LEVELS):
            form = json.dumps(form, ensure_ascii=ascii_only)[1:-1]
            forms.add(form.encode("utf-8", "backslashreplace"))
    return forms


def _holds(path: Path, forms: set[bytes]) -> bool:
    overlap = max(map(len, forms)) - 1
    rest = b""
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                data = rest + piece
                if any(form in data for form in forms):
                    return True
                rest = data[len(data) - overlap :] if overlap else b""
    except FileNotFoundError:
        pass
    return False
