"""The hooks are instrumentors like any other of OpenTelemetry's."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Any

import pytest
from packaging.requirements import Requirement

_NAMES = ["aiohttp", "django", "flask", "httpx", "quart", "requests", "starlette"]


def load(name: str) -> Any:
    (entry_point,) = entry_points(group="opentelemetry_instrumentor", name=f"convlog_{name}")
    return entry_point.load()


def entrances() -> list[Any]:
    import aiohttp
    import httpx
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from flask import Flask
    from quart import Quart
    from requests.adapters import HTTPAdapter
    from starlette.applications import Starlette

    return [
        aiohttp.ClientSession.__init__,
        httpx.HTTPTransport.handle_request,
        httpx.AsyncHTTPTransport.handle_async_request,
        HTTPAdapter.send,
        *(kind.__call__ for kind in (ASGIHandler, WSGIHandler, Flask, Quart, Starlette)),
    ]


@pytest.mark.parametrize("name", _NAMES)
def test_an_instrumentor_changes_its_library_and_changes_it_back(name: str) -> None:
    instrumentor = load(name)()
    before = entrances()
    instrumentor.instrument()
    assert entrances() != before
    instrumentor.uninstrument()
    assert entrances() == before


@pytest.mark.parametrize("name", _NAMES)
def test_an_instrumentor_says_what_it_needs(name: str) -> None:
    (requirement,) = load(name)().instrumentation_dependencies()
    assert Requirement(requirement).name == name


@pytest.mark.parametrize("name", _NAMES)
def test_an_instrumentor_of_a_library_that_is_not_there_does_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrumentor = load(name)()
    for module in list(sys.modules):
        if module.partition(".")[0] in (name, "httpx2"):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "httpx2", None)
    instrumentor.instrument(skip_dep_check=True)  # as the loader does it
    instrumentor.uninstrument()
