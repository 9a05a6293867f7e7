"""Real servers whose requests are captured, and what their log holds."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conversation_log import read_document

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent
UPSTREAM = TESTS.parent / "examples" / "upstream" / "app.py"

_START_S = 30.0

# As `opentelemetry-instrument` is told to log turns, and nothing else.
INSTRUMENTED = {
    "OTEL_PYTHON_CONFIGURATOR": "convlog",
    "OTEL_TRACES_EXPORTER": "convlog",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
}


def uvicorn(application: str) -> list[str]:
    return ["-m", "uvicorn", "--log-level", "error", "--port", "{port}", application]


def gunicorn(application: str, *options: str) -> list[str]:
    return ["-m", "gunicorn", "--log-level", "error", "--bind", "127.0.0.1:{port}", *options, application]


@contextmanager
def serving(command: list[str], directory: Path, upstream: str, **variables: str) -> Iterator[str]:
    """Run a server: the arguments of Python, in which ``{port}`` stands for its port. Yields its URL."""
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment |= {
        "DIRECTORY": str(directory),
        "OTEL_EXPORTER_CONVLOG_DIRECTORY": str(directory),
        "UPSTREAM": upstream,
        "PYTHONPATH": str(TESTS),
        **variables,
    }
    arguments = [argument.format(port=port) for argument in command]
    with subprocess.Popen([sys.executable, *arguments], env=environment, cwd=TESTS.parent) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def instrumented(command: list[str]) -> list[str]:
    """Return the arguments that run a server under ``opentelemetry-instrument``."""
    run = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
    return ["-c", run, sys.executable, *command]


def turns_in(directory: Path) -> list[dict[str, Any]]:
    """Return the turns of a log, in the order in which they began."""
    found = [turn for path in directory.glob("*/*.json") for turn in read_document(path)["turns"]]
    return sorted(found, key=lambda turn: str(turn["started_at"]))


def wait_for_turns(directory: Path, count: int) -> list[dict[str, Any]]:
    """Wait until a log holds so many turns."""
    deadline = time.monotonic() + 30
    turns: list[dict[str, Any]] = []
    while len(turns) < count and time.monotonic() < deadline:
        time.sleep(0.05)
        with suppress(ValueError, AssertionError):  # a file is being written at this moment
            turns = turns_in(directory)
    return turns


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server does not listen") from None
            time.sleep(0.05)
        else:
            return
