"""The page, served by the real command in a process of its own."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from command_process import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
    with serving("view", directory, "--no-open", *options) as (address, process):
        parts = urlsplit(address)
        yield Viewer(address, f"{parts.scheme}://{parts.netloc}", process.pid)
