"""What was said, in span events: of the conventions before they had attributes for it, and of others since."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otel_convlog.readers import whole
from otel_convlog.readers.attribute_values import nested, plain
from otel_convlog.readers.parts import chat_message, messages_of, text_message

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.call_span import Said

_ROLES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_CHOICE = "gen_ai.choice"

_SPEAKER = re.compile(r"^(system|developer|user|assistant|tool): ", re.MULTILINE)


def read_events(said: Said, events: Iterable[tuple[str, Mapping[str, object]]]) -> None:
    """Take what events say, by their names and attributes."""
    asked: list[Json] = []
    answers: list[Json] = []
    for name, attributes in events:
        if name in _ROLES:
            asked.append(chat_message(_body(attributes), _ROLES[name]))
        elif name == _CHOICE:
            answers += messages_of([_body(attributes)], "assistant")
        elif name == "gen_ai.content.prompt" and not said.asks:
            prompt = whole.json_or_text(attributes.get("gen_ai.prompt"))
            whole.ask(said, (_transcript(prompt) if isinstance(prompt, str) else None) or prompt)
        elif name == "gen_ai.content.completion" and not said.answers_it:
            whole.answer(said, whole.json_or_text(attributes.get("gen_ai.completion")))
        elif name in ("gen_ai.input.messages", "gen_ai.output.messages"):  # Azure
            messages = messages_of(nested(attributes.get("gen_ai.event.content")))
            asked, answers = (asked + messages, answers) if "input" in name else (asked, answers + messages)
    if asked and not said.asks:
        if answers:
            said.messages = asked
        else:
            split(said, asked)
    if answers and not said.answers_it:
        said.answers = answers


def _transcript(text: str) -> list[Json]:
    """Return the messages of a text in which each begins with its role (OpenLIT 1.33); none where it does not."""
    begins = list(_SPEAKER.finditer(text))
    if not begins or begins[0].start() != 0:
        return []
    ends = [*(begin.start() for begin in begins[1:]), len(text)]
    return [
        text_message(begin[1], text[begin.end() : end].removesuffix("\n"))
        for begin, end in zip(begins, ends, strict=True)
    ]


def read_event_list(said: Said, attributes: Mapping[str, object]) -> None:
    """Take events, and an agent's messages, that stand as one JSON in an attribute (Logfire, Pydantic AI)."""
    for name in ("events", "all_messages_events", "pydantic_ai.all_messages"):
        value = nested(attributes.get(name))
        if not isinstance(value, list) or not value:
            continue
        named = [event for event in value if isinstance(event, dict) and isinstance(event.get("event.name"), str)]
        if named:
            read_events(said, ((str(event["event.name"]), event) for event in named))
        else:
            split(said, messages_of(value))


def split(said: Said, messages: list[Json]) -> None:
    """Take a whole dialogue apart: its last message is the answer, where the assistant has said it."""
    last = messages[-1] if messages else None
    if isinstance(last, dict) and last.get("role") == "assistant" and not said.answers_it:
        said.answers, messages = [last], messages[:-1]
    if not said.asks:
        said.messages = messages


def _body(attributes: Mapping[str, object]) -> dict[str, Json]:
    """Return an event's body: its attributes, or the JSON in one of them."""
    inner = nested(attributes.get("gen_ai.event.content"))
    body = inner if isinstance(inner, dict) else {name: plain(value) for name, value in attributes.items()}
    for name in ("message", "tool_calls"):
        if isinstance(text := body.get(name), str) and (value := nested(text)) is not None:
            body[name] = value
    if isinstance(message := body.get("message"), (str, list)):
        body["content"] = message
    return body
