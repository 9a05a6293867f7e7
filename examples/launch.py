"""Starts an example server as a process of its own, and stops it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

STOP_TIMEOUT_S = 10.0


@contextmanager
def running(script: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a server script for the length of a `with` block; when the block is left, it has stopped.

    Args:
        script: The server's file; it prints its URL when it listens.
        *arguments: Its command line.
        environment: Variables to set for it, beside those of this process.

    Yields:
        The server's URL.

    Raises:
        RuntimeError: The server ended before it listened. Its own words are on stderr.
    """
    process = subprocess.Popen(  # noqa: S603 -- the scripts are the examples' own
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
        start_new_session=True,  # Ctrl-C then reaches the starting process alone, which stops the server in its turn
    )
    try:
        with cast("IO[str]", process.stdout) as output:
            url = output.readline().strip()
            if not url:
                raise RuntimeError(f"{script} ended with status {process.wait()} before it listened")
            yield url
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
