"""The templates, and what they may call: all that is logged goes through `harmless` and is escaped."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from otel_convlog._version import __version__
from otel_convlog.reading.harmless import harmless, harmless_line
from otel_convlog.reading.units import bytes_size, milliseconds, moment
from otel_convlog.viewer import links

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


@cache
def environment() -> Environment:
    """Return the environment that all pages share."""
    made = Environment(
        loader=PackageLoader("otel_convlog.viewer"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "bytes_size": bytes_size,
        "harmless": harmless,
        "line": harmless_line,
        "milliseconds": milliseconds,
        "moment": moment,
        "unquoted": unquote,
    }
    made.globals |= {"links": links, "static": static, "version": __version__}
    return made


def render(template: str, **values: Any) -> str:
    """Return a template's text, with what it is given."""
    return environment().get_template(template).render(**values)


def page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """Return a page; templates know the request's path as `path`."""
    return HTMLResponse(render(template, path=request.url.path, **values), status)


def static(name: str) -> str:
    """Return the address of a file of ``static/``: another one when any of them is another one.

    All have the same folder, so that a module which another one imports is the one that the page has loaded.
    """
    return f"/static/{_digest()}/{name}"


@cache
def _digest() -> str:
    folder = files("otel_convlog.viewer") / "static"
    read = sha256()
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        read.update(file.read_bytes())
    return read.hexdigest()[:12]
