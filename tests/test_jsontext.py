"""JSON text: what comes out is what Python's json would write, for anything that goes in."""

from __future__ import annotations

import collections
import datetime as dt
import json
import math
import sys
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_convlog.jsontext import MAX_DEPTH, from_any_json, from_json, to_indented_json, to_json

_SURROGATES = st.text(st.characters(), max_size=6)  # without an argument, lone surrogates too
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**40), max_value=10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | _SURROGATES
)
_TREES = st.recursive(
    _SCALARS,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(_SURROGATES, children, max_size=4),
    max_leaves=20,
)


def _as_python_writes(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8", "backslashreplace")


@given(_TREES)
@example({"\ud800": [2**64, -(2**63) - 1, 1e-7, 1e22, 1e16, 0.00001234, -0.0, 5e-324], "e": [{}, [], ""]})
@example([1e-5, 9.999e-5, 1e15, 123456789012345680.0])
def test_a_document_has_the_bytes_that_python_gives_it(value: Any) -> None:
    assert to_indented_json(from_json(to_json(value))) == _as_python_writes(value)


@given(_TREES)
def test_what_is_encoded_is_decoded_exactly(value: Any) -> None:
    text = to_json(value)
    assert from_json(text) == from_json(text.decode()) == value
    assert json.loads(text) == value


@dataclass
class _Point:
    x: int


class _Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


class _Broken(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError("no items")


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime(2026, 11, 23, 8, 6, tzinfo=dt.timezone.utc),
        dt.date(2026, 11, 23),
        uuid.UUID(int=7),
        Decimal("1.10"),
        {1},
        _Point(1),
        object,
        b"bytes",
        1j,
        range(3),
    ],
    ids=str,
)
def test_what_json_does_not_know_is_its_str(value: object) -> None:
    assert from_json(to_json({"v": [value]})) == {"v": [str(value) if value != b"bytes" else "b'bytes'"]}


def test_tuples_are_lists_and_other_keys_are_what_json_makes_of_them() -> None:
    pair = collections.namedtuple("pair", "a b")  # noqa: PYI024  the untyped kind is under test
    value = {2: (1, pair(2, 3)), None: [], True: 0, 1.5: "x", math.inf: "y", "2": "text"}
    assert json.loads(to_json(value)) == json.loads(json.dumps(value))
    assert json.loads(to_json({(1, 2): 3})) == {"(1, 2)": 3}


def test_nan_and_infinities_are_null_wherever_they_stand() -> None:
    for value in ([math.nan, math.inf, -math.inf], [math.nan, 2**70], {"a": [-math.inf]}):
        text = to_json(value)
        assert b"NaN" not in text
        assert b"nf" not in text
        assert b"null" in text
    assert from_any_json("[NaN, Infinity]") == [None, None]


def test_an_integer_longer_than_python_prints_is_exact() -> None:
    number = 7**6000
    limit = sys.get_int_max_str_digits()
    assert number > 10**limit
    text = to_json({"n": -number, "keys": {number: 1}})
    assert from_json(text)["n"] == -number  # type: ignore[call-overload,index]
    indented = to_indented_json({"n": number})
    assert from_any_json(indented) == {"n": number}


def test_a_cycle_is_cut_where_it_closes() -> None:
    value: dict[str, Any] = {"a": 1}
    value["self"] = [value]
    shared = ["twice"]
    value["shared"] = [shared, shared]
    assert from_json(to_json(value)) == {
        "a": 1,
        "self": ["[convlog: circular reference]"],
        "shared": [["twice"], ["twice"]],
    }


@pytest.mark.parametrize("depth", [5_000, 200_000])
def test_deep_nesting_is_cut_with_a_marker(depth: int) -> None:
    value: Any = "bottom"
    for _ in range(depth):
        value = [value]
    back: Any = json.loads(to_json(value))
    levels = 0
    while isinstance(back, list):
        (back,) = back
        levels += 1
    assert levels == MAX_DEPTH
    assert back == f"[convlog: nested deeper than {MAX_DEPTH} levels, cut here]"
    while value != "bottom":  # 200,000 levels are more than the interpreter can free by itself
        (value,) = value


@pytest.mark.parametrize("levels", [MAX_DEPTH, 254])
def test_nesting_that_needs_no_cut_stays_whole_in_a_document(levels: int) -> None:
    value: Any = "bottom"
    for _ in range(levels - 1):
        value = {"k": value} if levels % 2 else [value]
    document = {"turns": [{"stream_trace": {"upstream_events": [from_json(to_json([value]))]}}]}
    if levels == MAX_DEPTH:
        assert to_indented_json(document) == _as_python_writes(document)
    else:  # deeper than orjson writes there: cut rather than refused
        assert b"cut here" in to_indented_json(document)


@pytest.mark.parametrize("value", [_Unprintable(), [_Unprintable()], _Broken(a=1), {"k": _Broken(a=1)}], ids=repr)
def test_an_object_that_cannot_be_read_does_not_take_the_rest_with_it(value: object) -> None:
    back = json.loads(to_json({"kept": 1, "broken": value}))
    assert back["kept"] == 1


def test_a_generator_is_not_consumed() -> None:
    chunks = (number for number in range(3))
    to_json({"chunks": chunks})
    assert list(chunks) == [0, 1, 2]


@pytest.mark.parametrize("text", ["", "{", '{"a": 1', '"\\ud8"', "nul", b"\xff", "[" * 100_000])
def test_what_is_no_json_raises_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the parser's own message says what is wrong
        from_json(text)
