"""Turns recorded by the middleware and the hooks, through real servers, with the real client libraries."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anthropic
import httpx
import openai
import pytest
from conversation_log import read_document
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from examples.launch import running
from otel_convlog import ConversationSpanExporter, Turn
from otel_convlog.capture import ConvlogMiddleware, instrument_httpx, uninstrument_httpx
from otel_convlog.capture.routes import Routes

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent
_UPSTREAM = _HERE.parent / "examples" / "upstream" / "app.py"


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with running(_UPSTREAM) as url:
        yield url


@contextmanager
def serving(application: str, directory: Path, upstream: str, **variables: str) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environment = {
        **os.environ,
        "DIRECTORY": str(directory),
        "UPSTREAM": upstream,
        "PYTHONPATH": str(_HERE),
        **variables,
    }
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--port",
        str(port),
        "--log-level",
        "error",
        f"captured_app:{application}",
    ]
    with subprocess.Popen(command, env=environment, cwd=_HERE.parent) as process:
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def turns_in(directory: Path) -> list[dict[str, Any]]:
    found = [turn for path in directory.glob("*/*.json") for turn in read_document(path)["turns"]]
    return sorted(found, key=lambda turn: str(turn["started_at"]))


def test_every_protocol_whole_and_streamed_is_recorded_on_all_four_legs(upstream: str, tmp_path: Path) -> None:
    with serving("app", tmp_path, upstream) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-0123456789abc", max_retries=0)
        claude = anthropic.Anthropic(base_url=url, api_key="sk-0123456789abc", max_retries=0)
        messages: Any = [{"role": "user", "content": "hello"}]
        texts = [client.chat.completions.create(model="m", messages=messages).choices[0].message.content]
        chunks = client.chat.completions.create(
            model="m", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        texts.append("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))
        texts.append(client.responses.create(model="m", input="hello").output_text)
        texts.append(
            "".join(
                e.delta
                for e in client.responses.create(model="m", input="hello", stream=True)
                if e.type == "response.output_text.delta"
            )
        )
        answer = claude.messages.create(model="m", max_tokens=9, messages=messages)
        texts.append("".join(block.text for block in answer.content if block.type == "text"))
        with claude.messages.stream(model="m", max_tokens=9, messages=messages) as stream:
            texts.append("".join(stream.text_stream))
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="error-429", messages=messages)
    turns = turns_in(tmp_path)
    assert [turn["route"] for turn in turns] == [
        "chat",
        "chat",
        "responses",
        "responses",
        "messages",
        "messages",
        "chat",
    ]
    assert [turn["stream"] for turn in turns] == [False, True, False, True, False, True, False]
    for turn, text in zip(turns, texts, strict=False):
        assert turn["client_request"]["model"] == turn["upstream_model"] == "m"
        assert turn["upstream_request"]["body"] == turn["client_request"]
        assert turn["target_url"].startswith(upstream)
        assert turn["error"] is None
        assert turn["usage"]
        assert json.dumps(text, ensure_ascii=False)[1:-1] in json.dumps(turn["client_response"], ensure_ascii=False)
        events = turn["stream_trace"]
        if turn["stream"]:
            assert turn["upstream_response"] is None
            assert events["client_events"] == events["upstream_events"]
            assert events["summary"]["response"] == turn["client_response"]
            assert sum(events["summary"]["event_counts"].values()) == len(events["client_events"])
        else:
            assert turn["upstream_response"] == turn["client_response"]
        headers = {**turn["request_headers"], **turn["upstream_request"]["headers"]}
        assert "sk-0123456789abc" not in json.dumps(headers)
    assert turns[-1]["error"]["status_code"] == 429
    assert turns[-1]["client_response"]["error"]


def test_the_client_gets_the_same_bytes_with_and_without(upstream: str, tmp_path: Path) -> None:
    requests: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi 你好"}]}),
        ("/v1/responses", {"input": "hi 你好"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "hi 你好"}], "max_tokens": 9}),
    ]
    received: list[list[tuple[int, bytes, str | None]]] = []
    headers = {"authorization": "Bearer x", "x-api-key": "x"}
    for application in ("bare", "app"):
        with serving(application, tmp_path / application, upstream) as url, httpx.Client(headers=headers) as client:
            answers = []
            for path, body in requests:
                for model in ("m", "error-500", "html-502"):
                    for stream in (False, True):
                        answer = client.post(url + path, json={"model": model, "stream": stream, **body})
                        answers.append((answer.status_code, answer.content, answer.headers.get("content-type")))
            answers.append((0, client.post(f"{url}/v1/chat/completions", content=b"no json").content, None))
            received.append(answers)
    assert received[0] == received[1]
    assert not turns_in(tmp_path / "bare")
    assert len(turns_in(tmp_path / "app")) == 18


def test_tries_before_the_last_stand_under_attempts(upstream: str, tmp_path: Path) -> None:
    with serving("app", tmp_path, upstream, FIRST=f"http://127.0.0.1:1,{upstream}") as url:
        body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
        httpx.post(f"{url}/v1/chat/completions", json=body, headers={"authorization": "Bearer x"})
    (turn,) = turns_in(tmp_path)
    refused, answered = turn["otel"]["attempts"]
    assert refused["url"] == "http://127.0.0.1:1/v1/chat/completions"
    assert refused["error"]["type"] == "ConnectError"
    assert answered["status_code"] == 200
    assert answered["upstream_response"] == turn["upstream_response"]
    assert turn["error"] is None


def test_a_client_that_hangs_up_leaves_a_marked_turn(upstream: str, tmp_path: Path) -> None:
    with serving("app", tmp_path, upstream) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0)
        messages: Any = [{"role": "user", "content": "hello"}]
        stream = client.chat.completions.create(model="endless", messages=messages, stream=True)
        for _ in range(4):
            next(iter(stream))
        stream.close()
        deadline = time.monotonic() + 20
        while not turns_in(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.05)
    (turn,) = turns_in(tmp_path)
    assert turn["error"] is not None
    assert len(turn["stream_trace"]["client_events"]) >= 4
    assert turn["client_response"]["choices"][0]["finish_reason"] is None


def test_many_streams_at_once_have_events_of_their_own_only(upstream: str, tmp_path: Path) -> None:
    async def ask(client: httpx.AsyncClient, number: int) -> None:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"question {number}."}]}
        await client.post("/v1/chat/completions", json=body, headers={"authorization": "Bearer x"})

    async def all_of_them(url: str) -> None:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
            await asyncio.gather(*(ask(client, number) for number in range(200)))

    with serving("app", tmp_path, upstream) as url:
        asyncio.run(all_of_them(url))
    turns = turns_in(tmp_path)
    assert len(turns) == 200
    for turn in turns:
        question = turn["client_request"]["messages"][0]["content"]
        assert question in turn["client_response"]["choices"][0]["message"]["content"]
        assert turn["upstream_request"]["body"]["messages"][0]["content"] == question
        assert (
            len({event["data"]["id"] for event in turn["stream_trace"]["upstream_events"] if event["data"] != "[DONE]"})
            == 1
        )


class Recorded:
    """An ASGI application in this process, behind the middleware."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(ConversationSpanExporter(directory=directory)))
        trace.set_tracer_provider(self.provider)

    def ask(
        self, app: Any, body: bytes, path: str = "/v1/chat/completions", pieces: int = 1, **options: Any
    ) -> list[Any]:
        """Send a request in so many pieces; return the messages that the client gets."""
        size = max(1, -(-len(body) // pieces))
        parts = [body[start : start + size] for start in range(0, max(len(body), 1), size)]
        incoming = [
            {"type": "http.request", "body": part, "more_body": number < len(parts) - 1}
            for number, part in enumerate(parts)
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return incoming.pop(0) if incoming else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(dict(message))

        scope = {"type": "http", "method": "POST", "path": path, "headers": [(b"x-team", b"a")]}
        asyncio.run(ConvlogMiddleware(app, **options)(scope, receive, send))
        return sent


@pytest.fixture
def recorded(tmp_path: Path, no_sdk: None) -> Iterator[Recorded]:  # noqa: ARG001
    recorded = Recorded(tmp_path)
    yield recorded
    recorded.provider.shutdown()


def answering(content: list[bytes], headers: list[tuple[bytes, bytes]], status: int = 200) -> Any:
    """Return an application that reads its request and answers with these pieces."""

    async def app(_: Any, receive: Any, send: Any) -> None:
        read = b""
        while True:
            message = await receive()
            read += message.get("body", b"")
            if not message.get("more_body"):
                break
        app.read = read  # type: ignore[attr-defined]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for number, piece in enumerate(content):
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(content) - 1})

    return app


_JSON_TYPE = (b"content-type", b"application/json; charset=utf-8")
_SSE_TYPE = (b"Content-Type", b"text/event-stream")


@pytest.mark.parametrize("pieces", [1, 2, 7, 1000])
def test_a_request_in_any_pieces_reaches_the_application_as_it_came(pieces: int, recorded: Recorded) -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "你好"}]}, ensure_ascii=False).encode()
    app = answering([b'{"id": "r"}'], [_JSON_TYPE])
    recorded.ask(app, body, pieces=pieces)
    assert app.read == body
    (turn,) = turns_in(recorded.directory)
    assert turn["client_request"] == json.loads(body)
    assert turn["client_response"] == {"id": "r"}
    assert turn["request_headers"] == {"x-team": "a"}


@pytest.mark.parametrize("seed", range(5))
def test_a_stream_cut_anywhere_gives_the_same_events(seed: int, recorded: Recorded) -> None:
    stream = "".join(
        f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': piece}}]}, ensure_ascii=False)}\r\n\r\n"
        for piece in ("grüße ", "你好 ", "😀")
    ).encode()
    source = random.Random(seed)
    cuts = sorted(source.sample(range(1, len(stream)), 20))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    sent = recorded.ask(answering(pieces, [_SSE_TYPE]), b'{"model": "m", "messages": [], "stream": true}')
    assert [message.get("body") for message in sent[1:]] == pieces
    (turn,) = turns_in(recorded.directory)
    assert [event["type"] for event in turn["stream_trace"]["client_events"]] == ["openai_chunk"] * 3
    assert turn["client_response"]["choices"][0]["message"]["content"] == "grüße 你好 😀"


def test_a_compressed_answer_is_read_and_passed_on_as_it_is(recorded: Recorded) -> None:
    compressed = gzip.compress(b'{"id": "r"}')
    sent = recorded.ask(
        answering([compressed[:9], compressed[9:]], [_JSON_TYPE, (b"content-encoding", b"gzip")]), b'{"messages": []}'
    )
    assert b"".join(message["body"] for message in sent[1:]) == compressed
    assert turns_in(recorded.directory)[0]["client_response"] == {"id": "r"}


@pytest.mark.parametrize("encoding", [b"gzip", b"unheard-of"])
def test_an_encoding_that_cannot_be_undone_is_marked(encoding: bytes, recorded: Recorded) -> None:
    recorded.ask(answering([b"\xff\xfe"], [_JSON_TYPE, (b"content-encoding", encoding)]), b'{"messages": []}')
    assert turns_in(recorded.directory)[0]["client_response"] == (
        f"[convlog: 2 bytes of {encoding.decode()}, which cannot be read here]"
    )


def test_what_is_too_long_is_not_kept(recorded: Recorded) -> None:
    big = json.dumps({"messages": [], "x": "y" * 2_000}).encode()
    app = answering([b'{"id": "r"}'], [_JSON_TYPE])
    recorded.ask(app, big, pieces=30, most_bytes=1_000)
    assert app.read == big
    recorded.ask(answering([b"x" * 600, b"y" * 600], []), b'{"messages": []}', most_bytes=1_000)
    (turn,) = turns_in(recorded.directory)
    assert turn["client_response"] == "[convlog: 1200 bytes, of which at most 1000 are kept]"


def test_an_application_that_fails_leaves_its_error(recorded: Recorded) -> None:
    async def app(_: Any, receive: Any, __: Any) -> None:
        await receive()
        raise RuntimeError("the proxy has a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        recorded.ask(app, b'{"messages": []}')
    assert turns_in(recorded.directory)[0]["error"] == {"type": "RuntimeError", "message": "the proxy has a fault"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models", b"{}"),
        ("/v1/chat/completions", b"no json"),
        ("/v1/chat/completions", b"[1]"),
        ("/v1/embeddings", b"{}"),
    ],
)
def test_what_is_no_request_to_a_model_is_left_alone(path: str, body: bytes, recorded: Recorded) -> None:
    app = answering([b"{}"], [_JSON_TYPE])
    assert len(recorded.ask(app, body, path)) == 2
    assert app.read == body
    assert turns_in(recorded.directory) == []


@pytest.mark.parametrize(
    ("path", "route", "model", "streams"),
    [
        ("/v1/chat/completions", "chat", "", False),
        ("/openai/deployments/x/chat/completions", "chat", "", False),
        ("/v1/responses/", "responses", "", False),
        ("/anthropic/v1/messages", "messages", "", False),
        ("/v1beta/models/gemini-3:generateContent", "gemini", "gemini-3", False),
        ("/v1beta/models/gemini-3:streamGenerateContent", "gemini", "gemini-3", True),
        ("/my/llm", "mine", "", False),
    ],
)
def test_paths_of_model_apis_are_known(path: str, route: str, model: str, streams: bool) -> None:
    matched = Routes({"/my/llm": "mine"}).match(path)
    assert matched is not None
    assert (matched.route.name, matched.model, matched.streams) == (route, model, streams)


@pytest.mark.parametrize("path", ["/v1/messages/count_tokens", "/v1/responses/resp_1/cancel", "/v1/chat", "/"])
def test_other_paths_are_not(path: str) -> None:
    assert Routes().match(path) is None


@pytest.fixture
def hooks() -> Iterator[None]:
    instrument_httpx()
    instrument_httpx()  # once is enough
    yield
    uninstrument_httpx()


def test_hooks_record_within_a_turn_only_and_can_be_taken_off(
    recorded: Recorded,
    upstream: str,
    hooks: None,  # noqa: ARG001
) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"authorization": "Bearer sk-0123456789"}
    url = f"{upstream}/v1/chat/completions?key=secret-key&x=1"
    httpx.post(url, json=body, headers=headers)
    with Turn(route="chat", client_model="m", backend="b", stream=False, client_request=body):
        answer = httpx.post(url, json=body, headers=headers).json()
        httpx.post(f"{upstream}/v1/other", json={"no": "question"}, headers=headers)
    uninstrument_httpx()
    with Turn(route="chat", client_model="m", backend="b", stream=False, client_request=body):
        httpx.post(url, json=body, headers=headers)
    first, second = turns_in(recorded.directory)
    assert first["upstream_response"] == answer
    assert first["upstream_request"]["headers"]["authorization"] == "Bear***6789"
    assert first["target_url"] == f"{upstream}/v1/chat/completions?key=***&x=1"
    assert "attempts" not in first["otel"]
    assert second["upstream_request"] is None


def test_the_first_piece_is_passed_on_before_the_next_comes(recorded: Recorded, hooks: None) -> None:  # noqa: ARG001
    between = threading.Event()

    class Slow(httpx.AsyncBaseTransport):
        pass

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [_SSE_TYPE]})
        await send({"type": "http.response.body", "body": b"data: {}\n", "more_body": True})
        assert seen == [b"data: {}\n"]  # half an event, and already with the client
        between.set()
        await send({"type": "http.response.body", "body": b"\n", "more_body": False})

    seen: list[bytes] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b'{"messages": [], "stream": true}', "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            seen.append(message["body"])

    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}
    asyncio.run(ConvlogMiddleware(app)(scope, receive, send))
    assert between.is_set()
    assert turns_in(recorded.directory)[0]["stream_trace"]["client_events"] == [{"type": "openai_chunk", "data": {}}]
