"""One server of each kind for all tests of a process; each test has its own database and folder in the bucket."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import pytest
from servers import BUCKET, S3_VARIABLES, postgres, s3
from shared_place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers import Postgres


@pytest.fixture(scope="session")
def database_server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def store_server() -> Iterator[str]:
    with s3() as address:
        yield address


@pytest.fixture
def place(
    database_server: Postgres, store_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """A shared log, on an object store."""
    name = f"test-{secrets.token_hex(6)}"
    for variable, value in {**S3_VARIABLES, "AWS_ENDPOINT_URL": store_server}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = Place(f"s3://{BUCKET}/{name}", database_server.database(name), tmp_path)
    yield place
    place.close()


@pytest.fixture
def place_in_folder(database_server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A shared log, in a folder that all machines have: quicker than a store."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    database = database_server.database(f"test-{secrets.token_hex(6)}")
    place = Place(str(tmp_path / "store"), database, tmp_path)
    yield place
    place.close()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("OTEL_EXPORTER_CONVLOG_")]:
        monkeypatch.delenv(variable)
