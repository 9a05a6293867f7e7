"""What the endpoint answers: real requests to a real process."""

from __future__ import annotations

import base64
import gzip
import json
import re
import signal
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from collect_process import (
    JSON,
    PROTOBUF,
    answer_of,
    body_of,
    collecting,
    documents,
    ids_in,
    recorded,
    turn_ids,
    turns_request,
)
from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status
from opentelemetry import trace
from recorded_spans import SPANS, load

import otel_convlog
from otel_convlog.collecting.message_count import MOST_TOKENS, TooManyMessagesError, check_json


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


def test_both_encodings_with_and_without_gzip_give_the_same_turn(tmp_path: Path) -> None:
    request = turns_request(["s"])
    as_json = MessageToDict(request)
    (span,) = as_json["resourceSpans"][0]["scopeSpans"][0]["spans"]
    for name in ("traceId", "spanId"):  # OTLP has them as hexadecimal digits, in capitals or not
        span[name] = base64.b64decode(span[name]).hex().upper()
    span["aFieldOfTomorrow"] = {"x": 1}
    with collecting(tmp_path) as collector:
        for body, headers in ((request.SerializeToString(), PROTOBUF), (json.dumps(as_json).encode(), JSON)):
            assert collector.post(body, headers).ok
            assert collector.post(gzip.compress(body), {**headers, "content-encoding": "gzip"}).ok
        assert turn_ids(tmp_path) == ids_in(request)


def test_the_span_contract_s_example_is_a_turn(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "span-contract.md").read_text("utf-8")
    (body,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    with collecting(tmp_path) as collector:
        assert collector.post(body.encode(), JSON).json() == {}
        (document,) = documents(tmp_path).values()
    (turn,) = document["turns"]
    assert turn["turn_id"] == "turn_813fc60ceee19b7ec3c1b174"
    assert turn["started_at"] == "2026-11-26T08:06:10.123456Z"
    assert turn["request_headers"] == {"authorization": "Bear***cdef"}
    assert turn["client_request"]["messages"] == [{"role": "user", "content": "Hello"}]
    assert len(turn["stream_trace"]["client_events"]) == 1
    assert turn["otel"]["client_offsets_ms"] == [1200.0]
    assert turn["usage"] == {"prompt_tokens": 8, "completion_tokens": 3}
    assert turn["otel"]["service_name"] == "my-proxy"


def test_spans_without_ids_are_rejected_and_the_others_taken(tmp_path: Path) -> None:
    request = turns_request(["a", "b", "c"])
    spans = request.resource_spans[0].scope_spans[0].spans
    spans[0].trace_id = bytes(16)
    spans[1].span_id = b"short"
    with collecting(tmp_path) as collector:
        partly = answer_of(collector.post(request.SerializeToString())).partial_success
        assert partly.rejected_spans == 2
        assert partly.error_message == "2: a span's ids must be 16 and 8 bytes that are not all zero"
        assert [Path(path).name for path in documents(tmp_path)] == ["c.json"]
        as_json = collector.post(b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"x","traceId":"zz"}]}]}]}', JSON)
        assert as_json.json()["partialSuccess"]["rejectedSpans"] == "1"


def test_spans_that_are_no_turns_are_taken_and_leave_nothing(tmp_path: Path) -> None:
    request = turns_request(["a"])
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.name = "GET /"
    del span.attributes[:]
    with collecting(tmp_path) as collector:
        assert not answer_of(collector.post(request.SerializeToString())).partial_success.rejected_spans
        assert collector.stop() == 0
    assert not documents(tmp_path)


def test_a_body_that_does_not_come_is_given_up_and_holds_nobody_up(tmp_path: Path) -> None:
    with collecting(tmp_path, "--body-timeout", "1") as collector:
        address = urlsplit(collector.url)
        with socket.create_connection((address.hostname, address.port or 0)) as slow:
            slow.sendall(
                b"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-protobuf\r\n"
                b"content-length: 1000\r\n\r\nslow"
            )
            assert collector.post(turns_request(["a"]).SerializeToString()).ok
            slow.settimeout(20)
            assert slow.recv(100).startswith(b"HTTP/1.1 408 ")


def test_where_too_much_waits_senders_are_told_to_come_again(tmp_path: Path) -> None:
    large = turns_request(["a"], size_bytes=900_000).SerializeToString()
    with collecting(tmp_path, OTEL_EXPORTER_CONVLOG_QUEUE_BYTES=str(len(large))) as collector:
        address = urlsplit(collector.url)
        with socket.create_connection((address.hostname, address.port or 0)) as slow:
            slow.sendall(
                b"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-protobuf\r\n"
                b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(large), large)
            )
            deadline = time.monotonic() + 20
            while requests.get(f"{collector.url}/healthz", timeout=20).json() != {"status": "full"}:
                assert time.monotonic() < deadline
                time.sleep(0.05)  # not all of its bytes have been read
            refused = collector.post(large)
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            assert "bytes wait" in Status.FromString(refused.content).message
            slow.sendall(b"0\r\n\r\n")
            slow.settimeout(20)
            assert slow.recv(100).startswith(b"HTTP/1.1 200 ")
        assert collector.post(large).ok


def test_several_collectors_write_to_one_log(tmp_path: Path) -> None:
    requests_ = [turns_request(["a", "b"]) for _ in range(20)]
    with collecting(tmp_path) as one, collecting(tmp_path) as other:
        with ThreadPoolExecutor(8) as senders:
            posts = [
                senders.submit(collector.post, request.SerializeToString())
                for request in requests_
                for collector in (one, other)
            ]
            assert all(post.result().ok for post in posts)
        assert one.stop() == other.stop() == 0
    assert sorted(turn_ids(tmp_path)) == sorted(turn for request in requests_ for turn in ids_in(request))


def test_it_says_whether_it_can_take_more(tmp_path: Path) -> None:
    with collecting(tmp_path) as collector:
        assert requests.get(f"{collector.url}/healthz", timeout=20).json() == {"status": "ready"}
        assert requests.get(collector.traces, timeout=20).status_code == 405
        assert requests.get(f"{collector.url}/", timeout=20).status_code == 404


def test_what_is_being_sent_when_it_stops_is_answered(tmp_path: Path) -> None:
    taken: list[str] = []
    with collecting(tmp_path) as collector:

        def send() -> None:
            while True:
                request = turns_request(["a"])
                try:
                    answer = collector.post(request.SerializeToString())
                except requests.ConnectionError:
                    return
                if not answer.ok:
                    return
                taken.extend(ids_in(request))

        with ThreadPoolExecutor(8) as senders:
            sending = [senders.submit(send) for _ in range(8)]
            while len(taken) < 50 and not sending[0].done():
                time.sleep(0.01)
            assert collector.stop() == 0
            for each in sending:
                each.result()
    assert set(taken) <= set(turn_ids(tmp_path))
    assert max(Counter(turn_ids(tmp_path)).values()) == 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[%s{}]}]}]}' % (b"{}," * 2_000_000),
        b'{"x":[%s""]}' % (b'"",' * 2_000_000),
        b'{"x":[%s[]]}' % (b"[]," * 2_000_000),
    ],
    ids=["spans", "texts", "lists"],
)
def test_json_of_nothing_but_structure_is_refused_before_it_is_decoded(body: bytes, tmp_path: Path) -> None:
    with collecting(tmp_path) as collector:
        before = collector.most_memory_bytes()
        assert collector.post(body, JSON).status_code == 413
        assert collector.most_memory_bytes() - before < 100 << 20


@pytest.mark.parametrize("text", [b'"%s"' % (b'{[,\\"' * 500_000), b"[%s]" % (b'"{",' * 500_000 + b"1")])
def test_braces_and_commas_in_texts_do_not_count(text: bytes) -> None:
    check_json(text)
    with pytest.raises(TooManyMessagesError):
        check_json(b"[%s,%s]" % (text, b"1," * MOST_TOKENS))


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
