"""The log of one test, and how its files are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util._once import Once

from otel_convlog import ConversationSpanExporter

if TYPE_CHECKING:
    from pathlib import Path


def forget_tracer_provider() -> None:
    """Let the next provider be set: the API allows one a process (its own tests do the same)."""
    trace._TRACER_PROVIDER_SET_ONCE = Once()
    trace._TRACER_PROVIDER = None


class Log:
    """The log of one test."""

    def __init__(self, directory: Path, **provider_options: Any) -> None:
        self.directory = directory
        self.exporter = ConversationSpanExporter(directory=directory)
        self.provider = TracerProvider(**provider_options)

    def files(self) -> list[Path]:
        return sorted(self.directory.glob("*/*.json"))

    def document(self) -> dict[str, Any]:
        """Read the one file there is, and check what holds for every file."""
        (path,) = self.files()
        return read_document(path)


def read_document(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    document: dict[str, Any] = json.loads(data)
    assert json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8", "backslashreplace") == data
    assert document["turn_count"] == len(document["turns"])
    return document
