"""What all live tests need."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from environments import run

from examples.launch import running

_PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def upstream() -> Any:
    with running(_PROJECT / "examples" / "upstream" / "app.py") as url:
        yield url


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package once: what each environment installs."""
    directory = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(directory), str(_PROJECT))
    (built,) = directory.glob("*.whl")
    return built
