"""Streamed answers put together again, so that they read like ones that were not streamed.

One module for each protocol: OpenAI chat, OpenAI responses, Anthropic messages, Gemini.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.streams.chat import ChatStream
from otel_convlog.streams.gemini import GeminiStream
from otel_convlog.streams.messages import MessagesStream
from otel_convlog.streams.responses import ResponsesStream
from otel_convlog.streams.texts import chunks_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_convlog.jsontext import Json
    from otel_convlog.streams.values import Object, Stream

__all__ = ["Assembled", "assemble", "assemble_whole", "stream_of"]


class Assembled(NamedTuple):
    """What a stream comes to.

    Attributes:
        answer: As `assemble` returns it.
        ended: Whether the protocol's own end of an answer has passed; true where the protocol is not known.
        error: The error that the stream itself reported; None where it did not.
    """

    answer: Json
    ended: bool = True
    error: Json = None


def assemble(events: Iterable[Json]) -> Json:
    """Put the events of one stream together.

    Args:
        events: As a proxy recorded them: the decoded chunks, chunks within ``{"type": …, "data": chunk}``, or the text
            of server-sent events, cut anywhere.

    Returns:
        An answer in the shape that its protocol has for one that was not streamed, with its usage. Where the stream
        broke off, what came of it, with a null where the reason for its end would stand. None where the events are of
        another kind.
    """
    return assemble_whole(events).answer


def assemble_whole(events: Iterable[Json]) -> Assembled:
    """Put the events of one stream together, and say how it ended; the events are those of `assemble`."""
    stream: Stream | None = None
    error: Json = None
    for chunk in chunks_of(events):
        if stream is None:
            stream = stream_of(chunk)
        if stream is not None:
            stream.add(chunk)
        if error is None:
            error = _error_of(chunk)
    if stream is None:
        return Assembled(None, error=error)
    return Assembled(stream.answer(), stream.ended, error)


def _error_of(chunk: Object) -> Json:
    """Return the error that an event reports, as all four protocols do it: ``{"error": …}``, or ``response.error``."""
    error = chunk.get("error")
    if error is None and chunk.get("type") == "error":
        return chunk
    response = chunk.get("response")
    if error is None and isinstance(response, dict):
        error = response.get("error")
    return error if isinstance(error, (dict, str)) else None


def stream_of(chunk: Object) -> Stream | None:
    """Return what takes the chunks of a stream that begins with this one; None where it is of no known protocol."""
    kind = chunk.get("type")
    if isinstance(chunk.get("choices"), list):
        return ChatStream()
    if isinstance(kind, str) and kind.startswith("response."):
        return ResponsesStream()
    if kind in ("message_start", "content_block_start", "content_block_delta"):
        return MessagesStream()
    inner = chunk.get("response")
    gemini = inner if isinstance(inner, dict) else chunk
    if "candidates" in gemini or "promptFeedback" in gemini:
        return GeminiStream()
    return None
