"""Names of what a turn's span carries: the contract between `otel_convlog.turn` and `otel_convlog.readers`.

Attributes marked *JSON* are strings of JSON text, so that a payload costs one encoding and no walk through nested
attribute values. The GenAI names are those of the OpenTelemetry semantic conventions for generative AI
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/).
"""

from __future__ import annotations

from typing import Final

PREFIX: Final = "convlog."  # of our own names
SPAN_NAME: Final = "convlog.turn"

TURN_ID: Final = "convlog.turn.id"
ROUTE: Final = "convlog.route"
CLIENT_MODEL: Final = "convlog.client_model"
BACKEND: Final = "convlog.backend"
STREAM: Final = "convlog.stream"  # bool
TARGET_URL: Final = "convlog.target_url"
UPSTREAM_MODEL: Final = "convlog.upstream_model"
REQUEST_HEADERS: Final = "convlog.request_headers"  # JSON object, secrets masked
CLIENT_REQUEST: Final = "convlog.client_request"  # JSON
METADATA: Final = "convlog.metadata"  # JSON
UPSTREAM_REQUEST: Final = "convlog.upstream_request"  # JSON object {"headers", "body"}, secrets masked
UPSTREAM_RESPONSE: Final = "convlog.upstream_response"  # JSON
CLIENT_RESPONSE: Final = "convlog.client_response"  # JSON
STREAM_SUMMARY: Final = "convlog.stream_summary"  # JSON
ERROR: Final = "convlog.error"  # JSON
USAGE: Final = "convlog.usage"  # JSON
DURATION_MS: Final = "convlog.duration_ms"  # int or float
UPDATED_AT: Final = "convlog.updated_at"  # as docs/format.md has times; the end of the span, where it is not there
ATTEMPTS: Final = "convlog.attempts"  # JSON array: the upstream calls before the last one
RAW: Final = "convlog.raw"  # names of attributes, with commas: their text is a body as it was on the wire
BOUNDED: Final = "convlog.bounded"  # fields of which only the beginning is kept, with commas; of a stream "true"
CLIENT_STATUS: Final = "convlog.client_status_code"  # int
UPSTREAM_STATUS: Final = "convlog.upstream_status_code"  # int
EXACT: Final = "convlog.exact"  # JSON object: fields whose value is no string that an attribute can hold, e.g. null

UPSTREAM_EVENTS_EVENT: Final = "convlog.upstream_events"  # span event, one at most
CLIENT_EVENTS_EVENT: Final = "convlog.client_events"  # span event, one at most
EVENTS: Final = "convlog.events"  # attribute of both: JSON array, an item for each streamed event
OFFSETS_NS: Final = (
    "convlog.offsets_ns"  # attribute of both: JSON array, nanoseconds from the turn's start to each arrival
)
# Of a stream that was captured, in the place of its events:
WIRE: Final = "convlog.wire"  # its text; the offsets are those of the pieces in which it came
LENGTHS: Final = "convlog.lengths"  # JSON array: the bytes of each piece
EVENT_TYPE: Final = "convlog.event_type"  # the type of its events that name none

GEN_AI_CONVERSATION_ID: Final = "gen_ai.conversation.id"
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
ERROR_TYPE: Final = "error.type"
