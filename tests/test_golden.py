"""The specification's own inputs and outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from conversation_log import Log, read_document
from opentelemetry import trace
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator

import otel_convlog

_GOLDEN = Path(__file__).with_name("golden")
_ROWS = [json.loads(line) for line in (_GOLDEN / "conversation_ids.jsonl").read_text("utf-8").splitlines()]
_DOCUMENTS = sorted(path.stem for path in (_GOLDEN / "documents").glob("*.json"))


@pytest.mark.parametrize("grouping", ["lineage", "dialogue", "seed"])
@pytest.mark.parametrize("row", _ROWS, ids=range(len(_ROWS)))
def test_conversation_id_is_the_specified_one(
    row: dict[str, Any], grouping: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_CONVLOG_GROUPING", grouping)
    log: Log = request.getfixturevalue("log")  # made here, after the variable is set
    given = otel_convlog.get_conversation_id(route=row["route"], payload=row["payload"])
    if row.get("reference_raises"):
        assert re.fullmatch("conv_[0-9a-f]{24}", given)
    else:
        assert given == row["conversation_id"]
    # the exporter, which sees the request only as its span has it, finds the same
    start: dict[str, Any] = {"client_model": "m", "backend": "b", "stream": False}
    otel_convlog.finalize_turn(otel_convlog.start_turn(route=row["route"], client_request=row["payload"], **start))
    document = log.document()
    assert document["conversation_id"] == document["turns"][0]["conversation_id"] == given
    assert document["turns"][0]["client_request"] == row["payload"]


class _NumberedTurns(IdGenerator):
    """Gives the n-th span the id n, and one span the id of an earlier one."""

    def __init__(self) -> None:
        self.next_span_id = 0

    def generate_span_id(self) -> int:
        return self.next_span_id

    def generate_trace_id(self) -> int:
        return 1 << 64  # the last eight hex digits, which go into the turn's id, are zeros


@pytest.mark.parametrize("processor", [SimpleSpanProcessor, BatchSpanProcessor])
@pytest.mark.parametrize("name", _DOCUMENTS)
def test_document_is_the_specified_one(name: str, processor: Any, tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    golden = json.loads((_GOLDEN / "documents" / f"{name}.json").read_text("utf-8"))
    ids = _NumberedTurns()
    log = Log(tmp_path, id_generator=ids)
    log.provider.add_span_processor(processor(log.exporter))
    trace.set_tracer_provider(log.provider)
    started: list[dict[str, Any]] = []
    timed: set[str] = set()  # turns whose duration was given
    for row in golden["turns"]:
        if "again" in row:  # the same turn once more: all that was recorded of it, and what is new
            ids.next_span_id = row["again"] + 1
            first = started[row["again"]]
            calls = first["calls"] + row["calls"]
        else:
            started.append(row)
            ids.next_span_id = len(started)
            first, calls = row, row["calls"]
        turn = otel_convlog.start_turn(**first["start"])
        for function, *arguments in calls:
            getattr(otel_convlog, function)(turn, *arguments)
        otel_convlog.finalize_turn(turn, **row["finalize"])
        if row["finalize"].get("duration_ms"):
            timed.add(f"turn_{ids.next_span_id:024x}")
    log.provider.shutdown()

    assert [path.name for path in log.files()] == sorted(Path(path).name for path in golden["files"])
    for path, expected in golden["files"].items():
        (written,) = log.directory.glob(f"*/{Path(path).name}")
        document = read_document(written)
        _assert_times_fit(document)
        assert _comparable(document, timed) == _comparable(json.loads(expected), timed)


def _assert_times_fit(document: dict[str, Any]) -> None:
    turns = document["turns"]
    assert document["created_at"] == turns[0]["started_at"]
    assert document["updated_at"] == max(turn["updated_at"] for turn in turns)
    for turn in turns:
        assert list(turn)[-1] == "otel"
        for time in (turn["started_at"], turn["updated_at"]):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", time)


def _comparable(document: dict[str, Any], timed: set[str]) -> str:
    """Return the document's text without times, without ``otel``, and without durations that were not given."""
    for turn in document["turns"]:
        turn.pop("otel", None)
        if turn["turn_id"] not in timed:
            turn["duration_ms"] = "the span's own"
    text = json.dumps(document, ensure_ascii=False, indent=2)
    return re.sub(r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"', '"time"', text)
