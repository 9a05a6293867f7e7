"""The page, served by the real command in a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_STOP_S = 20


@dataclass(frozen=True)
class Viewer:
    """A page that is being served.

    Attributes:
        address: The start-up address, with the token.
        url: Without it, and without a path.
    """

    address: str
    url: str
    process_id: int

    @property
    def token(self) -> str:
        return self.address.partition("?token=")[2]


@contextmanager
def viewing(directory: Path, *options: str) -> Iterator[Viewer]:
    """Serve a log's page for the length of a `with` block."""
    command = [sys.executable, "-m", "otel_convlog.cli", "view", "--directory", str(directory)]
    command += ["--port", "0", "--no-open", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = json.loads(process.stdout.readline())["address"]
            parts = urlsplit(address)
            yield Viewer(address, f"{parts.scheme}://{parts.netloc}", process.pid)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def most_memory(process_id: int) -> int:
    """The most bytes that a process had in memory, as Linux counts them."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process_id}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
