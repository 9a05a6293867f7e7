"""A directory's random key: what is kept of turns without content depends on it (docs/privacy.md, "Content").

Without it nobody can try out what a digest is of, be it of ever so short a text. It stands in a file of its own, which
may be kept out of backups, or deleted: nothing that was kept with it is recognised again then.
"""

from __future__ import annotations

import logging
import os
import secrets
from typing import TYPE_CHECKING

from otel_convlog.store.access import OWNER, make_folder
from otel_convlog.store.locked_file import make_private_file

if TYPE_CHECKING:
    from pathlib import Path

    from otel_convlog.store.access import Access

_logger = logging.getLogger(__name__)

FILE_NAME = "privacy.key"

_BYTES = 32


class DirectoryKey:
    """The key of one directory, shared by all processes that write there.

    Args:
        directory: The log's directory.
        access: Who may read the key's file.
    """

    def __init__(self, directory: Path, *, access: Access = OWNER) -> None:
        self.path = directory / FILE_NAME
        self._access = access
        self._known = b""
        self._own = b""

    def value(self) -> bytes:
        """Return the key, which is made where there is none.

        Where it can be neither read nor made, this process has a key of its own until it can.
        """
        if not self._known:
            try:
                self._known = self.read() or self._make()
            except OSError as error:
                if not self._own:
                    _logger.warning("%s cannot be used (%s); turns of this process stand alone", self.path, error)
                    self._own = secrets.token_bytes(_BYTES)
                return self._own
        return self._known

    def read(self) -> bytes:
        """Return the key that there is; empty where there is none.

        Raises:
            OSError: It cannot be read.
        """
        try:
            key = self.path.read_bytes()
        except FileNotFoundError:
            return b""
        return key if len(key) == _BYTES else b""

    def _make(self) -> bytes:
        """Make the key under another name first, so that no process finds a part of it."""
        make_folder(self.path.parent, self._access)
        new = self.path.with_name(f".{FILE_NAME}.{os.getpid()}-{secrets.token_hex(4)}")
        make_private_file(new, self._access)
        try:
            new.write_bytes(secrets.token_bytes(_BYTES))
            if self.path.exists():  # and is no key
                os.replace(new, self.path)  # noqa: PTH105  as in posix_files
            else:
                self._give_name(new)
        finally:
            new.unlink(missing_ok=True)
        return self.read()

    def _give_name(self, new: Path) -> None:
        try:
            os.link(new, self.path)
        except FileExistsError:  # another process was faster
            return
        except OSError:  # a file system without links
            os.replace(new, self.path)  # noqa: PTH105  as above
