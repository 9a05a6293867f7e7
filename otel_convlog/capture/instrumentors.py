"""The hooks as OpenTelemetry's instrumentors, which ``opentelemetry-instrument`` switches on by itself.

They need the package ``opentelemetry-instrumentation`` (the extra ``instrumentation``). ``convlog_httpx`` and its
fellows in ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`` switch one off.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # not checked there

from otel_convlog.capture.aiohttp_client import instrument_aiohttp, uninstrument_aiohttp
from otel_convlog.capture.frameworks import instrument_framework, uninstrument_framework
from otel_convlog.capture.httpx_client import instrument_httpx, uninstrument_httpx
from otel_convlog.capture.requests_client import instrument_requests, uninstrument_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


_logger = logging.getLogger(__name__)


def _where_installed(instrument: Callable[[], None]) -> None:
    """Switch a hook on. Not all releases of the loader ask whether its library is there, and some then stop."""
    try:
        instrument()
    except ModuleNotFoundError as error:
        _logger.debug("nothing is instrumented: %s", error)


class HttpxInstrumentor(BaseInstrumentor):
    """Switches `instrument_httpx` on."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what is instrumented."""
        return ("httpx >= 0.27",)

    def _instrument(self, **_: Any) -> None:
        _where_installed(instrument_httpx)

    def _uninstrument(self, **_: Any) -> None:
        uninstrument_httpx()


class RequestsInstrumentor(BaseInstrumentor):
    """Switches `instrument_requests` on."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what is instrumented."""
        return ("requests >= 2.31",)

    def _instrument(self, **_: Any) -> None:
        _where_installed(instrument_requests)

    def _uninstrument(self, **_: Any) -> None:
        uninstrument_requests()


class AiohttpInstrumentor(BaseInstrumentor):
    """Switches `instrument_aiohttp` on."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what is instrumented."""
        return ("aiohttp >= 3.9",)

    def _instrument(self, **_: Any) -> None:
        _where_installed(instrument_aiohttp)

    def _uninstrument(self, **_: Any) -> None:
        uninstrument_aiohttp()


class _FrameworkInstrumentor(BaseInstrumentor):
    """Puts the middleware around all applications of a framework."""

    framework: ClassVar[str]
    dependency: ClassVar[str]

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what is instrumented."""
        return (self.dependency,)

    def _instrument(self, **_: Any) -> None:
        _where_installed(partial(instrument_framework, self.framework))

    def _uninstrument(self, **_: Any) -> None:
        uninstrument_framework(self.framework)


class StarletteInstrumentor(_FrameworkInstrumentor):
    """Records what applications of Starlette and FastAPI are asked."""

    framework = "starlette"
    dependency = "starlette >= 0.27"


class QuartInstrumentor(_FrameworkInstrumentor):
    """Records what applications of Quart are asked."""

    framework = "quart"
    dependency = "quart >= 0.19"


class FlaskInstrumentor(_FrameworkInstrumentor):
    """Records what applications of Flask are asked."""

    framework = "flask"
    dependency = "flask >= 2.0"


class DjangoInstrumentor(_FrameworkInstrumentor):
    """Records what applications of Django are asked."""

    framework = "django"
    dependency = "django >= 4.2"
