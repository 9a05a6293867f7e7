"""Where a conversation's file is: ``{directory}/{YYYY-MM-DD}/{conversation_id}.json`` (docs/format.md)."""

from __future__ import annotations

import re
import sys
from hashlib import sha256
from typing import TYPE_CHECKING
from unicodedata import normalize

if TYPE_CHECKING:
    from pathlib import Path

# 255 bytes is what file systems allow. The rest is for ".json" and for the suffixes of files kept beside. On Windows a
# whole path has at most 260 characters, unless the machine is set to allow more.
_LONGEST_NAME_BYTES = 100 if sys.platform == "win32" else 200
_DIGEST_DIGITS = 24

# Names of devices on Windows, also with an extension:
# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_CASE_MATTERS = sys.platform not in {"darwin", "win32"}
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_SAFE = re.compile(r"[\w.-]+")


def conversation_path(directory: Path, day: str, conversation_id: str) -> Path:
    """Return the path of a conversation's file.

    Args:
        directory: The log's directory.
        day: The UTC day on which the turn started, ``YYYY-MM-DD``.
        conversation_id: Any text. Where it cannot be a file's name, the name is its beginning, ``~`` and a digest;
            ``~`` is in no id that `otel_convlog.identity` gives, so two ids never share a file.
    """
    return directory / conversation_file(day, conversation_id)


def conversation_file(day: str, conversation_id: str) -> str:
    """Return the same within the log's directory, with ``/``."""
    return f"{day}/{_file_name(conversation_id)}.json"


def is_conversation_file(path: Path) -> bool:
    """Say whether a path is where a conversation's file would be, and a file: no link, no folder, and in no link."""
    folder = path.parent
    if not (path.suffix == ".json" and is_day(folder.name)):
        return False
    return path.is_file() and not path.is_symlink() and not folder.is_symlink()


def is_conversation_name(file: str) -> bool:
    """Say whether that is what `conversation_file` gives, or could have given on another system."""
    day, _, name = file.partition("/")
    return is_day(day) and name.endswith(".json") and not set(name) & set("/\\\0")


def matching(directory: Path, pattern: str) -> list[Path]:
    """Return the paths in a log that match, in order.

    `Path.glob` before Python 3.13 takes a folder for an error that somebody removes meanwhile, as retention does.
    """
    while True:
        try:
            return sorted(directory.glob(pattern))
        except FileNotFoundError:
            continue


def is_day(name: str) -> bool:
    """Say whether that is the name of a day's folder."""
    return _DAY.fullmatch(name) is not None


def _file_name(conversation_id: str) -> str:
    if _can_be_a_name(conversation_id):
        return conversation_id
    digest = sha256(conversation_id.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_DIGITS]
    beginning = "".join(c if c.isalnum() or c in "-_" else "_" for c in conversation_id).encode()
    return beginning[: _LONGEST_NAME_BYTES - _DIGEST_DIGITS - 1].decode("utf-8", "ignore") + "~" + digest


def _can_be_a_name(conversation_id: str) -> bool:
    if not _SAFE.fullmatch(conversation_id) or len(conversation_id.encode()) > _LONGEST_NAME_BYTES:
        return False
    if conversation_id in {".", ".."} or (sys.platform == "win32" and _RESERVED.fullmatch(conversation_id)):
        return False
    # macOS takes names for the same too that differ only in how a character is put together.
    return _CASE_MATTERS or conversation_id == normalize("NFC", conversation_id.casefold())
