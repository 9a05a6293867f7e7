"""Reads spans of OpenInference (https://arize-ai.github.io/openinference/spec/semantic_conventions.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.jsontext import json_or_none
from otel_convlog.readers.attribute_values import first_index, text, unflattened
from otel_convlog.readers.call_span import CallSpan, Kind, Names, Said, Sorted, with_provider_usage
from otel_convlog.readers.parts import as_text, chat_message, text_message, tool_call
from otel_convlog.readers.whole import is_request, is_response, json_or_text, route_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.parts import Object

NAME = "openinference"

# One of these is on every span that this reader reads. The first releases give the kind first, so that limits of the
# SDK drop it first; what was answered comes last.
_ANSWERED = frozenset({"llm.output_messages.0.message.role", "llm.output_messages.0.message.content"})
MARKS = _ANSWERED | {"openinference.span.kind"}

_KINDS = {"LLM": Kind.CALL, "AGENT": Kind.AROUND, "CHAIN": Kind.AROUND}

_INPUT, _OUTPUT = "llm.input_messages.", "llm.output_messages."
# Neither is what the OpenAI Agents SDK's answers have beside the parameters.
_NO_PARAMETERS = frozenset({"model", "tools", "messages", "input", "contents", "prompt", "id", "created_at"})
_HIDDEN = "__REDACTED__"  # in the place of what its settings hide

_MODEL = ("llm.request.model_name", "llm.request_model_name")
_RESPONSE_MODEL = ("llm.response.model_name", "llm.model_name")
_PROVIDER = ("llm.provider", "llm.system")
_CLIENTS = {"openai": "openai", "anthropic": "anthropic", "mistralai": "mistralai", "groq": "groq", "bedrock": "aws"}
USAGE = {
    "llm.token_count.prompt": "input_tokens",
    "llm.token_count.completion": "output_tokens",
    "llm.token_count.total": "total_tokens",
    "llm.token_count.prompt_details.cache_read": "cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_input": "cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_write": "cache_creation_input_tokens",
    "llm.token_count.completion_details.reasoning": "reasoning_output_tokens",
}
_NAMES = Names(
    content=frozenset({"input.value", "output.value"}),
    content_prefixes=(_INPUT, _OUTPUT, "llm.tools.", "llm.prompts.", "llm.choices."),
    read=frozenset(
        {
            "input.mime_type",
            "output.mime_type",
            "llm.invocation_parameters",
            "llm.finish_reason",
            *_MODEL,
            *_RESPONSE_MODEL,
            *_PROVIDER,
        }
    ),
    usage=USAGE,
    usage_prefixes=("llm.token_count.",),
)


def reads(span: ReadableSpan, attributes: Mapping[str, object]) -> bool:  # noqa: ARG001  as the other readers have it
    """Say whether a span may be of this vocabulary; cheap, for it is asked of every span."""
    return not MARKS.isdisjoint(attributes)


def read(span: ReadableSpan, attributes: Mapping[str, object]) -> CallSpan | None:
    """Return what a span says of a call of a model; None where it stands for anything else.

    Args:
        span: The span.
        attributes: Its attributes.
    """
    kind = _KINDS.get(text(attributes, "openinference.span.kind").upper(), Kind.OTHER)
    if "openinference.span.kind" not in attributes:
        kind = Kind.CALL
    if kind is Kind.OTHER or "embedding" in text(attributes, *_RESPONSE_MODEL):  # older LiteLLM calls one LLM too
        return None
    said = _said(attributes) if kind is Kind.CALL else Said()
    request = said.request or {}
    parameters = json_or_none(text(attributes, "llm.invocation_parameters"))
    given = parameters if isinstance(parameters, dict) else {}
    said.parameters.update({name: value for name, value in given.items() if name not in _NO_PARAMETERS})
    found = Sorted(attributes, _NAMES)
    found.texts.update(_ids_in_metadata(attributes))
    if span.instrumentation_scope is not None and span.instrumentation_scope.name == "litellm":
        found.texts.pop("session.id", None)  # it is the id of a user there
    return CallSpan.of(
        span,
        NAME,
        attributes,
        found,
        kind=kind,
        said=said,
        route=_route(span, attributes, said),
        client_model=_requested_model(attributes, request, given),
        backend=_provider(span, attributes),
        stream=request.get("stream") is True or given.get("stream") is True,
        response_id=_text((said.response or {}).get("id")),
        response_model=text(attributes, *_RESPONSE_MODEL),
        finish_reasons=[reason] if (reason := text(attributes, "llm.finish_reason")) else [],
        usage=with_provider_usage(found.usage, (said.response or {}).get("usage")),
    )


def _requested_model(attributes: Mapping[str, object], request: Object, given: Object) -> str:
    named = _text(request.get("model")) or text(attributes, *_MODEL) or _text(given.get("model"))
    # Before there were names for the two, there was one, which is given as the call begins.
    return named or ("" if "llm.response.model_name" in attributes else text(attributes, "llm.model_name"))


def _ids_in_metadata(attributes: Mapping[str, object]) -> dict[str, str]:
    """Return what the JSON in ``metadata`` says in text, under names of its own: LangGraph's thread, for one."""
    metadata = json_or_none(text(attributes, "metadata"))
    entries = metadata.items() if isinstance(metadata, dict) else ()
    return {f"metadata.{name}": value for name, value in entries if isinstance(value, str)}


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _said(attributes: Mapping[str, object]) -> Said:
    """Return what was said: the whole request and answer where they are there, else the flattened copies."""
    said = Said()
    asked = _value(attributes, "input")
    if isinstance(asked, dict) and is_request(asked):
        said.request = asked
    else:
        said.messages = _messages(attributes, _INPUT) or _prompts(attributes)
        said.missing = first_index(attributes, _INPUT)
        said.tools = _tools(attributes)
        if not said.messages and isinstance(asked, str):
            said.messages = [text_message("user", asked)]
    answered = _value(attributes, "output")
    if isinstance(answered, dict) and is_response(answered):
        said.response = answered
    else:
        said.answers = _messages(attributes, _OUTPUT) or _choices(attributes)
        if not said.answers and isinstance(answered, str):
            said.answers = [text_message("assistant", answered)]
    return said


def _value(attributes: Mapping[str, object], direction: str) -> Json:
    """Return what ``input.value`` or ``output.value`` holds: JSON, text, or None where it is hidden or not there."""
    value = attributes.get(f"{direction}.value")
    if attributes.get(f"{direction}.mime_type") == "application/json":
        return json_or_none(value) if isinstance(value, str) else None
    return json_or_text(value) if isinstance(value, str) and value[:1] == "{" else _shown(value)


def _shown(value: object) -> str | None:
    return value if isinstance(value, str) and value not in ("", _HIDDEN) else None


def _messages(attributes: Mapping[str, object], prefix: str) -> list[Json]:
    tree = unflattened(attributes, prefix)
    found = [item.get("message") if isinstance(item, dict) else None for item in tree] if isinstance(tree, list) else []
    return [_message(message) for message in found if isinstance(message, dict)]


def _message(message: Object) -> Object:
    contents = message.get("contents")
    words: Object = {name: value for name, value in message.items() if name not in ("contents", "tool_calls")}
    if isinstance(contents, list):
        words["content"] = [_content(item) for item in contents if isinstance(item, dict)]
    calls = _calls(message)
    known = [call.get("id") for call in calls]
    read = chat_message(words, "user")
    parts = read["parts"]
    assert isinstance(parts, list)  # noqa: S101
    read["parts"] = [part for part in parts if not _is_call(part, known)] + list(calls)
    return read


def _is_call(part: Json, ids: Collection[Json]) -> bool:
    return isinstance(part, dict) and part.get("type") == "tool_call" and part.get("id") in ids


def _calls(message: Object) -> list[Object]:
    calls = message.get("tool_calls")
    found = [call.get("tool_call") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    if name := message.get("function_call_name"):
        found.append({"function": {"name": name, "arguments": message.get("function_call_arguments_json")}})
    return [tool_call(call) for call in found if isinstance(call, dict)]


def _content(item: Object) -> Json:
    """Return a ``message_content``: text, an image, a tool call."""
    inner = item.get("message_content")
    content = inner if isinstance(inner, dict) else {}
    if isinstance(call := item.get("tool_call", content.get("tool_call")), dict):
        return tool_call(call)
    for kind in ("image", "audio", "video", "document"):
        media = content.get(kind)
        if isinstance(media, dict) and isinstance(holder := media.get(kind), dict):
            return {"type": "uri", "modality": kind, "uri": holder.get("url")}
    return content


def _prompts(attributes: Mapping[str, object]) -> list[Json]:
    tree = unflattened(attributes, "llm.prompts.")
    if isinstance(tree, list):
        texts = [item.get("prompt") if isinstance(item, dict) else None for item in tree]
        return [text_message("user", as_text(item.get("text", ""))) for item in texts if isinstance(item, dict)]
    return []


def _choices(attributes: Mapping[str, object]) -> list[Json]:
    tree = unflattened(attributes, "llm.choices.")
    if isinstance(tree, list):
        texts = [item.get("completion") if isinstance(item, dict) else None for item in tree]
        return [text_message("assistant", as_text(item.get("text", ""))) for item in texts if isinstance(item, dict)]
    return []


def _tools(attributes: Mapping[str, object]) -> Json:
    tree = unflattened(attributes, "llm.tools.")
    found = [item.get("tool") if isinstance(item, dict) else None for item in tree] if isinstance(tree, list) else []
    schemas = [item.get("json_schema", item) for item in found if isinstance(item, dict)]
    return [json_or_none(schema) if isinstance(schema, str) else schema for schema in schemas] or None


def _route(span: ReadableSpan, attributes: Mapping[str, object], said: Said) -> str:
    if route := route_of(said.request, said.response):
        return route
    if span.name == "Response":
        return "responses"
    return "messages" if _provider(span, attributes).lower() == "anthropic" else ""


def _provider(span: ReadableSpan, attributes: Mapping[str, object]) -> str:
    """Return the provider: its first releases do not name it, and it is that of the client library they instrument."""
    scope = span.instrumentation_scope.name if span.instrumentation_scope is not None else ""
    named = text(attributes, *_PROVIDER) or _ids_in_metadata(attributes).get("metadata.ls_provider", "")  # LangChain
    return named or _CLIENTS.get(scope.removeprefix("openinference.instrumentation."), "")
