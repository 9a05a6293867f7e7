"""A real tracer provider for each test, with the exporter writing into a folder of the test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from conversation_log import Log, forget_tracer_provider
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from windows_rules import SYSTEMS, files_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def no_sdk() -> Iterator[None]:
    forget_tracer_provider()
    yield
    forget_tracer_provider()


@pytest.fixture
def log(tmp_path: Path, no_sdk: None) -> Iterator[Log]:  # noqa: ARG001
    """Turns reach their files within the call that finalizes them."""
    log = Log(tmp_path / "log")
    log.provider.add_span_processor(SimpleSpanProcessor(log.exporter))
    trace.set_tracer_provider(log.provider)
    yield log
    log.provider.shutdown()


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a module's tests with this system's files, and with those of Windows."""
    with files_of(request.param):
        yield request.param
