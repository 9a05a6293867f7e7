"""Two values beside one another: everything that differs is seen, nothing else, and no input takes long."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_convlog.reading.matching import opcodes
from otel_convlog.reading.side_by_side import Line, one_side, side_by_side, text_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab\n\"'", max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=4),
    max_leaves=12,
)


def _kinds(left: Any, right: Any) -> list[tuple[str, str | None, str | None]]:
    return [(line.kind, line.left, line.right) for line in side_by_side(left, right) if line.kind != "same"]


@pytest.mark.parametrize(
    ("left", "right", "differs"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("changed", '  "a": 1', '  "a": 2')]),
        ({"a": 1}, {"a": True}, [("changed", '  "a": 1', '  "a": true')]),
        ({"a": 1}, {"a": 1, "b": 2}, [("added", None, '  "b": 2')]),
        ([1, 2, 3], [1, 3], [("removed", "  2", None)]),
        ({"a": {}}, {"a": []}, [("changed", '  "a": {}', '  "a": []')]),
        (
            {"a": [1]},
            {"a": 1},
            [
                ("removed", '  "a": [', None),
                ("removed", "    1", None),
                ("removed", "  ]", None),
                ("added", None, '  "a": 1'),
            ],
        ),
        ({"a": "x\ny"}, {"a": "x\nz"}, [("changed", "    y", "    z")]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
    ],
)
def test_what_differs_is_seen_where_it_stands(left: Any, right: Any, differs: list[Any]) -> None:
    assert _kinds(left, right) == differs


def test_of_a_changed_line_it_is_said_what_stays() -> None:
    (line,) = [line for line in side_by_side({"a": "one two three"}, {"a": "one 2 three"}) if line.kind == "changed"]
    assert line.left is not None
    assert line.left[line.same_start : len(line.left) - line.same_end] == "two"


@given(_JSON, _JSON)
def test_the_left_side_has_all_lines_of_its_value_and_all_are_the_same_where_the_values_are(
    left: Any, right: Any
) -> None:
    lines = list(side_by_side(left, right))
    assert [line.left for line in lines if line.left is not None] == [line.left for line in one_side(left, "removed")]
    are_equal = json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
    assert all(line.kind == "same" for line in lines) == are_equal


@given(st.text("ab\n", max_size=30), st.text("ab\n", max_size=30))
def test_lines_of_texts_put_together_are_the_texts(left: str, right: str) -> None:
    lines = list(text_lines(left, right))
    assert "\n".join(line.left for line in lines if line.left is not None) == left
    assert "\n".join(line.right for line in lines if line.right is not None) == right


@given(st.lists(st.integers(0, 3), max_size=20), st.lists(st.integers(0, 3), max_size=20))
def test_opcodes_make_the_right_sequence_of_the_left_one(left: list[int], right: list[int]) -> None:
    made: list[int] = []
    at: list[tuple[int, int]] = [(0, 0)]
    for tag, a, b, c, d in opcodes(left, right):
        assert (a, c) == at[-1]
        at.append((b, d))
        made += left[a:b] if tag == "equal" else right[c:d]
    assert at[-1] == (len(left), len(right))
    assert made == right


def test_many_equal_lines_are_not_matched_one_by_one() -> None:
    def texts(order: Sequence[int]) -> str:
        return "\n".join("xy"[number % 2] for number in order)

    left, right = texts(range(2_000)), texts([number // 3 for number in range(2_000)])
    lines: list[Line] = list(text_lines(left, right))
    assert "\n".join(line.right for line in lines if line.right is not None) == right
