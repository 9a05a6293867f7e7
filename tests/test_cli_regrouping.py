"""Turns are put into another conversation; files, catalog and evidence follow. What is to go is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cli_helpers import DAY_NS, answered, asked, objects, run, write
from conversation_log import forget_tracer_provider, read_document
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from store_helpers import _START_NS, make_turn
from windows_rules import only_posix

import otel_convlog
from otel_convlog import ConversationSpanExporter
from otel_convlog.store import ConversationStore, render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Record one turn of a dialogue without an id."""
    forget_tracer_provider()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConversationSpanExporter(directory=tmp_path)))
    trace.set_tracer_provider(provider)

    def turn(*texts: str, answer: str) -> None:
        with otel_convlog.Turn(
            route="chat", client_model="m", backend="b", stream=False, client_request=asked(*texts)
        ) as recorded:
            recorded.attach_client_response(answered(answer))

    yield turn
    provider.shutdown()
    forget_tracer_provider()


def _conversations(directory: Path) -> dict[str, int]:
    return {found["conversation_id"]: found["turn_count"] for found in objects(directory, "list")}


def _asked_last(directory: Path, conversation_id: str) -> list[str]:
    turns = objects(directory, "show", conversation_id, "--raw")
    return [turn["client_request"]["messages"][-1]["content"] for turn in turns]


def test_two_conversations_become_one_in_the_order_of_their_turns(tmp_path: Path) -> None:
    write(
        tmp_path,
        make_turn(1, asked("one"), conversation_id="a"),
        make_turn(4, asked("four"), conversation_id="a"),
        make_turn(2, asked("two"), conversation_id="b"),
        make_turn(3, asked("three"), conversation_id="b"),
        make_turn(5, asked("five"), conversation_id="b", start_ns=_START_NS + DAY_NS),
    )
    run(tmp_path, "reindex")
    assert objects(tmp_path, "merge", "a", "b")[0]["turns"] == 3
    assert _conversations(tmp_path) == {"a": 5}
    assert _asked_last(tmp_path, "a") == ["one", "two", "three", "four", "five"]
    assert not list(tmp_path.glob("*/b.json"))
    moved = objects(tmp_path, "show", "a", "--raw", "--turn", "2")[0]
    assert (moved["conversation_id"], moved["otel"]["moved_from"]) == ("a", ["b"])
    for path in tmp_path.glob("*/a.json"):
        read_document(path)
    assert objects(tmp_path, "verify") == []


def test_what_goes_on_after_a_merge_goes_on_there(tmp_path: Path, talk: Any) -> None:
    talk("first dialogue, a long question", answer="answer of the first")
    talk("second dialogue, a long question", answer="answer of the second")
    first, second = (found["conversation_id"] for found in objects(tmp_path, "list", "--reverse"))
    run(tmp_path, "merge", first, second)
    talk("second dialogue, a long question", "answer of the second", "go on", answer="yes")
    assert _conversations(tmp_path) == {first: 3}
    assert objects(tmp_path, "verify") == []


def test_turns_are_split_off_and_their_dialogue_follows_them(tmp_path: Path, talk: Any) -> None:
    talk("a long question", answer="first answer")
    talk("a long question", "first answer", "and then, at length?", answer="second answer")
    talk("a long question", "first answer", "and then, at length?", "second answer", "more", answer="third answer")
    ((before, turns),) = _conversations(tmp_path).items()
    assert turns == 3
    run(tmp_path, "split", before, "2", "--from", "--into", "apart")
    assert _conversations(tmp_path) == {before: 1, "apart": 2}
    first, second = objects(tmp_path, "show", "apart", "--raw")
    assert first["otel"]["continues"] is None
    assert second["otel"]["continues"] == first["turn_id"]
    history = ("a long question", "first answer", "and then, at length?", "second answer", "more", "third answer", "x")
    talk(*history, answer="fourth")
    assert _conversations(tmp_path) == {before: 1, "apart": 3}
    assert objects(tmp_path, "verify") == []


def test_a_turn_whose_predecessor_goes_continues_nothing(tmp_path: Path, talk: Any) -> None:
    talk("a long question", answer="first answer")
    talk("a long question", "first answer", "and then, at length?", answer="second answer")
    (before,) = _conversations(tmp_path)
    (moved,) = objects(tmp_path, "split", before, "1")
    assert moved["conversation_id"].startswith("conv_")
    (left,) = objects(tmp_path, "show", before, "--raw")
    assert left["otel"]["continues"] is None
    assert objects(tmp_path, "verify") == []


def test_a_move_that_was_interrupted_is_ended_by_the_same_command(tmp_path: Path) -> None:
    write(tmp_path, make_turn(1, asked("one"), conversation_id="a"), make_turn(2, asked("two"), conversation_id="b"))
    path = next(tmp_path.glob("*/b.json"))
    data = path.read_bytes()
    run(tmp_path, "merge", "a", "b")
    path.write_bytes(data)  # as it was before its turn was removed
    run(tmp_path, "reindex")
    run(tmp_path, "merge", "a", "b")
    assert _conversations(tmp_path) == {"a": 2}


def test_a_split_into_itself_is_a_wrong_use(tmp_path: Path) -> None:
    write(tmp_path, make_turn(1, asked("one")))
    run(tmp_path, "split", "c", "1", "--into", "c", status=2)
    run(tmp_path, "split", "c", "2", status=2)


def test_a_conversation_is_forgotten_and_looked_for(tmp_path: Path) -> None:
    write(
        tmp_path, make_turn(1, asked("one"), conversation_id="alpha"), make_turn(2, asked("two"), conversation_id="b")
    )
    (would,) = objects(tmp_path, "forget", "alph", "--dry-run")
    assert (would["turns"], would["conversations"]) == (1, ["alpha"])
    assert _conversations(tmp_path) == {"alpha": 1, "b": 1}
    (done,) = objects(tmp_path, "forget", "alph")
    assert (done["turns"], done["left"], done["complete"]) == (1, [], True)
    assert _conversations(tmp_path) == {"b": 1}


@pytest.mark.parametrize(
    "target",
    [("--turn", f"turn_{1:024x}"), ("--text", "a secret plan"), ("--caller", "body:user=alice")],
)
def test_turns_texts_and_callers_are_forgotten(tmp_path: Path, target: tuple[str, str]) -> None:
    write(
        tmp_path,
        make_turn(1, {**asked("a secret plan"), "user": "alice"}, conversation_id="a"),
        make_turn(2, asked("two"), conversation_id="b"),
    )
    assert "1 turns removed" in run(tmp_path, "forget", *target).stdout
    assert _conversations(tmp_path) == {"b": 1}


def test_what_to_forget_must_be_said(tmp_path: Path) -> None:
    run(tmp_path, "forget", status=2)
    run(tmp_path, "forget", "a", "--text", "b", status=2)
    run(tmp_path, "forget", "--caller", "nobody", status=2)


def test_secrets_are_scrubbed_by_today_s_rules(tmp_path: Path) -> None:
    patterns = tmp_path / "patterns.txt"
    patterns.write_text("tuna: TUNA-[0-9]+\n")
    log = tmp_path / "log"
    write(log, make_turn(1, asked("my number is TUNA-12345"), request_headers={"x-mine": "0123456789abcdef"}))
    options = ("--patterns", str(patterns), "--header", "x-mine")
    assert "1 turns in 1 files hold" in run(log, "scrub", *options, "--dry-run", status=1).stdout
    (done,) = objects(log, "scrub", *options)
    assert (done["files"], done["turns"], done["complete"]) == (1, 1, True)
    raw = run(log, "show", "c", "--raw").stdout
    assert "TUNA-12345" not in raw
    assert "0123456789abcdef" not in raw
    assert objects(log, "scrub", *options, "--dry-run")[0]["files"] == 0
    patterns.write_text("(")
    run(log, "scrub", *options, status=2)


@only_posix
def test_who_may_read_a_conversation_may_read_what_is_split_off(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path, group_access="read")
    for number in (1, 2):
        turn = make_turn(number, asked(str(number)))
        store.write(store.path_of(turn), [render(turn)])
    store.close()
    run(tmp_path, "split", "c", "2", "--into", "apart")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*/*.json")} == {0o640}
