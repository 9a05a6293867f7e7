"""What a turn's model answered, in the canonical form of messages, from whatever the log has of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_convlog.identity.canonical import TEXT, Message, read_answer
from otel_convlog.streams import assemble

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_convlog.jsontext import Json

_MOST_CHOICES = 8


@dataclass(frozen=True)
class Answers:
    """The answers that one turn was given: several where the request asked for several, none where it failed.

    Attributes:
        complete: False where an answer broke off, so that the client may know more of it than the log, or less.
        response_ids: The ids of answers that a later request can name as ``previous_response_id``.
    """

    messages: tuple[Message, ...] = ()
    complete: bool = False
    response_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Side:
    """One of the two sides on which a proxy sees an answer.

    Attributes:
        response: The whole answer, where it was not streamed.
        events: The streamed events; None where not all of them are there.
    """

    response: Json
    events: list[Json] | None


def find_answers(client: Side, upstream: Side, summary: Json, error: Json) -> Answers:
    """Find a turn's answers: what the client got, because that is what it gives back; else what came from upstream.

    Of a client that went away before the end, that is both: it may give back what it has got so far.
    """
    partial = Answers()
    for side in (client, upstream):
        for answers in (read_response(side.response), read_response(assemble(side.events or []))):
            if answers.complete and answers.messages:
                return Answers(answers.messages + partial.messages, error is None, answers.response_ids)
            partial = partial if partial.messages else answers
    text = summary.get("text") if isinstance(summary, dict) else None
    if isinstance(text, str) and text.strip() and not partial.messages:
        return Answers((Message(assistant=True, parts=[(TEXT, text)]),), error is None, partial.response_ids)
    return partial


def read_response(response: Json) -> Answers:
    """Read a whole answer of any of the four protocols; no answer where it is of another kind."""
    if not isinstance(response, dict):
        return Answers()
    if isinstance(inner := response.get("response"), dict) and "candidates" not in response:
        response = inner  # an event or an envelope around the answer
    for name, read in _READERS.items():
        if isinstance(value := response.get(name), list):
            return read(value, response)
    return Answers()


def _of_chat(choices: list[Json], _: Mapping[str, Json]) -> Answers:
    return _of_choices(choices, "message", "finish_reason")


def _of_gemini(candidates: list[Json], _: Mapping[str, Json]) -> Answers:
    return _of_choices(candidates, "content", "finishReason")


def _of_responses(output: list[Json], response: Mapping[str, Json]) -> Answers:
    response_id = response.get("id")
    complete = response.get("status", "completed") in ("completed", "incomplete")
    ids = (response_id,) if isinstance(response_id, str) and response_id else ()
    return Answers(_with_words(read_answer(output)), complete, ids)


def _of_messages(content: list[Json], response: Mapping[str, Json]) -> Answers:
    if response.get("role", "assistant") != "assistant":
        return Answers()
    return Answers(_with_words(read_answer(content)), response.get("stop_reason", "") is not None)


_READERS: dict[str, Callable[[list[Json], Mapping[str, Json]], Answers]] = {
    "choices": _of_chat,
    "candidates": _of_gemini,
    "output": _of_responses,
    "content": _of_messages,
}


def _of_choices(choices: list[Json], message_key: str, reason_key: str) -> Answers:
    found = [choice for choice in choices[:_MOST_CHOICES] if isinstance(choice, dict) and choice.get(message_key)]
    complete = all(choice.get(reason_key, "") is not None for choice in found)
    return Answers(_with_words(*(read_answer(choice[message_key]) for choice in found)), complete)


def _with_words(*messages: Message) -> tuple[Message, ...]:
    return tuple(message for message in messages if message.parts or message.ids)
