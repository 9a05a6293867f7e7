"""The chunks of a stream, also where a proxy has recorded them as text."""

from __future__ import annotations

import ast
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from otel_convlog.jsontext import json_or_none

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_convlog.jsontext import Json
    from otel_convlog.streams.values import Object

_LINE_END = re.compile(r"\r\n|\n|\r")  # of server-sent events; str.splitlines knows more, which JSON may hold


def chunks_of(events: Iterable[Json]) -> Iterator[Object]:
    """Yield the chunks of a stream, from whatever a proxy has recorded of it (`otel_convlog.streams.assemble`)."""
    texts: list[str] = []
    for event in events:
        if isinstance(event, str):
            texts.append(event)
            continue
        yield from _decoded(texts)
        texts = []
        if isinstance(event, dict):
            data = event.get("data")
            if isinstance(data, str):
                yield from _decoded([data])
            else:
                yield data if isinstance(data, dict) else event
    yield from _decoded(texts)


def _decoded(texts: list[str]) -> list[Object]:
    """Return the chunks in the text of server-sent events: a stream that was cut anywhere, or a line a piece."""
    if not texts:
        return []
    if all(text.startswith(("b'", 'b"')) for text in texts):  # bytes, as JSON has them: as their str()
        with suppress(ValueError, SyntaxError):
            texts = [b"".join(map(ast.literal_eval, texts)).decode("utf-8", "replace")]
    chunks, all_lines_read = _lines_decoded("".join(texts))
    if not all_lines_read:
        by_piece, _ = _lines_decoded("\n".join(texts))
        return max(chunks, by_piece, key=len)
    return chunks


def _lines_decoded(text: str) -> tuple[list[Object], bool]:
    """Return the chunks in text, and whether all its lines of data were readable."""
    if text.lstrip()[:1] == "[":  # Gemini without server-sent events: one array
        array = json_or_none(text)
        return ([chunk for chunk in array if isinstance(chunk, dict)], True) if isinstance(array, list) else ([], False)
    chunks: list[Object] = []
    all_read = True
    for line in _LINE_END.split(text):
        content = line.removeprefix("data:").strip()
        if content[:1] == "{":
            chunk = json_or_none(content)
            if isinstance(chunk, dict):
                chunks.append(chunk)
            else:
                all_read = False
        elif content[:1] in ("}", '"', "]") or "data:" in content:  # the rest of a piece that was not one
            all_read = False
    return chunks, all_read
