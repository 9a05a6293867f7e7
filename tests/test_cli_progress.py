"""On a terminal, what takes longer than a second is seen to go on; into a pipe goes nothing of that."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

_SCRIPT = (
    "import time; from otel_convlog.cli.progress import busy\n"
    "with busy('merging'): time.sleep({seconds})\n"
    "print('done')"
)


def shown(seconds: float) -> str:
    """Return what a terminal shows of a work that takes so long."""
    primary, secondary = pty.openpty()
    command = [sys.executable, "-c", _SCRIPT.format(seconds=seconds)]
    with subprocess.Popen(command, stdout=secondary, stderr=secondary) as process:
        os.close(secondary)
        pieces = []
        try:
            while piece := os.read(primary, 4096):
                pieces.append(piece)
        except OSError:  # the other end is closed
            pass
        process.wait(20)
    os.close(primary)
    return b"".join(pieces).decode()


def test_what_takes_long_is_seen_to_go_on() -> None:
    assert "merging" in shown(2.5)


def test_what_is_done_at_once_is_not() -> None:
    assert shown(0) == "done\r\n"


def test_a_pipe_gets_nothing_of_it() -> None:
    command = [sys.executable, "-c", _SCRIPT.format(seconds=1.5)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")
