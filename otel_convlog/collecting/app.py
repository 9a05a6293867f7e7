"""The endpoint's application (https://opentelemetry.io/docs/specs/otlp/#otlphttp)."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from otel_convlog.collecting.encoding import JSON, encoding_of
from otel_convlog.collecting.intake import Body, compression_of
from otel_convlog.collecting.refusal import RefusedError

if TYPE_CHECKING:
    from starlette.requests import Request

    from otel_convlog.collecting.bodies import BodyReader
    from otel_convlog.collecting.collector import Collector
    from otel_convlog.collecting.guard import Guard
    from otel_convlog.collecting.room import Room

TRACES_PATH = "/v1/traces"


def create_app(*, collector: Collector, guard: Guard, bodies: BodyReader, room: Room, most_bytes: int) -> Starlette:
    """Make the application.

    Args:
        collector: Takes what has come.
        guard: Says who may send.
        bodies: Reads what they send.
        room: What all of it shares.
        most_bytes: How large a body may be when it is unpacked.
    """

    async def take(request: Request) -> Response:
        guard.check(request.headers)
        encoding = encoding_of(request.headers.get("content-type", ""))
        compression = compression_of(request.headers.get("content-encoding", ""))
        with room.share() as share:
            try:
                data = await bodies.read(request, share)
            except ClientDisconnect:
                return Response(status_code=HTTPStatus.BAD_REQUEST)  # that nobody sees
            answer = await asyncio.wrap_future(collector.deliver(Body(data, encoding, compression, most_bytes)))
        message = ExportTraceServiceResponse()
        if answer.rejected:
            message.partial_success.rejected_spans = answer.rejected
            message.partial_success.error_message = answer.message
        return Response(encoding.write(message), media_type=encoding.content_type)

    async def tell_state(_: Request) -> Response:
        if not collector.disk_works:
            return JSONResponse({"status": "the disk refuses to be written to"}, HTTPStatus.SERVICE_UNAVAILABLE)
        if room.is_full or bodies.stops:
            state = "stopping" if bodies.stops else "full"
            return JSONResponse({"status": state}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"status": "ready"})

    return Starlette(
        routes=[Route(TRACES_PATH, take, methods=["POST"]), Route("/healthz", tell_state)],
        exception_handlers={RefusedError: _refuse, HTTPException: _refuse_by_route},
    )


def _refuse(request: Request, refusal: Exception) -> Response:
    """Answer with the refusal, in the request's own encoding where it has one of the two."""
    if not isinstance(refusal, RefusedError):
        raise TypeError(f"{type(refusal).__name__} is no refusal")
    try:
        encoding = encoding_of(request.headers.get("content-type", ""))
    except RefusedError:
        encoding = JSON
    return Response(encoding.write(refusal.body), refusal.status, refusal.headers, encoding.content_type)


def _refuse_by_route(request: Request, error: Exception) -> Response:
    """Answer where there is no such path, or no such method there."""
    if not isinstance(error, HTTPException):
        raise TypeError(f"{type(error).__name__} is no answer")
    return _refuse(request, RefusedError(HTTPStatus(error.status_code), error.detail, dict(error.headers or {})))
