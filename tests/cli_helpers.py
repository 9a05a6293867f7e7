"""The commands, run in this process, and logs for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from otel_convlog.cli.app import commands
from otel_convlog.store import ConversationStore, render

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from otel_convlog.record import IdentifiedTurn

# Runs a command, and says on stderr at its end how many KB of memory it has used at most. (What `resource` says of a
# child counts the memory of the process that has forked it.)
MEASURED = """
import atexit, re, sys
from pathlib import Path
from otel_convlog.cli import main
status = Path("/proc/self/status")
atexit.register(lambda: print(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1], file=sys.stderr))
main()
"""

DAY_NS = 86_400_000_000_000


def run(directory: Path, *arguments: str, status: int = 0) -> Result:
    """Run a command on a log; it ends as expected."""
    name, *rest = arguments
    result = CliRunner().invoke(commands, [name, "--directory", str(directory), *rest])
    assert result.exit_code == status, (result.output, result.exception)
    return result


def objects(directory: Path, *arguments: str, status: int = 0) -> list[Any]:
    """Run a command with ``--json``; what it prints."""
    return [json.loads(line) for line in run(directory, *arguments, "--json", status=status).stdout.splitlines()]


def write(directory: Path, *turns: IdentifiedTurn) -> None:
    """Write turns, each to its file."""
    store = ConversationStore(directory)
    for turn in turns:
        store.write(store.path_of(turn), [render(turn)])
    store.close()


def asked(*texts: str) -> Any:
    """A chat's request in which user and assistant take turns."""
    roles = ("user", "assistant")
    return {
        "model": "gpt-5",
        "messages": [{"role": roles[number % 2], "content": text} for number, text in enumerate(texts)],
    }


def answered(text: str) -> Any:
    """A chat's answer."""
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
