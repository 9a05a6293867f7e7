"""Proxies of all frameworks are recorded with no line of code: by ``opentelemetry-instrument`` alone."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
from captured_servers import INSTRUMENTED, UPSTREAM, gunicorn, instrumented, serving, turns_in, uvicorn, wait_for_turns

from examples.launch import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MESSAGES: Any = [{"role": "user", "content": "hello, 你好"}]

_POSIX = pytest.mark.skipif(sys.platform == "win32", reason="gunicorn is for POSIX systems")
_RELAYS = [
    pytest.param(uvicorn("relays.fastapi_httpx:app"), "", id="fastapi"),
    pytest.param(uvicorn("relays.quart_aiohttp:app"), "", id="quart"),
    pytest.param(uvicorn("relays.django_httpx:asgi"), "/async", id="django asgi"),
    pytest.param(gunicorn("relays.flask_requests:app", "--threads", "4"), "", id="flask", marks=_POSIX),
    pytest.param(gunicorn("relays.flask_requests:app", "--preload", "-w", "2"), "", id="flask, forked", marks=_POSIX),
    pytest.param(gunicorn("relays.django_httpx:wsgi", "--threads", "4"), "", id="django wsgi", marks=_POSIX),
]


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with running(UPSTREAM) as url:
        yield url


@pytest.mark.parametrize(("command", "prefix"), _RELAYS)
def test_no_line_of_code_records_all_legs(command: list[str], prefix: str, upstream: str, tmp_path: Path) -> None:
    with serving(instrumented(command), tmp_path, upstream, **INSTRUMENTED) as url:
        texts = ask_everything(url + prefix)
        client = openai.OpenAI(base_url=f"{url}{prefix}/v1", api_key="sk-0123456789abc", max_retries=0)
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="error-429", messages=_MESSAGES)
        leave_in_mid_stream(client)
        wait_for_turns(tmp_path, 8)
    turns = turns_in(tmp_path)
    assert [(turn["route"], turn["stream"]) for turn in turns] == [
        ("chat", False),
        ("chat", True),
        ("responses", False),
        ("responses", True),
        ("messages", False),
        ("messages", True),
        ("chat", False),
        ("chat", True),
    ]
    for turn, text in zip(turns, texts, strict=False):
        assert_recorded(turn, text, upstream)
    refused, left = turns[6:]
    assert refused["error"]["type"] == "status"
    assert refused["error"]["status_code"] == refused["otel"]["client_status_code"] == 429
    assert refused["client_response"] == refused["upstream_response"]
    assert left["error"] is not None
    assert left["client_response"]["choices"][0]["finish_reason"] is None
    assert len(left["stream_trace"]["client_events"]) >= 4


def ask_everything(url: str) -> list[str | None]:
    """Ask in all protocols, plain and streamed, and return what the clients read."""
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-0123456789abc", max_retries=0)
    claude = anthropic.Anthropic(base_url=url, api_key="sk-0123456789abc", max_retries=0)
    texts = [client.chat.completions.create(model="m", messages=_MESSAGES).choices[0].message.content]
    chunks = client.chat.completions.create(
        model="m", messages=_MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    texts.append("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))
    texts.append(client.responses.create(model="m", input="hello, 你好").output_text)
    events = client.responses.create(model="m", input="hello, 你好", stream=True)
    texts.append("".join(event.delta for event in events if event.type == "response.output_text.delta"))
    answer = claude.messages.create(model="m", max_tokens=9, messages=_MESSAGES)
    texts.append("".join(block.text for block in answer.content if block.type == "text"))
    with claude.messages.stream(model="m", max_tokens=9, messages=_MESSAGES) as stream:
        texts.append("".join(stream.text_stream))
    return texts


def leave_in_mid_stream(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="endless", messages=_MESSAGES, stream=True)
    events = iter(stream)
    for _ in range(4):
        next(events)
    stream.close()


def assert_recorded(turn: dict[str, Any], text: str | None, upstream: str) -> None:
    assert turn["error"] is None
    assert turn["otel"]["complete"] is True
    assert turn["client_request"]["model"] == turn["client_model"] == turn["upstream_model"] == "m"
    assert turn["upstream_request"]["body"] == turn["client_request"]
    assert turn["target_url"].startswith(upstream)
    assert turn["otel"]["client_status_code"] == turn["otel"]["upstream_status_code"] == 200
    assert turn["usage"]
    assert json.dumps(text, ensure_ascii=False)[1:-1] in json.dumps(turn["client_response"], ensure_ascii=False)
    events = turn["stream_trace"]
    if turn["stream"]:
        assert turn["upstream_response"] is None
        assert events["client_events"] == events["upstream_events"]
        assert events["summary"]["response"] == turn["client_response"]
        assert sum(events["summary"]["event_counts"].values()) == len(events["client_events"])
        for direction in ("client", "upstream"):
            offsets = turn["otel"][f"{direction}_offsets_ms"]
            assert len(offsets) == len(events[f"{direction}_events"])
            assert offsets == sorted(offsets)
    else:
        assert turn["upstream_response"] == turn["client_response"]
        assert events == {"upstream_events": [], "client_events": [], "summary": {}}
    headers = {**turn["request_headers"], **turn["upstream_request"]["headers"]}
    assert "sk-0123456789abc" not in json.dumps(headers)
