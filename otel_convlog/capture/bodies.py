"""Bodies of requests and answers, read as they pass."""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from otel_convlog.capture.sse import EventParser
from otel_convlog.jsontext import from_json

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json

MOST_BYTES = 16 << 20  # of a body; beyond it only its size is recorded


class _Decoder(Protocol):
    def decompress(self, data: bytes, /) -> bytes: ...


class AnswerReader:
    """Reads an answer as it passes.

    Args:
        content_type: Its ``Content-Type``.
        content_encoding: Its ``Content-Encoding``.
        unnamed_event: The type of streamed events that name none.
        most_bytes: How much of a whole answer is kept.
    """

    def __init__(
        self, content_type: str, content_encoding: str, unnamed_event: str, most_bytes: int = MOST_BYTES
    ) -> None:
        self.streams = content_type.partition(";")[0].strip().lower() == "text/event-stream"
        self._parser = EventParser()
        self._unnamed_event = unnamed_event
        self._encoding = content_encoding.strip().lower()
        self._decoder = _decoder(self._encoding)
        self._readable = self._decoder is not None or self._encoding in ("", "identity")
        self._pieces: list[bytes] = []
        self._most_bytes = most_bytes
        self._kept = 0
        self._seen = 0

    def feed(self, piece: bytes) -> list[Json]:
        """Take the next bytes as they are on the wire; return the events that they complete."""
        self._seen += len(piece)
        if not self._readable:
            return []
        try:
            plain = piece if self._decoder is None else self._decoder.decompress(piece)
        except Exception:  # noqa: BLE001  each library has an error of its own
            self._readable = False
            return []
        if self.streams:
            return [
                {"type": event.name or self._unnamed_event, "data": parsed(event.data)}
                for event in self._parser.feed(plain)
            ]
        self._kept += len(plain)
        if self._kept <= self._most_bytes:
            self._pieces.append(plain)
        else:
            self._pieces.clear()
        return []

    @property
    def inside_event(self) -> bool:
        """Whether a stream's bytes so far end in the middle of an event."""
        return self.streams and self._parser.inside_event

    def whole(self) -> Json:
        """Return a whole answer: what its JSON says, else its text; a marker where it cannot be read or is too long."""
        if not self._readable:
            return f"[convlog: {self._seen} bytes of {self._encoding}, which cannot be read here]"
        if self._kept > self._most_bytes:
            return f"[convlog: {self._kept} bytes, of which at most {self._most_bytes} are kept]"
        return parsed(b"".join(self._pieces)) if self._pieces else None


def parsed(text: str | bytes) -> Json:
    """Return what JSON says; text that is none as it is."""
    try:
        return from_json(text)
    except ValueError:
        return text if isinstance(text, str) else text.decode("utf-8", "replace")


def _decoder(encoding: str) -> _Decoder | None:
    """Return what undoes a content encoding; None where there is none, or its library is not there."""
    if encoding in ("gzip", "x-gzip"):
        return zlib.decompressobj(zlib.MAX_WBITS | 16)
    if encoding == "deflate":
        return zlib.decompressobj()
    if encoding == "br":
        library: Any = _imported("brotli") or _imported("brotlicffi")
        return _Brotli(library.Decompressor()) if library is not None else None
    if encoding == "zstd":
        library = _imported("zstandard")
        return library.ZstdDecompressor().decompressobj() if library is not None else None
    return None


class _Brotli:
    def __init__(self, decompressor: Any) -> None:
        self._process = getattr(decompressor, "process", None) or decompressor.decompress

    def decompress(self, data: bytes, /) -> bytes:
        return bytes(self._process(data))


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None
