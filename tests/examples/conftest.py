"""The stand-in for a model API and both example proxies as real processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from proxy_clients import CLIENTS, EXAMPLES, PROXIES, Client, Log, Server

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.launch import running

if TYPE_CHECKING:
    from collections.abc import Iterator

UPSTREAM_TIMEOUT_S = 1.0  # the proxies' patience with the upstream


@pytest.fixture(scope="session", autouse=True)
def _no_network_proxy() -> None:
    """A network's own HTTP proxy has no part in what passes between processes of one machine."""
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"


@pytest.fixture(scope="session")
def upstream() -> Iterator[str]:
    """The URL of the stand-in for a model API."""
    with running(EXAMPLES / "upstream" / "app.py") as url:
        yield url


@pytest.fixture(scope="session", params=PROXIES)
def proxy(request: pytest.FixtureRequest, upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Each example proxy in turn; it asks upstream for `gpt-5-mini` where a client says `fast`."""
    directory = tmp_path_factory.mktemp(request.param)
    arguments = ["--upstream", upstream, "--directory", str(directory), "--model", "fast=gpt-5-mini"]
    arguments += ["--timeout", str(UPSTREAM_TIMEOUT_S)]
    environment = {"OTEL_BSP_SCHEDULE_DELAY": "50"}  # ms; the default is five seconds
    with running(EXAMPLES / request.param / "app.py", *arguments, environment=environment) as url:
        yield Server(url, Log(directory))


@pytest.fixture(params=list(CLIENTS))
def route(request: pytest.FixtureRequest) -> str:
    """Each protocol in turn."""
    return str(request.param)


@pytest.fixture
def client(proxy: Server, route: str) -> Iterator[Client]:
    """A client of that protocol, with a conversation of its own."""
    with CLIENTS[route](proxy.url, f"{route}-{uuid4().hex[:12]}") as client:
        yield client


@pytest.fixture(params=[False, True], ids=["plain", "streamed"])
def stream(request: pytest.FixtureRequest) -> bool:
    """Whether the client asks for a stream."""
    return bool(request.param)
