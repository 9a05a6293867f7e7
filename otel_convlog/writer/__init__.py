"""Writing in a process of its own, so that a proxy's own requests share no interpreter with it (docs/delivery.md)."""

from __future__ import annotations

from otel_convlog.writer.parent import ProcessWriter

__all__ = ["ProcessWriter"]
