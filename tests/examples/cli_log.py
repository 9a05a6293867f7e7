"""A log that real clients have made through the real proxy, for the tests and the examples of docs/cli.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anthropic
from proxy_clients import EXAMPLES, ChatClient, MessagesClient, ResponsesClient

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.launch import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

HOSTILE = "look\x1b]0;owned\x07 \x1b[2Jhere \u202eesrever\u202c and \x9b31m there"
TURNS = {"weather": 3, "spans": 3, "notes": 2, "edited": 3, "refused": 1, "hostile": 1, "slow": 1}
WITHOUT_ID = 2


def upstream() -> AbstractContextManager[str]:
    """The stand-in for a model API, running."""
    return running(EXAMPLES / "upstream" / "app.py")


def make_log(directory: Path, upstream_url: str) -> None:
    """Hold conversations of all three protocols through the proxy; when this returns, all of them are written."""
    options = ["--upstream", upstream_url, "--directory", str(directory), "--model", "fast=gpt-5-mini"]
    with running(EXAMPLES / "proxy" / "app.py", *options) as url:
        for hold in (_weather, _spans, _notes, _edited, _refused, _hostile, _slow, _without_id):
            hold(url)


def _weather(url: str) -> None:
    with ChatClient(url, "weather") as client:
        client.ask("What is the weather in Oslo?", model="fast", stream=True, tools=True)
        client.give_tool_result('{"temperature": -3, "sky": "clear"}', stream=True)
        client.ask("**Thanks!** 谢谢", stream=True)


def _spans(url: str) -> None:
    with MessagesClient(url, "spans") as client:
        for question in ("What is a span?", "And a trace?", "And a résumé of both?"):
            client.ask(question, model="claude-sonnet", stream=True)


def _notes(url: str) -> None:
    with ResponsesClient(url, "notes") as client:
        client.ask("Take a note: buy milk.")
        client.ask("What did I ask for?", stream=True)


def _edited(url: str) -> None:
    """The client goes back and says something else."""
    with ChatClient(url, "edited") as client:
        client.ask("Name a planet.")
        client.ask("A larger one.")
        client.history[2:] = []
        client.ask("A smaller one.")


def _refused(url: str) -> None:
    with MessagesClient(url, "refused") as client:
        try:
            client.ask("hi", model="error-429")
        except anthropic.RateLimitError:
            return


def _hostile(url: str) -> None:
    with ChatClient(url, "hostile") as client:
        client.ask(HOSTILE)


def _slow(url: str) -> None:
    with ChatClient(url, "slow") as client:
        client.ask("Take your time.", model="slow", stream=True)


def _without_id(url: str) -> None:
    with ChatClient(url, "") as client:
        messages: list[Any] = []
        for question in ("Who am I?", "And who are you?"):
            messages.append({"role": "user", "content": question})
            answer = client.sdk.chat.completions.create(model="gpt-5", messages=messages)
            messages.append({"role": "assistant", "content": answer.choices[0].message.content})


def commands_of(document: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a document's ``console`` blocks, each with the output that stands under it."""
    in_block, command = False, ""
    output: list[str] = []
    for line in document.splitlines():
        if line.startswith("```"):
            if command:
                yield command, "\n".join(output)
            in_block, command, output = line == "```console", "", []
        elif in_block and line.startswith("$ "):
            if command:
                yield command, "\n".join(output)
            command, output = line[2:], []
        elif in_block:
            output.append(line)
