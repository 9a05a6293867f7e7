"""Strict JSON of whatever a proxy hands over (docs/format.md, "Values").

orjson does nearly all of the work, at a speed that the request path can afford. It refuses, or writes differently from
Python's ``json``, a few values that the specification demands: integers of more than 64 bits, lone surrogates, keys
that are not strings, very deep nesting, and the text of very small and very large floats. Those go through
`_careful`, which is slow and takes everything.
"""

from __future__ import annotations

import json
from enum import Enum
from json.encoder import encode_basestring
from math import isfinite
from typing import TYPE_CHECKING, TypeAlias

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

# orjson refuses more than 254 levels. A payload stands at most six levels deep in its document, so one of 240 levels
# can be written by orjson wherever it stands, and read by every reader (Python's own stops near 1,000).
MAX_DEPTH = 240

# Marks text from `_careful`, which orjson may not be able to read back without loss. White space before a value is
# JSON.
CAREFUL_MARK = " "

# What JSON does not know, and subclasses, whose own methods Python's json would call, are refused. There is no
# `default` for them: with it, orjson would run Python code while it walks the caller's containers, and a thread that
# changes one of them meanwhile makes it read freed memory.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


def to_json(value: object) -> bytes:
    r"""Encode any value as compact strict JSON. Never raises.

    Args:
        value: Anything. What JSON does not know becomes its ``str()``, NaN and infinities ``null``, a lone surrogate
            its ``\udXXX`` escape; a cycle, and what is nested deeper than `MAX_DEPTH`, a marker that says so.

    Returns:
        UTF-8 that `from_json` reads back exactly.
    """
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except Exception:  # noqa: BLE001  its refusals are many
        try:
            return CAREFUL_MARK.encode() + _careful(value, max_depth=MAX_DEPTH)
        except Exception:  # noqa: BLE001  what is left is memory that has run out
            return b'"[convlog: could not be encoded]"'


def from_json(text: str | bytes) -> Json:
    """Decode JSON, exactly as `to_json` encoded it.

    Raises:
        ValueError: It is not JSON, or nested deeper than this interpreter can read.
    """
    if text[:1] != (CAREFUL_MARK if isinstance(text, str) else CAREFUL_MARK.encode()):
        try:
            return orjson.loads(text)  # type: ignore[no-any-return]  # orjson's stub says Any
        except orjson.JSONDecodeError:
            pass  # the escape of a lone surrogate, or no JSON at all: the other parser tells
    return from_any_json(text)


def from_any_json(text: str | bytes) -> Json:
    """Decode JSON of any origin without loss: what orjson reads as a float, an integer past 64 bits, stays whole.

    Raises:
        ValueError: It is not JSON, or nested deeper than this interpreter can read.
    """
    try:
        return json.loads(text, parse_int=exact_int, parse_constant=_null)  # type: ignore[no-any-return]  # as above
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def from_wire(body: bytes) -> Json:
    """Decode a body of whatever client or server: what its JSON says, without loss, else its text."""
    try:
        return from_any_json(body) if _may_hold_large_integer(body) else orjson.loads(body)
    except ValueError:
        try:
            return from_any_json(body)
        except ValueError:
            return body.decode("utf-8", "replace")


def json_or_none(text: str) -> Json:
    """Decode JSON text of any origin; None where it is none."""
    try:
        return from_json(text)
    except ValueError:
        return None


def to_indented_json(value: object, *, max_depth: int | None = None) -> bytes:
    """Encode a document: the bytes of ``json.dumps(value, ensure_ascii=False, indent=2)``.

    Args:
        value: A tree of JSON values, as `from_json` gives it.
        max_depth: Where to cut what is nested so deeply that others cannot read it; None for nowhere.

    Returns:
        UTF-8 with two spaces a level; a lone surrogate stands as its escape.
    """
    try:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2)
        if _may_hold_unlike_float(value, text):
            text = orjson.dumps(_with_float_text(value), option=orjson.OPT_INDENT_2)
    except (TypeError, RecursionError):
        return _careful(value, indent=2, max_depth=max_depth)
    return text


def to_compact_text(value: Json) -> str:
    """Encode a tree of JSON values: the text of ``json.dumps(value, ensure_ascii=False, separators=(",", ":"))``.

    Raises:
        ValueError: It has an integer of more digits than Python writes (``sys.get_int_max_str_digits()``).
    """
    try:
        text = orjson.dumps(value)
        if not _may_hold_unlike_float(value, text):
            return text.decode()
    except (TypeError, RecursionError):  # what only Python's own can write
        pass
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def exact_int(digits: str) -> int:
    """Parse an integer of any length: Python's own ``int`` stops at 4,300 digits (``sys.set_int_max_str_digits``)."""
    try:
        return int(digits)
    except ValueError:
        from decimal import Decimal  # noqa: PLC0415  a rare case must not cost every import

        return int(Decimal(digits))


_DIGITS = bytes.maketrans(bytes(range(256)), bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256)))


def _may_hold_large_integer(body: bytes) -> bool:
    """Say whether there are as many digits in a row as an integer has that orjson would read as a float: 20."""
    # Where they are, every fifth byte shows four in a row; that costs a fifth of a look at all.
    return b"0000" in body[::5].translate(_DIGITS) and b"0" * 20 in body.translate(_DIGITS)


def _null(_constant: str) -> None:
    """Read NaN and the infinities, which Python's parser accepts, as null."""


def _text_of(value: object) -> str:
    """Return ``str(value)``, or a placeholder where that raises."""
    try:
        # repr is the same text for bytes, and stays silent under python -bb
        return repr(value) if isinstance(value, bytes) else str(value)
    except Exception:  # noqa: BLE001  a user's __str__ may raise anything
        return f"<unprintable {type(value).__name__}>"


# 1e22 as Python has it; older releases of orjson write 1e22.
_LARGE_FLOATS_ARE_PYTHONS = orjson.dumps(1e22) == b"1e+22"
_E = ord("e")
_BYTES_A_POINT = 400
_BYTES_A_HYPHEN = 200  # with more of them than this, a walk through the values is cheaper than a look at each


def _may_hold_unlike_float(tree: object, text: bytes) -> bool:
    """Say whether the tree holds a float that orjson does not write as Python does: ``1e-7``, or ``0.00001``.

    A search of orjson's text for what such floats have is cheaper than a walk through all values, which decides where
    the search finds something.
    """
    if not _LARGE_FLOATS_ARE_PYTHONS or _has_zeros_behind_a_point(text):
        return _has_unlike_float(tree)
    hyphens = len(text) // _BYTES_A_HYPHEN
    index = text.find(b"-")
    while index >= 0:
        hyphens -= 1
        if text[index - 1] == _E or hyphens < 0:
            return _has_unlike_float(tree)
        index = text.find(b"-", index + 1)
    return False


def _has_zeros_behind_a_point(text: bytes) -> bool:
    """Say whether ``.0000`` stands in the text. Where there are few points, to look at each is many times faster."""
    points = len(text) // _BYTES_A_POINT
    index = text.find(b".")
    while index >= 0:
        if text.startswith(b"0000", index + 1):
            return True
        points -= 1
        if points < 0:
            return text.find(b".0000", index) >= 0
        index = text.find(b".", index + 1)
    return False


def _has_unlike_float(tree: object) -> bool:
    """Look for such a float among the values."""
    pending: list[Iterable[object]] = [[tree]]
    while pending:
        for value in pending.pop():
            kind = type(value)
            if kind is str:
                continue
            if kind is dict:
                pending.append(value.values())  # type: ignore[attr-defined]  # mypy does not narrow by `kind`
            elif kind is list:
                pending.append(value)  # type: ignore[arg-type]  # as above
            elif kind is float and value and not 1e-4 <= abs(value) < 1e16:  # type: ignore[arg-type]  # as above
                return True
    return False


def _with_float_text(tree: object) -> object:
    """Return the tree with every float as Python's text for it."""

    def copy(node: object) -> object:
        kind = type(node)
        if kind is dict:
            return {key: copy(value) for key, value in node.items()}  # type: ignore[attr-defined]  # nor here
        if kind is list:
            return [copy(value) for value in node]  # type: ignore[attr-defined]  # nor here
        if kind is float:
            return orjson.Fragment(_float_text(node).encode())  # type: ignore[arg-type]  # nor here
        return node

    return copy(tree)


def _float_text(value: float) -> str:
    return float.__repr__(value) if isfinite(value) else "null"


def _int_text(value: int) -> str:
    try:
        return int.__repr__(value)
    except ValueError:  # more than sys.get_int_max_str_digits() digits
        from decimal import Decimal  # noqa: PLC0415  as in exact_int

        return format(Decimal(int(value)), "f")


def _key_text(key: object) -> str:
    """Return an object's key as ``json.dumps`` writes keys that are not strings."""
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, int):
        return _int_text(key)
    if isinstance(key, float):
        return "NaN" if key != key else float.__repr__(key).replace("inf", "Infinity")  # noqa: PLR0124  NaN is not itself
    return _text_of(key)


def _scalar_text(value: object) -> str:
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return _int_text(value)
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, Enum):  # as orjson has it
        return _scalar_text(value.value)
    return encode_basestring(_text_of(value))


def _children(value: object) -> tuple[str, list[tuple[str, object]]] | None:
    """Return a container's brackets and its (key as JSON, value) pairs; None for a scalar, or what cannot be read."""
    try:
        if isinstance(value, dict):
            return "{}", [(encode_basestring(_key_text(key)), item) for key, item in list(value.items())]
        if isinstance(value, (list, tuple)):
            return "[]", [("", item) for item in value]
    except Exception:  # noqa: BLE001  a subclass may raise anything from its iteration
        return None
    return None


def _careful(value: object, *, indent: int | None = None, max_depth: int | None = None) -> bytes:
    """Encode any value, without recursion and without a limit on integers, as ``json.dumps`` would."""
    out: list[str] = []
    frames: list[tuple[object, str, Iterator[tuple[int, tuple[str, object]]]]] = []
    above: set[int] = set()  # ids of the containers around the current value: met again, they are a cycle
    opened: set[int] = set()  # ids of all containers so far
    cyclic = False
    colon = ":" if indent is None else ": "

    def line() -> str:
        return "" if indent is None else "\n" + " " * (indent * len(frames))

    def put(item: object) -> None:
        nonlocal cyclic
        try:
            container = _children(item)
            text = "" if container else _scalar_text(item)
        except Exception:  # noqa: BLE001  even to ask for an object's class may raise anything
            container, text = None, encode_basestring(f"<unprintable {type(item).__name__}>")
        if container is None:
            out.append(text)
            return
        brackets, children = container
        cyclic = cyclic or id(item) in above
        if not children:
            out.append(brackets)
        elif id(item) in above or (cyclic and id(item) in opened):
            # In a graph with cycles each object is written once: there are more paths through it than memory.
            out.append('"[convlog: circular reference]"')
        elif max_depth is not None and len(frames) >= max_depth:
            out.append(f'"[convlog: nested deeper than {max_depth} levels, cut here]"')
        else:
            out.append(brackets[0])
            frames.append((item, brackets[1], iter(enumerate(children))))
            above.add(id(item))
            opened.add(id(item))

    put(value)
    while frames:
        item, closing, children = frames[-1]
        entry = next(children, None)
        if entry is None:
            frames.pop()
            above.discard(id(item))
            out.append(line() + closing)
            continue
        index, (key, child) = entry
        out.append(("," if index else "") + line() + (key and key + colon))
        put(child)
    # Lone surrogates are all that UTF-8 cannot encode, and Python's escape for them is JSON's.
    return "".join(out).encode("utf-8", "backslashreplace")
