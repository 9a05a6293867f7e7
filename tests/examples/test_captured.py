"""The example proxies that record no turn themselves are logged all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import anthropic
import openai
import pytest
from proxy_clients import CLIENTS, EXAMPLES, PROXIES, Client, Log, Server
from test_proxies import answer_text, texts

from examples.launch import running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", params=PROXIES)
def captured(
    request: pytest.FixtureRequest, upstream: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp(f"captured_{request.param}")
    arguments = ["--upstream", upstream, "--directory", str(directory), "--model", "fast=gpt-5-mini", "--timeout", "1"]
    with running(EXAMPLES / request.param / "captured.py", *arguments) as url:
        yield Server(url, Log(directory))


@pytest.fixture
def client(captured: Server, route: str) -> Iterator[Client]:
    with CLIENTS[route](captured.url, f"{route}-{uuid4().hex[:12]}") as client:
        yield client


def test_a_dialogue_is_one_file_with_all_legs_of_its_turns(
    captured: Server, client: Client, route: str, stream: bool
) -> None:
    answers = [client.ask(question, model="fast", stream=stream) for question in ("Guten Tag", "你好")]

    turns = captured.log.document(client.conversation_id, turns=2)["turns"]

    assert [answer_text(turn["client_response"]) for turn in turns] == answers
    for turn, answer in zip(turns, answers, strict=True):
        assert (turn["route"], turn["stream"], turn["backend"]) == (route, stream, client.backend)
        assert (turn["client_model"], turn["upstream_model"]) == ("fast", "gpt-5-mini")
        assert {**turn["upstream_request"]["body"], "model": "fast"} == turn["client_request"]
        assert turn["usage"] == turn["client_response"]["usage"]
        assert turn["error"] is None
        if stream:
            assert texts(turn["stream_trace"]["client_events"]) == answer
            assert turn["stream_trace"]["client_events"] == turn["stream_trace"]["upstream_events"]
        else:
            assert turn["client_response"] == turn["upstream_response"]


@pytest.mark.parametrize("model", ["error-429", "error-500", "html-502"])
def test_an_error_of_the_upstream_is_the_turns(captured: Server, client: Client, model: str) -> None:
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)):
        client.ask("hello", model=model)

    turn = captured.log.turn(client.conversation_id)

    status = int(model[-3:])
    assert turn["error"]["status_code"] == turn["otel"]["upstream_status_code"] == status
    assert turn["client_response"] == turn["upstream_response"]


def test_a_silent_upstream_is_an_error_with_its_reason(captured: Server, client: Client) -> None:
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)):
        client.ask("hello", model="stall")

    turn = captured.log.turn(client.conversation_id)

    assert turn["error"]["status_code"] == 504
    assert turn["error"]["upstream"]["type"] == "ReadTimeout"


def test_a_client_that_hangs_up_leaves_what_was_streamed(captured: Server, client: Client) -> None:
    stream = client.open_stream("hello", "endless")
    events = iter(stream)
    for _ in range(5):
        next(events)
    stream.close()

    turn = captured.log.turn(client.conversation_id)

    assert turn["error"] is not None
    assert len(turn["stream_trace"]["client_events"]) >= 5
