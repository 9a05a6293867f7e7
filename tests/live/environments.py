"""Virtual environments in which packages are tried whose pins do not go together."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def environment_with(directory: Path, requirements: list[str]) -> Path:
    """Make an environment: by uv, in seconds; where that finds no packages, by pip, which has settings of its own."""
    venv.create(directory)
    python = directory / "bin" / "python"
    quick = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", str(python), *requirements]
    variables = {**variables_without_otel(), "UV_NATIVE_TLS": "true"}  # pip looks at the system's certificates, too
    if subprocess.run(quick, env=variables, capture_output=True, check=False, timeout=400).returncode:
        run(sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-compile", *requirements)
    return python


def variables_without_otel() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}


def run(*command: str, **variables: str) -> str:
    done = subprocess.run(
        command, env={**variables_without_otel(), **variables}, capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout
