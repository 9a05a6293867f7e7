"""A command of `otel-convlog` that serves until it is ended, as a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STOP_S = 60


@contextmanager
def serving(
    command: str, directory: Path | str, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a command for the length of a `with` block, at any free port; yield its address and its process."""
    arguments = [sys.executable, "-m", "otel_convlog.cli", command, "--directory", str(directory)]
    arguments += ["--port", "0", "--json", *options]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["address"], process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise


def most_memory(process_id: int) -> int:
    """The most bytes that a process had in memory, as Linux counts them."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process_id}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
