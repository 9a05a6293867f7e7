"""Real SDKs talk through the example proxies; what they said, and what went wrong, stands in the files."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import anthropic
import httpx
import openai
import pytest
from proxy_clients import ANTHROPIC_KEY, CLIENTS, EXAMPLES, OPENAI_KEY, PROXIES, Client, Log, Server

from examples.launch import running

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

StatusError = openai.APIStatusError | anthropic.APIStatusError


def texts(events: list[dict[str, Any]]) -> str:
    """The text that a stream's logged events carry, whatever the protocol."""
    found = []
    for data in (event["data"] for event in events if isinstance(event["data"], dict)):
        if data.get("type") == "response.output_text.delta":
            found.append(data["delta"])
        elif data.get("type") == "content_block_delta":
            found.append(data["delta"].get("text", ""))
        elif data.get("choices"):
            found.append(data["choices"][0]["delta"].get("content") or "")
    return "".join(found)


def answer_text(answer: dict[str, Any]) -> str:
    """The text of a whole answer, whatever the protocol."""
    if "choices" in answer:
        return str(answer["choices"][0]["message"]["content"])
    blocks = answer["output"][0]["content"] if "output" in answer else answer["content"]
    return str(blocks[0]["text"])


def refusal(client: Client, model: str, *, stream: bool = False) -> StatusError:
    """The error answer that a client gets for a request."""
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as failure:
        client.ask("hello", model=model, stream=stream)
    assert isinstance(failure.value, (openai.APIStatusError, anthropic.APIStatusError))
    return failure.value


def ends_in_error(events: Iterable[Any]) -> bool:
    """Whether a client that reads a stream to its end is told that the answer is not whole."""
    try:
        return bool(list(events)[-1].type == "error")
    except (openai.APIError, anthropic.APIError, json.JSONDecodeError):  # the last one where an event is cut in two
        return True


def history(turn: dict[str, Any]) -> list[Any]:
    """The messages that the client sent with a turn."""
    request = turn["client_request"]
    return list(request.get("messages") or request["input"])


def test_a_growing_dialogue_is_one_file_with_its_turns_in_order(
    proxy: Server, client: Client, route: str, stream: bool
) -> None:
    answers = [client.ask(question, stream=stream) for question in ("Guten Tag", "你好", "And now?")]

    document = proxy.log.document(client.conversation_id, turns=3)

    turns = document["turns"]
    lengths = [len(history(turn)) for turn in turns]
    assert [length - lengths[0] for length in lengths] == [0, 2, 4]  # each turn brings an answer and a question more
    logged = [
        turn["stream_trace"]["summary"]["text"] if stream else answer_text(turn["client_response"]) for turn in turns
    ]
    assert logged == answers
    assert [turn["started_at"] for turn in turns] == sorted(turn["started_at"] for turn in turns)
    assert {turn["route"] for turn in turns} == {route}
    assert document["created_at"] == turns[0]["started_at"]
    assert document["updated_at"] == turns[-1]["updated_at"]
    assert document["last_backend"] == client.backend


def test_a_plain_turn_shows_request_answer_and_usage(proxy: Server, client: Client, route: str) -> None:
    text = client.ask("hello", model="fast")

    turn = proxy.log.turn(client.conversation_id)

    assert turn["stream"] is False
    assert turn["client_model"] == turn["client_request"]["model"] == "fast"
    assert turn["upstream_model"] == turn["upstream_request"]["body"]["model"] == "gpt-5-mini"
    assert {**turn["upstream_request"]["body"], "model": "fast"} == turn["client_request"]
    assert turn["target_url"].endswith({"chat": "/v1/chat/completions"}.get(route, f"/v1/{route}"))
    assert turn["upstream_response"] == turn["client_response"]
    assert turn["upstream_response"]["model"] == "gpt-5-mini"
    assert answer_text(turn["client_response"]) == text
    assert turn["usage"] == turn["upstream_response"]["usage"]
    assert turn["error"] is None
    assert turn["stream_trace"] == {"upstream_events": [], "client_events": [], "summary": {}}


def test_a_streamed_turn_shows_every_event_in_order_on_both_sides(proxy: Server, client: Client, route: str) -> None:
    text = client.ask("hello", stream=True)

    turn = proxy.log.turn(client.conversation_id)

    trace = turn["stream_trace"]
    events = trace["upstream_events"]
    assert trace["client_events"] == events
    assert texts(events) == text
    kinds = [event["type"] for event in events]
    if route == "chat":
        assert set(kinds) == {"openai_chunk"}
        assert events[-1]["data"] == "[DONE]"
    elif route == "responses":
        assert [kinds[0], kinds[-1]] == ["response.created", "response.completed"]
        assert [event["data"]["sequence_number"] for event in events] == list(range(len(events)))
    else:
        assert kinds[:3] == ["message_start", "content_block_start", "ping"]
        assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert trace["summary"]["text"] == text
    assert trace["summary"]["event_counts"] == {kind: kinds.count(kind) for kind in kinds}
    assert trace["summary"]["usage"] == turn["usage"]
    asked, answered = ("prompt", "completion") if route == "chat" else ("input", "output")
    assert turn["usage"][f"{asked}_tokens"] > 0
    assert turn["usage"][f"{answered}_tokens"] == len(text.split())
    assert turn["stream"] is True
    assert turn["error"] is None


def test_a_tool_call_and_its_result_are_two_turns_of_one_conversation(
    proxy: Server, client: Client, stream: bool
) -> None:
    assert client.ask("What is the weather in Oslo?", stream=stream, tools=True) == "get_weather"
    assert "-3 °C" in client.give_tool_result("-3 °C and clear", stream=stream)

    call, result = proxy.log.document(client.conversation_id, turns=2)["turns"]

    answer = call["stream_trace"]["upstream_events"] if stream else call["upstream_response"]
    assert "get_weather" in json.dumps(answer)
    assert "Oslo" in json.dumps(answer)
    assert "-3 °C and clear" in json.dumps(history(result)[-1], ensure_ascii=False)
    assert call["error"] is result["error"] is None


@pytest.mark.parametrize("status", [429, 500])
def test_an_upstream_error_reaches_client_and_log_unchanged(
    proxy: Server, client: Client, stream: bool, status: int
) -> None:
    failure = refusal(client, model=f"error-{status}", stream=stream)

    turn = proxy.log.turn(client.conversation_id)

    assert failure.status_code == status
    assert failure.response.headers.get("retry-after") == ("7" if status == 429 else None)
    assert turn["error"] == {"type": "upstream_status", "status_code": status, "body": failure.response.json()}
    assert turn["upstream_response"] == turn["client_response"] == failure.response.json()
    assert "usage" not in turn


def test_a_gateways_error_page_is_logged_as_text(proxy: Server, client: Client) -> None:
    failure = refusal(client, model="html-502")

    turn = proxy.log.turn(client.conversation_id)

    assert failure.status_code == 502
    assert turn["client_response"] == turn["error"]["body"] == failure.response.text
    assert "Bad Gateway" in turn["client_response"]


def test_a_silent_upstream_is_a_504_for_the_client_and_an_error_in_the_log(proxy: Server, client: Client) -> None:
    failure = refusal(client, model="stall")

    turn = proxy.log.turn(client.conversation_id)

    assert failure.status_code == 504
    assert turn["error"]["type"] == "upstream_timeout"
    assert turn["upstream_response"] is None
    assert turn["client_response"] == failure.response.json()


@pytest.mark.parametrize(("model", "kind"), [("stall", "upstream_timeout"), ("cut", "upstream_error")])
def test_a_stream_that_breaks_off_is_logged_so_far_and_the_client_is_told(
    proxy: Server, client: Client, model: str, kind: str
) -> None:
    with client.open_stream("hello", model) as events:
        assert ends_in_error(events)

    turn = proxy.log.turn(client.conversation_id)

    trace = turn["stream_trace"]
    assert turn["error"]["type"] == kind
    assert turn["error"]["stage"] == "stream"
    assert "Answer" in trace["summary"]["text"]
    assert texts(trace["upstream_events"]) == trace["summary"]["text"]
    assert trace["client_events"][:-1] == trace["upstream_events"]
    assert kind in json.dumps(trace["client_events"][-1])


def test_an_answer_that_breaks_off_is_a_502_for_the_client_and_an_error_in_the_log(
    proxy: Server, client: Client
) -> None:
    failure = refusal(client, model="cut")

    turn = proxy.log.turn(client.conversation_id)

    assert failure.status_code == 502
    assert turn["error"]["type"] == "upstream_error"


def test_an_error_event_of_the_upstream_is_the_turns_error(proxy: Server, client: Client, route: str) -> None:
    with client.open_stream("hello", "stream-error") as events:
        if route == "responses":
            assert [event.type for event in events][-1] == "response.failed"
        else:
            with pytest.raises((openai.APIError, anthropic.APIError), match="broke down"):
                list(events)

    turn = proxy.log.turn(client.conversation_id)

    assert turn["error"]["type"] == "upstream_stream_error"
    assert turn["error"]["body"]["message"] == "the model broke down"
    assert turn["stream_trace"]["client_events"] == turn["stream_trace"]["upstream_events"]


def test_a_client_that_hangs_up_leaves_what_was_streamed_until_then(proxy: Server, client: Client, route: str) -> None:
    with client.open_stream("hello", "endless") as events:
        received = len(list(itertools.islice(events, 12)))

    turn = proxy.log.turn(client.conversation_id)

    trace = turn["stream_trace"]
    assert turn["error"]["type"] == "client_disconnected"
    assert len(trace["client_events"]) >= received
    assert trace["upstream_events"][: len(trace["client_events"])] == trace["client_events"]
    assert trace["summary"]["text"] == texts(trace["upstream_events"])
    assert ("usage" in turn) == (route == "messages")  # the only protocol that counts tokens before the end


def test_the_first_event_reaches_the_client_while_the_upstream_holds_back_the_rest(proxy: Server) -> None:
    """The upstream sends the rest, in one piece with odd line ends, only after the client has had the first event."""
    received = threading.Event()
    first, rest = 'data: {"n": "ä"}\r\n\r\n'.encode(), b': comment\revent: last\rdata: {"n":\rdata: 2}\r\rdata: cut off'
    with scripted_upstream([first, received, rest]) as upstream, started_proxy_like(proxy, upstream) as (url, log):
        request = {"model": "m", "messages": [], "stream": True, "session_id": "held-back"}
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=request, timeout=5) as response:
            pieces = response.iter_raw()
            assert next(pieces) == first
            received.set()
            assert b"".join(pieces) == rest

        turn = log.turn("held-back")

    assert turn["stream_trace"]["upstream_events"] == [
        {"type": "openai_chunk", "data": {"n": "ä"}},
        {"type": "last", "data": {"n": 2}},
    ]
    assert turn["error"]["type"] == "upstream_incomplete"  # it said neither [DONE] nor goodbye


def test_a_clients_key_reaches_the_upstream_and_never_the_log(proxy: Server, client: Client) -> None:
    client.ask("hello")  # without a key the upstream would answer 401

    turn = proxy.log.turn(client.conversation_id)

    key = ANTHROPIC_KEY if client.backend == "anthropic" else OPENAI_KEY
    for headers in (turn["request_headers"], turn["upstream_request"]["headers"]):
        assert any(value.endswith(f"***{key[-4:]}") for value in headers.values())
    assert "THE-SECRET" not in json.dumps(turn)


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key", "api-key", "X-Goog-Api-Key"])
def test_a_key_is_masked_in_whatever_header_it_comes(proxy: Server, header: str) -> None:
    request = {"model": "m", "messages": [], "session_id": f"key-in-{header}"}
    httpx.post(f"{proxy.url}/v1/messages", json=request, headers={header: "sk-THE-SECRET-9876"})

    turn = proxy.log.turn(f"key-in-{header}")

    for headers in (turn["request_headers"], turn["upstream_request"]["headers"]):
        assert {name.lower(): value for name, value in headers.items()}[header.lower()] == "sk-T***9876"
    assert "THE-SECRET" not in json.dumps(turn)


def test_many_conversations_at_once_do_not_mix(proxy: Server, client: Client, route: str) -> None:
    def hold(conversation_id: str) -> list[str]:
        with CLIENTS[route](proxy.url, conversation_id) as one:
            return [one.ask(f"{conversation_id} {turn}", stream=turn == 1) for turn in range(3)]

    names = [f"{client.conversation_id}-{number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(hold, names))

    for name, said in zip(names, answers, strict=True):
        turns = proxy.log.document(name, turns=3)["turns"]
        assert all(name in text for text in said)
        assert turns[1]["stream_trace"]["summary"]["text"] == said[1]
        assert answer_text(turns[2]["client_response"]) == said[2]


def test_a_body_that_is_no_json_object_is_a_400(proxy: Server) -> None:
    for body in (b"{", b"[]", b"\xff", b"[" * 100_000):
        answer = httpx.post(f"{proxy.url}/v1/messages", content=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("name", PROXIES)
def test_an_upstream_that_is_not_there_is_a_502_for_the_client_and_an_error_in_the_log(
    name: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:  # bound and, once closed, refusing
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    proxy = running(EXAMPLES / name / "app.py", "--upstream", nobody, "--directory", str(tmp_path))
    with proxy as url, CLIENTS["chat"](url, "nobody") as client:
        failure = refusal(client, "gpt-5")

    turn = Log(tmp_path).turn("nobody")

    assert failure.status_code == 502
    assert turn["error"]["type"] == "upstream_error"
    assert turn["upstream_request"]["body"] == turn["client_request"]


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_that_is_stopped_has_written_every_turn(name: str, upstream: str, tmp_path: Path) -> None:
    """The batch processor would wait for five seconds; SIGTERM comes at once."""
    proxy = running(EXAMPLES / name / "app.py", "--upstream", upstream, "--directory", str(tmp_path))
    with proxy as url, CLIENTS["messages"](url, "stopped") as client:
        client.ask("hello")
        client.ask("and goodbye", stream=True)

    assert len(list(tmp_path.glob("*/*.json"))) == 1
    assert Log(tmp_path).document("stopped", turns=2)["turns"][1]["error"] is None


def test_a_stream_that_is_under_way_when_the_proxy_is_stopped_is_logged(upstream: str, tmp_path: Path) -> None:
    with ExitStack() as proxy:
        script = EXAMPLES / "proxy" / "app.py"
        url = proxy.enter_context(running(script, "--upstream", upstream, "--directory", str(tmp_path)))
        with CLIENTS["chat"](url, "under-way") as client:
            next(client.open_stream("hello", "endless"))
            proxy.close()

    turn = Log(tmp_path).turn("under-way")

    assert turn["error"]["type"] == "CancelledError"
    assert turn["stream_trace"]["client_events"]


@contextmanager
def scripted_upstream(script: list[bytes | threading.Event]) -> Iterator[str]:
    """An upstream that answers one request as an old server does: no chunks, the connection's end is the body's end."""

    def answer() -> None:
        listener.settimeout(10)
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            for step in script:
                if isinstance(step, bytes):
                    connection.sendall(step)
                else:
                    assert step.wait(10)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):  # to close on unread bytes would be a reset
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        answering = pool.submit(answer)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        answering.result(timeout=10)


@contextmanager
def started_proxy_like(proxy: Server, upstream: str) -> Iterator[tuple[str, Log]]:
    """Another proxy of the same kind, with an upstream of its own."""
    name = next(name for name in PROXIES if proxy.log.directory.name.startswith(f"{name}0"))
    directory = proxy.log.directory / "another"
    arguments = ["--upstream", upstream, "--directory", str(directory)]
    environment = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
    with running(EXAMPLES / name / "app.py", *arguments, environment=environment) as url:
        yield url, Log(directory)
