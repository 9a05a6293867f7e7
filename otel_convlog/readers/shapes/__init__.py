"""Requests and answers in the shape of their API, made from messages in the conventions' form.

So a person, and the rules of identity, read a call that an instrumentation has recorded like any other. Nothing is
added that the span does not say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.readers.shapes import chat, completions, gemini, messages, responses
from otel_convlog.readers.shapes.values import is_system, parts_of, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.parts import Object

_SHAPES = {"messages": messages, "responses": responses, "gemini": gemini, "completions": completions}


def request_of(  # noqa: PLR0913  what a request is made of
    route: str,
    said: Sequence[Json],
    *,
    model: str = "",
    system: Sequence[Json] = (),
    tools: Json = None,
    parameters: Mapping[str, Json] | None = None,
) -> Object:
    """Return a request.

    Args:
        route: The API; one that is not known has the shape of ``chat``.
        said: Its messages in the conventions' form (`otel_convlog.readers.parts`).
        model: Its model.
        system: Parts of the system's instructions, where they stand apart from the messages.
        tools: The tools on offer.
        parameters: Temperature and the like, by the conventions' names without ``gen_ai.request.``.
    """
    shape = _SHAPES.get(route, chat)
    request: Object = {"model": model} if model else {}
    shape.ask(request, said, [] if system and _stand_in(said, system) else system)
    if tools:
        request["tools"] = [shape.tool(tool) for tool in tools] if isinstance(tools, list) else tools
    shape.configure(request, {shape.PARAMETERS.get(name, name): value for name, value in (parameters or {}).items()})
    return request


def _stand_in(said: Sequence[Json], system: Sequence[Json]) -> bool:
    """Say whether the system's instructions stand among the messages too, as OpenLIT has them."""
    text = text_of(system)
    return any(is_system(message) and text_of(parts_of(message)) == text for message in said)


def response_of(
    route: str, said: Sequence[Json], *, response_id: str = "", model: str = "", finish_reasons: Sequence[str] = ()
) -> Object:
    """Return an answer.

    Args:
        route: As in `request_of`.
        said: What was answered, in the conventions' form: one message, or as many as there were choices.
        response_id: Its id.
        model: The model that has answered.
        finish_reasons: Why each of the choices ended, where the messages do not say it.
    """
    response: Object = {"id": response_id} if response_id else {}
    if model:
        response["model"] = model
    reasons = [
        (message.get("finish_reason") if isinstance(message, dict) else None)
        or (finish_reasons[at] if at < len(finish_reasons) else None)
        for at, message in enumerate(said)
    ]
    _SHAPES.get(route, chat).answer(response, said, reasons)
    return response
