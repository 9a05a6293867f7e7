"""A conversation is read from the command line."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cli_helpers import DAY_NS, answered, asked, objects, run, write
from store_helpers import _START_NS, make_turn

from otel_convlog.reading.harmless import harmless, harmless_json, harmless_line
from otel_convlog.record import StreamEvents

if TYPE_CHECKING:
    from pathlib import Path

_THINKING: Any = {
    "role": "assistant",
    "stop_reason": "end_turn",
    "content": [{"type": "thinking", "thinking": "deep thoughts"}, {"type": "text", "text": "ready"}],
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    write(
        tmp_path,
        make_turn(1, asked("one"), client_response=answered("first")),
        make_turn(2, asked("one", "first", "two"), client_response=answered("second"), start_ns=_START_NS + DAY_NS),
        make_turn(3, asked("one", "first", "TWO"), client_response=_THINKING, start_ns=_START_NS + DAY_NS),
        make_turn(4, asked("other"), conversation_id="conv_abc123", error={"type": "late", "message": "too late"}),
        make_turn(5, asked("other"), conversation_id="conv_abd"),
    )
    return tmp_path


def test_each_turn_shows_only_what_is_new_also_across_midnight(log: Path) -> None:
    first, second, third = objects(log, "show", "c")
    assert [message["content"] for message in first["new_messages"]] == ["one"]
    assert [message["content"] for message in second["new_messages"]] == ["two"]
    assert second["repeated_messages"] == 2
    assert not second["history_changed"]
    assert [message["content"] for message in third["new_messages"]] == ["TWO"]
    assert third["history_changed"]
    shown = run(log, "show", "c").stdout
    assert [shown.count(text) for text in ("one", "first", "second", "ready", "deep thoughts")] == [1, 1, 1, 1, 0]
    assert "[thinking: 13 characters" in shown
    assert "deep thoughts" in run(log, "show", "c", "--full").stdout


def test_a_client_that_sends_only_its_last_messages_has_not_changed_its_history(tmp_path: Path) -> None:
    write(
        tmp_path,
        make_turn(1, asked("one", "first", "two"), client_response=answered("second")),
        make_turn(2, asked("two", "second", "three"), client_response=answered("third")),
        make_turn(3, asked("two", "SECOND", "four"), client_response=answered("fourth")),
    )
    _, second, third = objects(tmp_path, "show", "c")
    assert [message["content"] for message in second["new_messages"]] == ["three"]
    assert not second["history_changed"]
    assert third["history_changed"]


@pytest.mark.parametrize(("shortened", "found"), [("conv_abc", 1), ("abc", 1), ("conv_abc123", 1), ("c", 3)])
def test_an_id_may_be_shortened(log: Path, shortened: str, found: int) -> None:
    assert len(objects(log, "show", shortened)) == found


def test_an_id_that_is_unknown_or_of_several_is_a_wrong_use(log: Path) -> None:
    assert "no conversation" in run(log, "show", "nobody", status=2).stderr
    assert "conv_abc123, conv_abd" in run(log, "show", "conv_ab", status=2).stderr


@pytest.mark.parametrize("which", ["2", "-2", "turn_000000000000000000000002"])
def test_one_turn_is_shown_by_number_or_id(log: Path, which: str) -> None:
    (turn,) = objects(log, "show", "c", "--turn", which)
    assert (turn["number"], [message["content"] for message in turn["new_messages"]]) == (2, ["two"])


def test_a_turn_that_is_not_there_is_a_wrong_use(log: Path) -> None:
    for which in ("0", "4", "-4", "turn_"):
        run(log, "show", "c", "--turn", which, status=2)


def test_an_error_is_shown(log: Path) -> None:
    assert '"message": "too late"' in run(log, "show", "abc").stdout


def test_raw_turns_are_those_of_the_file(log: Path) -> None:
    (path,) = log.glob("*/conv_abd.json")
    assert json.loads(run(log, "show", "abd", "--raw").stdout) == json.loads(path.read_bytes())["turns"][0]
    assert objects(log, "show", "abd", "--raw") == json.loads(path.read_bytes())["turns"]


def test_the_four_legs_are_shown(tmp_path: Path) -> None:
    chunk: Any = {"choices": [{"index": 0, "delta": {"content": "streamed"}, "finish_reason": "stop"}]}
    upstream = {"headers": {"h": "v"}, "body": {"model": "upstream-model"}}
    events = StreamEvents([chunk], [1.0])
    write(tmp_path, make_turn(1, asked("q"), upstream_request=upstream, upstream_events=events))
    (legs,) = objects(tmp_path, "show", "c", "--wire")
    assert legs["client request"]["body"] == asked("q")
    assert legs["upstream request"] == upstream
    assert legs["upstream response"]["choices"][0]["message"]["content"] == "streamed"
    assert legs["client response"] is None


def test_a_stream_s_events_are_shown_with_their_timing_and_stalls(tmp_path: Path) -> None:
    chunks: list[Any] = [
        {"choices": [{"delta": delta}]} for delta in ({"role": "assistant"}, {"content": "a"}, {"content": "b"})
    ]
    write(tmp_path, make_turn(1, asked("q"), stream=True, client_events=StreamEvents(chunks, [10.0, 20.0, 1500.0])))
    events = objects(tmp_path, "show", "c", "--events")
    assert [(event["text"], event["gap_ms"], event["stalled"]) for event in events] == [
        ("", 10.0, False),
        ("a", 10.0, False),
        ("b", 1480.0, True),
    ]
    assert run(tmp_path, "show", "c", "--events").stdout.count("STALLED") == 1
    assert run(tmp_path, "show", "c", "--events", "--stall", "5").stdout.count("STALLED") == 3
    assert objects(tmp_path, "show", "c")[0]["first_token_ms"] == 20.0


def test_what_was_not_streamed_says_so(log: Path) -> None:
    assert "not streamed" in run(log, "show", "abd", "--events").stdout


def test_messages_of_every_protocol_are_read(tmp_path: Path) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}
    use = {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": 1}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "seen"}]}
    anthropic: Any = {
        "system": [{"type": "text", "text": "be kind"}],
        "messages": [
            {"role": "user", "content": [image]},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ],
    }
    responses: Any = {
        "instructions": "be kind",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "hey"}]},
            {"type": "function_call", "call_id": "1", "name": "look", "arguments": '{"a": 1}'},
            {"type": "function_call_output", "call_id": "1", "output": "seen"},
        ],
    }
    gemini: Any = {
        "systemInstruction": {"parts": [{"text": "be kind"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "hey"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"a": 1}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"out": "seen"}}}]},
        ],
    }
    for number, request in enumerate((anthropic, responses, gemini), 1):
        write(tmp_path, make_turn(number, request, conversation_id=f"p{number}"))
        shown = run(tmp_path, "show", f"p{number}").stdout
        for text in ("system:\nbe kind", '[calls look] {"a":1}', "seen"):
            assert text in shown
    assert "image image/png, 4 characters" in run(tmp_path, "show", "p1").stdout


def test_hostile_text_is_harmless_on_a_terminal(tmp_path: Path) -> None:
    hostile = "a\x1b]0;owned\x07b\x1b[2Jc\u202ed\x9b31me\u200b\U000e0041 `x\x1b[1m`"
    write(
        tmp_path, make_turn(1, asked(hostile), client_response=answered(hostile), client_model=hostile, error=hostile)
    )
    for arguments in (["list"], ["show", "c"], ["show", "c", "--wire"], ["show", "c", "--raw"], ["list", "--json"]):
        shown = _on_terminal([*arguments, "--directory", str(tmp_path)])
        assert "a\\" in shown
        for harmful in ("\x1b]", "\x07", "\x1b[2J", "\u202e", "\x9b", "\u200b", "\U000e0041"):
            assert harmful not in shown, (arguments, harmful)


def test_a_terminal_gets_colour_and_a_pipe_none(log: Path) -> None:
    assert "\x1b[1" in _on_terminal(["show", "c", "--directory", str(log)])
    assert "\x1b" not in run(log, "show", "c").stdout


def _on_terminal(arguments: list[str]) -> str:
    """What a command prints to a terminal."""
    primary, secondary = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(
        [sys.executable, "-m", "otel_convlog.cli", *arguments], stdout=secondary, stderr=secondary, env=environment
    ) as process:
        os.close(secondary)
        pieces = []
        while True:
            try:
                piece = os.read(primary, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            pieces.append(piece)
    os.close(primary)
    assert process.returncode == 0, b"".join(pieces)
    return b"".join(pieces).decode()


def test_harmless_text_says_what_was_there() -> None:
    assert harmless("a\x1b[1m\r\nb\tc\u202e\ud800") == "a\\x1b[1m\nb\tc\\u202e\\ud800"
    assert harmless_line("a\nb\x00 " + "c" * 100, 10) == "a b\\x00 cc…"[:9] + "…"
    assert json.loads(harmless_json(json.dumps("\x9b\u202e\U000e0041", ensure_ascii=False))) == "\x9b\u202e\U000e0041"
    assert harmless("family \U0001f468\u200d\U0001f469") == "family \U0001f468\u200d\U0001f469"
