"""From the body of a request to its spans, within bounds."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from otel_convlog.collecting.received_span import InvalidSpanError, received_spans
from otel_convlog.collecting.refusal import RefusedError
from otel_convlog.encodings import decoder_of

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    from otel_convlog.collecting.encoding import Encoding
    from otel_convlog.collecting.received_span import ReceivedSpan

_MOST_SPANS = 65_536  # SDKs send 512 at once, and a Collector 8,192


@dataclass
class Received:
    """What a request has brought.

    Attributes:
        spans: Those of its spans that are any.
        size: How many bytes they were.
        rejected: Why spans are not taken, and how many.
    """

    spans: list[ReceivedSpan]
    size: int
    rejected: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Body:
    """The body of a request.

    Attributes:
        data: As it has come.
        encoding: How it is to be read.
        compression: Its ``Content-Encoding``, from `compression_of`.
        most_bytes: How much it may be when it is unpacked.
    """

    data: bytes
    encoding: Encoding
    compression: str
    most_bytes: int

    def read(self) -> Received:
        """Return what is in it.

        Raises:
            RefusedError: It cannot be read, or is too much.
        """
        plain = self._unpacked()
        return received(self.encoding.read(plain), len(plain))

    def _unpacked(self) -> bytes:
        decoder = decoder_of(self.compression)
        if decoder is None:
            return self.data
        try:
            plain = decoder.decode(self.data, self.most_bytes + 1)
        except Exception as error:  # each library has its own
            what = str(error) if isinstance(error, zlib.error) else type(error).__name__
            raise RefusedError(HTTPStatus.BAD_REQUEST, f"the body is not {self.compression}: {what}") from error
        if len(plain) > self.most_bytes:
            raise too_large(self.most_bytes)
        return plain


def compression_of(content_encoding: str) -> str:
    """Return how a body is packed, by its ``Content-Encoding``; empty where it is not.

    Raises:
        RefusedError: It cannot be unpacked here.
    """
    name = content_encoding.strip().lower()
    if name in ("", "identity", "none"):
        return ""
    if "," in name or decoder_of(name) is None:
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Encoding {content_encoding!r} cannot be undone; gzip can",
            {"accept-encoding": "gzip"},
        )
    return name


def received(request: ExportTraceServiceRequest, size: int) -> Received:
    """Return what a request has brought.

    Raises:
        RefusedError: Its spans are too many.
    """
    count = sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
    if count > _MOST_SPANS:
        raise RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has {count} spans; {_MOST_SPANS} may be sent at once"
        )
    found = Received([], size)
    for span in received_spans(request):
        if isinstance(span, InvalidSpanError):
            found.rejected[str(span)] += 1
        else:
            found.spans.append(span)
    return found


def too_large(most_bytes: int) -> RefusedError:
    """Return the refusal of a body that is larger than it may be."""
    return RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body has more than {most_bytes} bytes; the sender's batches may be smaller"
        " (OTEL_BSP_MAX_EXPORT_BATCH_SIZE), or --max-body-bytes larger",
    )
