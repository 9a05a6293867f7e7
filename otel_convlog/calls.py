"""The calls of an instrumented proxy (docs/recording.md).

All take the turn first, do nothing for None, and never raise, so that a proxy needs no condition around them.
"""

from __future__ import annotations

from typing import TypeGuard

from otel_convlog.tracer import can_record
from otel_convlog.turn import Turn


def start_turn(  # noqa: PLR0913  the specification's arguments
    *,
    route: str,
    client_model: str,
    backend: str,
    stream: bool,
    client_request: object,
    request_headers: object = None,
    target_url: str = "",
    upstream_model: str = "",
    metadata: object = None,
) -> Turn | None:
    """Start a turn; the arguments are those of `Turn`.

    Returns:
        The turn, or None where nothing records.
    """
    if not can_record():
        return None
    turn = Turn(
        route=route,
        client_model=client_model,
        backend=backend,
        stream=stream,
        client_request=client_request,
        request_headers=request_headers,
        target_url=target_url,
        upstream_model=upstream_model,
        metadata=metadata,
    )
    return turn if turn.recording else None


def attach_upstream_request(turn: Turn | None, payload: object, headers: object = None) -> None:
    """Record what was sent upstream: the body and, masked, the headers."""
    if _is_turn(turn):
        turn.attach_upstream_request(payload, headers)


def attach_upstream_response(turn: Turn | None, response_data: object) -> None:
    """Record the whole upstream answer of a request that was not streamed."""
    if _is_turn(turn):
        turn.attach_upstream_response(response_data)


def attach_client_response(turn: Turn | None, response_data: object) -> None:
    """Record the whole answer that the client was given."""
    if _is_turn(turn):
        turn.attach_client_response(response_data)


def append_upstream_event(turn: Turn | None, event: object) -> None:
    """Record one streamed event that came from upstream."""
    if _is_turn(turn):
        turn.append_upstream_event(event)


def append_client_event(turn: Turn | None, event: object) -> None:
    """Record one streamed event that was sent to the client."""
    if _is_turn(turn):
        turn.append_client_event(event)


def set_stream_summary(turn: Turn | None, summary: object) -> None:
    """Record what the stream came to, e.g. its text, the numbers of events, usage."""
    if _is_turn(turn):
        turn.set_stream_summary(summary)


def attach_error(turn: Turn | None, error: object) -> None:
    """Record what went wrong: text, or an object, where possible with ``type`` and ``message``."""
    if _is_turn(turn):
        turn.attach_error(error)


def finalize_turn(turn: Turn | None, *, usage: object = None, duration_ms: float | None = None) -> None:
    """End the turn; it then reaches its file.

    Args:
        turn: The turn, or None.
        usage: Token counts in the provider's words, usually a mapping; None where there are none.
        duration_ms: How long the turn took; None or 0 for the time since it started.
    """
    if _is_turn(turn):
        turn.finalize(usage=usage, duration_ms=duration_ms)


def _is_turn(turn: object) -> TypeGuard[Turn]:
    # Not isinstance, which asks an object for its __class__, and that may raise.
    return turn is not None and issubclass(type(turn), Turn)
