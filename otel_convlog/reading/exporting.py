"""Conversations in the forms in which others read them: JSON Lines, Markdown, a page, and two formats for training."""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

from otel_convlog.jsontext import json_or_none, to_json
from otel_convlog.reading.dialogue import Dialogue
from otel_convlog.reading.messages import answers_of, request_messages
from otel_convlog.reading.turns import turns_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from otel_convlog.jsontext import Json
    from otel_convlog.reading.conversations import ConversationSummary
    from otel_convlog.reading.messages import Message, Part
    from otel_convlog.reading.turns import TurnPlace

    Export: TypeAlias = "Iterable[tuple[ConversationSummary, list[TurnPlace]]]"
    Object: TypeAlias = "dict[str, Json]"

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h2 { margin-top: 3rem } h3 { font-size: .8rem; font-weight: normal; color: #777; border-top: 1px solid #ddd }
section { border-left: 4px solid #bbb; margin: .8rem 0; padding: .2rem 1rem }
section.user { border-color: #2a7 } section.assistant, section.model { border-color: #86c }
section > b { color: #777; font-size: .8rem } pre { white-space: pre-wrap; overflow-wrap: anywhere; font: inherit }
details pre, .error { font: 13px/1.4 ui-monospace, monospace } .error { color: #b00 }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } h3 { border-color: #444 } }
"""


def json_lines(conversations: Export) -> Iterator[str]:
    """Yield the turns as their files have them, one a line."""
    for _, places in conversations:
        for _, turn in turns_of(places):
            yield to_json(turn).decode().strip() + "\n"


def markdown(conversations: Export) -> Iterator[str]:
    """Yield dialogues as Markdown: of each turn what is new."""
    for conversation, places in conversations:
        yield f"# {conversation.conversation_id}\n"
        dialogue = Dialogue()
        for place, turn in turns_of(places):
            new = dialogue.add(turn)
            yield f"\n## Turn {place.number}, {place.started_at}, {place.client_model}\n"
            for message in (*new.system, *new.messages, *new.answers):
                yield f"\n**{message.role}**\n"
                for part in message.parts:
                    yield "\n" + _markdown_part(part) + "\n"
            if turn.get("error") is not None:
                yield "\n**error**\n\n" + _fenced(to_json(turn["error"]).decode().strip(), "json") + "\n"
        yield "\n"


def html(conversations: Export) -> Iterator[str]:
    """Yield one page that needs nothing else, and in which nothing that was logged is more than text."""
    yield '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Conversations</title>\n'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
    yield f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n'
    for conversation, places in conversations:
        yield f"<h2>{escape(conversation.conversation_id)}</h2>\n"
        dialogue = Dialogue()
        for place, turn in turns_of(places):
            new = dialogue.add(turn)
            yield f"<h3>turn {place.number} · {escape(place.started_at)} · {escape(place.client_model)}</h3>\n"
            for message in (*new.system, *new.messages, *new.answers):
                kind = message.role if message.role.isalpha() else "other"
                parts = "".join(map(_html_part, message.parts))
                yield f'<section class="{escape(kind)}"><b>{escape(message.role)}</b>{parts}</section>\n'
            if turn.get("error") is not None:
                yield f'<pre class="error">{escape(to_json(turn["error"]).decode())}</pre>\n'
    yield "</html>\n"


def openai_chat(conversations: Export) -> Iterator[str]:
    """Yield OpenAI's format for fine-tuning chats, one example a line: the history of each branch's last whole turn.

    https://platform.openai.com/docs/guides/supervised-fine-tuning
    """
    for _, places in conversations:
        for turn in _last_of_branches(places):
            example: Object = {"messages": list(chat_messages(_whole_history(turn)))}
            if tools := _chat_tools(turn.get("client_request")):
                example["tools"] = tools
            yield to_json(example).decode().strip() + "\n"


def sharegpt(conversations: Export) -> Iterator[str]:
    """Yield ShareGPT's format, one example a line: the history of each branch's last whole turn.

    Roles are those of LLaMA-Factory's reader: human, gpt, function_call, observation, system
    (https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md).
    """
    for conversation, places in conversations:
        for turn in _last_of_branches(places):
            said: list[Json] = [
                {"from": speaker, "value": text}
                for message in _whole_history(turn)
                for speaker, text in _spoken(message)
                if text
            ]
            yield to_json({"id": conversation.conversation_id, "conversations": said}).decode().strip() + "\n"


FORMATS: dict[str, Callable[[Export], Iterator[str]]] = {
    "jsonl": json_lines,
    "markdown": markdown,
    "html": html,
    "openai": openai_chat,
    "sharegpt": sharegpt,
}


def chat_messages(messages: Iterable[Message]) -> Iterator[Object]:
    """Yield messages of any protocol as OpenAI chat has them; what a model thought is left out.

    Pictures and files are named in the text. Items of one side that stand in a row become one message.
    """
    for is_assistant, run in groupby(messages, lambda message: message.role in ("assistant", "model")):
        if is_assistant:
            yield _assistant_message([part for message in run for part in message.parts])
            continue
        for message in run:
            for part in message.parts:
                if part.kind == "result":
                    yield {"role": "tool", "tool_call_id": part.call_id, "content": part.text}
            if text := _said(message.parts):
                yield {"role": "system" if message.is_system else "user", "content": text}


def _assistant_message(parts: Sequence[Part]) -> Object:
    calls: list[Json] = [_chat_call(part) for part in parts if part.kind == "call"]
    return {"role": "assistant", "content": _said(parts) or None, **({"tool_calls": calls} if calls else {})}


def _said(parts: Sequence[Part]) -> str:
    return "\n".join(_plain_text(part) for part in parts if part.kind in ("text", "media", "other"))


def _last_of_branches(places: list[TurnPlace]) -> Iterator[Object]:
    """Yield the turns that have an answer, no error, and are continued by no such turn."""
    continued: set[str] = set()
    answered: list[TurnPlace] = []
    before = ""
    for place, turn in turns_of(places):
        if place.error or not answers_of(turn):
            continue
        otel = turn.get("otel")
        # In a log of another program's, which does not say what a turn continues, that is the one before it.
        continued.add(str(otel.get("continues")) if isinstance(otel, dict) else before)
        answered.append(place)
        before = place.turn_id
    for place in answered:
        if place.turn_id not in continued:
            yield place.read()


def _whole_history(turn: Object) -> list[Message]:
    return [*request_messages(turn.get("client_request")), *answers_of(turn)[:1]]


def _spoken(message: Message) -> Iterator[tuple[str, str]]:
    speaker = "system" if message.is_system else "gpt" if message.role in ("assistant", "model") else "human"
    for part in message.parts:
        if part.kind == "call":
            arguments = json_or_none(part.text)
            call: Json = {"name": part.name, "arguments": part.text if arguments is None else arguments}
            yield "function_call", to_json(call).decode().strip()
        elif part.kind == "result":
            yield "observation", part.text
        elif part.kind != "thinking":
            yield speaker, _plain_text(part)


def _chat_call(part: Part) -> Json:
    return {"id": part.call_id, "type": "function", "function": {"name": part.name, "arguments": part.text}}


def _chat_tools(request: Json) -> list[Json]:
    """Return a request's tools as OpenAI chat has them."""
    tools = request.get("tools") if isinstance(request, dict) else None
    found: list[Json] = []
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        if isinstance(tool.get("function"), dict):
            found.append(tool)
        elif isinstance(tool.get("name"), str):
            parameters = tool.get("parameters") or tool.get("input_schema") or {"type": "object", "properties": {}}
            description: Object = {"description": tool["description"]} if tool.get("description") else {}
            found.append(
                {"type": "function", "function": {"name": tool["name"], **description, "parameters": parameters}}
            )
    return found


def _plain_text(part: Part) -> str:
    return f"[{part.text}]" if part.kind == "media" else part.text


def _markdown_part(part: Part) -> str:
    if part.kind == "text":
        return part.text
    if part.kind == "call":
        return f"calls `{part.name}`\n\n{_fenced(part.text, 'json')}"
    return f"{part.kind}\n\n{_fenced(part.text, '')}"


def _fenced(text: str, language: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def _html_part(part: Part) -> str:
    if part.kind == "text":
        return f"<pre>{escape(part.text)}</pre>"
    name = f" {escape(part.name)}" if part.name else ""
    return f"<details><summary>{part.kind}{name}</summary><pre>{escape(part.text)}</pre></details>"
