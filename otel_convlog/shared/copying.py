"""Copying a log to another place: to a directory, or to a log that several machines share."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from otel_convlog.jsontext import from_any_json
from otel_convlog.store import ConversationStore
from otel_convlog.store.access import group_access_of
from otel_convlog.store.document import rendered_from
from otel_convlog.store.reading import iterate_bodies
from otel_convlog.store.rewriting import conversation_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otel_convlog.shared.mirror import Mirror


@dataclass
class Copied:
    """What was copied.

    Attributes:
        files: How many documents there were; `present` of them were there already.
        turns: How many turns were copied.
        refused: The documents that cannot be read, and those that are not the same after they were copied.
    """

    files: int = 0
    present: int = 0
    turns: int = 0
    refused: tuple[str, ...] = ()


class Target(Protocol):
    """Where documents are copied to."""

    def digests(self, file: str) -> dict[str, bytes]:
        """Return what a document holds: a digest of each of its turns, by the turn's id."""

    def take(self, file: str, path: Path, known: dict[str, bytes]) -> int:
        """Take the turns of a document that are not among the known; return how many these are."""


class DirectoryTarget:
    """A directory that documents are copied to.

    Args:
        directory: It; made where there is none.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def digests(self, file: str) -> dict[str, bytes]:
        """Return what a document holds."""
        path = self._directory / file
        return digests_in(path) if path.exists() else {}

    def take(self, file: str, path: Path, known: dict[str, bytes]) -> int:
        """Take the turns of a document that are not among the known; one with other content is replaced."""
        taken = 0
        with closing(ConversationStore(self._directory, group_access=group_access_of(path))) as store:
            for body in iterate_bodies(path):
                value = from_any_json(body)
                if isinstance(value, dict) and known.get(str(value.get("turn_id"))) != sha256(body).digest():
                    turn = rendered_from(value, str(value.get("conversation_id", "")))
                    store.write(self._directory / file, [turn])
                    taken += 1
        return taken


class SharedTarget:
    """A log that several machines share, which documents are copied to.

    Args:
        mirror: This machine's copy of it.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    def digests(self, file: str) -> dict[str, bytes]:
        """Return what a document holds, as it is there."""
        return self._mirror.digests(file)

    def take(self, file: str, path: Path, known: dict[str, bytes]) -> int:  # noqa: ARG002  what is there is recognised
        """Take the turns of a document."""
        return self._mirror.add(file, path)


def copy(source: Path, target: Target, on_progress: Callable[[int, int], object] | None = None) -> Copied:
    """Copy all documents of a directory that the target has not, turn by turn; where it has some, only the others.

    Each is read again there, and compared, turn by turn.

    Args:
        source: The directory.
        target: Where to.
        on_progress: Told, before each document, how many have been looked at, of how many.

    Raises:
        OSError: The target cannot be written. What is there is whole; the same again goes on from there.
    """
    copied = Copied()
    paths = list(conversation_files(source))
    for number, path in enumerate(paths):
        if on_progress is not None:
            on_progress(number, len(paths))
        copied.files += 1
        file = path.relative_to(source).as_posix()
        try:
            wanted = digests_in(path)
        except ValueError:
            copied.refused += (file,)
            continue
        known = target.digests(file)
        if wanted.items() <= known.items():
            copied.present += 1
            continue
        copied.turns += target.take(file, path, known)
        if not wanted.items() <= target.digests(file).items():
            copied.refused += (file,)
    return copied


def digests_in(path: Path) -> dict[str, bytes]:
    """Return a digest of each turn of a document, by the turn's id.

    Raises:
        ValueError: The file is no whole document of ours.
    """
    found: dict[str, bytes] = {}
    for body in iterate_bodies(path):
        value = from_any_json(body)
        if isinstance(value, dict):
            found[str(value.get("turn_id"))] = sha256(body).digest()
    return found
