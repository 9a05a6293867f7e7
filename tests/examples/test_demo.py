"""The demonstration does what the README says of it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from proxy_clients import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_S = 60  # what the README promises


def run(directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the demonstration in a directory of its own."""
    return subprocess.run(
        [sys.executable, str(EXAMPLES / "demo.py"), "--directory", str(directory)],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        cwd=directory.parent,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )


def test_the_demo_writes_the_files_that_it_shows_also_a_second_time(tmp_path: Path) -> None:
    directory = tmp_path / "conversations"
    for _ in range(2):
        done = run(directory)
        assert (done.returncode, done.stderr) == (0, "")
        shown = re.findall(r"^ {4}(\S+\.json) +(\d+) turn", done.stdout, re.MULTILINE)
        assert len(shown) == 8
        for name, turns in shown:
            (path,) = directory.glob(f"*/{name}")
            content = path.read_bytes()
            document = json.loads(content)
            assert content == json.dumps(document, ensure_ascii=False, indent=2).encode()
            assert len(document["turns"]) >= int(turns)
    assert len(list(directory.glob("*/*.json"))) == 15  # the conversation without an id is the same one both times


def test_the_demo_fails_and_says_why_when_nothing_is_written(tmp_path: Path) -> None:
    done = run(tmp_path / "conversations", OTEL_SDK_DISABLED="true")

    assert done.returncode == 1
    assert "Not all was written" in done.stderr
    assert "-chat: expected 3 turns" in done.stderr


def test_an_interrupted_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "demo.py"), "--directory", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with demo:
        assert demo.stdout is not None
        lines = [demo.stdout.readline(), demo.stdout.readline()]
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=TIMEOUT_S)

    assert demo.returncode == 130
    ports = re.findall(r"http://127\.0\.0\.1:(\d+)", "".join(lines))
    assert len(ports) == 2
    for port in ports:
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", int(port))):
            pass
