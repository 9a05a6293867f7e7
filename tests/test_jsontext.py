"""JSON text: what comes out is what Python's json would write, for anything that goes in."""

from __future__ import annotations

import collections
import datetime as dt
import json
import math
import re
import subprocess
import sys
import uuid
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from otel_convlog.jsontext import MAX_DEPTH, from_any_json, from_json, to_compact_text, to_indented_json, to_json

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
@example({"\ud800": [2**64, -(2**63) - 1, 1e-7, 1e22, 1e16, 0.00001234, -0.0, 5e-324], "e": [{}, [], ""]})
@example({"control": '\x00\x1f\x7f\u2028"\\/\b\f\n\r\t'})
def test_compact_text_is_what_python_gives(value: Any) -> None:
    tree = from_json(to_json(value))
    assert to_compact_text(tree) == json.dumps(tree, ensure_ascii=False, separators=(",", ":"))


@given(_TREES)
def test_what_is_encoded_is_decoded_exactly(value: Any) -> None:
    text = to_json(value)
    assert from_json(text) == from_json(text.decode()) == value
    assert json.loads(text) == value


@dataclass
class _Point:
    x: int


class _ClassRaises:
    @property  # type: ignore[misc]  # as a proxy object of a library may have it
    def __class__(self) -> Any:
        raise RuntimeError("no class")


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
    ids=repr,
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
    shared = ["twice"]
    value: dict[str, Any] = {"shared": [shared, shared, 2**70]}
    value["self"] = [value]
    assert from_json(to_json(value)) == {
        "shared": [["twice"], ["twice"], 2**70],
        "self": ["[convlog: circular reference]"],
    }


def test_a_graph_with_more_paths_than_memory_is_written_once_a_node() -> None:
    nodes: list[dict[str, Any]] = [{"i": index} for index in range(40)]
    for node in nodes:
        node["peers"] = [other for other in nodes if other is not node]
    text = to_json(nodes)
    assert len(text) < 100_000
    assert sorted(int(number) for number in re.findall(rb'"i":(\d+)', text)) == list(range(40))


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
    assert to_indented_json(document) == _as_python_writes(document)


class _Colour(Enum):
    RED = "red"


class _Header(str, Enum):
    AUTH = "Authorization"

    def __str__(self) -> str:
        return "not this"


class _Reversed(dict[str, Any]):
    def items(self) -> Any:
        return reversed(super().items())


@pytest.mark.parametrize("beside", [1, 2**70], ids=["fast", "careful"])
def test_subclasses_are_written_as_python_s_json_writes_them(beside: int) -> None:
    ordered = collections.OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    value = {"ordered": ordered, "reversed": _Reversed(a=1, b=2), "text": _Header.AUTH, "beside": beside}
    assert to_indented_json(from_json(to_json(value))) == _as_python_writes(value)
    assert from_json(to_json([_Colour.RED, beside])) == ["red", beside]


@pytest.mark.parametrize(
    "value",
    [5e-05, 1e-7, -1e-06, 9.99e-5, [5e-05], {"a": [[1e-9]]}, "type-7,", "one-0.0000", ["a.b. " * 999, 5e-05, "c"]],
)
def test_a_single_small_float_has_python_s_text(value: Any) -> None:
    assert to_indented_json(value) == _as_python_writes(value)
    assert to_indented_json({"long": "x" * 5_000, "v": value}) == _as_python_writes({"long": "x" * 5_000, "v": value})


_CHANGING = """
import sys, threading, time
from datetime import datetime, timezone
from otel_convlog.jsontext import to_json
sys.setswitchinterval(1e-6)
class Clears:
    def __init__(self, target): self.target = target
    def __str__(self):
        self.target.clear()
        return "cleared"
for _ in range(300):
    target = []
    target.extend([Clears(target)] + [{"a%d" % i: "b" * i} for i in range(50)])
    to_json({"a": target})
at = datetime(2026, 1, 1, tzinfo=timezone.utc)
messages = [{"role": "user", "content": "hi", "at": at} for _ in range(40)]
stop = time.monotonic() + 3
def change():
    while time.monotonic() < stop:
        messages.append({"role": "user", "content": "x" * 20, "at": at})
        if len(messages) > 60:
            del messages[:40]
threads = [threading.Thread(target=change) for _ in range(2)]
for thread in threads: thread.start()
while time.monotonic() < stop:
    to_json({"messages": messages})
for thread in threads: thread.join()
print("alive")
"""


def test_a_container_that_changes_while_it_is_encoded_does_no_harm() -> None:
    result = subprocess.run([sys.executable, "-c", _CHANGING], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, "alive\n")


@pytest.mark.parametrize(
    "value",
    [_Unprintable(), [_Unprintable()], _Broken(a=1), {"k": _Broken(a=1)}],
    ids=["object", "in an array", "mapping", "in an object"],
)
def test_an_object_that_cannot_be_read_does_not_take_the_rest_with_it(value: object) -> None:
    back = json.loads(to_json({"kept": 1, "broken": value}))
    assert back["kept"] == 1


def test_an_object_without_a_class_does_not_take_the_rest_with_it() -> None:
    text = to_json({"kept": 1, "broken": [_ClassRaises()]})
    assert json.loads(text) == {"kept": 1, "broken": ["<unprintable _ClassRaises>"]}


def test_a_generator_is_not_consumed() -> None:
    chunks = (number for number in range(3))
    to_json({"chunks": chunks})
    assert list(chunks) == [0, 1, 2]


@pytest.mark.parametrize("text", ["", "{", '{"a": 1', '"\\ud8"', "nul", b"\xff", "[" * 100_000])
def test_what_is_no_json_raises_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the parser's own message says what is wrong
        from_json(text)
