"""The shape of OpenAI's older completions (https://platform.openai.com/docs/api-reference/completions)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_convlog.readers.shapes.values import parts_of, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.parts import Object

PARAMETERS: Final = {"stop_sequences": "stop", "choice_count": "n"}


def ask(request: Object, said: Sequence[Json], system: Sequence[Json]) -> None:
    """Add the prompt, or the prompts, to a request."""
    texts: list[Json] = [text_of(parts_of(message)) for message in said]
    if system:
        texts.insert(0, text_of(system))
    request["prompt"] = texts[0] if len(texts) == 1 else texts


def configure(request: Object, parameters: Mapping[str, Json]) -> None:
    """Add the parameters to a request."""
    request.update(parameters)


def answer(response: Object, said: Sequence[Json], reasons: Sequence[Json]) -> None:
    """Add what was answered, and why it ended, to a response."""
    response["choices"] = [
        {"index": at, "text": text_of(parts_of(message)), "finish_reason": reason}
        for at, (message, reason) in enumerate(zip(said, reasons, strict=True))
    ]


def tool(given: Json) -> Json:
    """Return a tool, which this API does not know."""
    return given
