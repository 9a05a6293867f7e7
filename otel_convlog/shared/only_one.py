"""One process delivers the turns of a spool, whoever starts it."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from otel_convlog.store.access import OWNER, make_folder
from otel_convlog.store.locked_file import make_private_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOCK_NAME = ".delivering.sqlite3"


@contextmanager
def only_one(directory: Path) -> Iterator[bool]:
    """Say whether nobody else delivers the turns of a spool, and keep others from it while this one may."""
    make_folder(directory, OWNER)
    path = directory / _LOCK_NAME
    make_private_file(path)
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")  # a lock that every system has, and that ends with its process
        except sqlite3.OperationalError:
            yield False
            return
        yield True
