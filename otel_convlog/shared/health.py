"""How the delivery of a spool is doing: written by who delivers, read by whoever asks."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from time import time
from typing import TYPE_CHECKING

from otel_convlog.store.locked_file import write_private_file

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = ".delivery.json"
FRESH_S = 15.0  # after that nobody delivers


@dataclass(frozen=True)
class Health:
    """How it was when it was looked at last.

    Attributes:
        ready: Whether the database and the store took what was delivered last.
        reason: Why not.
        lag_s: How long the oldest of what waits has waited.
        waiting_bytes: How much waits; `waiting_files` in how many files.
        turns_delivered: How many turns have been delivered since it began; `turns_repeated` had been before.
        looked_at: When that was, in seconds since the epoch.
    """

    ready: bool = False
    reason: str = "nobody delivers"
    lag_s: float = 0.0
    waiting_bytes: int = 0
    waiting_files: int = 0
    turns_delivered: int = 0
    turns_repeated: int = 0
    documents_made: int = 0
    looked_at: float = 0.0


def write_health(directory: Path, health: Health) -> None:
    """Say how the delivery of a spool is doing.

    Raises:
        OSError: It cannot be said.
    """
    write_private_file(directory / FILE_NAME, json.dumps(asdict(health)).encode())


def read_health(directory: Path) -> Health:
    """Return how the delivery of a spool is doing; not ready where nobody has said anything for a while."""
    try:
        health = Health(**json.loads((directory / FILE_NAME).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return Health()
    return health if time() - health.looked_at < FRESH_S else Health()
