"""The stand-in for a model API can be relied upon: it repeats itself, and streams what it says otherwise."""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest
from proxy_clients import ANTHROPIC_KEY, CLIENTS

PATHS = ["/v1/chat/completions", "/v1/responses", "/v1/messages"]


@pytest.mark.parametrize("path", PATHS)
def test_the_same_request_gets_the_same_bytes(upstream: str, path: str, stream: bool) -> None:
    messages = [{"role": "user", "content": "hello"}]
    request = {"model": "m", "messages": messages, "input": messages, "stream": stream}

    answers = [httpx.post(upstream + path, json=request, headers={"x-api-key": ANTHROPIC_KEY}) for _ in range(2)]

    assert answers[0].status_code == 200
    assert answers[0].content == answers[1].content


def test_a_streamed_answer_says_what_the_plain_one_says(upstream: str, route: str) -> None:
    for tools in (False, True):
        with CLIENTS[route](upstream, uuid4().hex) as plain, CLIENTS[route](upstream, uuid4().hex) as streaming:
            question = "What is the weather in Oslo?"
            assert plain.ask(question, tools=tools) == streaming.ask(question, tools=tools, stream=True)


@pytest.mark.parametrize("path", PATHS)
def test_a_request_without_a_key_is_refused(upstream: str, path: str) -> None:
    assert httpx.post(upstream + path, json={"model": "m"}).status_code == 401
