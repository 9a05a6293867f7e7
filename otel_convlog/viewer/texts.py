"""The full text, brought up to date beside the requests: the first time takes a while in a large log."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from otel_convlog.reading.search import bring_texts_up_to_date

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE_S = 0.25  # that a search waits: in most logs nothing or little is to be read


class Texts:
    """Brings the texts of one log up to date, one thread at a time.

    Args:
        directory: The log's directory.

    Attributes:
        done: How many files the running thread has read, of `total`.
        error: Why it could not be done the last time; empty where it could.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.done = 0
        self.total = 0
        self.error = ""

    def bring_up_to_date(self) -> bool:
        """Start reading what is new, and wait a moment; say whether all of it has been read."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._read, name="convlog-texts", daemon=True)
                self._thread.start()
            thread = self._thread
        thread.join(_PATIENCE_S)
        return not thread.is_alive()

    def _read(self) -> None:
        self.done = self.total = 0
        try:
            bring_texts_up_to_date(self._directory, self._note)
        except (OSError, ValueError) as error:  # a catalog that cannot be written, a SQLite without full text
            self.error = str(error)
        else:
            self.error = ""

    def _note(self, done: int, total: int) -> None:
        self.done, self.total = done, total
