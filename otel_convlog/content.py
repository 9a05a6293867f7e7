"""How much of a turn's content is written: all of it, its shape alone, or none (docs/privacy.md, "Content").

What stays of a turn without content is what is *known* to be no content: the protocols' own keys, roles, kinds, counts,
models, finish reasons, figures under names of figures. Everything else is content, whatever it is called, so that a
protocol that is new here loses too much and never too little.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from otel_convlog.content_modes import FULL, NONE
from otel_convlog.content_words import FIGURES, HEADERS, KEYS, WORDS, WRITTEN
from otel_convlog.record import StreamEvents
from otel_convlog.redaction.urls import sanitize_url

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json
    from otel_convlog.record import TurnRecord

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,119}")
_ERROR_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}|\d{3}")
_FIGURE = re.compile(r".*(?:_tokens|TokenCount|_count|_ms)")
_LARGEST_FIGURE = 10_000_000_000
_EVENT_TEXT = "[str]"


def without_content(record: TurnRecord, mode: str) -> TurnRecord:
    """Return a turn with no more than its mode allows."""
    if mode == FULL:
        return record
    trace = {**record.trace, "content": mode}
    attempts = trace.pop("attempts", None)
    record = replace(
        record,
        route=_name(record.route),
        client_model=_name(record.client_model),
        backend=_name(record.backend),
        upstream_model=_name(record.upstream_model),
        target_url=_place(record.target_url),
        request_headers=_headers(record.request_headers),
        error=_error(record.error),
        usage=_usage(record.usage),
        metadata={} if mode == NONE else _written(record.metadata),
    )
    if mode == NONE:
        return replace(
            record,
            client_request=None,
            upstream_request=None,
            upstream_response=None,
            client_response=None,
            upstream_events=_left_out(record.upstream_events),
            client_events=_left_out(record.client_events),
            stream_summary={},
            trace=trace,
        )
    if attempts is not None:
        trace["attempts"] = [_attempt(attempt) for attempt in attempts] if isinstance(attempts, list) else []
    return replace(
        record,
        client_request=_shape(record.client_request),
        upstream_request=_exchange(record.upstream_request),
        upstream_response=_shape(record.upstream_response),
        client_response=_shape(record.client_response),
        upstream_events=_events(record.upstream_events),
        client_events=_events(record.client_events),
        stream_summary=_shape(record.stream_summary),
        trace=trace,
    )


def _shape(value: Json, key: str = "", *, sized: bool = True) -> Json:
    """Return JSON of a protocol with its texts' sizes in the place of the texts.

    Args:
        value: The JSON.
        key: The key that it stands under.
        sized: Whether to say how long texts are. Not of a stream's pieces: from the lengths of its tokens a text can
            be guessed (https://arxiv.org/abs/2403.09751).
    """
    if isinstance(value, dict):
        shape: dict[str, Json] = {}
        for name, item in value.items():
            if name in WRITTEN or name not in KEYS:
                shape[_key(name, shape)] = _written(item, sized=sized)
            else:
                shape[name] = _shape(item, name, sized=sized)
        return shape
    if isinstance(value, list):
        return [_shape(item, key, sized=sized) for item in value]
    if isinstance(value, str):
        known = value in WORDS.get(key, ()) or (key in _MODEL_KEYS and _MODEL.fullmatch(value))
        return value if known else _size(value, sized=sized)
    if value is None or isinstance(value, bool):
        return value if value is None or key in FIGURES else _kind(value)
    # Not a number of a card or a telephone, wherever it stands; a time in seconds or a count is smaller.
    known = (key in FIGURES or _FIGURE.fullmatch(key)) and abs(value) < _LARGEST_FIGURE
    return value if known else _kind(value)


_MODEL_KEYS = frozenset({"model", "modelVersion", "model_version"})


def _written(value: Json, *, sized: bool = True) -> Json:
    """Return what somebody has written, whatever its form, as its form alone."""
    if isinstance(value, dict):
        shape: dict[str, Json] = {}
        for item in value.values():
            shape[f"[key {len(shape) + 1}]"] = _written(item, sized=sized)
        return shape
    if isinstance(value, list):
        return [_written(item, sized=sized) for item in value]
    if isinstance(value, str):
        return _size(value, sized=sized)
    return None if value is None else _kind(value)


def _key(name: str, shape: dict[str, Json]) -> str:
    return name if name in WRITTEN else f"[key {len(shape) + 1}]"


def _kind(value: Json) -> str:
    return "[bool]" if isinstance(value, bool) else "[num]"


def _size(text: str, *, sized: bool) -> str:
    return f"[str {len(text)}]" if sized else _EVENT_TEXT


def _name(value: Json) -> Json:
    """Return a model's or a provider's name, unless it is none."""
    return value if not isinstance(value, str) or not value or _MODEL.fullmatch(value) else _size(value, sized=True)


def _place(url: Json) -> Json:
    """Return a URL without what a request may say in it."""
    if not isinstance(url, str):
        return None if url is None else _kind(url)
    return re.split(r"[?#;]", sanitize_url(url), maxsplit=1)[0]


def _headers(headers: Json) -> Json:
    if not isinstance(headers, dict):
        return _written(headers)
    return {name: value if name.strip().lower() in HEADERS else _written(value) for name, value in headers.items()}


def _exchange(request: Json) -> Json:
    if not isinstance(request, dict):
        return _shape(request)
    return {"headers": _headers(request.get("headers")), "body": _shape(request.get("body"))}


def _attempt(attempt: Json) -> Json:
    if not isinstance(attempt, dict):
        return _written(attempt)
    events = attempt.get("upstream_events")
    shape: dict[str, Json] = {
        "url": _place(attempt.get("url")),
        "status_code": attempt.get("status_code"),
        "upstream_request": _exchange(attempt.get("upstream_request")),
        "upstream_response": _shape(attempt.get("upstream_response")),
        "upstream_events": [_shape(event, sized=False) for event in events] if isinstance(events, list) else None,
        "error": _error(attempt.get("error")),
    }
    return {name: value for name, value in shape.items() if name in attempt}


def _error(error: Json) -> Json:
    """Return an error's kind and status, and the sizes of its words."""
    if not isinstance(error, dict):
        return _shape(error)
    return {
        (name if name in KEYS else f"[key {number}]"): value
        if name in ("type", "code", "status", "status_code") and _ERROR_NAME.fullmatch(str(value))
        else _shape(value, name)
        for number, (name, value) in enumerate(error.items(), 1)
    }


def _usage(usage: Json) -> Json:
    """Return counts under the names that providers give them, and no other name."""
    if isinstance(usage, dict):
        return {
            (name if _FIGURE.fullmatch(name) or name in KEYS else f"[key {number}]"): _usage(value)
            for number, (name, value) in enumerate(usage.items(), 1)
        }
    if isinstance(usage, list):
        return [_usage(item) for item in usage]
    return usage if not isinstance(usage, str) else _size(usage, sized=True)


def _events(events: StreamEvents) -> StreamEvents:
    return replace(events, events=[_shape(event, sized=False) for event in events.events])


def _left_out(events: StreamEvents) -> StreamEvents:
    return StreamEvents([], [], events.left_out + len(events.events))
