"""Who may read the log: the modes of its files and folders."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Access:
    """Modes, whatever the process's umask is.

    Attributes:
        file: Of files.
        folder: Of folders.
    """

    file: int
    folder: int


OWNER = Access(0o600, 0o700)
_OF_GROUP = {"none": OWNER, "read": Access(0o640, 0o750), "write": Access(0o660, 0o770)}


def access_of(group_access: str) -> Access:
    """Return the modes for what the group may do: ``none``, ``read`` or ``write``."""
    return _OF_GROUP[group_access]


def group_access_of(path: Path) -> str:
    """Return what the group may do with a file that is there: ``none``, ``read`` or ``write``.

    Raises:
        OSError: It is not there.
    """
    mode = path.stat().st_mode
    return "write" if mode & 0o020 else "read" if mode & 0o040 else "none"


def make_folder(folder: Path, access: Access) -> None:
    """Make a folder where there is none, with the modes of this log; those above it with the process's own.

    Raises:
        OSError: It cannot be made.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=access.folder)
    except FileExistsError:  # another was faster
        return
    folder.chmod(access.folder)


def set_mode(descriptor: int, mode: int) -> None:
    """Give an open file its mode, where the system knows modes."""
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)
