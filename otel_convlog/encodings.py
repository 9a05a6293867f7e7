"""Undoes the content encodings of HTTP, as far as the libraries that are installed can, and never beyond a bound.

The bound holds against bodies that are small on the wire and would fill the memory.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Decoder(Protocol):
    """Undoes one encoding of one body."""

    def decode(self, data: bytes, most_bytes: int) -> bytes:
        """Take the body's next bytes, and return what comes of them, at most so many bytes.

        Where there would be more, the rest of the body is lost.

        Raises:
            Exception: They are not of this encoding; each library has an error of its own.
        """


def decoder_of(encoding: str) -> Decoder | None:
    """Return what undoes a ``Content-Encoding``.

    Args:
        encoding: One encoding or several, in the order in which they were applied; not ``identity``.

    Returns:
        A decoder for one body; None where there is none for the encoding, or its library is not installed.
    """
    names = [name for part in encoding.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    decoders = [_DECODERS[name]() if name in _DECODERS else None for name in reversed(names)]
    known = [decoder for decoder in decoders if decoder is not None]
    if not known or len(known) < len(decoders):
        return None
    return known[0] if len(known) == 1 else _Chain(known)


class _Chain:
    def __init__(self, decoders: list[Decoder]) -> None:
        self._decoders = decoders

    def decode(self, data: bytes, most_bytes: int) -> bytes:
        for decoder in self._decoders:
            data = decoder.decode(data, most_bytes)
        return data


class _Gzip:
    """Gzip, of which one part may follow another (RFC 1952, section 2.2)."""

    _BYTES_AT_ONCE = 4096  # what follows a part is copied at its end, and there may be millions of parts

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._inner = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def decode(self, data: bytes, most_bytes: int) -> bytes:
        pieces: list[bytes] = []
        for start in range(0, len(data), self._BYTES_AT_ONCE):
            piece = data[start : start + self._BYTES_AT_ONCE]
            while piece and most_bytes > 0:
                if self._inner.eof:
                    self._begin()
                pieces.append(self._inner.decompress(piece, most_bytes))
                most_bytes -= len(pieces[-1])
                piece = self._inner.unused_data
        return b"".join(pieces)


class _Deflate:
    """Deflate in zlib's format, as the standard has it, or bare, as some servers send it."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj()
        self._begun = False

    def decode(self, data: bytes, most_bytes: int) -> bytes:
        try:
            plain = self._inner.decompress(data, most_bytes)
        except zlib.error:
            if self._begun:
                raise
            self._inner = zlib.decompressobj(-zlib.MAX_WBITS)
            plain = self._inner.decompress(data, most_bytes)
        self._begun = self._begun or bool(data)
        return plain


class _Brotli:
    def __init__(self, library: Any) -> None:
        self._inner = library.Decompressor()

    def decode(self, data: bytes, most_bytes: int) -> bytes:
        plain: bytes = self._inner.process(data, output_buffer_limit=most_bytes)
        while len(plain) < most_bytes and not self._inner.can_accept_more_data():
            plain += self._inner.process(b"", output_buffer_limit=most_bytes - len(plain))
        return plain[:most_bytes]


class _Zstd:
    """Python's own zstd, or its backport."""

    def __init__(self, library: Any) -> None:
        self._inner = library.ZstdDecompressor()

    def decode(self, data: bytes, most_bytes: int) -> bytes:
        return bytes(self._inner.decompress(data, most_bytes)) if data and not self._inner.eof else b""


class _Zstandard:
    """The library that httpx uses. It has no bound of its own, so it gets little at a time."""

    _BYTES_AT_ONCE = 256  # of which no more than some megabytes can come

    def __init__(self, library: Any) -> None:
        self._inner = library.ZstdDecompressor().decompressobj()

    def decode(self, data: bytes, most_bytes: int) -> bytes:
        plain = bytearray()
        for start in range(0, len(data), self._BYTES_AT_ONCE):
            plain += self._inner.decompress(data[start : start + self._BYTES_AT_ONCE])
            if len(plain) >= most_bytes:
                break
        return bytes(plain[:most_bytes])


def _brotli() -> Decoder | None:
    for name in ("brotli", "brotlicffi"):
        library = _imported(name)
        if hasattr(getattr(library, "Decompressor", None), "can_accept_more_data"):  # others know no bound
            return _Brotli(library)
    return None


def _zstd() -> Decoder | None:
    for name in ("compression.zstd", "backports.zstd"):
        if (library := _imported(name)) is not None:
            return _Zstd(library)
    library = _imported("zstandard")
    return _Zstandard(library) if library is not None else None


_DECODERS: dict[str, Callable[[], Decoder | None]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _brotli,
    "zstd": _zstd,
}


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None
