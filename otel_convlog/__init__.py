"""OpenTelemetry span exporter that writes one JSON file per LLM conversation per day.

A proxy records its turns with `start_turn` and the calls beside it, or with `Turn`; `ConversationSpanExporter` writes
them. It is registered as ``convlog`` in ``OTEL_TRACES_EXPORTER``, or by hand::

    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from otel_convlog import ConversationSpanExporter, finalize_turn, start_turn

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(ConversationSpanExporter()))
    trace.set_tracer_provider(provider)

    request = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]}
    turn = start_turn(route="chat", client_model="gpt-5", backend="openai", stream=False, client_request=request)
    finalize_turn(turn)
    provider.shutdown()  # data/conversations/<today>/conv_9f2dc8598fa04db01862a871.json
"""

from importlib import import_module
from typing import TYPE_CHECKING

from otel_convlog import attributes
from otel_convlog._version import __version__
from otel_convlog.calls import (
    append_client_event,
    append_upstream_event,
    attach_client_response,
    attach_error,
    attach_upstream_request,
    attach_upstream_response,
    finalize_turn,
    set_stream_summary,
    start_turn,
)
from otel_convlog.redaction.headers import sanitize_headers
from otel_convlog.turn import Turn

if TYPE_CHECKING:
    from otel_convlog.configurator import fit_for_turns
    from otel_convlog.exporter import ConversationSpanExporter
    from otel_convlog.identity.seed import get_conversation_id
    from otel_convlog.processor import ConversationSpanProcessor
    from otel_convlog.sampler import TurnSampler
    from otel_convlog.without_content import without_turn_content

__all__ = [
    "ConversationSpanExporter",
    "ConversationSpanProcessor",
    "Turn",
    "TurnSampler",
    "__version__",
    "append_client_event",
    "append_upstream_event",
    "attach_client_response",
    "attach_error",
    "attach_upstream_request",
    "attach_upstream_response",
    "attributes",
    "finalize_turn",
    "fit_for_turns",
    "get_conversation_id",
    "sanitize_headers",
    "set_stream_summary",
    "start_turn",
    "without_turn_content",
]

# What instrumented code alone does not need (the SDK, the store, the rules of identity) is imported where it is used.
_ELSEWHERE = {
    "ConversationSpanExporter": "exporter",
    "ConversationSpanProcessor": "processor",
    "TurnSampler": "sampler",
    "fit_for_turns": "configurator",
    "get_conversation_id": "identity.seed",
    "without_turn_content": "without_content",
}


def __getattr__(name: str) -> object:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"otel_convlog.{_ELSEWHERE[name]}"), name)
