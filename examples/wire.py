"""What both example proxies know of the three protocols: routes, headers, errors, and how to read a streamed answer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from otel_convlog.streams.sse import EventParser

Json = dict[str, Any]


@dataclass(frozen=True)
class Route:
    """A protocol.

    Attributes:
        name: What the log calls it.
        backend: Who offers it, as `gen_ai.provider.name` has it.
        unnamed_event: What the log calls a streamed event that has no name.
    """

    name: str
    backend: str
    unnamed_event: str


ROUTES = {
    "/v1/chat/completions": Route("chat", "openai", "openai_chunk"),
    "/v1/responses": Route("responses", "openai", "openai_event"),
    "/v1/messages": Route("messages", "anthropic", "anthropic_event"),
}

# They belong to one connection (https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1) or are made anew for each.
_OF_ONE_CONNECTION = {
    "connection",
    "content-encoding",
    "content-length",
    "date",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


def headers_upstream(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The client's headers as they go upstream: credentials and all, less what belongs to the client's connection.

    The answer is asked for uncompressed: compression would hold back small events, and could not be read in passing.
    """
    return {**headers_through(headers), "accept-encoding": "identity"}


def headers_through(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers in small letters, less those that belong to one connection."""
    return {name.lower(): value for name, value in headers if name.lower() not in _OF_ONE_CONNECTION}


def parse_request(body: bytes) -> Json:
    """Read a request's body.

    Raises:
        ValueError: It is not a JSON object.
    """
    try:
        request = json.loads(body)
    except RecursionError as error:
        raise ValueError("the body is nested too deeply") from error
    if not isinstance(request, dict):
        raise ValueError("the body is not a JSON object")  # noqa: TRY004 -- one kind of error for a bad body
    return request


def rewrite_model(request: Json, body: bytes, models: Mapping[str, str]) -> tuple[Json, bytes]:
    """Give the request as it goes upstream, parsed and as bytes: the same bytes where the model stays."""
    model = request.get("model")
    if not isinstance(model, str) or model not in models:
        return request, body
    rewritten = {**request, "model": models[model]}
    return rewritten, json.dumps(rewritten).encode()


def parse_answer(text: str) -> Any:
    """Read an answer's body, or an event's data, for the log: parsed where it is JSON, else as it is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def usage_of(answer: object) -> Json | None:
    """The usage in a whole answer."""
    usage = _at(answer, "usage")
    return usage if isinstance(usage, dict) else None


def error_body(route: Route, kind: str, message: str) -> Json:
    """The proxy's own error in the words of the protocol, so that the client's SDK understands it."""
    if route.name == "messages":
        return {"type": "error", "error": {"type": kind, "message": message}}
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


class StreamReader:
    """Reads a streamed answer as it passes.

    Attributes:
        usage: The token counts so far, in the provider's words, or None.
    """

    def __init__(self, route: Route) -> None:
        self.usage: Json | None = None
        self._route = route
        self._parser = EventParser()
        self._text: list[str] = []
        self._counts: Counter[str] = Counter()
        self._reported: Any = None  # the error that the protocol itself reported
        self._complete = False  # whether the protocol's own end of the answer has passed

    def feed(self, piece: bytes) -> list[Json]:
        """Take the next bytes and give the events that they complete, as the log has them: `type` and `data`."""
        events = []
        for event in self._parser.feed(piece):
            data = parse_answer(event.data.decode())
            events.append({"type": event.name or self._route.unnamed_event, "data": data})
            self._counts[events[-1]["type"]] += 1
            self._read(data)
        return events

    def failure(self, kind: str, message: str) -> tuple[Json, bytes]:
        """The event that tells the client in mid-stream that no more will come: as the log has it, and as bytes."""
        data = error_body(self._route, kind, message)
        if self._route.name == "responses":
            data = {"type": "error", "code": kind, "message": message, "param": None}
            data["sequence_number"] = self._counts.total()
        name = self._route.unnamed_event if self._route.name == "chat" else "error"
        line = "" if self._route.name == "chat" else "event: error\n"
        end = "\n\n" if self._parser.inside_event else ""  # of the event that the upstream left unfinished
        return {"type": name, "data": data}, f"{end}{line}data: {json.dumps(data)}\n\n".encode()

    def ending_error(self) -> Json | None:
        """What was wrong with a stream that the upstream has ended by itself, or None."""
        if self._reported is not None:
            return {"type": "upstream_stream_error", "body": self._reported}
        if not self._complete:
            return {"type": "upstream_incomplete", "message": "the stream ended before the answer did"}
        return None

    def summary(self) -> Json:
        """What the stream came to: its text, how many events of which type, usage."""
        return {"text": "".join(self._text), "event_counts": dict(self._counts), "usage": self.usage}

    def _read(self, data: Any) -> None:
        kind = _at(data, "type")
        if self._route.name == "chat":
            text, usage = _at(data, "choices", 0, "delta", "content"), _at(data, "usage")
            error, end = _at(data, "error"), data == "[DONE]"
        elif self._route.name == "responses":
            text = _at(data, "delta") if kind == "response.output_text.delta" else None
            usage = _at(data, "response", "usage")
            error = data if kind == "error" else _at(data, "response", "error")
            end = kind in ("response.completed", "response.incomplete", "response.failed")
        else:
            text, usage = _at(data, "delta", "text"), _at(data, "message", "usage") or _at(data, "usage")
            error, end = _at(data, "error"), kind == "message_stop"
        if isinstance(text, str):
            self._text.append(text)
        if isinstance(usage, dict):  # the messages protocol gives input at the start and output at the end
            self.usage = {**(self.usage or {}), **usage}
        self._reported = self._reported or error
        self._complete = self._complete or end


def _at(value: Any, *path: str | int) -> Any:
    """`value[path[0]][path[1]]...`, or None where an answer has another shape."""
    try:
        for key in path:
            value = value[key]
    except (KeyError, IndexError, TypeError):
        return None
    return value
