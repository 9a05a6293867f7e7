"""Reads spans of the GenAI semantic conventions, of what went before them, and of what goes its own way beside them.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. Which packages that are, and field by field where a
turn's come from: docs/sources.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otel_convlog.readers.attribute_values import nested, plain, text, texts
from otel_convlog.readers.call_span import CallSpan, Kind, Names, Sorted, with_provider_usage
from otel_convlog.readers.gen_ai_content import CONTENT, CONTENT_PREFIXES, read_said
from otel_convlog.readers.litellm_raw import is_raw, read_raw
from otel_convlog.readers.parts import joined
from otel_convlog.readers.whole import route_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_convlog.jsontext import Json

NAME = "gen_ai"

# One of these is on every span that this reader reads.
_CERTAIN = frozenset(
    {
        "gen_ai.operation.name",
        "gen_ai.system",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.response.id",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.prompt",
        "gen_ai.completion.0.content",
        "llm.completions.0.content",
        "llm.request.type",
        "llm.request.model",
        "traceloop.span.kind",
        "langfuse.observation.type",
        "ai.operationId",
        "pydantic_ai.all_messages",
        "all_messages_events",
        "gcp.vertex.agent.llm_request",
        "mlflow.spanType",
    }
)
MARKS = _CERTAIN | {"request_data"}  # Logfire before it had the conventions' names; anybody may have a name like that

_KINDS = {
    # gen_ai.operation.name
    "chat": Kind.CALL,
    "text_completion": Kind.CALL,
    "completion": Kind.CALL,
    "generate": Kind.CALL,
    "response": Kind.CALL,
    "llm_call": Kind.CALL,
    "generate_content": Kind.CALL,
    "responses": Kind.CALL,
    "messages": Kind.CALL,
    "invoke_agent": Kind.AGENT,
    "invoke_workflow": Kind.AROUND,
    "agent_step": Kind.AROUND,
    "execute_task": Kind.AROUND,
    "create_agent": Kind.OTHER,
    "embeddings": Kind.OTHER,
    "embedding": Kind.OTHER,
    "execute_tool": Kind.OTHER,
    "retrieval": Kind.OTHER,
    "rerank": Kind.OTHER,
}
_SPAN_KINDS = {  # langfuse.observation.type, langsmith.span.kind, traceloop.span.kind
    "llm": Kind.CALL,
    "prompt": Kind.OTHER,
    "parser": Kind.OTHER,
    "workflow": Kind.AROUND,
    "task": Kind.AROUND,
    "agent": Kind.AROUND,
    "chain": Kind.AROUND,
    "span": Kind.AROUND,
    "generation": Kind.CALL,
    "tool": Kind.OTHER,
    "embedding": Kind.OTHER,
    "retriever": Kind.OTHER,
    "evaluator": Kind.OTHER,
    "guardrail": Kind.OTHER,
    "event": Kind.OTHER,
}
_SPAN_KIND = ("langfuse.observation.type", "langsmith.span.kind", "traceloop.span.kind")

_VERCEL = (  # ai.operationId
    (re.compile(r"ai\.(generate|stream)(Text|Object)\.do(Generate|Stream)"), Kind.CALL),
    (re.compile(r"ai\.(generate|stream)(Text|Object)"), Kind.AROUND),
)
_MLFLOW = {"CHAT_MODEL": Kind.CALL, "LLM": Kind.CALL, "AGENT": Kind.AROUND, "CHAIN": Kind.AROUND}
_OTHER_WORDS = frozenset({"EMBEDDING", "RERANKER", "RETRIEVER", "TOOL", "GUARDRAIL", "EVALUATOR"})
_AROUND = re.compile(r"agent|workflow|chain", re.IGNORECASE)
_AGENTS_OWN = frozenset({"all_messages_events", "pydantic_ai.all_messages"})
_NOT_OF_A_CALL = re.compile(r"embed|rerank|retriev|tool|memor|moderat|image|speech|transcri", re.IGNORECASE)

_PARAMETERS = {
    "gen_ai.request.temperature": "temperature",
    "gen_ai.request.top_p": "top_p",
    "gen_ai.request.top_k": "top_k",
    "gen_ai.request.max_tokens": "max_tokens",
    "gen_ai.request.stop_sequences": "stop_sequences",
    "gen_ai.request.seed": "seed",
    "gen_ai.request.frequency_penalty": "frequency_penalty",
    "gen_ai.request.presence_penalty": "presence_penalty",
    "gen_ai.request.choice.count": "choice_count",
    "gen_ai.request.n": "n",
    "gen_ai.request.max_completion_tokens": "max_completion_tokens",
    "gen_ai.request.max_output_tokens": "max_output_tokens",
    "gen_ai.request.reasoning_effort": "reasoning_effort",
    "gen_ai.request.reasoning.effort": "reasoning_effort",
    "gen_ai.request.reasoning.level": "reasoning_effort",
    "gen_ai.request.response_format": "response_format",
    "gen_ai.request.tool_choice": "tool_choice",
    "gen_ai.request.service_tier": "service_tier",
    "gen_ai.openai.request.seed": "seed",
    "gen_ai.openai.request.response_format": "response_format",
    "gen_ai.openai.request.service_tier": "service_tier",
    "openai.request.service_tier": "service_tier",
    "llm.request.temperature": "temperature",
    "llm.request.max_tokens": "max_tokens",
    "llm.top_p": "top_p",
    "llm.top_k": "top_k",
    "llm.temperature": "temperature",
    "llm.frequency_penalty": "frequency_penalty",
    "llm.presence_penalty": "presence_penalty",
    "llm.chat.stop_sequences": "stop_sequences",
}

_STREAM = (
    "gen_ai.request.stream",
    "gen_ai.request.is_stream",
    "gen_ai.is_streaming",
    "llm.is_streaming",
    "llm.request.streaming",
    "llm.stream",
    "langsmith.request.streaming",
)
_FIRST_CHUNK = frozenset(
    {
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.server.time_to_first_token",
        "ai.response.msToFirstChunk",
    }
)

_FORMAT = "mlflow.message.format"
_MODEL = ("gen_ai.request.model", "llm.request.model", "ai.model.id", "langfuse.observation.model.name")
_RESPONSE_MODEL = ("gen_ai.response.model", "llm.response.model", "ai.response.model")
_PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.vendor", "ai.model.provider")
_RESPONSE_ID = ("gen_ai.response.id", "ai.response.id")
_FINISH_REASONS = (
    "gen_ai.response.finish_reasons",
    "gen_ai.response.finish_reason",
    "gen_ai.response.stop_reason",
    "llm.response.finish_reason",
    "anthropic.message.stop_reason",
    "ai.response.finishReason",
)
_URL = ("url.full", "gen_ai.openai.api_base", "llm.openai.api_base", "openai.api_base")

# A name that is not here, behind gen_ai.usage., keeps its own, with _ for each point.
USAGE = {
    "gen_ai.usage.input_tokens": "input_tokens",
    "gen_ai.usage.prompt_tokens": "input_tokens",
    "llm.usage.prompt_tokens": "input_tokens",
    "ai.usage.promptTokens": "input_tokens",
    "ai.usage.inputTokens": "input_tokens",
    "gen_ai.usage.output_tokens": "output_tokens",
    "gen_ai.usage.completion_tokens": "output_tokens",
    "llm.usage.completion_tokens": "output_tokens",
    "ai.usage.completionTokens": "output_tokens",
    "ai.usage.outputTokens": "output_tokens",
    "gen_ai.usage.total_tokens": "total_tokens",
    "llm.usage.total_tokens": "total_tokens",
    "llm.usage.reasoning_tokens": "reasoning_output_tokens",
    "ai.usage.totalTokens": "total_tokens",
    "gen_ai.usage.cache_read.input_tokens": "cache_read_input_tokens",
    "gen_ai.usage.cache_read_input_tokens": "cache_read_input_tokens",
    "gen_ai.usage.cached_input_tokens": "cache_read_input_tokens",
    "gen_ai.usage.prompt_tokens_details.cached_tokens": "cache_read_input_tokens",
    "gen_ai.usage.prompt_tokens_details.cache_read": "cache_read_input_tokens",
    "gen_ai.usage.prompt_tokens_details.cache_write": "cache_creation_input_tokens",
    "gen_ai.usage.completion_tokens_details.reasoning_tokens": "reasoning_output_tokens",
    "gen_ai.usage.completion_tokens_details.reasoning": "reasoning_output_tokens",
    "gen_ai.usage.cache_write_input_tokens": "cache_creation_input_tokens",
    "ai.usage.inputTokenDetails.cacheReadTokens": "cache_read_input_tokens",
    "ai.usage.inputTokenDetails.cacheWriteTokens": "cache_creation_input_tokens",
    "ai.usage.outputTokenDetails.reasoningTokens": "reasoning_output_tokens",
    "gen_ai.usage.details.cache_read_tokens": "cache_read_input_tokens",
    "gen_ai.usage.cache_read_tokens": "cache_read_input_tokens",
    "ai.usage.cachedInputTokens": "cache_read_input_tokens",
    "gen_ai.usage.cache_creation.input_tokens": "cache_creation_input_tokens",
    "gen_ai.usage.cache_creation_input_tokens": "cache_creation_input_tokens",
    "gen_ai.usage.cache_write.input_tokens": "cache_creation_input_tokens",
    "gen_ai.usage.details.cache_write_tokens": "cache_creation_input_tokens",
    "gen_ai.usage.cache_creation_tokens": "cache_creation_input_tokens",
    "gen_ai.usage.reasoning.output_tokens": "reasoning_output_tokens",
    "gen_ai.usage.reasoning_output_tokens": "reasoning_output_tokens",
    "gen_ai.usage.reasoning_tokens": "reasoning_output_tokens",
    "gen_ai.usage.details.reasoning_tokens": "reasoning_output_tokens",
    "ai.usage.reasoningTokens": "reasoning_output_tokens",
}
_NAMES = Names(
    content=CONTENT,
    content_prefixes=CONTENT_PREFIXES,
    read=frozenset({*_MODEL, *_PROVIDER, *_RESPONSE_ID, *_RESPONSE_MODEL, *_STREAM, *_FINISH_REASONS, *_PARAMETERS}),
    usage=USAGE,
    usage_prefixes=("gen_ai.usage.", "llm.usage.", "ai.usage."),
)


def reads(span: ReadableSpan, attributes: Mapping[str, object]) -> bool:
    """Say whether a span may be of this vocabulary; cheap, for it is asked of every span."""
    return not MARKS.isdisjoint(attributes) or is_raw(span)


def read(span: ReadableSpan, attributes: Mapping[str, object]) -> CallSpan | None:
    """Return what a span says of a call of a model; None where it stands for anything else.

    Args:
        span: The span.
        attributes: Its attributes.
    """
    if is_raw(span):
        return read_raw(span, NAME, attributes, _NAMES)
    kind = _kind(span, attributes)
    if kind is Kind.OTHER:
        return None
    said = read_said(attributes, span.events)
    if not (said.asks or said.answers_it) and _CERTAIN.isdisjoint(attributes):
        return None  # its name alone was like one of a call's
    if said.answers and _is_stream_of_google(attributes):  # its instrumentation has a message for each chunk
        said.answers = [joined(said.answers)]
    said.parameters.update(_parameters(attributes))
    found = Sorted(attributes, _NAMES)
    response_id = text(attributes, *_RESPONSE_ID)
    answers = _is_answer_of_logfire(attributes)
    return CallSpan.of(
        span,
        NAME,
        attributes,
        found,
        kind=kind,
        said=said,
        route=_route(span, attributes, response_id) or route_of(said.request, said.response),
        client_model=text(attributes, *_MODEL) or text(said.request or {}, "model"),
        backend=text(attributes, *_PROVIDER) or _provider_of_logfire(span) or _text(nested(attributes.get(_FORMAT))),
        stream=answers or _streams(attributes) or (said.request or {}).get("stream") is True,
        response_id=response_id,
        response_model=text(attributes, *_RESPONSE_MODEL),
        finish_reasons=[reason for name in _FINISH_REASONS for reason in texts(attributes.get(name))],
        usage=with_provider_usage(found.usage, nested(found.usage.pop("raw", None)) or said.usage),
        target_url=text(attributes, *_URL),
        previous_response_id=_previous_response(found.texts),
        awaits_answer=attributes.get("logfire.span_type") == "span" and said.asks and not said.answers_it,
        answers=answers,
        awaits_inner=span.name == "litellm_request",
    )


def _kind(span: ReadableSpan, attributes: Mapping[str, object]) -> Kind:
    special = _kind_of_vendor(attributes)
    if special is not None:
        return special
    operation = text(attributes, "gen_ai.operation.name").lower()
    known = _KINDS.get(operation) or _SPAN_KINDS.get(text(attributes, *_SPAN_KIND).lower())
    if known is not None:
        return known
    described = operation or text(attributes, "llm.request.type") or span.name
    if _NOT_OF_A_CALL.search(described):
        return Kind.OTHER
    if not _AGENTS_OWN.isdisjoint(attributes):
        return Kind.AGENT
    return Kind.AROUND if _AROUND.search(described) else Kind.CALL


def _kind_of_vendor(attributes: Mapping[str, object]) -> Kind | None:
    """Return what a span stands for where a vendor's own word for it counts before the conventions'."""
    if vercel := text(attributes, "ai.operationId"):
        return next((kind for pattern, kind in _VERCEL if pattern.fullmatch(vercel)), Kind.OTHER)
    if mlflow := nested(attributes.get("mlflow.spanType")):
        return _MLFLOW.get(_text(mlflow), Kind.OTHER)
    # Logfire's pending span is the beginning of one, for those who watch; LiteLLM calls an embedding a generation too.
    pending = attributes.get("logfire.span_type") == "pending_span"
    if pending or text(attributes, "openinference.span.kind") in _OTHER_WORDS:
        return Kind.OTHER
    # LangSmith has operations for what is none of them: a chain is a chat there.
    return _SPAN_KINDS.get(text(attributes, "langsmith.span.kind").lower())


def _route(span: ReadableSpan, attributes: Mapping[str, object], response_id: str) -> str:
    api = text(attributes, "openai.api.type")
    path = text(attributes, "url.path", "url.full", "http.route")
    if (
        api == "responses"
        or response_id.startswith("resp_")
        or path.endswith("/responses")
        or span.name == "openai.response"
        or text(attributes, "logfire.msg_template").startswith("Responses API")
    ):
        return "responses"
    if api == "chat_completions" or path.endswith("/chat/completions") or span.name == "openai.chat":
        return "chat"
    operation = text(attributes, "gen_ai.operation.name").lower()
    provider = (text(attributes, *_PROVIDER) or _text(nested(attributes.get(_FORMAT)))).lower()
    if operation == "generate_content" or provider in ("gcp.gemini", "gcp.gen_ai", "gemini", "google"):
        return "gemini"
    provider = provider or _provider_of_logfire(span)
    if provider.startswith("anthropic") or path.endswith("/v1/messages") or response_id.startswith("msg_"):
        return "messages"
    return "completions" if operation == "text_completion" or span.name == "openai.completion" else ""


def _previous_response(texts: dict[str, str]) -> str:
    """Return the answer that this call continues.

    Some give it as the conversation's id, though a chain of responses has another one at each call.
    """
    if previous := texts.get("gen_ai.request.previous_response.id", ""):
        return previous
    named = texts.get("gen_ai.conversation.id", "")
    if not named.startswith("resp_"):
        return ""
    del texts["gen_ai.conversation.id"]
    return named


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _provider_of_logfire(span: ReadableSpan) -> str:
    scope = span.instrumentation_scope
    return scope.name.removeprefix("logfire.") if scope is not None and scope.name.startswith("logfire.") else ""


def _streams(attributes: Mapping[str, object]) -> bool:
    said = [attributes[name] for name in _STREAM if name in attributes]
    if said:
        return any(value in (True, "True", "true") for value in said)
    if not _FIRST_CHUNK.isdisjoint(attributes):
        return True
    if text(attributes, "ai.operationId").endswith("doStream") or _is_stream_of_google(attributes):
        return True
    request = nested(attributes.get("request_data"))  # Logfire
    return isinstance(request, dict) and request.get("stream") is True


def _is_stream_of_google(attributes: Mapping[str, object]) -> bool:
    return text(attributes, "code.function.name").endswith(".generate_content_stream")


def _is_answer_of_logfire(attributes: Mapping[str, object]) -> bool:
    """Say whether this is the span that Logfire makes when a stream has ended; the call's own has ended before."""
    return text(attributes, "logfire.msg_template").startswith("streaming response from")


def _parameters(attributes: Mapping[str, object]) -> dict[str, Json]:
    return {
        parameter: plain(attributes[name])
        for name, parameter in _PARAMETERS.items()
        if attributes.get(name) not in (None, "")
    }
