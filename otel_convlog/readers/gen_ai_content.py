"""What was said, in the many forms that GenAI instrumentations have given it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.jsontext import from_json
from otel_convlog.readers.attribute_values import first_index, nested, plain, unflattened
from otel_convlog.readers.call_span import Said
from otel_convlog.readers.event_content import read_event_list, read_events
from otel_convlog.readers.parts import messages_of, objects_of, parts_of, text_message
from otel_convlog.readers.vendor_content import read_adk, read_ai_sdk, read_logfire, read_mlflow, read_one_value
from otel_convlog.readers.whole import json_or_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.sdk.trace import Event

    from otel_convlog.jsontext import Json

INPUT = "gen_ai.input.messages"
OUTPUT = "gen_ai.output.messages"
SYSTEM = "gen_ai.system_instructions"
TOOLS = "gen_ai.tool.definitions"

# The conventions have an event with the same attributes, for backends that want no content on spans.
_DETAILS_EVENT = "gen_ai.client.inference.operation.details"


# Attributes that hold what was said as one JSON, and those whose name goes on with a number.
CONTENT = frozenset(
    {
        INPUT,
        OUTPUT,
        SYSTEM,
        TOOLS,
        "gen_ai.prompt",
        "gen_ai.completion",
        "gen_ai.input",
        "gen_ai.output",
        "input",
        "output",
        "events",
        "all_messages_events",
        "pydantic_ai.all_messages",
        "request_data",
        "response_data",
        "ai.prompt",
        "ai.prompt.messages",
        "ai.prompt.tools",
        "ai.response.text",
        "ai.response.toolCalls",
        "ai.response.object",
        "ai.response.reasoning",
        "langfuse.observation.input",
        "langfuse.observation.output",
        "gcp.vertex.agent.llm_request",
        "gcp.vertex.agent.llm_response",
        "mlflow.spanInputs",
        "mlflow.spanOutputs",
        "ai.result.text",
        "ai.result.object",
        "ai.result.toolCalls",
    }
)
CONTENT_PREFIXES = (
    "gen_ai.prompt.",
    "gen_ai.completion.",
    "llm.prompts.",
    "llm.completions.",
    "llm.request.functions.",
    "SpanAttributes.LLM_",
)


def read_said(attributes: Mapping[str, object], events: Sequence[Event]) -> Said:
    """Return what was said, from the first form that the span has it in."""
    said = Said()
    _of_conventions(said, attributes)
    for event in events if said.messages is None or said.answers is None else ():
        if event.name == _DETAILS_EVENT:
            _of_conventions(said, event.attributes or {})
    for form in _FORMS:
        if said.asks and said.answers_it:
            break
        form(said, attributes)
    if events and not (said.asks and said.answers_it):
        read_events(said, ((event.name, event.attributes or {}) for event in events))
    if said.tools is None:
        said.tools = _functions(attributes)
    return said


def _of_conventions(said: Said, attributes: Mapping[str, object]) -> None:
    if said.messages is None and (value := attributes.get(INPUT)) is not None:
        said.messages = _messages(said, INPUT, value)
    if said.answers is None and (value := attributes.get(OUTPUT)) is not None:
        answers = _messages(said, OUTPUT, value, "assistant")
        said.answers = [text_message("assistant", answers)] if isinstance(answers, str) else answers
    if not said.system and (value := attributes.get(SYSTEM)) is not None:
        said.system = _system(objects_of(json_or_text(value)))
    if said.tools is None and (value := attributes.get(TOOLS)) is not None:
        said.tools = objects_of(nested(value))


def _messages(said: Said, name: str, value: object, role: str = "user") -> list[Json] | str:
    """Return the messages of an attribute, or the text that is left of their JSON where it has been cut."""
    if not isinstance(value, str):
        return messages_of(objects_of(plain(value)), role)
    try:
        return messages_of(from_json(value), role)
    except ValueError:
        if value.lstrip()[:1] not in ("[", "{"):
            return [text_message(role, value)]
        said.cut.append(name)
        return value


_PROMPTS = (
    ("gen_ai.prompt.", "gen_ai.completion."),
    ("llm.prompts.", "llm.completions."),
    ("SpanAttributes.LLM_PROMPTS.", "SpanAttributes.LLM_COMPLETIONS."),  # LiteLLM 1.6x meant the first ones
)


def _of_flattened(said: Said, attributes: Mapping[str, object]) -> None:
    for prompts, completions in _PROMPTS:
        if not said.asks and isinstance(tree := unflattened(attributes, prompts), list):
            said.messages = messages_of(tree)
            said.missing = first_index(attributes, prompts)
        if not said.answers_it and isinstance(tree := unflattened(attributes, completions), list):
            said.answers = messages_of(tree, "assistant")


def _system(value: Json) -> list[Json]:
    """Return parts: the value is a list of them, or, as LiteLLM has it, of messages; or text."""
    parts: list[Json] = []
    for part in value if isinstance(value, list) else [value]:
        inner = part.get("parts") if isinstance(part, dict) else None
        parts += inner if isinstance(inner, list) else parts_of(part)
    return parts


def _functions(attributes: Mapping[str, object]) -> Json:
    functions = unflattened(attributes, "llm.request.functions.")
    if functions is None:
        functions = unflattened(attributes, "SpanAttributes.LLM_REQUEST_FUNCTIONS.")
    if functions is None and isinstance(asked := nested(attributes.get("model_request_parameters")), dict):
        functions = asked.get("function_tools")  # Pydantic AI
    if not isinstance(functions, list):
        return None
    tools: list[Json] = []
    for function in functions:
        if isinstance(function, dict):
            for name in ("parameters", "input_schema"):
                if name in function:
                    function[name] = json_or_text(function[name])
            tools.append({"type": "function", "function": function})
    return tools


_FORMS: tuple[Callable[[Said, Mapping[str, object]], None], ...] = (
    _of_flattened,
    read_one_value,
    read_ai_sdk,
    read_logfire,
    read_event_list,
    read_adk,
    read_mlflow,
)
