"""The store as it works on Windows, on Linux: with its files and locks, and with Windows' rule for open files."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_convlog.store import windows_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

# Which files a test of the store runs with: this system's, and where it can be told which are open, Windows' too.
SYSTEMS = ["native", "windows"] if sys.platform == "linux" else ["native"]


only_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such thing")


def files_of(system: str) -> AbstractContextManager[None]:
    """Let the store work with the files of one of the systems; for this process."""
    return _windows_rules() if system == "windows" else nullcontext()


@contextmanager
def _windows_rules() -> Iterator[None]:
    replace, unlink = os.replace, os.unlink

    def replace_closed(source: Any, target: Any) -> None:
        _refuse_if_open(source)
        _refuse_if_open(target)
        replace(source, target)

    def unlink_closed(path: Any) -> None:
        _refuse_if_open(path)
        unlink(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("otel_convlog.store.locked_file"), "_files", windows_files)
        patch.setattr(os, "replace", replace_closed)
        patch.setattr(os, "unlink", unlink_closed)
        yield


def _refuse_if_open(path: Any) -> None:
    """Refuse what Windows would, as far as this process has the file open."""
    if Path(path).absolute() in map(_target, Path("/proc/self/fd").iterdir()):
        raise PermissionError(errno.EACCES, "The process cannot access the file", str(path))


def _target(descriptor: Path) -> Path | None:
    try:
        return descriptor.readlink()
    except OSError:  # closed meanwhile
        return None
