"""The page: a log seen in a browser, served on this machine (docs/viewer.md). Needs the extra ``viewer``."""

from __future__ import annotations

from otel_convlog.viewer.app import create_app
from otel_convlog.viewer.guard import Guard

__all__ = ["Guard", "create_app"]
