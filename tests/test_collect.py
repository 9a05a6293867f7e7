"""What the endpoint answers: real requests to a real process."""

from __future__ import annotations

import gzip
import signal
from collections import Counter
from typing import TYPE_CHECKING

from collect_process import JSON, PROTOBUF, answer_of, body_of, collecting, recorded, turn_ids
from google.rpc.status_pb2 import Status
from opentelemetry import trace
from recorded_spans import SPANS, load

import otel_convlog

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_acknowledged_is_in_its_file_once(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    provider, memory = recorded()
    trace.set_tracer_provider(provider)
    for number in range(3):
        with otel_convlog.Turn(
            route="chat",
            client_model="m",
            backend="openai",
            stream=False,
            client_request={"session_id": "s", "messages": [{"role": "user", "content": f"question {number}"}]},
        ):
            pass
    body = body_of(memory.get_finished_spans())
    with collecting(tmp_path) as collector:
        for _ in range(2):
            assert not answer_of(collector.post(body)).partial_success.rejected_spans
            assert set(Counter(turn_ids(tmp_path)).values()) == {1}
            assert len(turn_ids(tmp_path)) == 3
        assert collector.stop() == 0


def test_who_has_no_token_is_not_let_in(tmp_path: Path) -> None:
    with collecting(tmp_path, OTEL_EXPORTER_CONVLOG_COLLECT_TOKEN="secret") as collector:  # noqa: S106  of this test
        assert collector.post(b"").status_code == 401
        assert collector.post(b"", {**PROTOBUF, "authorization": "Bearer wrong"}).status_code == 401
        assert collector.post(b"", {**PROTOBUF, "authorization": "Bearer secret"}).status_code == 200
    with collecting(tmp_path) as collector:
        assert collector.post(b"", {**PROTOBUF, "host": "evil.example"}).status_code == 403


def test_what_cannot_be_read_is_refused_in_the_request_s_encoding(tmp_path: Path) -> None:
    with collecting(tmp_path) as collector:
        assert Status.FromString(collector.post(b"\xff\xff").content).message
        assert collector.post(b"{", JSON).json()["message"]
        assert collector.post(b"{}", {"content-type": "application/json; charset=utf-8"}).json() == {}
        assert collector.post(b"x", {"content-type": "text/plain"}).status_code == 415
        assert collector.post(b"x", {**PROTOBUF, "content-encoding": "rot13"}).status_code == 415


def test_a_bomb_is_refused_while_it_is_unpacked(tmp_path: Path) -> None:
    with collecting(tmp_path, "--max-body-bytes", str(8 << 20)) as collector:
        before = collector.most_memory_bytes()
        bomb = gzip.compress(bytes(1 << 30))
        assert collector.post(bomb, {**PROTOBUF, "content-encoding": "gzip"}).status_code == 413
        assert collector.post(bytes(9 << 20)).status_code == 413
        assert collector.most_memory_bytes() - before < 64 << 20


def test_a_call_that_waits_survives_a_kill_and_is_there_once(tmp_path: Path) -> None:
    spans = load(SPANS / "genai" / "chat.jsonl")
    with collecting(tmp_path) as collector:
        collector.send(spans)
        assert not turn_ids(tmp_path)
        collector.stop(signal.SIGKILL)
    with collecting(tmp_path) as collector:
        collector.send(spans)
        assert collector.stop() == 0
    assert set(Counter(turn_ids(tmp_path)).values()) == {1}
    assert len(turn_ids(tmp_path)) == 3
    assert not list((tmp_path / ".collecting").iterdir())
