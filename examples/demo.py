"""Shows in a few seconds what otel_convlog does: real clients talk through a proxy, and their conversations are files.

It starts the stand-in for a model API and the example proxy on free ports of this machine, holds conversations with the
`openai` and `anthropic` SDKs (streamed and plain, with a tool, with an error, with a client that hangs up), stops what
it started, and shows what was written. No account, no key, no network::

    python examples/demo.py [--directory data/conversations]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import anthropic
import openai

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import otel_convlog
from examples.launch import running
from examples.serving import HOST

EXAMPLES = Path(__file__).resolve().parent
TIMEOUT_S = 10.0  # of a client; nothing here takes a second
QUESTIONS = ["What is a span?", "And a trace?", "Danke — 谢谢!"]
WEATHER = "What is the weather in Oslo?"
WEATHER_FOUND = '{"temperature": -3, "sky": "clear"}'
CITY_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class Clients:
    """The conversations of the demonstration, each held with the real SDK of its protocol.

    Attributes:
        expected: Conversation id -> how many turns and how many errors its file must gain.
    """

    def __init__(self, proxy: str, run: str) -> None:
        self._openai = openai.OpenAI(
            base_url=f"{proxy}/v1", api_key="sk-demo-0123456789abcdef", max_retries=0, timeout=TIMEOUT_S
        )
        self._anthropic = anthropic.Anthropic(
            base_url=proxy, api_key="sk-ant-demo-0123456789abcdef", max_retries=0, timeout=TIMEOUT_S
        )
        self._run = run
        self.expected: dict[str, tuple[int, int]] = {}

    def chat(self) -> str:
        """OpenAI chat: three questions, the last two answered as streams, in one conversation."""
        history: list[Any] = [{"role": "system", "content": "You are terse."}]
        session = {"conversation_id": self._expect("chat", turns=3)}
        for number, question in enumerate(QUESTIONS):
            history.append({"role": "user", "content": question})
            if number == 0:
                whole = self._openai.chat.completions.create(model="fast", messages=history, extra_body=session)
                text = whole.choices[0].message.content
            else:
                chunks = self._openai.chat.completions.create(
                    model="fast",
                    messages=history,
                    stream=True,
                    stream_options={"include_usage": True},
                    extra_body=session,
                )
                text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            history.append({"role": "assistant", "content": text})
        return f"{len(QUESTIONS)} turns; the last answer: {text}"

    def responses(self) -> str:
        """OpenAI responses: a plain and a streamed turn in one conversation."""
        history: list[Any] = [{"role": "user", "content": QUESTIONS[0]}]
        session = {"conversation_id": self._expect("responses", turns=2)}
        first = self._openai.responses.create(
            model="gpt-5", instructions="You are terse.", input=history, extra_body=session
        )
        history += [{"role": "assistant", "content": first.output_text}, {"role": "user", "content": QUESTIONS[1]}]
        stream = self._openai.responses.create(
            model="gpt-5", instructions="You are terse.", input=history, stream=True, extra_body=session
        )
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        return f"2 turns; the last answer: {text}"

    def messages(self) -> str:
        """Anthropic messages: a plain and a streamed turn in one conversation."""
        history: list[Any] = [{"role": "user", "content": QUESTIONS[0]}]
        session = {"metadata": {"session_id": self._expect("messages", turns=2)}}
        first = self._anthropic.messages.create(
            model="claude-sonnet", max_tokens=100, messages=history, extra_body=session
        )
        history += [{"role": "assistant", "content": first.content}, {"role": "user", "content": QUESTIONS[1]}]
        with self._anthropic.messages.stream(
            model="claude-sonnet", max_tokens=100, messages=history, extra_body=session
        ) as stream:
            text = stream.get_final_text()
        return f"2 turns; the last answer: {text}"

    def openai_tool(self) -> str:
        """OpenAI chat: the model calls a tool, gets its result, and answers."""
        history: list[Any] = [{"role": "user", "content": WEATHER}]
        tools: list[Any] = [{"type": "function", "function": {"name": "get_weather", "parameters": CITY_SCHEMA}}]
        session = {"conversation_id": self._expect("chat-tool", turns=2)}

        def ask() -> Any:
            answer = self._openai.chat.completions.create(
                model="gpt-5", messages=history, tools=tools, extra_body=session
            )
            return answer.choices[0].message

        message = ask()
        call = message.tool_calls[0]
        history.append(message.to_dict())
        history.append({"role": "tool", "tool_call_id": call.id, "content": WEATHER_FOUND})
        return f"{call.function.name}({call.function.arguments}) -> {ask().content}"

    def anthropic_tool(self) -> str:
        """Anthropic messages: the model calls a tool in a stream, gets its result, and answers."""
        history: list[Any] = [{"role": "user", "content": WEATHER}]
        tools: list[Any] = [{"name": "get_weather", "input_schema": CITY_SCHEMA}]
        session = {"metadata": {"session_id": self._expect("messages-tool", turns=2)}}

        def ask() -> Any:
            with self._anthropic.messages.stream(
                model="claude-sonnet", max_tokens=100, messages=history, tools=tools, extra_body=session
            ) as stream:
                return stream.get_final_message()

        call = ask().content[0]
        use = {"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}
        history.append({"role": "assistant", "content": [use]})
        result = {"type": "tool_result", "tool_use_id": call.id, "content": WEATHER_FOUND}
        history.append({"role": "user", "content": [result]})
        return f"{call.name}({json.dumps(call.input)}) -> {ask().content[0].text}"

    def without_id(self) -> str:
        """A client that names no conversation: its turns find each other, under an id made of what it says first."""
        messages: list[Any] = []
        for question in ("Who am I?", "And who are you?", "Are you sure?"):
            messages.append({"role": "user", "content": question})
            answer = self._openai.chat.completions.create(model="gpt-5", messages=messages)
            messages.append({"role": "assistant", "content": answer.choices[0].message.content})
        conversation_id = otel_convlog.get_conversation_id(route="chat", payload={"messages": messages[:1]})
        self.expected[conversation_id] = (3, 0)
        return f"3 turns, in {conversation_id}"

    def upstream_error(self) -> str:
        """The upstream refuses: the client sees the very error, and the log has it."""
        session = {"metadata": {"session_id": self._expect("refused", turns=1, errors=1)}}
        try:
            self._anthropic.messages.create(
                model="error-429", max_tokens=100, messages=[{"role": "user", "content": "hi"}], extra_body=session
            )
        except anthropic.RateLimitError as error:
            return f"the client got {type(error).__name__}, status {error.status_code}"
        raise RuntimeError("the client was not told of the upstream's error")

    def hang_up(self) -> str:
        """A client that hangs up in the middle of an endless answer: what was streamed until then is logged."""
        session = {"conversation_id": self._expect("hung-up", turns=1, errors=1)}
        with self._openai.chat.completions.create(
            model="endless", messages=[{"role": "user", "content": "Go on."}], stream=True, extra_body=session
        ) as stream:
            received = list(itertools.islice(stream, 5))
        return f"gone after {len(received)} events"

    def _expect(self, name: str, *, turns: int, errors: int = 0) -> str:
        conversation_id = f"demo-{self._run}-{name}"
        self.expected[conversation_id] = (turns, errors)
        return conversation_id


def hold_conversations(directory: Path) -> dict[str, tuple[int, int]]:
    """Run upstream, proxy and clients; when this returns, all has been written. Gives what must now be in the files."""
    with running(EXAMPLES / "upstream" / "app.py") as upstream:
        say("upstream", f"listens at {upstream}")
        options = ["--upstream", upstream, "--directory", str(directory), "--model", "fast=gpt-5-mini"]
        with running(EXAMPLES / "proxy" / "app.py", *options) as proxy:
            say("proxy", f"listens at {proxy}")
            clients = Clients(proxy, run=f"{datetime.now(timezone.utc):%H%M%S}")
            steps: dict[str, Callable[[], str]] = {
                "chat": clients.chat,
                "responses": clients.responses,
                "messages": clients.messages,
                "tool (openai)": clients.openai_tool,
                "tool (anthropic)": clients.anthropic_tool,
                "no id": clients.without_id,
                "upstream error": clients.upstream_error,
                "hang up": clients.hang_up,
            }
            for name, step in steps.items():
                say(name, step())
        say("proxy", "stopped; all turns are written")
    return clients.expected


def turns_written(directory: Path, conversation_id: str, since: str) -> dict[Path, list[dict[str, Any]]]:
    """The turns of a conversation since a time, by file; there are two files where it went on past midnight (UTC)."""
    found = {}
    for path in sorted(directory.glob(f"????-??-??/{conversation_id}.json")):
        turns = json.loads(path.read_bytes())["turns"]
        found[path] = [turn for turn in turns if turn["started_at"] >= since]
    return found


def complaint(conversation_id: str, expected: tuple[int, int], turns: list[dict[str, Any]]) -> str | None:
    """What is wrong with a conversation's turns, or None."""
    found = len(turns), sum(turn["error"] is not None for turn in turns)
    if found == expected:
        return None
    return "{}: expected {} turns, {} of them with an error; found {} and {}".format(conversation_id, *expected, *found)


def show(path: Path) -> None:
    """Print a conversation in short: a line for each field, and of its turns the last."""
    document = json.loads(path.read_bytes())
    turns = document.pop("turns")
    print(f"\n{path.name}, in short:")
    for key, value in document.items():
        print(f"  {key}: {clipped(value)}")
    print(f"  turns: {len(turns)}, the last of them:")
    for key, value in turns[-1].items():
        print(f"    {key}: {clipped(value)}")


def clipped(value: object, width: int = 90) -> str:
    """A value as JSON in a line of limited width."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= width else f"{text[:width]} … {len(text):,} characters"


def say(who: str, what: str) -> None:
    """Show progress in one line."""
    print(f"{who:<17} {what}", flush=True)


def main() -> int:
    """Run the demonstration and look after what it wrote; the exit status."""
    parser = argparse.ArgumentParser(description="Real clients talk through a proxy; their conversations are files.")
    parser.add_argument("--directory", type=Path, default=Path("data", "conversations"), metavar="DIR")
    directory = parser.parse_args().directory.absolute()
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = HOST  # a network's own proxy has no part in this
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is stopped

    since = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    expected = hold_conversations(directory)

    written: dict[Path, list[dict[str, Any]]] = {}
    complaints = []
    for conversation_id, counts in expected.items():
        files = turns_written(directory, conversation_id, since)
        written.update(files)
        complaints.append(complaint(conversation_id, counts, list(itertools.chain(*files.values()))))
    if any(complaints):
        print(f"\nNot all was written to {directory}:", *filter(None, complaints), sep="\n  ", file=sys.stderr)
        return 1

    show(next(iter(written)))
    print(f"\n{directory}")
    for day, paths in itertools.groupby(sorted(written), key=lambda path: path.parent):
        print(f"  {day.name}")
        for path in paths:
            turns = len(written[path])
            print(f"    {path.name:<36} {turns} turn{'s' * (turns != 1):<1} {path.stat().st_size:>8,} bytes")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
