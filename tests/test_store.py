"""The store: what stands in a conversation's file, whoever writes it and whatever interrupts the writing."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conversation_log import read_document
from hypothesis import given, settings
from hypothesis import strategies as st
from store_helpers import make_turn
from windows_rules import files_of

from otel_convlog.store import ConversationStore, render
from otel_convlog.store.document import turn_object
from otel_convlog.store.layout import conversation_path
from otel_convlog.store.locked_file import LockedFile, Stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_convlog.record import IdentifiedTurn


pytestmark = pytest.mark.usefixtures("system")


def _write(store: ConversationStore, *turns: IdentifiedTurn) -> Path:
    path = store.path_of(turns[0])
    store.write(path, [render(turn) for turn in turns])
    return path


def _expected(turns: list[IdentifiedTurn], last: IdentifiedTurn) -> dict[str, Any]:
    return {
        "conversation_id": "c",
        "route": "chat",
        "created_at": turns[0].record.started_at,
        "updated_at": last.record.updated_at,
        "turns": [turn_object(turn) for turn in turns],
        "last_client_model": last.record.client_model,
        "last_backend": last.record.backend,
        "turn_count": len(turns),
    }


class _Crash(BaseException):
    """The process is gone: nothing of ours runs any more."""


@contextmanager
def _disk(on_write: Callable[[LockedFile, int, bytes], None]) -> Iterator[None]:
    """Call `on_write` before each write, to let it write less, or fail, or crash."""
    real = LockedFile.write

    def write(self: LockedFile, offset: int, *pieces: bytes | memoryview) -> None:
        on_write(self, offset, b"".join(pieces))
        real(self, offset, *pieces)

    LockedFile.write = write  # type: ignore[method-assign]
    try:
        yield
    finally:
        LockedFile.write = real  # type: ignore[method-assign]


class _FailingAt:
    """Fails at the n-th write, after some of its bytes have gone to the disk; after a crash no write comes any more."""

    def __init__(self, number: int, part: float, failure: BaseException) -> None:
        self.left = number
        self.part = part
        self.failure = failure

    def __call__(self, file: LockedFile, offset: int, data: bytes) -> None:
        self.left -= 1
        if self.left < 0 and isinstance(self.failure, _Crash):
            raise self.failure
        if self.left == 0:
            file._opened.write(offset, [memoryview(data)[: round(len(data) * self.part)]])
            raise self.failure


_PAYLOADS = st.sampled_from([None, "x" * 3_000, {"a": [1e-7, 2**70, "\ud800", {}]}, "\n  ],\n}", ["é\u2028"] * 9])
_STEPS = st.tuples(
    st.sampled_from(["append", "batch", "replace", "crash", "full disk", "other process"]),
    st.integers(1, 8),  # which write fails, or which turn is replaced
    st.floats(0, 1),
    _PAYLOADS,
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(_STEPS, min_size=1, max_size=12))
def test_the_file_holds_what_a_plain_list_would(
    steps: list[tuple[str, int, float, Any]], tmp_path_factory: Any
) -> None:
    directory = tmp_path_factory.mktemp("model")
    store = ConversationStore(directory)
    model: list[IdentifiedTurn] = []
    last: IdentifiedTurn | None = None
    number = 0
    for kind, choice, part, payload in steps:
        number += 1
        new = make_turn(number, payload, client_model=f"m{number}")
        if kind == "replace" and model:
            index = choice % len(model)
            old = model[index].record
            new = make_turn(int(old.turn_id[5:], 16), payload, client_model=f"again {number}")
            _write(store, new)
            model[index] = last = new
        elif kind == "batch":
            number += 2
            batch = [new, make_turn(number - 1, payload), make_turn(number, None)]
            _write(store, *batch)
            model += batch
            last = batch[-1]
        elif kind in {"crash", "full disk"}:
            failure = _Crash() if kind == "crash" else OSError(errno.ENOSPC, "No space left on device")
            try:
                with _disk(_FailingAt(choice, part, failure)):
                    _write(store, new)
            except (_Crash, OSError):
                whole = _whole_after_a_failure(store, model, new)
                model = whole or model
                last = model[-1] if whole else last
            else:
                model.append(new)
                last = new
        else:
            if kind == "other process":
                store = ConversationStore(directory)
            _write(store, new)
            model.append(new)
            last = new
    if model and last is not None:
        document = read_document(conversation_path(directory, "2026-11-23", "c"))
        assert document == json.loads(json.dumps(_expected(model, last)))


def _whole_after_a_failure(
    store: ConversationStore, model: list[IdentifiedTurn], new: IdentifiedTurn
) -> list[IdentifiedTurn] | None:
    """Write one more turn, as the log goes on; the turn that failed may stand before it, whole, or not at all."""
    following = make_turn(int(new.record.turn_id[5:], 16) + 1000, "after")
    path = _write(store, following)
    held = [turn["turn_id"] for turn in read_document(path)["turns"]]
    expected = [*model, new, following] if new.record.turn_id in held else [*model, following]
    assert held == [turn.record.turn_id for turn in expected]
    return expected


@pytest.mark.parametrize("payload", ["x" * 5_000, None], ids=["long", "short"])
@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_disk_that_refuses_leaves_the_old_document(number: int, part: float, payload: Any, tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1, "a" * 200), make_turn(2, client_model="a long name " * 9))
    before = path.read_bytes()
    failure = _FailingAt(number, part, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space left"), _disk(failure):
        _write(store, make_turn(3, payload))
    assert failure.left <= 0  # an append has five writes, and what undoes it may need more
    assert path.read_bytes() == before
    _write(store, make_turn(3, payload))
    assert len(read_document(path)["turns"]) == 3


@pytest.mark.parametrize("number", [1, 2])
def test_a_disk_that_refuses_the_first_turn_leaves_no_file(number: int, tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    with pytest.raises(OSError, match="full"), _disk(_FailingAt(number, 0.5, OSError(errno.ENOSPC, "full"))):
        _write(store, make_turn(1))
    assert list(tmp_path.glob("????-??-??/*")) == []
    assert read_document(_write(store, make_turn(1)))["turn_count"] == 1


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_disk_that_refuses_a_replacement_leaves_the_old_document(number: int, tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1), make_turn(2), make_turn(3))
    before = path.read_bytes()
    with pytest.raises(OSError, match="full"), _disk(_FailingAt(number, 0.5, OSError(errno.ENOSPC, "full"))):
        _write(store, make_turn(2, "new"))
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["c.json"]


def test_a_crash_at_any_byte_of_an_append_leaves_whole_turns_only(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1, {"text": "old"}), make_turn(2, client_model="m"))
    before = path.read_bytes()
    new = make_turn(3, {"text": "new"})
    writes: list[int] = []
    with _disk(lambda _file, _offset, data: writes.append(len(data))):
        _write(store, new)
    whole = json.loads(path.read_bytes())["turns"]
    kept = set()
    for number, count in enumerate(writes):
        for written in range(count + 1):
            path.write_bytes(before)
            with pytest.raises(_Crash), _disk(_FailingAt(number + 1, written / count, _Crash())):
                _write(store, new)
            _write(store, make_turn(4))
            turns = read_document(path)["turns"]
            assert turns[:-1] in (whole[:2], whole), (number, written)
            kept.add(len(turns))
            for beside in path.parent.glob("*.damaged-*"):
                beside.unlink()
    assert kept == {3, 4}


def test_a_file_cut_at_any_byte_keeps_every_whole_turn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, *(make_turn(number, {"text": "é\n" * number}) for number in (1, 2, 3)))
    data = path.read_bytes()
    ends = [index + len(b"\n    }") for index in range(len(data)) if data.startswith(b"\n    }", index)]
    assert len(ends) == 3
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        caplog.clear()
        _write(store, make_turn(9))
        whole = sum(end <= cut for end in ends)
        turns = read_document(path)["turns"]
        assert [turn["turn_id"][-1] for turn in turns] == [*"123"[:whole], "9"], cut
        beside = list(path.parent.glob("c.json.damaged-*"))
        assert [kept.read_bytes() for kept in beside] == ([data[:cut]] if cut else [])
        for kept in beside:
            assert str(path) in caplog.text
            assert kept.name in caplog.text
            kept.unlink()


@pytest.mark.parametrize(
    "content",
    [b"\0" * 5_000, b"not JSON", b"{}", b"[]", b'{"turns": []}', b'{"turns": 5}', b"\xff\xfe", b'{"turns": [5]', b"["],
    ids=repr,
)
def test_a_file_without_a_turn_is_kept_beside_and_the_log_goes_on(content: bytes, tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1))
    path.write_bytes(content)
    _write(store, make_turn(2))
    assert [turn["turn_id"][-1] for turn in read_document(path)["turns"]] == ["2"]
    assert path.with_name("c.json.damaged-1").read_bytes() == content


def test_a_damaged_turn_does_not_take_the_ones_behind_it(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, *(make_turn(number, {"text": f"turn {number}"}) for number in range(1, 6)))
    path.write_bytes(path.read_bytes().replace(b"turn 3", b"tur\0\xff3")[:-1])
    _write(store, make_turn(6))
    assert [turn["turn_id"][-1] for turn in read_document(path)["turns"]] == ["1", "2", "4", "5", "6"]


def _minified(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))


def _with_extra_keys(document: dict[str, Any]) -> str:
    return json.dumps({"note": {"by": "hand"}, **document, "tags": ["a"]}, indent=4)


def _with_times_as_the_other_implementation_writes_them(document: dict[str, Any]) -> str:
    document["created_at"] = document["turns"][0]["started_at"] = "2026-11-23T08:06:10Z"
    document["updated_at"] = "2026-11-23T08:06:11Z"
    return json.dumps(document, ensure_ascii=False, indent=2)


@pytest.mark.parametrize(
    "rewrite", [_minified, _with_extra_keys, _with_times_as_the_other_implementation_writes_them, json.dumps]
)
def test_a_document_in_another_layout_is_taken_over_whole(
    rewrite: Callable[[dict[str, Any]], str], tmp_path: Path
) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1, {"n": [2**70, 1e-7]}), make_turn(2, "é"))
    path.write_text(rewrite(read_document(path)), "utf-8")
    foreign = json.loads(path.read_bytes())
    _write(store, make_turn(3))
    document = read_document(path)
    assert document["turns"][:2] == foreign["turns"]
    assert document["turn_count"] == 3
    assert {key: document[key] for key in foreign if key in {"note", "tags"}} == {
        key: foreign[key] for key in foreign if key in {"note", "tags"}
    }
    assert document["created_at"].startswith(foreign["created_at"][:19])
    inode = path.stat().st_ino
    _write(store, make_turn(4))  # from here on it is one of ours
    assert path.stat().st_ino == inode
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("writer", ["same", "new"])
@pytest.mark.parametrize("damage", [b"\0" * 4096, b"\xff" * 100, b'"},{"x":[', b"\n    }\n  ]\n"], ids=repr)
def test_damage_between_the_ends_of_a_file_is_found(writer: str, damage: bytes, tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, *(make_turn(number, "x" * 9_000) for number in (1, 2, 3)))
    damaged = bytearray(path.read_bytes())
    damaged[14_000 : 14_000 + len(damage)] = damage
    with path.open("r+b") as file:
        file.write(damaged)
    os.utime(path, ns=(1, 1))  # a clock may be too coarse to tell two writes of one moment
    _write(store if writer == "same" else ConversationStore(tmp_path), make_turn(4))
    assert [turn["turn_id"][-1] for turn in read_document(path)["turns"]] == ["1", "3", "4"]
    assert path.with_name("c.json.damaged-1").read_bytes() == damaged


def test_a_long_file_of_short_turns_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(ConversationStore(tmp_path), *(make_turn(number) for number in range(1, 3_000)))
    read = 0
    real = LockedFile.read

    def count(self: LockedFile, offset: int, size: int) -> bytes:
        nonlocal read
        data = real(self, offset, size)
        read += len(data)
        return data

    monkeypatch.setattr(LockedFile, "read", count)
    _write(ConversationStore(tmp_path), make_turn(3_000))
    assert read < 1.5 * path.stat().st_size


def test_a_file_system_that_settles_times_late_does_not_have_files_read_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renew_late(self: LockedFile) -> None:
        self.stamp = Stamp.of(os.fstat(self._opened.descriptor))._replace(modified_ns=0)

    monkeypatch.setattr(LockedFile, "renew_stamp", renew_late)
    store = ConversationStore(tmp_path)
    for number in range(1, 20):
        path = _write(store, make_turn(number, "x" * 20_000))
    read = 0
    real = LockedFile.read

    def count(self: LockedFile, offset: int, size: int) -> bytes:
        nonlocal read
        data = real(self, offset, size)
        read += len(data)
        return data

    monkeypatch.setattr(LockedFile, "read", count)
    _write(store, make_turn(20))
    assert read < 20_000
    assert read_document(path)["turn_count"] == 20


def test_a_write_that_a_signal_interrupts_leaves_the_old_document(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1))
    before = path.read_bytes()
    for number in range(1, 6):
        with pytest.raises(KeyboardInterrupt), _disk(_FailingAt(number, 0.5, KeyboardInterrupt())):
            _write(store, make_turn(2, "x" * 5_000))
        assert path.read_bytes() == before
    _write(store, make_turn(3))
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "change",
    [
        {"turns": [{"turn_id": "t", "x": 1}, {}]},
        {"turns": [{"turn_id": "t"}, "x", []]},
        {"turns": [None]},
        {"conversation_id": {"a": 1}},
        {"route": ["a"]},
        {"created_at": "\uff12026-11-23T08:06:10.123456Z"},
        {"created_at": "0001-01-01T00:00:00+23:59"},
        {"last_client_model": {"a": [1]}},
        {"turn_count": "many"},
    ],
    ids=repr,
)
def test_a_strange_document_neither_stops_the_log_nor_is_lost(change: dict[str, Any], tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1), make_turn(2))
    foreign = {**read_document(path), **change}
    path.write_text(json.dumps(foreign))
    for number in (3, 4):
        _write(store, make_turn(number))
    document = read_document(path)
    beside = list(path.parent.glob("*.damaged-*"))
    assert [turn["turn_id"][-1] for turn in document["turns"][-2:]] == ["3", "4"]
    assert beside or document["turns"][:-2] == foreign["turns"]


def test_a_repair_that_does_not_help_puts_the_file_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1))
    path.write_text(json.dumps(read_document(path)))
    before = path.read_bytes()
    monkeypatch.setattr(sys.modules["otel_convlog.store.repair"], "_write_document", lambda *_: None)
    _write(store, make_turn(2))
    assert [turn["turn_id"][-1] for turn in read_document(path)["turns"]] == ["2"]
    assert path.with_name("c.json.damaged-1").read_bytes() == before


def test_a_large_batch_of_one_conversation_is_written_in_one_go(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    turns = [make_turn(number) for number in range(1, 3_000)]
    path = _write(store, *turns[:1_500])
    _write(store, *turns[1_500:])
    assert len(read_document(path)["turns"]) == 2_999


def test_every_damaged_file_is_kept(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    for number in range(1, 4):
        path = store.path_of(make_turn(1))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"damage %d" % number)
        _write(store, make_turn(number))
        path.unlink()
    kept = {entry.name: entry.read_bytes() for entry in path.parent.glob("*.damaged-*")}
    assert kept == {f"c.json.damaged-{number}": b"damage %d" % number for number in (1, 2, 3)}


def test_a_file_whose_repair_is_tried_again_is_kept_once(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1), make_turn(2))
    torn = path.read_bytes()[:-400]
    path.write_bytes(torn)
    for _ in range(3):
        with pytest.raises(OSError, match="full"), _disk(_FailingAt(1, 0.5, OSError(errno.ENOSPC, "full"))):
            _write(store, make_turn(3))
    _write(store, make_turn(3))
    assert [turn["turn_id"][-1] for turn in read_document(path)["turns"]] == ["1", "3"]
    (beside,) = path.parent.glob("*.damaged-*")
    assert beside.read_bytes() == torn


def test_turns_of_a_megabyte_are_found_again(tmp_path: Path) -> None:
    first, second = ConversationStore(tmp_path), ConversationStore(tmp_path)
    turns = [make_turn(number, "x" * (1_048_576 - 2_000 + 7 * number)) for number in range(1, 40, 4)]
    path = _write(first, *turns)
    for turn in turns:
        _write(second, turn)
    assert [turn["turn_id"] for turn in read_document(path)["turns"]] == [turn.record.turn_id for turn in turns]


def test_a_file_that_was_replaced_twice_is_read_again_though_its_inode_is_the_same(tmp_path: Path) -> None:
    first, second = ConversationStore(tmp_path), ConversationStore(tmp_path)
    path = _write(first, make_turn(1, "x" * 5_000))
    _write(first, make_turn(2))
    _write(second, make_turn(1, "short"))
    _write(second, make_turn(1, "short"))
    _write(second, make_turn(3))
    _write(first, make_turn(3, "again"))
    assert [turn["turn_id"][-1] for turn in read_document(path)["turns"]] == ["1", "2", "3"]


def test_a_replacement_works_beside_what_a_crash_has_left(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1), make_turn(2))
    path.with_name(".c.json.tmp").write_bytes(b"left over")
    _write(store, make_turn(1, "new"))
    assert read_document(path)["turns"][0]["client_request"] == "new"
    assert list(path.parent.iterdir()) == [path]


def test_turns_written_together_stand_as_if_written_one_by_one(tmp_path: Path) -> None:
    turns = [
        make_turn(1, "a"),
        make_turn(2, "b", client_model="m2"),
        make_turn(1, "again"),
        make_turn(3),
        make_turn(3, "x"),
    ]
    together = _write(ConversationStore(tmp_path / "together"), *turns)
    store = ConversationStore(tmp_path / "alone")
    for turn in turns:
        alone = _write(store, turn)
    assert together.read_bytes() == alone.read_bytes()
    assert read_document(alone)["turn_count"] == 3


def test_a_turn_id_outside_the_turns_is_not_taken_for_a_turn(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1), make_turn(2))
    document = read_document(path)
    document["archive"] = [{"a": 1, "turn_id": f"turn_{number:024x}"} for number in (1, 9)]
    path.write_text(json.dumps(document))
    for number in (1, 9):
        _write(ConversationStore(tmp_path), make_turn(number, "new"))
    after = read_document(path)
    assert after["archive"] == document["archive"]
    assert [(turn["turn_id"][-1], turn["client_request"]) for turn in after["turns"]] == [
        ("1", "new"),
        ("2", None),
        ("9", "new"),
    ]


def _replace_and_append(system: str, directory: Path, worker: int) -> None:
    with files_of(system):
        store = ConversationStore(directory)
        for number in range(30):
            _write(store, make_turn(worker * 100 + number, "x" * number))
            _write(store, make_turn(worker * 100 + number // 2, "y" * number))


def test_processes_that_replace_turns_lose_none(system: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_replace_and_append, args=(system, tmp_path, worker)) for worker in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    (path,) = tmp_path.glob("*/*.json")
    held = sorted(int(turn["turn_id"][5:], 16) for turn in read_document(path)["turns"])
    assert held == sorted(worker * 100 + number for worker in range(4) for number in range(30))


def test_an_append_touches_as_many_bytes_in_a_long_file_as_in_a_short_one(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    moved = 0

    def count_write(_file: LockedFile, _offset: int, data: bytes) -> None:
        nonlocal moved
        moved += len(data)

    real_read = LockedFile.read

    def count_read(self: LockedFile, offset: int, count: int) -> bytes:
        nonlocal moved
        data = real_read(self, offset, count)
        moved += len(data)
        return data

    costs = []
    with pytest.MonkeyPatch.context() as patch, _disk(count_write):
        patch.setattr(LockedFile, "read", count_read)
        for number in range(1, 302):
            before = moved
            _write(store, make_turn(number, "x" * 10_000))
            costs.append(moved - before)
    assert costs[300] <= costs[2] + 10  # the turn count's further digits


def test_a_model_name_longer_than_a_turn_does_no_harm(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    turns = [make_turn(1), make_turn(2, client_model="m" * 100_000, backend="b\n" * 9_000), make_turn(3), make_turn(4)]
    for turn in turns:
        path = _write(store, turn)
    assert read_document(path) == json.loads(json.dumps(_expected(turns, turns[-1])))


def test_two_days_are_two_files(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    first = make_turn(1)
    second = make_turn(1 + 12 * 3600 * 1000 // 2 * 2)
    assert _write(store, first).parent.name == "2026-11-23"
    assert _write(store, second).parent.name == "2026-11-24"


@pytest.mark.parametrize(
    "conversation_id",
    [
        "..",
        ".",
        "...",
        "a/../../b",
        "对" * 120,
        "x" * 120,
        "é" * 101,
        "nul\0",
        "a\nb",
        "\ud800",
        "~",
        "a~b",
        " ",
        "",
        "/etc",
    ],
)
def test_a_file_s_name_never_leaves_its_folder(conversation_id: str, tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(1, conversation_id=conversation_id))
    assert path.resolve().parent == tmp_path / "2026-11-23"
    assert len(os.fsencode(path.name)) <= 205
    assert read_document(path)["conversation_id"] == conversation_id


def test_no_two_conversations_share_a_file() -> None:
    ids = ["a/b", "a_b", "a~b", "对" * 120, "对" * 119, "", "_", ".", "..", "\ud800", "\udfff", "a b", "a\0b"]
    paths = {conversation_path(Path("log"), "2026-11-23", conversation_id) for conversation_id in ids}
    assert len(paths) == len(ids)


def test_an_id_that_the_specification_gives_is_the_file_s_name() -> None:
    for conversation_id in (
        "conv_99cc319984d53bbdfebdf4ff",
        ".._.._etc_passwd",
        "emoji_id",
        "üñï-对话_1",
        "CON" if sys.platform != "win32" else "CON-1".lower(),
    ):
        path = conversation_path(Path("log"), "2026-11-23", conversation_id)
        assert path == Path("log") / "2026-11-23" / f"{conversation_id}.json"


def _append_many(system: str, directory: Path, first: int, count: int) -> None:
    with files_of(system):
        store = ConversationStore(directory)
        for number in range(first, first + count):
            _write(store, make_turn(number, "x" * (number % 2_000), conversation_id=f"c{number % 3}"))


def test_processes_that_share_conversations_lose_no_turn(system: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_append_many, args=(system, tmp_path, worker * 1_000, 150)) for worker in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    held = [turn["turn_id"] for path in tmp_path.glob("*/*.json") for turn in read_document(path)["turns"]]
    assert sorted(held) == sorted(f"turn_{worker * 1_000 + n:024x}" for worker in range(4) for n in range(150))


_WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from store_helpers import make_turn
from windows_rules import files_of
from otel_convlog.store import ConversationStore, render
store = ConversationStore(Path(sys.argv[1]))
number = int(sys.argv[2])
with files_of(sys.argv[3]):
    while True:
        number += 1
        turn = make_turn(number, "x" * (number * 7919 % 400_000))
        store.write(store.path_of(turn), [render(turn)])
        print(number, flush=True)
"""


def test_a_writer_that_is_killed_loses_no_turn_that_it_acknowledged(system: str, tmp_path: Path) -> None:
    acknowledged: list[int] = []
    script = _WRITER.format(tests=str(Path(__file__).parent))
    for attempt in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), str(attempt * 100_000), system],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            acknowledged.append(int(process.stdout.readline()))
            time.sleep(0.003 * attempt)  # another moment of the writing each time
            process.kill()
            acknowledged += [int(line) for line in process.stdout if line.endswith("\n")]
    store = ConversationStore(tmp_path)
    path = _write(store, make_turn(0))
    held = {int(turn["turn_id"][5:], 16) for turn in read_document(path)["turns"]}
    assert set(acknowledged) <= held
    assert len(held) <= len(acknowledged) + 12 + 1  # at most the turn that was being written, and the last one
