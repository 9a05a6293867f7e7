"""OTLP/HTTP: the spans of programs in any language become conversations (docs/collect.md). Extra ``collect``."""

from __future__ import annotations

from otel_convlog.collecting.server import Limits, serve

__all__ = ["Limits", "serve"]
