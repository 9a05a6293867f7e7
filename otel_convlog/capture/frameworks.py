"""Hooks that put the middleware around the applications of web frameworks, so that nobody has to."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from otel_convlog.capture import asgi, wsgi
from otel_convlog.capture.options import CaptureOptions
from otel_convlog.capture.patches import Patches

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class _Entrance:
    """A class whose instances servers call: its ``__call__`` is where requests come in."""

    module: str
    class_name: str
    asgi: bool


_ENTRANCES = {
    # FastAPI's applications are Starlette's; so are LiteLLM's proxy and vLLM's server.
    "starlette": (_Entrance("starlette.applications", "Starlette", asgi=True),),
    "quart": (_Entrance("quart.app", "Quart", asgi=True),),
    "flask": (_Entrance("flask.app", "Flask", asgi=False),),
    "django": (
        _Entrance("django.core.handlers.asgi", "ASGIHandler", asgi=True),
        _Entrance("django.core.handlers.wsgi", "WSGIHandler", asgi=False),
    ),
}

_patches = {framework: Patches() for framework in _ENTRANCES}


def instrument_framework(framework: str) -> None:
    """Record the turns of all applications of a framework, as the middleware does it. A second call does nothing.

    Args:
        framework: ``starlette`` (also FastAPI), ``quart``, ``flask`` or ``django``.

    Raises:
        ImportError: There is no such framework.
    """
    patches = _patches[framework]
    for entrance in _ENTRANCES[framework]:
        owner = getattr(import_module(entrance.module), entrance.class_name)
        wrapper = _within_asgi if entrance.asgi else _within_wsgi
        patches.wrap(owner, "__call__", functools.partial(wrapper, patches))


def uninstrument_framework(framework: str) -> None:
    """Let the applications of a framework be as they were."""
    _patches[framework].undo()


def _within_asgi(patches: Patches, original: Callable[..., Any]) -> Callable[..., Any]:
    options = CaptureOptions.resolve()

    @functools.wraps(original)
    async def __call__(self: Any, scope: Any, receive: Any, send: Any) -> None:  # noqa: N807  it is one
        if patches.active:
            await asgi.serve(functools.partial(original, self), options, scope, receive, send)
        else:
            await original(self, scope, receive, send)

    return __call__


def _within_wsgi(patches: Patches, original: Callable[..., Any]) -> Callable[..., Any]:
    options = CaptureOptions.resolve()

    @functools.wraps(original)
    def __call__(self: Any, environ: Any, start_response: Any) -> Any:  # noqa: N807  it is one
        if patches.active:
            return wsgi.serve(functools.partial(original, self), options, environ, start_response)
        return original(self, environ, start_response)

    return __call__
