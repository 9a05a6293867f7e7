"""Damage of every kind is found and mended, no whole turn is lost, and a whole log is called whole."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cli_helpers import DAY_NS, answered, asked, objects, run, write
from conversation_log import forget_tracer_provider
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from recorded_spans import SPANS, load
from store_helpers import _START_NS, make_turn

import otel_convlog
from otel_convlog import ConversationSpanExporter
from otel_convlog.integrity import KINDS, repair_log, verify_log
from otel_convlog.store import read_document, reindex
from otel_convlog.store.catalog_database import FILE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Document = dict[str, Any]


def _talk(name: str | None, turns: int) -> None:
    history: list[Any] = []
    for number in range(turns):
        history.append({"role": "user", "content": f"question {number} to {name}"})
        request: Any = {"messages": history, **({"conversation_id": name} if name else {})}
        with otel_convlog.Turn(
            route="chat", client_model="m", backend="b", stream=True, client_request=request
        ) as turn:
            turn.append_client_event({"choices": [{"delta": {"content": f"answer {number}"}, "finish_reason": "stop"}]})
            turn.finalize(usage={"input_tokens": 5, "output_tokens": 2})
        history.append({"role": "assistant", "content": f"answer {number}"})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with a named dialogue, one that was recognised, and one that crosses midnight."""
    directory = tmp_path_factory.mktemp("whole") / "log"
    forget_tracer_provider()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConversationSpanExporter(directory=directory)))
    trace.set_tracer_provider(provider)
    _talk("named", 4)
    _talk(None, 3)
    write(
        directory,
        make_turn(1, asked("evening"), conversation_id="night", client_response=answered("a")),
        make_turn(2, asked("evening", "a", "b"), conversation_id="night", start_ns=_START_NS + DAY_NS),
    )
    provider.shutdown()
    reindex(directory)
    forget_tracer_provider()
    return directory


@pytest.fixture
def log(whole: Path, tmp_path: Path) -> Path:
    """A copy of it; its catalog has read the files as they are now."""
    directory = tmp_path / "log"
    shutil.copytree(whole, directory)
    reindex(directory)
    return directory


def _requests(directory: Path) -> list[str]:
    """What was asked in all turns of a log."""
    documents = [read_document(path) for path in sorted(directory.glob("*/*.json"))]
    return sorted(json.dumps(turn["client_request"]) for document in documents for turn in document["turns"])  # type: ignore[union-attr,index,call-overload]


def _named(directory: Path) -> Path:
    (path,) = directory.glob("*/named.json")
    return path


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Damage that changes the named conversation's bytes."""

    def make(directory: Path) -> None:
        path = _named(directory)
        path.write_bytes(change(path.read_bytes()))

    return make


def _json(change: Callable[[Document], object]) -> Callable[[Path], None]:
    """Damage that changes what the named conversation says."""

    def edit(data: bytes) -> bytes:
        document = json.loads(data)
        change(document)
        return json.dumps(document, ensure_ascii=False, indent=2).encode()

    return _bytes(edit)


def _turn(change: Callable[[Document], object], number: int = 1) -> Callable[[Path], None]:
    """Damage that changes what one of its turns says."""
    return _json(lambda document: change(document["turns"][number]))


def _sql(statement: str) -> Callable[[Path], None]:
    """Damage that changes the catalog."""

    def make(directory: Path) -> None:
        with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
            assert connection.execute(statement).rowcount != 0
            connection.commit()

    return make


def _rename(directory: Path) -> None:
    path = _named(directory)
    path.rename(path.with_name("renamed.json"))


def _leave_new_file(directory: Path) -> None:
    left = _named(directory).with_name(".named.json.tmp")
    left.write_bytes(b"half of a docu")
    os.utime(left, (1, 1))


def _link(directory: Path) -> None:
    path = _named(directory)
    path.with_name("linked.json").symlink_to(path)


def _misplace(directory: Path) -> None:
    (directory / "notes").mkdir()
    (directory / "notes" / "note.json").write_text("{}")


def _catalog_bytes(data: bytes) -> Callable[[Path], None]:
    def make(directory: Path) -> None:
        for path in directory.glob(f"{FILE_NAME}*"):
            path.unlink()
        (directory / FILE_NAME).write_bytes(data)

    return make


def _without_catalog(directory: Path) -> None:
    for path in directory.glob(f"{FILE_NAME}*"):
        path.unlink()


def _reversed(turn: Document) -> None:
    items = list(turn.items())
    turn.clear()
    turn.update(reversed(items))


@dataclass(frozen=True)
class Damage:
    """What a test does to a log.

    Attributes:
        kind: How it is found.
        lost: How many turns are not whole any more by it.
    """

    kind: str
    make: Callable[[Path], None]
    lost: int = 0
    name: str = ""


_DAMAGES = [
    Damage("empty", _bytes(lambda _: b""), lost=4),
    Damage("torn", _bytes(lambda data: data[: data.rindex(b"turn_id")]), lost=1),
    Damage("torn", _bytes(lambda data: data[:-1]), name="by a byte"),
    Damage("zeros", _bytes(lambda data: data[:-300] + bytes(300)), lost=1),
    Damage("no-json", _bytes(lambda data: data.replace(b'"route": "chat",', b'"route" "chat",', 1))),
    Damage("no-document", _bytes(lambda _: b'{"some": "JSON"}\n'), lost=4),
    Damage("no-json", _bytes(lambda _: b"\xff\xfe garbage }"), lost=4, name="garbage"),
    Damage("layout", _bytes(lambda data: json.dumps(json.loads(data)).encode())),
    Damage("layout", _bytes(lambda data: json.dumps(json.loads(data), indent=4).encode()), name="other indentation"),
    Damage("file-name", _rename),
    Damage("leftover", _leave_new_file),
    Damage("folder", _misplace),
    Damage("created-at", _json(lambda document: document.update(created_at="2020-01-01T00:00:00.000000Z"))),
    Damage("updated-at", _json(lambda document: document.update(updated_at="2020-01-01T00:00:00.000000Z"))),
    Damage("turn-count", _json(lambda document: document.update(turn_count=7))),
    Damage("last", _json(lambda document: document.update(last_client_model="other"))),
    Damage("last", _json(lambda document: document.update(last_backend="other")), name="backend"),
    Damage("between-turns", _bytes(lambda data: data.replace(b"\n    },\n", b"\n    },\n    null,\n", 1))),
    Damage(
        "between-turns",
        _bytes(lambda data: data.replace(b"\n    }\n  ]", b"\n    },\n    7\n  ]", 1)),
        name="at the end",
    ),
    Damage("turn-json", _bytes(lambda data: data.replace(b'"error": null', b'"error" null', 1)), lost=1),
    Damage("turn-json", _bytes(lambda data: data.replace(b"question 0", b"question\x000", 1)), lost=1, name="a zero"),
    Damage("turn-json", _bytes(lambda data: data.replace(b"question 0", b"question\xff0", 1)), lost=1, name="no UTF-8"),
    Damage("turn-layout", _bytes(lambda data: data.replace(b'"error": null', b'"error":  null', 1))),
    Damage(
        "turn-layout",
        _bytes(lambda data: data.replace(b'"error": null', b'"error": 1,\n      "error": null', 1)),
        name="a key twice",
    ),
    Damage("turn-keys", _turn(lambda turn: turn.pop("target_url")), name="lacks one"),
    Damage("turn-keys", _turn(lambda turn: turn.update(unknown=1)), name="has another"),
    Damage("turn-keys", _turn(_reversed), name="in another order"),
    Damage("turn-values", _turn(lambda turn: turn.update(stream="yes"))),
    Damage("turn-values", _turn(lambda turn: turn.update(duration_ms="long")), name="duration"),
    Damage("turn-values", _turn(lambda turn: turn.update(stream_trace=None)), name="no streams"),
    Damage("turn-values", _turn(lambda turn: turn["stream_trace"].update(client_events="x")), name="no events"),
    Damage("turn-values", _turn(lambda turn: turn.update(otel=5)), name="otel"),
    Damage("turn-id", _turn(lambda turn: turn.update(turn_id="5")), name="none"),
    Damage("turn-id", _turn(lambda turn: turn.update(turn_id="turn_" + "0" * 24)), name="another span's"),
    Damage("turn-twice", _json(lambda document: document["turns"].insert(2, document["turns"][1]))),
    Damage("turn-conversation", _turn(lambda turn: turn.update(conversation_id="elsewhere"))),
    Damage("turn-time", _turn(lambda turn: turn.update(started_at="yesterday"))),
    Damage("turn-time", _turn(lambda turn: turn.update(updated_at=7)), name="updated"),
    Damage("turn-day", _turn(lambda turn: turn.update(started_at="2020-01-01T00:00:00.000000Z"))),
    Damage("turn-offsets", _turn(lambda turn: turn["otel"]["client_offsets_ms"].append(5))),
    Damage("continues", _turn(lambda turn: turn["otel"].update(continues="turn_" + "f" * 24))),
    Damage("catalog", _without_catalog, name="not there"),
    Damage("catalog", _catalog_bytes(b"no database" * 500), name="garbage"),
    Damage("catalog", _sql("PRAGMA user_version = 1"), name="of another release"),
    Damage("catalog-lacks", _sql("DELETE FROM conversations WHERE conversation_id = 'named'")),
    Damage(
        "catalog-gone", _sql("UPDATE conversations SET file = '2020-01-01/gone.json' WHERE conversation_id = 'named'")
    ),
    Damage(
        "catalog-conversation", _sql("UPDATE conversations SET last_reply = 'never' WHERE conversation_id = 'named'")
    ),
    Damage("catalog-turns", _sql("UPDATE turns SET offset = offset + 1 WHERE file LIKE '%named%'"), name="places"),
    Damage("catalog-turns", _sql("DELETE FROM turns WHERE file LIKE '%named%'"), name="not there"),
    Damage("catalog-turns", _sql("UPDATE turns SET input_tokens = 1 WHERE file LIKE '%named%'"), name="tokens"),
    Damage("evidence", _sql("DELETE FROM known_turns WHERE conversation_id = 'named'"), name="not kept"),
    Damage(
        "evidence",
        _sql("UPDATE known_turns SET conversation_id = 'x' WHERE conversation_id = 'named'"),
        name="elsewhere",
    ),
]
if sys.platform != "win32":
    _DAMAGES += [
        Damage("mode", lambda directory: _named(directory).chmod(0o644)),
        Damage("no-file", _link),
    ]


def test_a_whole_log_has_no_problem(log: Path) -> None:
    assert list(verify_log(log)) == []
    assert list(repair_log(log)) == []
    assert "the log is whole" in run(log, "verify").stdout
    assert "nothing to repair" in run(log, "repair").stdout


def test_what_readers_must_refuse_is_all_tried() -> None:
    not_here = {"unreadable", "catalog-behind", "incomplete"}  # root may read all; the others are no damage
    assert {damage.kind for damage in _DAMAGES} == set(KINDS) - not_here


@pytest.mark.parametrize("damage", _DAMAGES, ids=lambda damage: f"{damage.kind} {damage.name}".strip())
def test_damage_is_found_and_mended_and_no_whole_turn_is_lost(log: Path, damage: Damage) -> None:
    before = _requests(log)
    damage.make(log)
    found = objects(log, "verify", status=1)
    assert damage.kind in {problem["kind"] for problem in found}
    assert any(problem["is_damage"] for problem in found)
    done = objects(log, "repair")
    assert done
    assert objects(log, "verify") == []
    after = _requests(log)
    assert len(after) == len(before) - damage.lost
    assert set(after) <= set(before)
    for mended in done:
        if mended["kept"] is not None:
            assert os.path.lexists(mended["kept"])
    assert objects(log, "repair") == []


def test_what_is_taken_out_is_kept_beside(log: Path) -> None:
    path = _named(log)
    damaged = path.read_bytes().replace(b"question 0", b"question\xff0", 1)
    path.write_bytes(damaged)
    mended = next(repair_log(log))
    assert mended.kept is not None
    assert mended.kept.read_bytes() == damaged


def test_a_turn_of_another_day_goes_into_that_day_s_file(log: Path) -> None:
    _turn(lambda turn: turn.update(started_at="2020-01-01T00:00:00.000000Z"))(log)
    run(log, "repair")
    moved = read_document(log / "2020-01-01" / "named.json")
    assert moved["turn_count"] == 1
    assert read_document(_named_on_other_day(log))["turn_count"] == 3


def _named_on_other_day(directory: Path) -> Path:
    return max(directory.glob("*/named.json"))


def test_values_that_the_format_has_no_place_for_are_kept_in_the_turn(log: Path) -> None:
    _turn(lambda turn: turn.update(unknown=1, stream="yes"))(log)
    run(log, "repair")
    turns: Any = read_document(_named(log))["turns"]
    assert turns[1]["otel"]["mended"] == {"unknown": 1, "stream": "yes"}


def test_several_kinds_of_damage_at_once_are_mended(log: Path) -> None:
    before = _requests(log)
    for damage in _DAMAGES:
        if damage.kind in {"turn-keys", "turn-time", "created-at", "leftover", "folder"}:
            damage.make(log)
    run(log, "verify", status=1)
    run(log, "repair")
    run(log, "verify")
    assert _requests(log) == before


def test_a_turn_that_a_limit_has_cut_is_told_and_no_damage(log: Path) -> None:
    write(log, make_turn(9, asked("x"), conversation_id="cut", trace={"complete": False, "lost": {"attributes": 1}}))
    reindex(log, everything=True)
    (problem,) = objects(log, "verify")
    assert (problem["kind"], problem["is_damage"]) == ("incomplete", False)


def test_a_turn_that_was_written_again_is_no_damage(log: Path) -> None:
    write(log, make_turn(1, asked("evening"), conversation_id="night", client_response=answered("other")))
    assert [problem["kind"] for problem in objects(log, "verify")] == ["catalog-behind"]
    run(log, "repair")
    assert objects(log, "verify") == []


def test_logs_of_real_instrumentations_are_whole(tmp_path: Path) -> None:
    for path in sorted(SPANS.rglob("*.jsonl")):
        exporter = ConversationSpanExporter(directory=tmp_path / path.parent.name / path.stem)
        exporter.export(load(path))
        exporter.shutdown()
    directories = [path for path in tmp_path.glob("*/*") if path.is_dir()]
    assert len(directories) > 50
    assert [problem for directory in directories for problem in verify_log(directory) if problem.is_damage] == []
