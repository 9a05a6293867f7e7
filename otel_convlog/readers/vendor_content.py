"""What was said, in attributes of vendors' own (docs/sources.md names them)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.readers import whole
from otel_convlog.readers.attribute_values import nested
from otel_convlog.readers.parts import chat_message, messages_of, text_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.call_span import Said


def read_one_value(said: Said, attributes: Mapping[str, object]) -> None:
    """Take ``gen_ai.prompt`` and ``gen_ai.completion`` (LangSmith, the conventions of old), and Langfuse's."""
    for name in ("gen_ai.prompt", "gen_ai.input", "langfuse.observation.input"):
        if not said.asks and (value := attributes.get(name)) is not None:
            whole.ask(said, whole.json_or_text(value))
    for name in ("gen_ai.completion", "gen_ai.output", "langfuse.observation.output"):
        if not said.answers_it and (value := attributes.get(name)) is not None:
            whole.answer(said, whole.json_or_text(value))
    said.usage = said.usage or nested(attributes.get("langfuse.observation.usage_details"))


def read_mlflow(said: Said, attributes: Mapping[str, object]) -> None:
    """Take MLflow's inputs and outputs: nearly always a request and an answer as their API has them."""
    if not said.asks:
        whole.ask(said, whole.json_or_text(attributes.get("mlflow.spanInputs")))
    if not said.answers_it:
        whole.answer(said, whole.json_or_text(attributes.get("mlflow.spanOutputs")))
    said.usage = said.usage or nested(attributes.get("mlflow.chat.tokenUsage"))


def read_logfire(said: Said, attributes: Mapping[str, object]) -> None:
    """Take Logfire's ``request_data`` and ``response_data``, which it had before the conventions' names."""
    request = nested(attributes.get("request_data"))
    if isinstance(request, dict) and not (said.asks or said.answers_it):
        # For the OpenAI Agents SDK it has these beside, and the answer at the end of the request's messages.
        whole.ask(said, nested(attributes.get("input")))
        whole.answer(said, nested(attributes.get("output")))
    if not said.asks and isinstance(request, dict) and whole.is_request(request):
        said.request = request
    response = nested(attributes.get("response_data"))
    if said.answers_it or not isinstance(response, dict):
        return
    said.usage = response.get("usage")
    message = response.get("message")
    if isinstance(message, dict):
        said.answers = messages_of([message], "assistant")
    elif isinstance(text := response.get("combined_chunk_content", response.get("text")), str):
        said.answers = [text_message("assistant", text)]


def read_ai_sdk(said: Said, attributes: Mapping[str, object]) -> None:
    """Take what the AI SDK of Vercel has: ``ai.prompt.messages`` and ``ai.response``."""
    if not said.asks and (value := attributes.get("ai.prompt.messages", attributes.get("ai.prompt"))) is not None:
        whole.ask(said, whole.json_or_text(value))
    tools = attributes.get("ai.prompt.tools")  # each a JSON of its own
    if said.tools is None and isinstance(tools, (list, tuple)):
        said.tools = [whole.json_or_text(tool) for tool in tools]
    if said.answers_it:
        return
    words: dict[str, Json] = {}
    for name in ("ai.response.text", "ai.response.object", "ai.result.text", "ai.result.object"):
        if isinstance(value := attributes.get(name), str):
            words.setdefault("content", value)
    if isinstance(value := attributes.get("ai.response.reasoning"), str):
        words["reasoning_content"] = value
    for name in ("ai.response.toolCalls", "ai.result.toolCalls"):
        if calls := nested(attributes.get(name)):
            words["tool_calls"] = calls
    if words:
        said.answers = [chat_message(words, "assistant")]


def read_adk(said: Said, attributes: Mapping[str, object]) -> None:
    """Take what Google's Agent Development Kit has: a request and an answer nearly as Gemini has them."""
    request = nested(attributes.get("gcp.vertex.agent.llm_request"))
    if not said.asks and isinstance(request, dict) and isinstance(contents := request.get("contents"), list):
        said.messages = messages_of([_content(content) for content in contents])
        config = request.get("config")
        system = config.get("system_instruction") if isinstance(config, dict) else None
        if isinstance(system, str):
            said.system = [{"type": "text", "content": system}]
        said.tools = config.get("tools") if isinstance(config, dict) else None
    response = nested(attributes.get("gcp.vertex.agent.llm_response"))
    if not said.answers_it and isinstance(response, dict) and isinstance(response.get("content"), dict):
        said.answers = messages_of([_content(response["content"])], "assistant")
        said.usage = response.get("usage_metadata")


def _content(content: Json) -> Json:
    """Return a content of Gemini's as a message of a chat."""
    if not isinstance(content, dict):
        return content
    return {"role": content.get("role"), "content": content.get("parts")}
