"""The two encodings of OTLP/HTTP: binary protobuf, and its JSON with hexadecimal ids.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

from base64 import b64encode
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from google.protobuf.json_format import MessageToJson, ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_convlog.collecting.message_count import TooManyMessagesError, check_json, check_protobuf
from otel_convlog.collecting.refusal import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

_IDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")


class Encoding(Protocol):
    """One of the two.

    Attributes:
        content_type: Its media type.
    """

    content_type: str

    def read(self, body: bytes) -> ExportTraceServiceRequest:
        """Decode a request.

        Raises:
            RefusedError: It is not of this encoding, or would take too much memory.
        """

    def write(self, message: Message) -> bytes:
        """Encode an answer."""


class _Protobuf:
    content_type = "application/x-protobuf"

    def read(self, body: bytes) -> ExportTraceServiceRequest:
        try:
            check_protobuf(body)
            return ExportTraceServiceRequest.FromString(body)
        except DecodeError as error:
            raise _unreadable("protobuf", error) from error
        except TooManyMessagesError as error:
            raise _too_many() from error

    def write(self, message: Message) -> bytes:
        return message.SerializeToString()


class _Json:
    content_type = "application/json"

    def read(self, body: bytes) -> ExportTraceServiceRequest:
        try:
            check_json(body)
            value = orjson.loads(body)
            for span in _spans(value):
                _make_ids_base64(span)
            return ParseDict(value, ExportTraceServiceRequest(), ignore_unknown_fields=True)
        except (ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise _unreadable("JSON", error) from error
        except TooManyMessagesError as error:
            raise _too_many() from error

    def write(self, message: Message) -> bytes:
        return MessageToJson(message, indent=None, ensure_ascii=False).encode()


PROTOBUF: Encoding = _Protobuf()
JSON: Encoding = _Json()

_BY_TYPE = {encoding.content_type: encoding for encoding in (PROTOBUF, JSON)}


def encoding_of(content_type: str) -> Encoding:
    """Return the encoding that a ``Content-Type`` names, whatever parameters it has.

    Raises:
        RefusedError: It names none of the two.
    """
    encoding = _BY_TYPE.get(content_type.partition(";")[0].strip().lower())
    if encoding is None:
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type must be {' or '.join(_BY_TYPE)}, not {content_type!r}"
        )
    return encoding


def _spans(request: Any) -> Iterator[dict[str, Any]]:
    """Yield the spans of a decoded request, under either of the names that protobuf's JSON allows."""
    for resource_spans in _either(request, "resourceSpans", "resource_spans"):
        for scope_spans in _either(resource_spans, "scopeSpans", "scope_spans"):
            yield from _either(scope_spans, "spans", "spans")


def _either(message: dict[str, Any], name: str, other_name: str) -> list[dict[str, Any]]:
    return message.get(name) or message.get(other_name) or []


def _make_ids_base64(span: dict[str, Any]) -> None:
    """Turn the hexadecimal ids of a span into what protobuf's JSON has for bytes; what is no such text into none."""
    for message in (span, *(span.get("links") or ())):
        for name in _IDS:
            if name in message:
                message[name] = b64encode(_bytes_of(message[name])).decode()


def _bytes_of(hexadecimal: object) -> bytes:
    try:
        return bytes.fromhex(hexadecimal) if isinstance(hexadecimal, str) else b""
    except ValueError:
        return b""


def _unreadable(what: str, error: Exception) -> RefusedError:
    return RefusedError(HTTPStatus.BAD_REQUEST, f"the body is no ExportTraceServiceRequest in {what}: {error}"[:500])


def _too_many() -> RefusedError:
    return RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "the body has too many spans, attributes, events and values; smaller batches may be sent",
    )
