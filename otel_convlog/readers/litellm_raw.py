"""Reads LiteLLM's ``raw_gen_ai_request``: the request as it went to the provider, and the answer as it came.

Its attributes are ``llm.PROVIDER.FIELD``, of both without distinction, and values are Python's text of them
(litellm/integrations/opentelemetry.py, `set_raw_request_attributes`). It knows what LiteLLM's other span of the call
does not: the calls of tools in the history, and their ids.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from otel_convlog.jsontext import from_json, to_json
from otel_convlog.readers.call_span import CallSpan, Kind, Said, Sorted, with_provider_usage
from otel_convlog.readers.whole import is_request, is_response, route_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.call_span import Names
    from otel_convlog.readers.parts import Object

SPAN_NAME = "raw_gen_ai_request"

_ANSWERED = frozenset(
    {
        "id",
        "object",
        "type",
        "created",
        "created_at",
        "model",
        "role",
        "choices",
        "content",
        "output",
        "candidates",
        "status",
        "stop_reason",
        "stop_sequence",
        "usage",
        "usageMetadata",
        "modelVersion",
        "responseId",
    }
)
_NOT_IN_THE_BODY = frozenset({"api_key", "headers", "extra_headers", "extra_query", "extra_body", "timeout"})


def is_raw(span: ReadableSpan) -> bool:
    """Say whether a span is such a one."""
    return span.name == SPAN_NAME


def read_raw(span: ReadableSpan, vocabulary: str, attributes: Mapping[str, object], names: Names) -> CallSpan | None:
    """Return what such a span says of a call; None where it has neither the request nor the answer.

    Args:
        span: The span.
        vocabulary: The vocabulary of LiteLLM's other span of the call.
        attributes: Its attributes.
        names: The vocabulary's names.
    """
    request: Object = {}
    response: Object = {}
    provider = ""
    for name, value in attributes.items():
        start, _, rest = name.partition(".")
        maker, _, field = rest.partition(".")
        if start != "llm" or not field or value in ("", None) or field in _NOT_IN_THE_BODY:
            continue
        provider = maker
        (response if field in _ANSWERED else request)[field] = _value(value)
    said = Said(request=request if is_request(request) else None, response=response if is_response(response) else None)
    if not (said.asks or said.answers_it):
        return None
    return CallSpan.of(
        span,
        vocabulary,
        {},
        Sorted({}, names),
        kind=Kind.CALL,
        said=said,
        route=route_of(said.request, said.response) or ("messages" if provider == "anthropic" else ""),
        client_model="",
        backend="",
        stream=request.get("stream") in (True, "True"),
        response_id=_text(response.get("id")),
        response_model=_text(response.get("model")),
        finish_reasons=[],
        usage=with_provider_usage({}, response.get("usage")),
    )


def _value(value: object) -> Json:
    """Return a value: what Python's text of a list or an object says, anything else as it is."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return value if isinstance(value, str) else None
    return from_json(to_json(value))


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
