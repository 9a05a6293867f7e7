"""The objects of a shared log: turns, each written once, and the documents that are made of them."""

from __future__ import annotations

import os
import re
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import LocalStore, from_url

from otel_convlog.shared.away import AwayError, ChangedError
from otel_convlog.shared_log import without_password
from otel_convlog.store.layout import is_conversation_name, is_day
from otel_convlog.store.locked_file import make_private_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from obstore import UpdateVersion

_T = TypeVar("_T")

TURNS = ".turns"
_DAY = len("YYYY-MM-DD")
_DIGEST_DIGITS = 16
_LONGEST_ID = 100
_NAME = re.compile(rf"{re.escape(TURNS)}/\d{{4}}-\d\d-\d\d/\w+-[0-9a-f]{{{_DIGEST_DIGITS}}}\.json")

_PROVIDERS = ("AWS", "AZURE", "GOOGLE")
_AT_ONCE = 32  # requests: a store takes tens of milliseconds for each, whatever else it does
_CONNECT = timedelta(seconds=3)
_REQUEST = timedelta(seconds=30)
_RETRIES = 1  # who calls waits, and tries again for as long as it takes
_MOST_BYTES = 32 << 20  # of objects that are fetched at once
_WHOLE_BYTES = 16 << 20  # a larger document is sent in parts, for which no store that obstore knows takes a condition


def turn_object(turn_id: str, started_at: str, body: bytes | memoryview) -> str:
    """Return the name of a turn's object: the same for the same turn with the same content, and no other.

    Raises:
        ValueError: The turn does not say on which day it began.
    """
    if not is_day(started_at[:_DAY]):
        raise ValueError(f"{started_at!r} is no time")
    is_name = turn_id.replace("_", "").isalnum() and turn_id.isascii() and len(turn_id) <= _LONGEST_ID
    name = turn_id if is_name else sha256(turn_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{TURNS}/{started_at[:_DAY]}/{name}{_end_of(body)}"


def _end_of(body: bytes | memoryview) -> str:
    """Return how the name of a turn's object ends."""
    return f"-{sha256(body).hexdigest()[:_DIGEST_DIGITS]}.json"


class Objects:
    """The object store of one log. For any number of threads; not to be taken over a fork.

    Args:
        place: The URL of the store with the folder in it, or the path of a directory.

    Raises:
        AwayError: What the environment says of it cannot be used.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        with _errors(place):
            if "://" in place and not place.startswith("file://"):
                self._store = from_url(
                    place,
                    client_options={"connect_timeout": _CONNECT, "timeout": _REQUEST, "allow_http": _allows_http()},
                    retry_config={"max_retries": _RETRIES, "retry_timeout": _REQUEST},
                )
            else:
                directory = Path(place.removeprefix("file://"))
                os.makedirs(directory, mode=0o700, exist_ok=True)  # noqa: PTH103  as `make_folder`
                self._store = LocalStore(directory)
        self._is_local = isinstance(self._store, LocalStore)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="convlog-objects")

    def put_turns(self, turns: Iterable[tuple[str, bytes]]) -> PutTurns:
        """Begin to write objects that are there once and for all.

        Args:
            turns: Their names, from `turn_object`, and bytes. One that is there already has the same bytes.
        """
        bodies = dict(turns)
        return PutTurns(self, bodies, self._begin_to_put(bodies))

    def get_turns(self, turns: Iterable[tuple[str, int]]) -> Iterator[bytes | None]:
        """Yield the bytes of objects, in this order, a few of them in memory; None for one that is gone, or is another.

        Args:
            turns: Their names, and how many bytes they have.

        Raises:
            AwayError: The store cannot be used now.
        """
        begun: deque[tuple[Future[bytes | None], int]] = deque()
        size = 0
        for name, size_bytes in turns:
            while begun and (len(begun) >= _AT_ONCE or size + size_bytes > _MOST_BYTES):
                future, fetched = begun.popleft()
                size -= fetched
                yield self._result(future)
            begun.append((self._pool.submit(self._get, name), size_bytes))
            size += size_bytes
        yield from (self._result(future) for future, _ in begun)

    def fetch(self, name: str, path: Path) -> str | None:
        """Write a document to a file, piece by piece; return its version, None where there is none.

        Raises:
            AwayError: The store cannot be used now.
        """
        with _errors(self.place):
            try:
                found = obstore.get(self._store, name)
            except FileNotFoundError:
                return None
            make_private_file(path)
            with path.open("wb") as file:
                for piece in found.stream(min_chunk_size=1 << 20):
                    file.write(piece)
            return _version(found.meta)

    def put_document(self, name: str, path: Path, known: str | None) -> str:
        """Write a document in the place of the version that is known; return its new version.

        Args:
            name: Its name.
            path: The file with its bytes.
            known: From `fetch`, or from here; None where there was none.

        Raises:
            ChangedError: Another version is there.
            AwayError: The store cannot be used now.
        """
        conditional = not self._is_local and path.stat().st_size <= _WHOLE_BYTES
        with _errors(self.place):
            if not conditional:  # the lease in the database is what keeps others away
                if self.version(name) != known:
                    raise ChangedError(f"{name} has been changed by somebody else")
                return _version(obstore.put(self._store, name, path))
            try:
                return _version(obstore.put(self._store, name, path, mode=_update(known) if known else "create"))
            except (AlreadyExistsError, PreconditionError) as error:
                raise ChangedError(f"{name} has been changed by somebody else") from error

    def version(self, name: str) -> str | None:
        """Return a document's version; None where there is none."""
        with _errors(self.place):
            try:
                return _version(obstore.head(self._store, name))
            except FileNotFoundError:
                return None

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that are not there are passed over.

        Raises:
            AwayError: Not all could be removed.
        """
        begun = [self._pool.submit(self._remove, name) for name in names]
        for future in begun:
            self._result(future)

    def check(self) -> None:
        """Do nothing but see that the store can be used.

        Raises:
            AwayError: It cannot.
        """
        with _errors(self.place), suppress(FileNotFoundError):
            obstore.head(self._store, f"{TURNS}/none")

    def close(self) -> None:
        """Wait for what is under way."""
        self._pool.shutdown()

    def _begin_to_put(self, bodies: Mapping[str, bytes]) -> list[Future[None]]:
        return [self._pool.submit(self._put_new, name, body) for name, body in bodies.items()]

    def _result(self, future: Future[_T]) -> _T:
        with _errors(self.place):
            return future.result()

    def _put_new(self, name: str, body: bytes) -> None:
        with suppress(AlreadyExistsError):
            obstore.put(self._store, name, body, mode="create")

    def _get(self, name: str) -> bytes | None:
        if not _NAME.fullmatch(name):  # whoever writes to the database could have anything read otherwise
            return None
        try:
            body = obstore.get(self._store, name).bytes().to_bytes()
        except FileNotFoundError:
            return None
        return body if name.endswith(_end_of(body)) else None

    def _remove(self, name: str) -> None:
        if not _NAME.fullmatch(name) and not is_conversation_name(name):  # as above
            return
        with suppress(FileNotFoundError):
            obstore.delete(self._store, name)


class PutTurns:
    """Objects of turns that are being written; from `Objects.put_turns`."""

    def __init__(self, objects: Objects, bodies: Mapping[str, bytes], begun: Sequence[Future[None]]) -> None:
        self._objects = objects
        self._bodies = bodies
        self._begun = begun

    def wait(self) -> None:
        """Wait until they are there.

        Raises:
            AwayError: One of them is not written.
        """
        for future in self._begun:
            self._objects._result(future)  # noqa: SLF001  a part of it

    def put_again(self, names: Iterable[str]) -> None:
        """Write those of them once more that somebody may have removed.

        Raises:
            AwayError: One of them is not written.
        """
        bodies = {name: self._bodies[name] for name in names}
        PutTurns(self._objects, bodies, self._objects._begin_to_put(bodies)).wait()  # noqa: SLF001  as above


@contextmanager
def _errors(place: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, AwayError, ChangedError):
        raise
    except (BaseError, OSError, ValueError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]  # obstore adds a dump of its own
        raise AwayError(f"{without_password(place)} cannot be used: {reason}") from error


def _allows_http() -> bool:
    """Say whether the environment allows a store without TLS; obstore looks there only where it is given no options."""
    return any(os.environ.get(f"{provider}_ALLOW_HTTP", "").lower() == "true" for provider in _PROVIDERS)


def _version(meta: object) -> str:
    """Return what tells this version of an object from others: its ETag, and its version where the store has them."""
    assert isinstance(meta, dict)  # noqa: S101  obstore's typed dictionaries
    return f"{meta.get('e_tag') or ''} {meta.get('version') or ''}"


def _update(version: str) -> UpdateVersion:
    e_tag, _, number = version.partition(" ")
    update: UpdateVersion = {}
    if e_tag:
        update["e_tag"] = e_tag
    if number:
        update["version"] = number
    return update
