"""Writes the output of docs/cli.md anew, by running its commands one after another.

Run ``python tests/examples/cli_docs.py``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cli_log import make_log, upstream

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def run(command: str, environment: Mapping[str, str], folder: Path) -> str:
    """Run a line of the document in a shell, as its reader would; what it prints, to both streams."""
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    return "\n".join(line.rstrip() for line in done.stdout.decode().rstrip("\n").split("\n"))


def environment_for(directory: Path, upstream_url: str) -> dict[str, str]:
    """The variables that the document supposes: where the log is, and where a model API listens."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        **os.environ,
        "PATH": path,
        "OTEL_EXPORTER_CONVLOG_DIRECTORY": str(directory),
        "UPSTREAM": upstream_url,
        "KEY": "sk-ant-of-a-test",
        "PYTHONIOENCODING": "utf-8",
        "NO_PROXY": "127.0.0.1",
    }


def rewrite(document: str, environment: Mapping[str, str], folder: Path) -> str:
    """The document with the output that its commands print now."""

    def block(match: re.Match[str]) -> str:
        commands = [line for line in match[1].splitlines() if line.startswith("$ ")]
        outputs = [run(command[2:], environment, folder) for command in commands]
        lines = [
            f"{command}\n{output}\n" if output else f"{command}\n"
            for command, output in zip(commands, outputs, strict=True)
        ]
        return "```console\n" + "".join(lines) + "```\n"

    return re.sub(r"^```console\n(.*?)^```\n", block, document, flags=re.MULTILINE | re.DOTALL)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name, upstream() as url:
        make_log(Path(name) / "log", url)
        variables = environment_for(Path(name) / "log", url)
        DOCUMENT.write_text(rewrite(DOCUMENT.read_text("utf-8"), variables, Path(name)), "utf-8")
