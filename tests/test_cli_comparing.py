"""What changed between two turns, and where a cache's prefix breaks, is told from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cli_helpers import answered, asked, objects, run, write
from store_helpers import make_turn

from otel_convlog.reading.differences import MISSING, cache_break, field_changes

if TYPE_CHECKING:
    from pathlib import Path

_TOOL = {"type": "function", "function": {"name": "f"}}


def _break(before: Any, after: Any, usage: Any = None) -> Any:
    return cache_break({"client_request": before, "usage": usage}, {"client_request": after})


def test_a_request_that_goes_on_breaks_nothing() -> None:
    found = _break(asked("a", "b"), asked("a", "b", "c"))
    assert (found.broken, found.messages, found.lost_tokens) == (False, 2, 0)


@pytest.mark.parametrize(
    ("before", "after", "at", "messages"),
    [
        (asked("a", "b", "c"), asked("a", "B", "c", "d"), "message 2 (assistant)", 1),
        (asked("a", "b", "c"), asked("a"), "message 2 (assistant)", 1),
        ({**asked("a"), "tools": [_TOOL]}, asked("a"), "tools", 0),
        ({**asked("a"), "tools": [_TOOL]}, {**asked("a"), "tools": [_TOOL, _TOOL]}, "tools", 0),
        ({**asked("a"), "system": "x"}, {**asked("a"), "system": "y"}, "message 1 (system)", 0),
        ({"input": "a long question"}, {"input": "b"}, "message 1 (user)", 0),
    ],
)
def test_the_first_position_that_differs_is_found(before: Any, after: Any, at: str, messages: int) -> None:
    found = _break(before, after)
    assert (found.at, found.messages) == (at, messages)
    assert found.lost_tokens > 0


def test_tokens_are_estimated_by_the_usage() -> None:
    before, after = asked("x" * 1000, "y" * 1000, "z"), asked("x" * 1000, "Y" * 1000)
    found = _break(before, after, {"prompt_tokens": 1000})
    assert 480 < found.tokens < 520
    assert found.tokens + found.lost_tokens == pytest.approx(1000, abs=1)
    cached = _break(before, after, {"input_tokens": 10, "cache_read_input_tokens": 990})
    assert cached.tokens == found.tokens


def test_marks_of_where_to_cache_do_not_break_a_prefix() -> None:
    marked: Any = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]}
        ]
    }
    plain: Any = {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}
    assert not _break(marked, plain).broken


def test_the_break_is_within_a_message_where_it_is() -> None:
    found = _break(asked("same " * 400 + "old"), asked("same " * 400 + "new"))
    assert 480 < found.tokens < 520
    assert "old" in found.before
    assert "new" in found.after


def test_values_are_compared_as_deep_as_they_go() -> None:
    before: Any = {"a": [{"b": 1}, 2, 3], "gone": None, "same": {"x": [1]}}
    after: Any = {"a": [{"b": 2}, 2], "new": True, "same": {"x": [1]}}
    changes = {(change.path, repr(change.before), repr(change.after)) for change in field_changes(before, after)}
    assert changes == {
        ("a[0].b", "1", "2"),
        ("a[2]", "3", repr(MISSING)),
        ("gone", "None", repr(MISSING)),
        ("new", repr(MISSING), "True"),
    }


def test_one_and_true_are_not_the_same() -> None:
    assert [change.path for change in field_changes({"a": 1}, {"a": True})] == ["a"]


def test_two_turns_are_compared(tmp_path: Path) -> None:
    write(
        tmp_path,
        make_turn(1, {**asked("one"), "temperature": 0}),
        make_turn(2, {**asked("one", "first", "two\nlines"), "temperature": 1}),
        make_turn(3, asked("one", "first", "two\nLINES")),
    )
    assert "the prefix holds" in run(tmp_path, "diff", "c", "1").stdout
    shown = run(tmp_path, "diff", "c", status=1).stdout
    assert "the prefix breaks at message 3 (user), behind 2 messages" in shown
    assert "the cached prefix ends here" in shown
    assert "-lines" in shown
    assert "+LINES" in shown
    (found,) = objects(tmp_path, "diff", "c", "1", "3")
    assert [change["kind"] for change in found["changes"]] == ["added", "added"]
    assert [field["path"] for field in found["fields"]] == ["temperature"]
    run(tmp_path, "diff", "c", "1", "9", status=2)


def test_a_conversation_of_one_turn_has_nothing_to_compare(tmp_path: Path) -> None:
    write(tmp_path, make_turn(1, asked("one")))
    assert "no turn -2" in run(tmp_path, "diff", "c", status=2).stderr


def test_what_the_proxy_changed_is_told(tmp_path: Path) -> None:
    write(
        tmp_path,
        make_turn(
            1,
            asked("one"),
            upstream_request={"headers": {}, "body": {**asked("one"), "model": "other"}},
            upstream_response=answered("secret"),
            client_response=answered("masked"),
        ),
        make_turn(2, asked("one"), upstream_request={"headers": {}, "body": asked("one")}),
    )
    (found,) = objects(tmp_path, "diff", "c", "1", "--proxy", status=1)
    assert [change["path"] for change in found["request"]] == ["model"]
    assert [change["path"] for change in found["response"]] == ["choices[0].message.content"]
    shown = run(tmp_path, "diff", "c", "1", "--proxy", status=1).stdout
    assert "- secret" in shown
    assert "+ masked" in shown
    assert run(tmp_path, "diff", "c", "--proxy").stdout.count("nothing changed") == 3
