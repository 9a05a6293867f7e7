"""The shape of Gemini's generateContent (https://ai.google.dev/api/generate-content)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_convlog.readers.shapes.values import arguments, declared, function_of, is_system, kind_of, parts_of, result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.parts import Object

PARAMETERS: Final = {
    "max_tokens": "maxOutputTokens",
    "top_p": "topP",
    "top_k": "topK",
    "stop_sequences": "stopSequences",
    "choice_count": "candidateCount",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
}


def ask(request: Object, said: Sequence[Json], system: Sequence[Json]) -> None:
    """Add the contents to a request, those of the system's apart."""
    instructions = list(system)
    contents: list[Json] = []
    for message in said:
        if is_system(message):
            instructions += parts_of(message)
        elif isinstance(message, dict):
            contents.append(_content(message))
    if instructions:
        request["systemInstruction"] = {"parts": [_part(part) for part in instructions]}
    request["contents"] = contents


def configure(request: Object, parameters: Mapping[str, Json]) -> None:
    """Add the parameters to a request; whether it streams is said by its URL there."""
    given: Object = {name: value for name, value in parameters.items() if name != "stream"}
    if given:
        request["generationConfig"] = given


def answer(response: Object, said: Sequence[Json], reasons: Sequence[Json]) -> None:
    """Add what was answered, and why it ended, to a response."""
    response["candidates"] = [
        {"content": _content(message), **({"finishReason": reason} if reason else {})}
        for message, reason in zip(said, reasons, strict=True)
        if isinstance(message, dict)
    ]


def tool(given: Json) -> Json:
    """Return a tool."""
    function = function_of(given)
    return given if function is None else {"functionDeclarations": [declared(function, "parameters")]}


def _content(message: Object) -> Object:
    role = "model" if message.get("role") in ("assistant", "model") else "user"
    return {"role": role, "parts": [_part(part) for part in parts_of(message)]}


def _part(part: Json) -> Json:
    if not isinstance(part, dict):
        return {"text": part}
    shape = _PARTS.get(kind_of(part))
    return part if shape is None else shape(part)


_PARTS: dict[str, Callable[[Object], Json]] = {
    "text": lambda part: {"text": part.get("content", part.get("text"))},
    "reasoning": lambda part: {"text": part.get("content"), "thought": True},
    "tool_call": lambda part: {
        "functionCall": {"id": part.get("id"), "name": part.get("name"), "args": arguments(part)}
    },
    "tool_call_response": lambda part: {
        "functionResponse": {"id": part.get("id"), "name": part.get("name"), "response": result(part)}
    },
    "blob": lambda part: {"inlineData": {"mimeType": part.get("mime_type"), "data": part.get("content")}},
    "uri": lambda part: {"fileData": {"mimeType": part.get("mime_type"), "fileUri": part.get("uri")}},
}
