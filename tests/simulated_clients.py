"""Dialogues as clients of several kinds send them: each is a list of turns for ``replay.py``.

The model is a stand-in that says a random, but always the same, number of words; all else is what the clients do.
"""

from __future__ import annotations

import json
import random
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Turn = dict[str, Any]
Message = dict[str, Any]

_WORDS = (
    "the", "file", "test", "reads", "writes", "a", "list", "of", "names", "and", "then", "sorts", "them", "by", "date",
    "why", "does", "it", "fail", "when", "path", "is", "empty", "please", "fix", "that", "in", "module", "seven",
)  # fmt: skip

TURNS = 6


class Voice:
    """Says other words in every dialogue."""

    def __init__(self, dialogue: int) -> None:
        self._random = random.Random(dialogue)
        self.dialogue = dialogue

    def says(self, least: int = 8, most: int = 40) -> str:
        return " ".join(self._random.choices(_WORDS, k=self._random.randint(least, most)))

    def hex(self, digits: int) -> str:
        return f"{self._random.getrandbits(digits * 4):0{digits}x}"

    def uuid(self) -> str:
        digits = self.hex(32)
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def turn(
    route: str,
    dialogue: int,
    request: dict[str, Any],
    calls: list[list[Any]],
    headers: dict[str, str] | None = None,
) -> Turn:
    backend = {"chat": "openai", "responses": "openai", "messages": "anthropic"}.get(route, "google")
    start = {
        "route": route,
        "client_model": str(request.get("model", "m")),
        "backend": backend,
        "stream": bool(request.get("stream")),
        "client_request": request,
        "request_headers": headers,
        "metadata": {"dialogue": dialogue},
    }
    return {"start": start, "calls": calls}


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def chat_answer(message: Message) -> list[list[Any]]:
    """A whole answer."""
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
    return [["attach_upstream_response", {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]}]]


def chat_stream(text: str, *, upstream: bool, broken: bool = False) -> list[list[Any]]:
    """The same text streamed: decoded chunks from upstream, or the text of server-sent events to the client."""
    pieces = [text[start : start + 7] for start in range(0, len(text), 7)]
    deltas: list[dict[str, Any]] = [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
    deltas += [{"delta": {"content": piece}, "finish_reason": None} for piece in pieces]
    if not broken:
        deltas.append({"delta": {}, "finish_reason": "stop"})
    chunks = [{"object": "chat.completion.chunk", "choices": [{"index": 0, **delta}]} for delta in deltas]
    if upstream:
        return [["append_upstream_event", {"type": "openai_chunk", "data": chunk}] for chunk in chunks]
    lines = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return [["append_client_event", lines[start : start + 100]] for start in range(0, len(lines), 100)]


def plain_growth(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = [{"role": "system", "content": "You are terse."}]
    for _ in range(TURNS):
        messages.append(user(voice.says()))
        answer = assistant(voice.says())
        yield turn("chat", dialogue, {"model": "gpt-5", "messages": list(messages)}, chat_answer(answer))
        messages.append(answer)


def streamed(dialogue: int) -> Iterator[Turn]:
    """The answer is in the stream's events only: those from upstream, or those to the client."""
    voice = Voice(dialogue)
    messages: list[Message] = []
    for number in range(TURNS):
        messages.append(user(voice.says()))
        text = voice.says()
        request = {"model": "gpt-5", "messages": list(messages), "stream": True}
        yield turn("chat", dialogue, request, chat_stream(text, upstream=number % 2 == 0))
        messages.append(assistant(text))


def system_prompt_with_the_time(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = []
    for number in range(TURNS):
        messages.append(user(voice.says()))
        answer = assistant(voice.says())
        system = {"role": "system", "content": f"It is {number:02d}:{dialogue:02d} o'clock."}
        yield turn("chat", dialogue, {"model": "m", "messages": [system, *messages]}, chat_answer(answer))
        messages.append(answer)


def strings_and_blocks(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = []
    for number in range(TURNS):
        messages.append(user(voice.says()))
        answer = assistant(voice.says())
        shown = [
            {**message, "content": [{"type": "text", "text": message["content"]}]} if (at + number) % 2 else message
            for at, message in enumerate(messages)
        ]
        yield turn("chat", dialogue, {"model": "m", "messages": shown}, chat_answer(answer))
        messages.append(answer)


def trimmed_and_padded(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = []
    for number in range(TURNS):
        messages.append(user(voice.says()))
        text = voice.says()
        answered = (f"{text}\n", f" {text}", text.replace(" ", "\r\n"), text)[number % 4]
        given_back = (text, f"\n\n{text}  ", text.replace(" ", "\n"), f"{text} ")[number % 4]
        yield turn("chat", dialogue, {"model": "m", "messages": list(messages)}, chat_answer(assistant(answered)))
        messages.append(assistant(given_back))


def messages_answer(content: list[Message]) -> list[list[Any]]:
    reason = "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn"
    answer = {"id": "msg_1", "type": "message", "role": "assistant", "content": content, "stop_reason": reason}
    return [["attach_upstream_response", answer]]


def messages_stream(content: list[Message]) -> list[list[Any]]:
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"role": "assistant", "content": []}}]
    for index, block in enumerate(content):
        kind = block["type"]
        start = {
            **block,
            **{"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}}.get(kind, {"input": {}}),
        }
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        if kind == "text":
            for at in range(0, len(block["text"]), 9):
                delta = {"type": "text_delta", "text": block["text"][at : at + 9]}
                events.append({"type": "content_block_delta", "index": index, "delta": delta})
        elif kind == "thinking":
            delta = {"type": "thinking_delta", "thinking": block["thinking"]}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
            delta = {"type": "signature_delta", "signature": block["signature"]}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        else:
            text = json.dumps(block["input"])
            for piece in (text[:5], text[5:]):
                delta = {"type": "input_json_delta", "partial_json": piece}
                events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})
    events.append({"type": "message_stop"})
    return [["append_upstream_event", {"type": event["type"], "data": event}] for event in events]


def cache_control_moving(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = []
    for number in range(TURNS):
        messages.append({"role": "user", "content": [{"type": "text", "text": voice.says()}]})
        content: list[Message] = [{"type": "text", "text": voice.says()}]
        shown = json.loads(json.dumps(messages))
        shown[-1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
        request = {"model": "claude", "system": [{"type": "text", "text": "Be brief."}], "messages": shown}
        answer = messages_stream if number % 2 else messages_answer
        yield turn("messages", dialogue, request, answer(content))
        messages.append({"role": "assistant", "content": content})


def thinking_dropped(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = []
    for number in range(TURNS):
        messages.append({"role": "user", "content": voice.says()})
        said: Message = {"type": "text", "text": voice.says()}
        thought: Message = {"type": "thinking", "thinking": voice.says(), "signature": voice.hex(64)}
        answer = messages_stream if number % 2 else messages_answer
        request = {"model": "claude", "messages": list(messages)}
        yield turn("messages", dialogue, request, answer([thought, said]))
        messages.append({"role": "assistant", "content": [said]})


def reminders_come_and_go(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = []
    for number in range(TURNS):
        text = voice.says()
        reminder = f"<system-reminder>\nIt is turn {number}: {voice.says()}\n</system-reminder>"
        environment = f"<environment_details>\n{number}\n</environment_details>"
        reminded: list[list[Message]] = [
            [{"type": "text", "text": reminder}, {"type": "text", "text": text}],
            [{"type": "text", "text": f"{text}\n\n{reminder}"}],
            [{"type": "text", "text": f"{reminder}\n{text}\n{environment}"}],
        ]
        shown = [*messages, {"role": "user", "content": reminded[number % 3]}]
        content: list[Message] = [{"type": "text", "text": voice.says()}]
        yield turn("messages", dialogue, {"model": "claude", "messages": shown}, messages_answer(content))
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": content}]


def tool_loop(dialogue: int, call_id: Callable[[Voice, int], str]) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = [user(voice.says())]
    for number in range(TURNS):
        arguments = json.dumps({"path": f"{voice.says(1, 2)}.py", "line": number})
        function = {"name": "read_file", "arguments": arguments}
        call = {"id": call_id(voice, number), "type": "function", "function": function}
        answer = {"role": "assistant", "content": None, "tool_calls": [call]}
        yield turn("chat", dialogue, {"model": "m", "messages": list(messages)}, chat_answer(answer))
        # The client writes the arguments anew.
        shown = {
            **call,
            "function": {**function, "arguments": json.dumps(json.loads(arguments), sort_keys=True, indent=1)},
        }
        messages += [
            {**answer, "content": "", "tool_calls": [shown]},
            {"role": "tool", "tool_call_id": call["id"], "content": voice.says()},
        ]


def tool_loop_with_counted_ids(dialogue: int) -> Iterator[Turn]:
    return tool_loop(dialogue, lambda _, number: f"call_{number}")


def tool_loop_with_random_ids(dialogue: int) -> Iterator[Turn]:
    return tool_loop(dialogue, lambda voice, _: f"call_{voice.hex(24)}")


def sliding_window(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = []
    for _ in range(TURNS * 2):
        messages.append(user(voice.says()))
        answer = assistant(voice.says())
        shown = [{"role": "system", "content": "You are terse."}, *messages[-5:]]
        yield turn("chat", dialogue, {"model": "m", "messages": shown}, chat_answer(answer))
        messages.append(answer)


def first_message_and_window(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = []
    for _ in range(TURNS * 2):
        messages.append(user(voice.says()))
        answer = assistant(voice.says())
        shown = messages if len(messages) <= 7 else [messages[0], *messages[-4:]]
        yield turn("chat", dialogue, {"model": "m", "messages": list(shown)}, chat_answer(answer))
        messages.append(answer)


def edit_and_regenerate(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = []
    for number in range(TURNS):
        messages.append(user(voice.says()))
        answer = assistant(voice.says())
        yield turn("chat", dialogue, {"model": "m", "messages": list(messages)}, chat_answer(answer))
        if number % 2:  # the same question once more
            answer = assistant(voice.says())
            yield turn("chat", dialogue, {"model": "m", "messages": list(messages)}, chat_answer(answer))
        if number in (2, 4):  # another question in the place of the last one
            messages[-1] = user(voice.says())
            answer = assistant(voice.says())
            yield turn("chat", dialogue, {"model": "m", "messages": list(messages)}, chat_answer(answer))
        if number == 3:  # an answer that the user has changed
            answer = assistant(answer["content"] + ", or so it seems")
        messages.append(answer)


def error_then_retry(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = []
    for number in range(TURNS):
        messages.append(user(voice.says()))
        request = {"model": "m", "messages": list(messages), "stream": number % 3 == 2}
        text = voice.says()
        failures = [
            [["attach_error", {"type": "overloaded", "message": "try later"}]],
            [],
            [*chat_stream(text[:20], upstream=True, broken=True), ["attach_error", {"type": "ReadTimeout"}]],
        ]
        yield turn("chat", dialogue, request, failures[number % 3])
        if number != 4:  # once the client goes on with what it has got
            yield turn("chat", dialogue, request, chat_answer(assistant(text)))
        messages.append(assistant(text if number != 4 else "(cancelled)"))


def parallel_tool_calls(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = [{"role": "user", "content": voice.says()}]
    for number in range(TURNS):
        calls: list[Message] = [
            {"type": "tool_use", "id": f"toolu_{voice.hex(24)}", "name": name, "input": {"q": voice.says(2, 3)}}
            for name in ("search", "read", "search")
        ]
        content: list[Message] = [{"type": "text", "text": voice.says(2, 4)}, *calls]
        answer = messages_stream if number % 2 else messages_answer
        yield turn("messages", dialogue, {"model": "claude", "messages": list(messages)}, answer(content))
        results = [{"type": "tool_result", "tool_use_id": call["id"], "content": voice.says()} for call in calls]
        messages += [{"role": "assistant", "content": content}, {"role": "user", "content": results}]


def responses_answer(voice: Voice, text: str, *, stream: bool) -> tuple[list[list[Any]], dict[str, Any]]:
    reasoning: Message = {"type": "reasoning", "id": f"rs_{voice.hex(40)}", "summary": []}
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message: Message = {
        "type": "message", "id": f"msg_{voice.hex(40)}", "role": "assistant", "status": "completed", "content": content,
    }  # fmt: skip
    response = {
        "id": f"resp_{voice.hex(40)}",
        "object": "response",
        "status": "completed",
        "output": [reasoning, message],
    }
    if not stream:
        return [["attach_upstream_response", response]], response
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}},
        {"type": "response.output_text.delta", "output_index": 1, "delta": text},
        {"type": "response.output_item.done", "output_index": 1, "item": message},
        {"type": "response.completed", "response": response},
    ]
    return [["append_upstream_event", {"type": event["type"], "data": event}] for event in events], response


def responses_with_full_input(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    items: list[Message] = []
    for number in range(TURNS):
        items.append({"role": "user", "content": [{"type": "input_text", "text": voice.says()}]})
        calls, response = responses_answer(voice, voice.says(), stream=number % 2 == 1)
        request = {"model": "gpt-5", "instructions": f"Be brief. {number}", "input": list(items)}
        yield turn("responses", dialogue, request, calls)
        if number % 2:  # the items as they came
            items += response["output"]
        else:  # a message of the client's own
            items.append({"role": "assistant", "content": response["output"][1]["content"][0]["text"]})


def responses_with_previous_id(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    previous: str | None = None
    for number in range(TURNS):
        calls, response = responses_answer(voice, voice.says(), stream=number % 2 == 1)
        request = {"model": "gpt-5", "input": "go on" if number else voice.says(), "previous_response_id": previous}
        yield turn("responses", dialogue, request, calls)
        previous = response["id"]


def responses_with_conversation(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    conversation = f"conv_{voice.hex(48)}"
    for number in range(TURNS):
        calls, _ = responses_answer(voice, voice.says(), stream=False)
        named = conversation if number % 2 else {"id": conversation}
        yield turn("responses", dialogue, {"model": "gpt-5", "input": "hello", "conversation": named}, calls)


def gemini(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    contents: list[Message] = []
    for number in range(TURNS):
        contents.append({"role": "user", "parts": [{"text": voice.says()}]})
        text = voice.says()
        parts: list[Message] = [{"text": voice.says(), "thought": True}, {"text": text}]
        if number == 2:
            parts = [{"functionCall": {"name": "look", "args": {"at": voice.says(1, 3)}}, "thoughtSignature": "c2ln"}]
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
        calls: list[list[Any]] = [["attach_upstream_response", {"candidates": [candidate]}]]
        if number % 2:
            halves = [[{"text": text[:10]}], [{"text": text[10:]}]]
            calls = [
                ["append_upstream_event", {"candidates": [{"content": {"role": "model", "parts": half}, **end}]}]
                for half, end in zip(halves, ({}, {"finishReason": "STOP"}), strict=True)
            ]
        system = {"parts": [{"text": "Be brief."}]}
        request = {"model": "gemini-3", "contents": list(contents), "systemInstruction": system}
        yield turn("gemini", dialogue, request, calls)
        contents.append({"role": "model", "parts": parts if number == 2 else [{"text": text}]})
        if number == 2:
            answer = {"functionResponse": {"name": "look", "response": {"result": voice.says()}}}
            contents.append({"role": "user", "parts": [answer]})


def sub_agents(dialogue: int) -> Iterator[Turn]:
    """Claude Code: agents of one session have histories of their own."""
    voice = Voice(dialogue)
    session = voice.uuid()
    for agent in (None, "explorer", "tester"):
        messages: list[Message] = [user(voice.says())]
        for _ in range(3):
            content: list[Message] = [{"type": "text", "text": voice.says()}]
            request: dict[str, Any] = {"model": "claude", "messages": list(messages)}
            headers = {"X-Claude-Code-Session-Id": session}
            if agent == "tester":
                headers = {}
                request["metadata"] = {"user_id": f"user_{'0' * 64}_account__session_{session}"}
            elif agent:
                headers["X-Claude-Code-Agent-Id"] = f"{agent}-{dialogue}"
            yield turn("messages", dialogue, request, messages_answer(content), headers)
            messages += [{"role": "assistant", "content": content}, user(voice.says())]


def compaction(dialogue: int) -> Iterator[Turn]:
    """Claude Code: the history gives way to a summary, which the model has written, and what it thought before that."""
    return compacted(dialogue, with_analysis=dialogue % 2 == 0)


def compacted(dialogue: int, *, with_analysis: bool) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = []
    for number in range(TURNS):
        messages.append(user(voice.says()))
        content: list[Message] = [{"type": "text", "text": voice.says()}]
        yield turn("messages", dialogue, {"model": "claude", "messages": list(messages)}, messages_answer(content))
        messages.append({"role": "assistant", "content": content})
        if number == 3:
            ask = user("Your task is to create a detailed summary of the conversation so far.")
            analysis, summary = voice.says(60, 80), "\n".join(f"{at}. {voice.says(12, 30)}" for at in range(1, 8))
            written = f"<analysis>\n{analysis}\n</analysis>\n\n<summary>\n{summary}\n</summary>"
            request = {"model": "claude", "messages": [*messages, ask]}
            yield turn("messages", dialogue, request, messages_answer([{"type": "text", "text": written}]))
            text = (
                "This session is being continued from a previous conversation that ran out of context."
                " The conversation is summarized below:\n"
                f"{f'Analysis:{chr(10)}{analysis}' if with_analysis else ''}\n\nSummary:\n{summary}\n\n"
                "Please continue the conversation from where we left it off."
            )
            messages = [user(text)]


def context_for_the_last_question(dialogue: int) -> Iterator[Turn]:
    """What was looked up stands beside the last question only, and is gone from the history afterwards."""
    voice = Voice(dialogue)
    messages: list[Message] = []
    for _ in range(TURNS):
        question = voice.says()
        shown = [*messages, user(f"Context: {voice.says()}\n\nQuestion: {question}")]
        answer = assistant(voice.says(40, 60))
        yield turn("chat", dialogue, {"model": "m", "messages": shown}, chat_answer(answer))
        messages += [user(question), answer]


def greeting_first(dialogue: int) -> Iterator[Turn]:
    """The application greets everybody with the same words, which no model has said."""
    return after(dialogue, [assistant("Hello! I am your assistant. What would you like to know today?")])


def examples_first(dialogue: int) -> Iterator[Turn]:
    """The application begins with the same examples for everybody."""
    examples = [user("2 + 2"), assistant("4"), user("The capital of Norway"), assistant("Oslo")]
    return after(dialogue, [*examples, user("Act as a helper."), assistant("Understood.")])


def after(dialogue: int, beginning: list[Message]) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages = list(beginning)
    for _ in range(TURNS):
        messages.append(user(voice.says(1, 6)))
        answer = assistant(voice.says(1, 6))
        yield turn("chat", dialogue, {"model": "m", "messages": list(messages)}, chat_answer(answer))
        messages.append(answer)


def tool_loop_in_a_window(dialogue: int) -> Iterator[Turn]:
    """The first message and the last steps: the steps are the same in every dialogue."""
    voice = Voice(dialogue)
    first = user(voice.says())
    steps: list[Message] = []
    for number in range(TURNS * 2):
        function = {"name": "step", "arguments": f'{{"number": {number}}}'}
        answer = {"role": "assistant", "tool_calls": [{"id": "call_0", "type": "function", "function": function}]}
        yield turn("chat", dialogue, {"model": "m", "messages": [first, *steps[-4:]]}, chat_answer(answer))
        steps += [answer, {"role": "tool", "tool_call_id": "call_0", "content": f"step {number} is done"}]


def one_exchange_window(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = []
    for _ in range(TURNS):
        messages.append(user(voice.says(12, 30)))
        answer = assistant(voice.says(12, 30))
        yield turn("chat", dialogue, {"model": "m", "messages": messages[-3:]}, chat_answer(answer))
        messages.append(answer)


def the_time_in_the_first_message(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    question = voice.says()
    later: list[Message] = []
    for number in range(TURNS):
        answer = assistant(voice.says(30, 60))
        first = user(f"It is {number} o'clock. {question}")
        yield turn("chat", dialogue, {"model": "m", "messages": [first, *later]}, chat_answer(answer))
        later += [answer, user(voice.says())]


def messages_that_are_joined(dialogue: int) -> Iterator[Turn]:
    """Two messages of the user's become one, with a blank line between them."""
    voice = Voice(dialogue)
    one, two = voice.says(), voice.says()
    later: list[Message] = []
    for number in range(TURNS):
        answer = assistant(voice.says(1, 5))
        opening = [user(one), user(two)] if number % 2 == 0 else [user(f"{one}\n\n{two}")]
        yield turn("chat", dialogue, {"model": "m", "messages": [*opening, *later]}, chat_answer(answer))
        later += [answer, user(voice.says())]


def messages_that_become_blocks(dialogue: int) -> Iterator[Turn]:
    """What the user says in two messages stands in two blocks later, or in one text with a line break between."""
    voice = Voice(dialogue)
    shown: list[Message] = []
    for number in range(TURNS):
        one, two = voice.says(), voice.says()
        blocks = [{"type": "text", "text": one}, {"type": "text", "text": two}]
        forms = [[user(one), user(two)], [user(f"{one}\n{two}")], [{"role": "user", "content": blocks}]]
        answer = assistant(voice.says(1, 5))
        request = {"model": "m", "messages": [*shown, *forms[number % 3]]}
        yield turn("chat", dialogue, request, chat_answer(answer))
        shown += [*forms[(number + dialogue) % 3], answer]


def parallel_tool_calls_in_any_order(dialogue: int) -> Iterator[Turn]:
    """The calls and the results come back in another order each time, under ids that every dialogue has."""
    voice = Voice(dialogue)
    steps: list[tuple[list[Message], list[str]]] = []
    opening = user(voice.says())
    for _ in range(TURNS):
        messages: list[Message] = [opening]
        for calls, results in steps:
            order = sorted(range(3), key=lambda _: voice.hex(4))
            messages.append({"role": "assistant", "content": None, "tool_calls": [calls[at] for at in order]})
            messages += [{"role": "tool", "tool_call_id": calls[at]["id"], "content": results[at]} for at in order]
        functions = [{"name": "read", "arguments": json.dumps({"path": voice.says(1, 2)})} for _ in range(3)]
        made: list[Message] = [
            {"id": f"call_{at}", "type": "function", "function": function} for at, function in enumerate(functions)
        ]
        answer = {"role": "assistant", "content": None, "tool_calls": made}
        yield turn("chat", dialogue, {"model": "m", "messages": messages}, chat_answer(answer))
        steps.append((made, [voice.says(1, 6) for _ in range(3)]))


def letters_composed_and_decomposed(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = []
    for number in range(TURNS):
        messages.append(user(f"Prüfe été 가: {voice.says()}"))
        form: Any = ("NFC", "NFD")[number % 2]
        shown = [{**message, "content": unicodedata.normalize(form, message["content"])} for message in messages]
        answer = assistant(f"Ça: {voice.says(1, 5)}")
        yield turn("chat", dialogue, {"model": "m", "messages": shown}, chat_answer(answer))
        messages.append(answer)


def first_message_beside_a_window(dialogue: int) -> Iterator[Turn]:
    """The window begins with a question too, so that it becomes one with the first message."""
    voice = Voice(dialogue)
    messages: list[Message] = []
    for _ in range(TURNS * 2):
        messages.append(user(voice.says()))
        answer = assistant(voice.says())
        shown = messages if len(messages) <= 5 else [messages[0], *messages[-3:]]
        yield turn("chat", dialogue, {"model": "m", "messages": list(shown)}, chat_answer(answer))
        messages.append(answer)


def opening_that_fails(dialogue: int) -> Iterator[Turn]:
    """Then it is asked once more, in another form, or the user says something else behind it, at another time."""
    voice = Voice(dialogue)
    messages: list[Message] = [user(voice.says(20, 40))]
    for number in range(TURNS):
        again = number == 1 and dialogue % 2
        system = {"role": "system", "content": f"It is {0 if again else number} o'clock."}
        answer = assistant(voice.says())
        calls = [["attach_error", {"type": "overloaded"}]] if number < 2 else chat_answer(answer)
        yield turn("chat", dialogue, {"model": "m", "messages": [system, *messages]}, calls)
        if number == 0 and dialogue % 2:
            messages = [{"role": "user", "content": [{"type": "text", "text": messages[0]["content"]}]}]
        else:
            messages += [*([answer] if number >= 2 else []), user(voice.says())]


def answers_that_say_nothing(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = []
    for number in range(TURNS):
        messages.append(user(voice.says(20, 40)))
        answer = assistant(voice.says() if number % 2 else "")
        yield turn("chat", dialogue, {"model": "m", "messages": list(messages)}, chat_answer(answer))
        messages.append(answer)


def compaction_behind_the_task(dialogue: int) -> Iterator[Turn]:
    """Cline: the task stays, and a note that something is left out; the summary comes third."""
    voice = Voice(dialogue)
    messages: list[Message] = [user(voice.says())]
    for number in range(TURNS):
        content: list[Message] = [{"type": "text", "text": voice.says()}]
        yield turn("messages", dialogue, {"model": "claude", "messages": list(messages)}, messages_answer(content))
        messages += [{"role": "assistant", "content": content}, user(voice.says())]
        if number == 2:
            summary = "\n".join(f"{at}. {voice.says(12, 30)}" for at in range(1, 8))
            request = {"model": "claude", "messages": [*messages[:-1], user("Summarize the conversation so far.")]}
            yield turn("messages", dialogue, request, messages_answer([{"type": "text", "text": summary}]))
            note = assistant("[NOTE] Some previous conversation history with the user has been removed.")
            continued = user(f"This session is being continued from a previous conversation.\n{summary}\nGo on.")
            messages = [messages[0], note, continued]


def the_time_in_every_question(dialogue: int) -> Iterator[Turn]:
    """So that the answers alone stay as they were; none of them tells much."""
    voice = Voice(dialogue)
    later: list[Message] = []
    first = f"{voice.says(12, 16)} and the answer to all that is of some length"
    questions = [voice.says()]
    for number in range(TURNS):
        shown = list(later)
        for at, question in enumerate(questions):
            shown.insert(2 * at, user(f"[{number} o'clock] {question}"))
        answer = assistant(voice.says(12, 16) if number else first)
        yield turn("chat", dialogue, {"model": "m", "messages": shown}, chat_answer(answer))
        later.append(answer)
        questions.append(voice.says())


def thoughts_before_the_closing_tag(dialogue: int) -> Iterator[Turn]:
    """The chat template has the opening tag in the prompt; the client leaves out what was thought."""
    voice = Voice(dialogue)
    messages: list[Message] = []
    for number in range(TURNS):
        messages.append(user(voice.says()))
        said = voice.says(1, 5)
        answer = assistant(f"{voice.says()}\n</think>\n\n{said}")
        yield turn("chat", dialogue, {"model": "m", "messages": list(messages)}, chat_answer(answer))
        messages.append(answer if number % 3 == 2 else assistant(said))


def arguments_written_by_javascript(dialogue: int) -> Iterator[Turn]:
    """Which has one kind of numbers: 1.0 comes back as 1."""
    voice = Voice(dialogue)
    messages: list[Message] = [user(voice.says())]
    for number in range(TURNS):
        at = (number, dialogue)
        function = {"name": "move", "arguments": json.dumps({"to": [float(place) for place in at], "by": 2.5})}
        answer = {"role": "assistant", "tool_calls": [{"id": "call_0", "type": "function", "function": function}]}
        yield turn("chat", dialogue, {"model": "m", "messages": list(messages)}, chat_answer(answer))
        written = {"name": "move", "arguments": json.dumps({"to": at, "by": 2.5})}
        shown = {"role": "assistant", "tool_calls": [{"id": "call_0", "type": "function", "function": written}]}
        messages += [shown, {"role": "tool", "tool_call_id": "call_0", "content": "ok"}]


def window_with_encrypted_reasoning(dialogue: int) -> Iterator[Turn]:
    """What the model has thought comes back, without the ids; all else is what every dialogue has."""
    voice = Voice(dialogue)
    items: list[Message] = [user(voice.says())]
    for number in range(TURNS):
        message: Message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "OK."}]}
        reasoning: Message = {"type": "reasoning", "summary": [], "encrypted_content": f"gAAAAAB{voice.hex(200)}"}
        response = {
            "id": f"resp_{voice.hex(40)}",
            "status": "completed",
            "output": [{"id": "rs_1", **reasoning}, message],
        }
        request = {"model": "gpt-5", "store": False, "input": items[-4:] if number > 1 else list(items)}
        yield turn("responses", dialogue, request, [["attach_upstream_response", response]])
        items += [reasoning, message, user("go on")]


def images(dialogue: int) -> Iterator[Turn]:
    voice = Voice(dialogue)
    messages: list[Message] = []
    for number in range(TURNS):
        picture = voice.hex(4000)[: 4000 - number]
        block = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}", "detail": "auto"}}
        messages.append({"role": "user", "content": [{"type": "text", "text": "What is this?"}, block]})
        answer = assistant("A picture.")
        yield turn("chat", dialogue, {"model": "m", "messages": list(messages)}, chat_answer(answer))
        messages.append(answer)


CLIENTS: dict[str, Callable[[int], Iterator[Turn]]] = {
    simulation.__name__: simulation
    for simulation in (
        plain_growth,
        streamed,
        system_prompt_with_the_time,
        strings_and_blocks,
        trimmed_and_padded,
        cache_control_moving,
        thinking_dropped,
        reminders_come_and_go,
        tool_loop_with_counted_ids,
        tool_loop_with_random_ids,
        sliding_window,
        first_message_and_window,
        edit_and_regenerate,
        error_then_retry,
        parallel_tool_calls,
        responses_with_full_input,
        responses_with_previous_id,
        responses_with_conversation,
        gemini,
        sub_agents,
        compaction,
        context_for_the_last_question,
        images,
        greeting_first,
        examples_first,
        tool_loop_in_a_window,
        one_exchange_window,
        the_time_in_the_first_message,
        messages_that_are_joined,
        messages_that_become_blocks,
        parallel_tool_calls_in_any_order,
        letters_composed_and_decomposed,
        first_message_beside_a_window,
        opening_that_fails,
        answers_that_say_nothing,
        compaction_behind_the_task,
        the_time_in_every_question,
        thoughts_before_the_closing_tag,
        arguments_written_by_javascript,
        window_with_encrypted_reasoning,
    )
}
