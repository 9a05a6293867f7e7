"""What the middleware of either interface makes of requests and answers of any kind."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from typing import TYPE_CHECKING, Any

import brotli
import pytest
import zstandard
from captured_exchanges import CHAT, EVENTS, JSON, Exchanges
from opentelemetry import baggage, trace

from otel_convlog import Turn
from otel_convlog.capture.options import CaptureOptions
from otel_convlog.capture.routes import Routes
from otel_convlog.wire import MOST_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["asgi", "wsgi"])
def exchanges(request: pytest.FixtureRequest, tmp_path: Path, no_sdk: None) -> Iterator[Exchanges]:  # noqa: ARG001
    exchanges = Exchanges(request.param, tmp_path)
    yield exchanges
    exchanges.close()


@pytest.mark.parametrize("pieces", [1, 2, 7, 1000])
def test_a_request_in_any_pieces_reaches_the_application_as_it_came(pieces: int, exchanges: Exchanges) -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "你好"}]}, ensure_ascii=False).encode()
    exchanges.ask(body, [b'{"id": "r"}'], JSON, headers=[("x-team", "a")], pieces=pieces)
    assert exchanges.read == body
    (turn,) = exchanges.turns
    assert turn["client_request"] == json.loads(body)
    assert turn["client_response"] == {"id": "r"}
    assert turn["request_headers"]["x-team"] == "a"
    assert turn["otel"]["complete"] is True


@pytest.mark.parametrize("seed", range(5))
def test_a_stream_cut_anywhere_gives_the_same_events(seed: int, exchanges: Exchanges) -> None:
    stream = "".join(
        f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': piece}}]}, ensure_ascii=False)}\r\n\r\n"
        for piece in ("grüße ", "你好 ", "😀")
    ).encode()
    source = random.Random(seed)
    cuts = sorted(source.sample(range(1, len(stream)), 20))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    exchanges.ask(b'{"model": "m", "messages": [], "stream": true}', pieces, EVENTS)
    assert exchanges.sent == pieces
    (turn,) = exchanges.turns
    assert [event["type"] for event in turn["stream_trace"]["client_events"]] == ["openai_chunk"] * 3
    assert turn["client_response"]["choices"][0]["message"]["content"] == "grüße 你好 😀"


_ENCODED = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "gzip, br": lambda plain: brotli.compress(gzip.compress(plain)),
}


@pytest.mark.parametrize("encoding", _ENCODED)
def test_compressed_bodies_are_read_and_passed_on_as_they_are(encoding: str, exchanges: Exchanges) -> None:
    encode = _ENCODED[encoding]
    request, answer = encode(b'{"model": "m", "messages": []}'), encode(b'{"id": "r"}')
    header = ("content-encoding", encoding)
    exchanges.ask(request, [answer[:9], answer[9:]], JSON, header, headers=[header])
    assert b"".join(exchanges.sent) == answer
    (turn,) = exchanges.turns
    assert turn["client_request"] == {"model": "m", "messages": []}
    assert turn["client_model"] == "m"
    assert turn["client_response"] == {"id": "r"}


def test_a_compressed_stream_is_read_piece_by_piece(exchanges: Exchanges) -> None:
    compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    pieces = [
        compressor.compress(f"data: {number}\n\n".encode()) + compressor.flush(zlib.Z_SYNC_FLUSH) for number in range(3)
    ]
    exchanges.ask(b'{"stream": true}', [*pieces, compressor.flush()], EVENTS, ("content-encoding", "gzip"))
    (turn,) = exchanges.turns
    assert [event["data"] for event in turn["stream_trace"]["client_events"]] == [0, 1, 2]
    assert len(turn["otel"]["client_offsets_ms"]) == 3


def test_a_compressed_body_of_several_parts_is_read_whole(exchanges: Exchanges) -> None:
    parts = gzip.compress(b'{"id": ') + gzip.compress(b'"r"}')
    exchanges.ask(gzip.compress(b""), [parts[:30], parts[30:]], JSON, ("content-encoding", "gzip"))
    (turn,) = exchanges.turns
    assert turn["client_response"] == {"id": "r"}


def test_a_compressed_body_that_holds_nothing_is_nothing(exchanges: Exchanges) -> None:
    header = ("content-encoding", "gzip")
    exchanges.ask(gzip.compress(b""), [gzip.compress(b"")], JSON, header, headers=[header])
    (turn,) = exchanges.turns
    assert (turn["client_request"], turn["client_response"]) == (None, None)
    assert turn["otel"]["complete"] is True


@pytest.mark.parametrize("encoding", ["gzip", "unheard-of"])
def test_an_encoding_that_cannot_be_undone_is_marked(encoding: str, exchanges: Exchanges) -> None:
    exchanges.ask(b'{"messages": []}', [b"\xff\xfe"], JSON, ("content-encoding", encoding))
    (turn,) = exchanges.turns
    assert turn["client_response"] == f"[convlog: 2 bytes of {encoding}, which cannot be read here]"
    assert turn["otel"]["lost"] == {"bounded": ["client_response"]}


def test_a_small_body_that_would_fill_the_memory_is_kept_to_the_bound(exchanges: Exchanges) -> None:
    bomb = gzip.compress(b"a" * 50_000_000)
    exchanges.ask(b'{"messages": []}', [bomb], ("content-encoding", "gzip"), most_bytes=len(bomb))
    (turn,) = exchanges.turns
    assert turn["client_response"] == "a" * len(bomb)
    assert turn["otel"]["complete"] is False


def test_of_what_is_too_long_the_beginning_is_kept(exchanges: Exchanges) -> None:
    big = json.dumps({"messages": [], "x": "y" * 2_000}).encode()
    exchanges.ask(big, [b"x" * 600, b"y" * 600], pieces=30, most_bytes=1_000)
    assert exchanges.read == big
    (turn,) = exchanges.turns
    assert turn["client_request"] == big[:1_000].decode()
    assert turn["client_response"] == "x" * 600 + "y" * 400
    assert turn["otel"]["complete"] is False
    assert turn["otel"]["lost"] == {"bounded": ["client_request", "client_response"]}


def test_a_stream_that_is_too_long_is_kept_to_the_bound(exchanges: Exchanges) -> None:
    pieces = [b'data: {"n": %d}\n\n' % number for number in range(1_000)]
    exchanges.ask(b'{"stream": true}', pieces, EVENTS, most_bytes=1_000)
    assert exchanges.sent == pieces
    (turn,) = exchanges.turns
    assert [event["data"]["n"] for event in turn["stream_trace"]["client_events"]] == list(range(59))
    assert turn["otel"]["lost"] == {"bounded": ["client_events"]}


@pytest.mark.parametrize(
    ("body", "logged"),
    [
        (b"no json", "no json"),
        (b"[1]", [1]),
        (b"", None),
        (b"\xff\x00\xfe", "[convlog: 3 bytes that are no text]"),
        (b'{"n": 123456789012345678901234567890, "x": 1e400}', {"n": 123456789012345678901234567890, "x": None}),
        (b'{"x": "\\ud800"}', {"x": "\ud800"}),
    ],
)
def test_a_request_of_any_kind_is_logged_as_it_is(body: bytes, logged: Any, exchanges: Exchanges) -> None:
    exchanges.ask(body, [b"{}"], JSON, status=400)
    (turn,) = exchanges.turns
    assert turn["client_request"] == logged
    assert turn["error"]["status_code"] == 400


def test_a_body_that_is_nested_deeply_does_not_cost_the_turn(exchanges: Exchanges) -> None:
    exchanges.ask(b'{"messages": ' + b"[" * 900 + b"]" * 900 + b"}", [b"[" * 5_000], JSON)
    (turn,) = exchanges.turns
    assert "cut here" in json.dumps(turn["client_request"])
    assert turn["client_response"] == "[" * 5_000


@pytest.mark.parametrize(
    ("content_type", "begin"),
    [
        ("text/event-stream", b""),
        ("Text/Event-Stream; charset=utf-8", b""),
        ("application/x-ndjson", b"lines"),
        ("", b""),
        ("", b"bytes"),
        ("application/json", b"array"),
    ],
)
def test_a_stream_is_known_by_its_type_or_its_beginning(content_type: str, begin: bytes, exchanges: Exchanges) -> None:
    chunks = [b'{"candidates": [{"content": {"parts": [{"text": "%s"}]}}]}' % word for word in (b"good ", b"day")]
    pieces = {
        b"": [b"data: %s\n\n" % chunk for chunk in chunks],
        b"bytes": [bytes([byte]) for chunk in chunks for byte in b"data: %s\n\n" % chunk],
        b"lines": [chunk + b"\n" for chunk in chunks],
        b"array": [b"[" + chunks[0], b"\n,\r\n" + chunks[1], b"\n]"],
    }[begin]
    path = "/v1beta/models/gemini-3:streamGenerateContent"
    exchanges.ask(b'{"contents": []}', pieces, ("content-type", content_type), path=path)
    (turn,) = exchanges.turns
    assert turn["stream"] is True
    assert turn["client_model"] == "gemini-3"
    assert turn["client_response"]["candidates"][0]["content"]["parts"] == [{"text": "good day"}]
    assert [event["type"] for event in turn["stream_trace"]["client_events"]] == ["gemini_chunk"] * 2
    assert turn["error"]["type"] == "stream_incomplete"


def test_half_an_event_is_not_lost(exchanges: Exchanges) -> None:
    exchanges.ask(b'{"stream": true}', [b'data: {"choices": []}\n\nda', b'ta: {"cho'], EVENTS)
    (turn,) = exchanges.turns
    assert turn["error"]["type"] == "stream_incomplete"
    assert turn["error"]["rest"] == 'data: {"cho'
    assert len(turn["stream_trace"]["client_events"]) == 1


def test_a_client_that_leaves_is_told_from_an_application_that_fails(exchanges: Exchanges) -> None:
    pieces = [b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n"]
    exchanges.ask(b'{"stream": true}', pieces, EVENTS, gets=2)
    with pytest.raises(RuntimeError, match="a fault"):
        exchanges.ask(b'{"stream": true}', pieces, EVENTS, error=RuntimeError("the proxy has a fault"))
    left, failed = exchanges.turns
    assert left["error"]["type"] == "client_disconnected"
    assert [event["data"] for event in left["stream_trace"]["client_events"]] == [1, 2]
    assert failed["error"] == {"type": "RuntimeError", "message": "the proxy has a fault", "status_code": 200}
    assert [event["data"] for event in failed["stream_trace"]["client_events"]] == [1, 2, 3]


_CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-%s"


@pytest.mark.parametrize("sampled", [True, False])
def test_a_turn_is_of_the_trace_that_the_client_names_where_that_is_recorded(
    sampled: bool, exchanges: Exchanges
) -> None:
    headers = [("traceparent", _CALLER % ("01" if sampled else "00")), ("baggage", "team=a")]
    known: list[object] = []
    exchanges.ask(b"{}", Answering(lambda: known.append(baggage.get_baggage("team"))), JSON, headers=headers)
    (turn,) = exchanges.turns
    named = (turn["otel"]["trace_id"] == _CALLER[3:35], turn["otel"]["parent_span_id"] == _CALLER[36:52])
    assert named == (sampled, sampled)
    assert known == ["a"]
    assert exchanges.turns[0]["request_headers"]["traceparent"] == headers[0][1]


def test_a_turn_within_a_span_is_of_its_trace(exchanges: Exchanges) -> None:
    with trace.get_tracer("a server's instrumentation").start_as_current_span("POST") as span:
        exchanges.ask(b"{}", [b"{}"], JSON, headers=[("traceparent", _CALLER % "01")])
    (turn,) = exchanges.turns
    assert turn["otel"]["parent_span_id"] == f"{span.get_span_context().span_id:016x}"


def test_a_client_that_leaves_with_the_whole_answer_has_not_broken_it_off(exchanges: Exchanges) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "ok"}, "finish_reason": "stop"}]}
    pieces = [f"data: {json.dumps(chunk)}\n\n".encode(), b"data: [DONE]\n\n", b": nobody waits for this\n\n"]
    exchanges.ask(b'{"stream": true}', pieces, EVENTS, gets=2)
    (turn,) = exchanges.turns
    assert turn["error"] is None
    assert turn["client_response"]["choices"][0]["message"]["content"] == "ok"


def test_usage_is_taken_from_whichever_event_carries_it(exchanges: Exchanges) -> None:
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "msg_1", "model": "c", "usage": {"input_tokens": 7}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ok"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    pieces = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]
    exchanges.ask(b'{"stream": true, "messages": []}', pieces, EVENTS, path="/v1/messages")
    (turn,) = exchanges.turns
    assert turn["usage"] == {"input_tokens": 7, "output_tokens": 2}
    assert turn["error"] is None
    assert turn["client_response"]["content"] == [{"type": "text", "text": "ok"}]


@pytest.mark.parametrize(
    ("path", "method"), [("/v1/models", "POST"), ("/v1/embeddings", "POST"), (CHAT, "GET"), (CHAT, "OPTIONS")]
)
def test_what_is_no_request_to_a_model_is_left_alone(path: str, method: str, exchanges: Exchanges) -> None:
    exchanges.ask(b"{}", [b"{}"], JSON, path=path, method=method)
    assert exchanges.sent == [b"{}"]
    assert exchanges.turns == []


class Answering(list[bytes]):
    """The pieces of an answer, for which something is done when they are asked for."""

    def __init__(self, do: Any) -> None:
        super().__init__([b"{}"])
        self._do = do

    def __getitem__(self, index: Any) -> Any:  # over ASGI
        self._do()
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[bytes]:  # over WSGI
        self._do()
        return super().__iter__()


def test_a_turn_that_the_application_records_takes_the_place_of_the_captured_one(exchanges: Exchanges) -> None:
    def record() -> None:
        turn = Turn(
            route="mine", client_model="a", backend="b", stream=False, client_request={"own": 1}, target_url="t"
        )
        turn.attach_client_response({"own": 2})
        turn.finalize()

    exchanges.ask(b'{"model": "m", "messages": []}', Answering(record), JSON)
    (turn,) = exchanges.turns
    assert (turn["route"], turn["client_model"], turn["backend"], turn["target_url"]) == ("mine", "a", "b", "t")
    assert turn["client_request"] == {"own": 1}
    assert turn["client_response"] == {"own": 2}
    assert turn["otel"]["parent_span_id"] is None


@pytest.mark.parametrize(
    ("path", "route", "model", "streams"),
    [
        ("/v1/chat/completions", "chat", "", False),
        ("/openai/deployments/x/chat/completions", "chat", "", False),
        ("/v1/responses/", "responses", "", False),
        ("/openai/responses", "responses", "", False),
        ("/anthropic/v1/messages", "messages", "", False),
        ("/v1beta/models/gemini-3:generateContent", "gemini", "gemini-3", False),
        ("/v1beta/models/gemini-3:streamGenerateContent", "gemini", "gemini-3", True),
        ("/v1/projects/p/locations/l/endpoints/7:generateContent", "gemini", "7", False),
        ("/v1internal:streamGenerateContent", "gemini", "", True),
        ("/my/llm", "mine", "", False),
    ],
)
def test_paths_of_model_apis_are_known(path: str, route: str, model: str, streams: bool) -> None:
    matched = Routes({"/my/llm": "mine"}).match(path)
    assert matched is not None
    assert (matched.route.name, matched.model, matched.streams) == (route, model, streams)


@pytest.mark.parametrize(
    "path",
    ["/v1/messages/count_tokens", "/v1/threads/t/messages", "/v1/responses/resp_1/cancel", "/survey/responses", "/"],
)
def test_other_paths_are_not(path: str) -> None:
    assert Routes().match(path) is None


@pytest.mark.parametrize(("variable", "text"), [("PATHS", "/my/llm"), ("BYTES", "0"), ("BYTES", "many")])
def test_a_variable_that_cannot_be_read_is_warned_of(
    variable: str, text: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(f"OTEL_EXPORTER_CONVLOG_CAPTURE_{variable}", text)
    options = CaptureOptions.resolve()
    assert (options.routes.match(text), options.most_bytes) == (None, MOST_BYTES)
    assert f"OTEL_EXPORTER_CONVLOG_CAPTURE_{variable} must be" in caplog.text


def test_variables_name_paths_and_the_bound(exchanges: Exchanges, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_CONVLOG_CAPTURE_PATHS", "/my/llm=chat, /other=mine")
    monkeypatch.setenv("OTEL_EXPORTER_CONVLOG_CAPTURE_BYTES", "10")
    exchanges.ask(b'{"model": "m"}', [b"{}"], JSON, path="/x/my/llm")
    (turn,) = exchanges.turns
    assert turn["route"] == "chat"
    assert turn["client_request"] == '{"model": '
