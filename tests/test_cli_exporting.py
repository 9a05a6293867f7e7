"""Conversations leave the log in other forms, and requests are sent again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from cli_helpers import answered, asked, objects, run, write
from store_helpers import make_turn

from otel_convlog.store import read_document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TOOL = {"name": "look", "description": "looks", "input_schema": {"type": "object"}}
_USE = {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}}
_RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "seen"}
_HOSTILE = "<script>alert(1)</script> ``` \ud800"


def _messages(*messages: Any) -> Any:
    return {"system": "be kind", "tools": [_TOOL], "messages": list(messages)}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A dialogue with two branches and a failed turn, and one in Anthropic's protocol with a tool."""
    answer = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "done"}],
    }
    request = _messages(
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [{"type": "text", "text": "I look"}, _USE]},
        {"role": "user", "content": [_RESULT, {"type": "text", "text": "and?"}]},
    )
    write(
        tmp_path,
        make_turn(1, asked("one"), client_response=answered("first")),
        _continuing(2, 1, asked("one", "first", "two"), "second"),
        _continuing(3, 1, asked("one", "first", "other"), "third"),
        make_turn(4, asked("one", "first", "broken"), error="x"),
        make_turn(5, request, conversation_id="tool", route="messages", client_response=answer),
        make_turn(6, asked(_HOSTILE), conversation_id="hostile", client_response=answered("ok")),
    )
    run(tmp_path, "reindex")
    return tmp_path


def _continuing(number: int, before: int, request: Any, answer: str) -> Any:
    from dataclasses import replace

    turn = make_turn(number, request, client_response=answered(answer))
    return replace(turn, identity=replace(turn.identity, continues=f"turn_{before:024x}"))


def _lines(log: Path, form: str, *ids: str) -> list[Any]:
    return [json.loads(line) for line in run(log, "export", *ids, "--format", form).stdout.splitlines()]


def test_json_lines_are_the_turns_of_the_files(log: Path) -> None:
    (path,) = log.glob("*/c.json")
    assert _lines(log, "jsonl", "c") == read_document(path)["turns"]
    assert len(_lines(log, "jsonl")) == 6


def test_training_examples_are_the_whole_branches(log: Path) -> None:
    first, second = _lines(log, "openai", "c")
    assert [message["content"] for message in first["messages"]] == ["one", "first", "two", "second"]
    assert [message["content"] for message in second["messages"]] == ["one", "first", "other", "third"]
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "user", "assistant"]


def test_tools_of_another_protocol_become_those_of_chat(log: Path) -> None:
    (example,) = _lines(log, "openai", "tool")
    function = {"name": "look", "description": "looks", "parameters": {"type": "object"}}
    call = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
    assert example == {
        "messages": [
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": "I look", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "t1", "content": "seen"},
            {"role": "user", "content": "and?"},
            {"role": "assistant", "content": "done"},
        ],
        "tools": [{"type": "function", "function": function}],
    }


def test_sharegpt_has_its_speakers(log: Path) -> None:
    (example,) = _lines(log, "sharegpt", "tool")
    assert [said["from"] for said in example["conversations"]] == [
        *("system", "human", "gpt", "function_call", "observation", "human", "gpt"),
    ]
    assert json.loads(example["conversations"][3]["value"]) == {"name": "look", "arguments": {"a": 1}}


def test_markdown_has_each_message_once(log: Path) -> None:
    text = run(log, "export", "c", "--format", "markdown").stdout
    assert text.startswith("# c\n")
    assert [text.count(word) for word in ("first", "second", "third")] == [1, 1, 1]
    assert "````\n" not in text
    assert '**error**\n\n```json\n"x"\n```' in text


def test_a_page_holds_nothing_that_runs(log: Path, tmp_path: Path) -> None:
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002
            tags.append(tag)

    page = tmp_path / "page.html"
    done = run(log, "export", "--format", "html", "-o", str(page))
    assert "3 conversations are in" in done.stderr
    text = page.read_text("utf-8")
    Reader().feed(text)
    assert "script" not in tags
    assert "alert(1)" in text
    assert "src=" not in text
    assert "href=" not in text


def test_conversations_are_chosen_for_export(log: Path) -> None:
    assert [turn["conversation_id"] for turn in _lines(log, "jsonl", "--route", "messages")] == ["tool"]
    run(log, "export", "--format", "html", "--json", status=2)


@contextmanager
def _server(status: int, body: bytes, kind: str = "application/json") -> Iterator[tuple[str, list[Any]]]:
    """A model API that answers so, and what it was asked."""
    asked_for: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            asked_for.append((self.path, dict(self.headers), json.loads(data)))
            self.send_response(status)
            self.send_header("content-type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked_for
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_request_is_sent_again_and_the_same_answer_is_told(log: Path) -> None:
    with _server(200, json.dumps({**answered("first"), "id": "new"}).encode()) as (url, asked_for):
        (done,) = objects(log, "replay", "c", "--turn", "1", "--to", url, "--header", "authorization: Bearer k")
    assert (done["status"], done["differs"]) == (200, False)
    ((path, headers, body),) = asked_for
    assert (path, body) == ("/v1/chat/completions", asked("one"))
    assert {name.lower(): value for name, value in headers.items()}["authorization"] == "Bearer k"


def test_another_answer_is_shown_as_a_difference(log: Path) -> None:
    with _server(200, json.dumps(answered("something else")).encode()) as (url, _):
        shown = run(log, "replay", "c", "--turn", "1", "--to", url + "/other/path", status=1).stdout
    assert "-first" in shown
    assert "+something else" in shown
    assert "/other/path: status 200" in shown


def test_a_streamed_answer_is_put_together(log: Path) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "first"}, "finish_reason": "stop"}]}
    events = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
    with _server(200, events, "text/event-stream") as (url, _):
        run(log, "replay", "c", "--turn", "1", "--to", url)


def test_a_refusal_is_a_difference(log: Path) -> None:
    with _server(429, b'{"error": "slow down"}') as (url, _):
        assert "slow down" in run(log, "replay", "c", "--turn", "1", "--to", url, status=1).stdout


def test_what_cannot_be_sent_is_a_wrong_use(log: Path) -> None:
    run(log, "replay", "c", "--to", "file:///etc/passwd", status=2)
    run(log, "replay", "c", "--to", "http://127.0.0.1:1", "--upstream", status=2)
    run(log, "replay", "c", "--to", "http://127.0.0.1:1", "--header", "none", status=2)
    run(log, "replay", "c", "--turn", "1", "--to", "http://127.0.0.1:1", status=2)


def test_the_shell_completes_commands_options_and_ids(log: Path) -> None:
    def complete(words: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", "from otel_convlog.cli import main; main()"],
            env={
                **os.environ,
                "_OTEL_CONVLOG_COMPLETE": "bash_complete",
                "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split(" ")) - 1),
                "OTEL_EXPORTER_CONVLOG_DIRECTORY": str(log),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert complete("otel-convlog ver") == ["verify"]
    assert "--proxy" in complete("otel-convlog diff --p")
    assert complete("otel-convlog show ho") == ["hostile"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_is_printed_for_a_shell(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "otel_convlog.cli", "completion", shell], capture_output=True, text=True, check=True
    )
    assert "_OTEL_CONVLOG_COMPLETE" in done.stdout
