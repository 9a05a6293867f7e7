"""Turns recorded by the middleware and the hooks through a real server: what clients get, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest
from captured_servers import UPSTREAM, serving, turns_in, uvicorn, wait_for_turns
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from examples.launch import running
from otel_convlog import ConversationSpanExporter
from otel_convlog.capture import ConvlogMiddleware

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_APP = uvicorn("captured_app:app")
_HEADERS = {"authorization": "Bearer x", "x-api-key": "x"}
_ASKED: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi 你好"}]}),
    ("/v1/responses", {"input": "hi 你好"}),
    ("/v1/messages", {"messages": [{"role": "user", "content": "hi 你好"}], "max_tokens": 9}),
]


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with running(UPSTREAM) as url:
        yield url


def raw_exchange(url: str, path: str, body: bytes) -> bytes:
    """Send a request and return every byte of the answer, as it is on the wire, but for the time of day."""
    address = urlsplit(url)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer x\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port), 20) as connection:
        connection.sendall(head.encode() + body)
        pieces = []
        while piece := connection.recv(65536):
            pieces.append(piece)
    lines = b"".join(pieces).split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(b"date:"))


def test_the_client_gets_the_same_bytes_with_and_without(upstream: str, tmp_path: Path) -> None:
    received: list[list[bytes]] = []
    for application in ("bare", "app"):
        with serving(uvicorn(f"captured_app:{application}"), tmp_path / application, upstream) as url:
            answers = [
                raw_exchange(url, path, json.dumps({"model": model, "stream": stream, **body}).encode())
                for path, body in _ASKED
                for model in ("m", "error-500", "html-502", "stream-error")
                for stream in (False, True)
            ]
            answers.append(raw_exchange(url, "/v1/chat/completions", b"no json"))
            received.append(answers)
    assert received[0] == received[1]
    assert not turns_in(tmp_path / "bare")
    turns = turns_in(tmp_path / "app")
    assert len(turns) == 25
    assert turns[-1]["client_request"] == "no json"
    assert turns[-1]["error"]["status_code"] == 400


def test_tries_before_the_last_stand_under_attempts(upstream: str, tmp_path: Path) -> None:
    with serving(_APP, tmp_path, upstream, FIRST=f"http://127.0.0.1:1,{upstream}") as url:
        body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
        httpx.post(f"{url}/v1/chat/completions", json=body, headers=_HEADERS)
    (turn,) = turns_in(tmp_path)
    refused, answered = turn["otel"]["attempts"]
    assert refused["url"] == "http://127.0.0.1:1/v1/chat/completions"
    assert refused["error"]["type"] == "ConnectError"
    assert answered["status_code"] == 200
    assert answered["upstream_response"] == turn["upstream_response"]
    assert turn["error"] is None


def test_a_client_that_hangs_up_leaves_a_marked_turn(upstream: str, tmp_path: Path) -> None:
    with serving(_APP, tmp_path, upstream) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0)
        messages: Any = [{"role": "user", "content": "hello"}]
        stream = client.chat.completions.create(model="endless", messages=messages, stream=True)
        for _ in range(4):
            next(iter(stream))
        stream.close()
        wait_for_turns(tmp_path, 1)
    (turn,) = turns_in(tmp_path)
    assert turn["error"] is not None
    assert len(turn["stream_trace"]["client_events"]) >= 4
    assert turn["client_response"]["choices"][0]["finish_reason"] is None


def test_many_streams_at_once_have_events_of_their_own_only(upstream: str, tmp_path: Path) -> None:
    async def ask(client: httpx.AsyncClient, number: int) -> None:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"question {number}."}]}
        await client.post("/v1/chat/completions", json=body, headers=_HEADERS)

    async def all_of_them(url: str) -> None:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
            await asyncio.gather(*(ask(client, number) for number in range(200)))

    with serving(_APP, tmp_path, upstream) as url:
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


def test_many_events_are_all_there(upstream: str, tmp_path: Path) -> None:
    with serving(_APP, tmp_path, upstream) as url:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "word " * 20_000}]}
        httpx.post(f"{url}/v1/chat/completions", json=body, headers=_HEADERS, timeout=60)
    (turn,) = turns_in(tmp_path)
    events = turn["stream_trace"]["client_events"]
    assert len(events) > 20_000
    assert events == turn["stream_trace"]["upstream_events"]
    assert events[-1]["data"] == "[DONE]"
    assert turn["error"] is None
    assert turn["otel"]["complete"] is True


@pytest.mark.parametrize(("path", "body"), _ASKED, ids=["chat", "responses", "messages"])
def test_an_upstream_that_reports_an_error_in_mid_stream(
    path: str, body: dict[str, Any], upstream: str, tmp_path: Path
) -> None:
    with serving(_APP, tmp_path, upstream) as url:
        httpx.post(url + path, json={"model": "stream-error", "stream": True, **body}, headers=_HEADERS)
    (turn,) = turns_in(tmp_path)
    assert turn["error"]["type"] == "stream_error"
    assert "the model broke down" in json.dumps(turn["error"])


@pytest.mark.parametrize(("path", "body"), _ASKED, ids=["chat", "responses", "messages"])
def test_an_upstream_that_is_cut_in_mid_event(path: str, body: dict[str, Any], upstream: str, tmp_path: Path) -> None:
    with serving(_APP, tmp_path, upstream) as url, pytest.raises(httpx.RemoteProtocolError):
        httpx.post(url + path, json={"model": "cut", "stream": True, **body}, headers=_HEADERS)
    (turn,) = turns_in(tmp_path)
    assert turn["error"]["type"] == "RemoteProtocolError"
    assert turn["error"]["upstream"]["type"] == "RemoteProtocolError"
    assert turn["client_response"] is not None


def test_an_upstream_that_stalls_until_the_client_goes(upstream: str, tmp_path: Path) -> None:
    with serving(_APP, tmp_path, upstream) as url:
        body = {"model": "stall", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/v1/chat/completions", json=body, headers=_HEADERS, timeout=1)
        (turn,) = wait_for_turns(tmp_path, 1)
    assert turn["error"]["type"] == "client_disconnected"
    assert turn["client_response"]["choices"][0]["finish_reason"] is None
    assert turn["stream_trace"]["client_events"]


def test_an_upstream_that_is_not_there(upstream: str, tmp_path: Path) -> None:
    with serving(_APP, tmp_path, "http://127.0.0.1:1") as url:
        body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
        answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers=_HEADERS)
    assert answer.status_code == 500
    (turn,) = turns_in(tmp_path)
    assert turn["error"]["type"] == "ConnectError"
    assert turn["error"]["upstream"]["type"] == "ConnectError"
    assert turn["target_url"] == "http://127.0.0.1:1/v1/chat/completions"
    assert upstream not in json.dumps(turn)


def test_a_server_that_says_that_the_client_has_gone(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise BrokenPipeError  # as the standard has it

    async def never() -> Any:
        await asyncio.Event().wait()

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConversationSpanExporter(directory=tmp_path)))
    trace.set_tracer_provider(provider)
    scope = {"type": "http", "method": "POST", "path": "/v1/messages", "headers": []}
    with pytest.raises(BrokenPipeError):
        asyncio.run(ConvlogMiddleware(app)(scope, never, send))
    provider.shutdown()
    assert turns_in(tmp_path)[0]["error"]["type"] == "client_disconnected"


def test_a_request_that_cannot_be_recorded_is_served(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"answer"})

    async def never() -> Any:
        await asyncio.Event().wait()

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConversationSpanExporter(directory=tmp_path)))
    trace.set_tracer_provider(provider)
    headers = [(bytearray(b"content-type"), b"application/json"), (b"alone",)]  # as no server should give them
    scope = {"type": "http", "method": "POST", "path": "/v1/messages", "headers": headers}
    asyncio.run(ConvlogMiddleware(app)(scope, never, send))
    provider.shutdown()
    assert [message.get("body") for message in sent] == [None, b"answer"]
