"""How a turn finds its conversation: by what the request names, by what it continues, and where nothing is known."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from conversation_log import Log, read_document
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from simulated_clients import assistant, chat_answer, chat_stream, messages_answer, messages_stream, user
from store_helpers import make_turn

import otel_convlog
from otel_convlog.identity import clients
from otel_convlog.identity.answers import read_response
from otel_convlog.identity.identifier import Identifier
from otel_convlog.identity.seed import get_conversation_id
from otel_convlog.store import ConversationStore, evidence, reindex
from otel_convlog.store import read_document as read_stored
from otel_convlog.streams import assemble

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UUID = "0199a213-81c0-7800-8aa1-bbab2a035a53"


class Proxy:
    """Records turns into one directory, and reads them back from the files."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.log = Log(directory)
        self.log.exporter.shutdown()
        self.exporter = otel_convlog.ConversationSpanExporter(directory=directory, **settings)
        self.spans = InMemorySpanExporter()
        self.log.provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.log.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        trace.set_tracer_provider(self.log.provider)

    def turn(  # noqa: PLR0913  what a turn may have
        self,
        request: Any,
        answer: Any = None,
        *,
        route: str = "chat",
        headers: Any = None,
        attributes: dict[str, str] | None = None,
        calls: list[list[Any]] | None = None,
    ) -> dict[str, Any]:
        """Record a turn; return it as its file has it."""
        turn = otel_convlog.start_turn(
            route=route, client_model="m", backend="b", stream=False, client_request=request, request_headers=headers
        )
        assert turn is not None
        turn.span.set_attributes(attributes or {})
        if answer is not None:
            calls = chat_answer(answer)
        for name, *arguments in calls or []:
            getattr(otel_convlog, name)(turn, *arguments)
        otel_convlog.finalize_turn(turn)
        return self.turns()[-1]

    def turns(self) -> list[dict[str, Any]]:
        """Return all turns, in the order in which they started."""
        turns = [turn for path in self.log.files() for turn in read_document(path)["turns"]]
        return sorted(turns, key=lambda turn: str(turn["started_at"]))


@pytest.fixture
def proxy(tmp_path: Path, no_sdk: None) -> Iterator[Proxy]:  # noqa: ARG001
    proxy = Proxy(tmp_path / "log")
    yield proxy
    proxy.log.provider.shutdown()


def chat(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages), **fields}


_CLAUDE_USER = f"user_{'ab' * 32}_account_{_UUID}_session_"
_CLAUDE_API_USER = f"user_{'ab' * 32}_account__session_{_UUID}"

_NAMED: list[tuple[dict[str, Any], dict[str, str], str, str | None]] = [
    ({"conversation": "conv_1"}, {}, "conv_1", None),
    ({"conversation": {"id": "conv_1"}}, {}, "conv_1", None),
    ({}, {"session-id": _UUID, "thread-id": _UUID}, _UUID, None),
    ({}, {"session_id": _UUID, "thread_id": "thread-2"}, _UUID, "thread-2"),
    ({}, {"Thread-Id": _UUID}, _UUID, None),
    ({"prompt_cache_key": _UUID}, {"originator": "codex_cli_rs"}, _UUID, None),
    ({"prompt_cache_key": _UUID}, {"User-Agent": "codex_cli_rs/0.60"}, _UUID, None),
    ({"prompt_cache_key": _UUID}, {"session-id": _UUID}, _UUID, None),
    ({}, {"X-Claude-Code-Session-Id": _UUID}, _UUID, None),
    ({}, {"X-Claude-Code-Session-Id": _UUID, "X-Claude-Code-Agent-Id": "agent-7"}, _UUID, "agent-7"),
    ({"metadata": {"user_id": _CLAUDE_USER + _UUID}}, {}, _UUID, None),
    ({"metadata": {"user_id": _CLAUDE_API_USER}}, {}, _UUID, None),
    ({"metadata": {"user_id": json.dumps({"device_id": "d", "session_id": _UUID})}}, {}, _UUID, None),
    ({"metadata": {"user_id": {"device_id": "d", "session_id": _UUID}}}, {}, _UUID, None),
    ({}, {"x-opencode-session": "ses_1"}, "ses_1", None),
    ({}, {"x-session-affinity": "ses_1", "x-session-id": "ses_1"}, "ses_1", None),
    ({}, {"x-session-affinity": "ses_2", "x-parent-session-id": "ses_1"}, "ses_1", "ses_2"),
    ({"metadata": {"cursorConversationId": "cur-1"}}, {}, "cur-1", None),
    ({}, {"X-Task-ID": "1"}, "1", None),
    ({}, {"X-Roo-Task-ID": "task-1"}, "task-1", None),
    ({}, {"X-KILOCODE-TASKID": "task-1"}, "task-1", None),
    ({}, {"X-Client-Session-Id": "session-1"}, "session-1", None),
    ({}, {"X-OpenWebUI-Chat-Id": "chat-1"}, "chat-1", None),
    ({}, {"x-litellm-trace-id": "trace-1"}, "trace-1", None),
    ({}, {"x-litellm-session-id": "session-1", "x-litellm-trace-id": "trace-1"}, "session-1", None),
    ({"litellm_session_id": "session-1"}, {}, "session-1", None),
    ({}, {"Helicone-Session-Id": "session-1"}, "session-1", None),
    ({"session_id": "or-1"}, {}, "or-1", None),
    ({}, {"X-Acme-Session-Id": "12345678"}, "12345678", None),
    # the specification's fields come before what clients have
    ({"conversation_id": "own"}, {"X-Claude-Code-Session-Id": _UUID}, "own", None),
]


@pytest.mark.parametrize(("fields", "headers", "conversation_id", "thread"), _NAMED)
def test_an_id_is_found_where_clients_have_it(
    fields: dict[str, Any], headers: dict[str, str], conversation_id: str, thread: str | None, proxy: Proxy
) -> None:
    turn = proxy.turn(chat(user("hi"), **fields), headers=headers)
    assert (turn["conversation_id"], turn["otel"]["identity"]) == (conversation_id, "explicit")
    assert turn["otel"].get("thread") == thread
    (span,) = proxy.spans.get_finished_spans()
    assert (span.attributes or {})["gen_ai.conversation.id"] == conversation_id


@pytest.mark.parametrize("name", clients._ATTRIBUTES)
def test_an_id_is_found_in_a_span_s_attributes(name: str, proxy: Proxy) -> None:
    assert proxy.turn(chat(user("hi")), attributes={name: "s 1"})["conversation_id"] == "s_1"


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"user": "user-1"}, {}),
        ({"safety_identifier": "user-1"}, {}),
        ({"cachedContent": "cachedContents/abc"}, {}),
        ({"prompt_cache_key": "key-12345678"}, {}),
        ({"metadata": {"user_id": "user-1"}}, {}),
        ({"metadata": {"user_id": "{not json"}}, {}),
        ({"metadata": {"user_id": "[1]"}}, {}),
        ({"conversation": {"id": 1.5}}, {}),
        ({"conversation": " "}, {}),
        ({}, {"x-forwarded-for": "192.0.2.1", "user-agent": "agent/1"}),
        ({}, {"x-session-id": "short"}),
        ({}, {"session-id": " "}),
    ],
)
def test_what_names_no_conversation_is_none(fields: dict[str, Any], headers: dict[str, str], proxy: Proxy) -> None:
    request = chat(user("hi"), **fields)
    turn = proxy.turn(request, headers=headers)
    assert turn["conversation_id"] == get_conversation_id(route="chat", payload=request)
    assert turn["otel"]["identity"] == "seed"
    (span,) = proxy.spans.get_finished_spans()
    assert "gen_ai.conversation.id" not in (span.attributes or {})


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("header:X-Chat", "from-header"),
        ("body:extra.chat", "from-body"),
        ("body:extra.number", "7"),
        ("attribute:chat.id", "from-attribute"),
        ("header:absent,body:extra.chat", "from-body"),
        ("body:extra", "own"),
    ],
)
def test_the_operator_s_own_keys_come_first(key: str, expected: str, tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    proxy = Proxy(tmp_path, conversation_keys=key)
    request = chat(user("hi"), conversation_id="own", extra={"chat": "from-body", "number": 7})
    turn = proxy.turn(request, headers={"x-chat": "from-header"}, attributes={"chat.id": "from-attribute"})
    assert turn["conversation_id"] == expected


def test_a_turn_names_the_one_that_it_continues(proxy: Proxy) -> None:
    first = proxy.turn(chat(user("one")), assistant("1"))
    second = proxy.turn(chat(user("one"), assistant("1"), user("two")), assistant("2"))
    again = proxy.turn(chat(user("one"), assistant("1"), user("two")), assistant("2, once more"))
    edited = proxy.turn(chat(user("one"), assistant("1"), user("two!")), assistant("2!"))
    third = proxy.turn(chat(user("one"), assistant("1"), user("two!"), assistant("2!"), user("three")), assistant("3"))
    turns = [first, second, again, edited, third]
    assert len({turn["conversation_id"] for turn in turns}) == 1
    parents = [None, first["turn_id"], first["turn_id"], first["turn_id"], edited["turn_id"]]
    assert [turn["otel"]["continues"] for turn in turns] == parents
    assert [turn["otel"]["identity"] for turn in turns] == ["seed", "prefix", "prefix", "prefix", "prefix"]


def test_the_digest_of_a_history_is_not_made_where_it_is_not_needed(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes longer than all else that finding a conversation takes."""
    first = proxy.turn(chat(user("one")), assistant("1"))
    monkeypatch.setattr("otel_convlog.identity.grouping.seed_id", None)
    second = proxy.turn(chat(user("one"), assistant("1"), user("two")), assistant("2"))
    named = proxy.turn(chat(user("one"), conversation_id="c"), assistant("1"))
    assert [turn["otel"]["identity"] for turn in (first, second, named)] == ["seed", "prefix", "explicit"]


def test_an_edited_answer_makes_a_branch(proxy: Proxy) -> None:
    turns = [
        proxy.turn(chat(user("one")), assistant("1")),
        proxy.turn(chat(user("one"), assistant("1"), user("two")), assistant("2")),
        proxy.turn(chat(user("one"), assistant("1"), user("two"), assistant("22"), user("three")), assistant("3")),
    ]
    assert len({turn["conversation_id"] for turn in turns}) == 1
    assert (turns[2]["otel"]["identity"], turns[2]["otel"]["continues"]) == ("branch", turns[1]["turn_id"])


@pytest.mark.parametrize("given_back", ["{}", "{} [stopped]", "{}\n\n-- \nanswered by a model"])
def test_a_first_answer_that_was_cut_or_added_to_is_known_by_its_beginning(given_back: str, proxy: Proxy) -> None:
    beginning = "The capital of the country that you have in mind is a city of many rivers"
    first = proxy.turn(chat(user("one")), assistant(f"{beginning}, and of many bridges."))
    second = proxy.turn(chat(user("one"), assistant(given_back.format(beginning)), user("two")), assistant("2"))
    assert second["conversation_id"] == first["conversation_id"]
    assert (second["otel"]["identity"], second["otel"]["continues"]) == ("branch", first["turn_id"])


@pytest.mark.parametrize("given_back", ["The capital", "The capital is Oslo."])
def test_an_answer_that_the_client_did_not_wait_for_is_known_as_far_as_it_got(given_back: str, proxy: Proxy) -> None:
    calls = [
        *chat_stream("The capital is Oslo.", upstream=True),
        *chat_stream("The capital", upstream=False, broken=True),
    ]
    first = proxy.turn(chat(user("one")), calls=calls)
    second = proxy.turn(chat(user("one"), assistant(given_back), user("two")), assistant("2"))
    assert (second["otel"]["identity"], second["otel"]["continues"]) == ("prefix", first["turn_id"])


def test_a_turn_that_somebody_has_moved_takes_its_dialogue_along(proxy: Proxy) -> None:
    """Two dialogues open alike, and share a file; an operator gives the second a file of its own."""
    proxy.turn(chat(user("hello")), assistant("Hello."))
    second = proxy.turn(chat(user("hello")), assistant("Good morning."))
    (path,) = proxy.log.files()
    document = read_document(path)
    moved = {**document, "conversation_id": "second", "turns": document["turns"][1:], "turn_count": 1}
    document.update(turns=document["turns"][:1], turn_count=1)
    for place, value in ((path, document), (path.with_name("second.json"), moved)):
        place.write_text(json.dumps(value, ensure_ascii=False, indent=2))
    reindex(proxy.log.directory)
    turn = proxy.turn(chat(user("hello"), assistant("Good morning."), user("two")), assistant("2"))
    assert (turn["conversation_id"], turn["otel"]["continues"]) == ("second", second["turn_id"])
    turn = proxy.turn(chat(user("hello"), assistant("Hello."), user("two")), assistant("2"))
    assert turn["conversation_id"] == document["conversation_id"]


def test_first_words_alone_do_not_make_two_dialogues_one(proxy: Proxy) -> None:
    first = proxy.turn(chat(user("hello")), assistant("Hello! What can I do for you?"))
    other = proxy.turn(chat(user("hello"), assistant("Good morning."), user("What is the time?")), assistant("Noon."))
    assert first["conversation_id"] != other["conversation_id"]
    assert other["otel"] == {**other["otel"], "identity": "seed", "continues": None}


def test_a_window_beside_the_first_messages_continues_the_last_turn_that_it_shows(proxy: Proxy) -> None:
    history: list[dict[str, Any]] = []
    turns = []
    for number in range(6):
        history.append(user(f"question {number}"))
        shown = history if number < 3 else [*history[:2], *history[-3:]]
        turns.append(proxy.turn(chat(*shown), assistant(f"answer {number}")))
        history.append(assistant(f"answer {number}"))
    assert [turn["otel"]["continues"] for turn in turns] == [None, *(turn["turn_id"] for turn in turns[:-1])]


def test_a_window_of_few_words_joins_no_dialogues(proxy: Proxy) -> None:
    def window(form: Any) -> Any:
        question = {"role": "user", "content": form}
        return proxy.turn(chat(question, assistant("OK"), user("continue")), assistant("Done."))

    one, other = window("yes"), window([{"type": "text", "text": "yes"}])
    assert one["conversation_id"] != other["conversation_id"]
    long = "Put the names in the order in which they were written, those of the same day by their length."
    one, other = window(long), window([{"type": "text", "text": long}])
    assert (one["conversation_id"], other["otel"]["identity"]) == (other["conversation_id"], "branch")


def test_openings_without_an_answer_are_not_taken_for_one_another(proxy: Proxy) -> None:
    def ask(system: str, *messages: dict[str, Any]) -> dict[str, Any]:
        return proxy.turn(chat({"role": "system", "content": system}, user("hello"), *messages))

    opened = {system: ask(system) for system in ("for Ann", "for Ben")}
    for system, first in opened.items():
        assert ask(system, assistant("Hi"), user(f"This is {system}."))["otel"]["continues"] == first["turn_id"]
    other = ask("for Cleo", assistant("Hello."), user("What is the time?"))
    assert (other["otel"]["identity"], other["otel"]["continues"]) == ("seed", None)


def test_the_same_question_under_another_system_prompt_is_no_other_try(proxy: Proxy) -> None:
    question = user("Put this page into three sentences, in words that somebody who is new to the matter understands.")
    asked = [
        proxy.turn(chat({"role": "system", "content": page}, question), calls=[["attach_error", "down"]])
        for page in ("A page.", "Another page.")
    ]
    assert asked[0]["conversation_id"] != asked[1]["conversation_id"]
    named = proxy.turn(chat(question, conversation_id="c"), calls=[["attach_error", "down"]])
    assert proxy.turn(chat(question), assistant("1"))["conversation_id"] != named["conversation_id"]


def test_a_result_of_gemini_s_says_its_text(proxy: Proxy) -> None:
    """Whatever its name, with a reminder or without, and in another protocol's words."""
    call = {"functionCall": {"name": "look", "args": {"at": "x"}}}
    answers = [
        [["attach_upstream_response", {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}]]
        for parts in ([call], [{"text": "It is a tree."}])
    ]

    def contents(response: dict[str, Any]) -> list[dict[str, Any]]:
        result = {"functionResponse": {"name": "look", "response": response}}
        return [
            {"role": "user", "parts": [{"text": "What is there?"}]},
            {"role": "model", "parts": [call]},
            {"role": "user", "parts": [result]},
        ]

    question = {"contents": contents({})[:1]}
    proxy.turn(question, route="gemini", calls=answers[0])
    reminded = "A tree.\n<system-reminder>It is late.</system-reminder>"
    second = proxy.turn({"contents": contents({"output": reminded})}, route="gemini", calls=answers[1])
    said = {"role": "model", "parts": [{"text": "It is a tree."}]}
    more = {"role": "user", "parts": [{"text": "Sure?"}]}
    third = proxy.turn({"contents": [*contents({"result": "A tree."}), said, more]}, route="gemini")
    assert third["otel"]["continues"] == second["turn_id"]
    asked = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at":"x"}'}}
    history = [
        user("What is there?"),
        {"role": "assistant", "tool_calls": [asked]},
        {"role": "tool", "tool_call_id": "c", "content": "A tree."},
    ]
    fourth = proxy.turn(chat(*history, assistant("It is a tree."), user("Surely?")))
    assert fourth["otel"]["continues"] == second["turn_id"]


def test_dialogues_that_open_alike_are_told_apart_by_the_answer(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    proxy = Proxy(tmp_path, grouping="dialogue")
    opening = chat(user("hello"))
    seed = get_conversation_id(route="chat", payload=opening)
    opened = [proxy.turn(opening, assistant(f"Hello {number}")) for number in range(3)]
    assert [turn["conversation_id"] for turn in opened] == [seed, f"{seed}-2", f"{seed}-3"]
    for number in (1, 0, 2):
        turn = proxy.turn(chat(user("hello"), assistant(f"Hello {number}"), user("and now?")), assistant("Well."))
        assert turn["conversation_id"] == opened[number]["conversation_id"]
    failed = proxy.turn(opening, calls=[["attach_error", "no answer"]])
    retried = proxy.turn(opening, assistant("Hello again"))
    assert failed["conversation_id"] == retried["conversation_id"] == f"{seed}-4"
    assert proxy.turn(opening, assistant("Hello"))["conversation_id"] == f"{seed}-5"


def test_seed_is_the_bare_rule(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    proxy = Proxy(tmp_path, grouping="seed", conversation_keys="header:x-own")
    requests = [chat(user("one")), chat(user("one"), assistant("1"), user("two"))]
    turns = [proxy.turn(request, assistant("1"), headers={"x-claude-code-session-id": _UUID}) for request in requests]
    ids = [get_conversation_id(route="chat", payload=request) for request in requests]
    assert [turn["conversation_id"] for turn in turns] == ids
    assert proxy.turn(requests[0], headers={"x-own": "mine"})["conversation_id"] == "mine"


@pytest.mark.parametrize("place", ["header:x-tenant", "body:tenant"])
def test_tenants_share_no_conversation(place: str, tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    proxy = Proxy(tmp_path, scope=place)

    def ask(tenant: str | None, *messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
        request = chat(*messages, **fields, **({"tenant": tenant} if tenant else {}))
        return proxy.turn(request, assistant("1"), headers={"x-tenant": tenant} if tenant else {})

    tenants = ("a", "b", None)
    history = (user("one"), assistant("1"), user("two"))
    opened = {tenant: ask(tenant, user("one"))["conversation_id"] for tenant in tenants}
    assert len(set(opened.values())) == 3
    for tenant in tenants:
        assert ask(tenant, *history)["conversation_id"] == opened[tenant]
    named = {tenant: ask(tenant, user("hi"), conversation_id="same")["conversation_id"] for tenant in tenants}
    assert len(set(named.values())) == 3
    # a tenant that knows another's id, as it stands in the log, is still another
    assert ask("b", user("hi"), conversation_id=named["a"])["conversation_id"] not in {
        *named.values(),
        *opened.values(),
    }


@pytest.mark.parametrize("setting", ["scope", "conversation_keys"])
def test_a_masked_header_tells_nothing_apart(setting: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="authorization, which is masked"):
        otel_convlog.ConversationSpanExporter(directory=tmp_path, **{setting: "header:Authorization"})  # type: ignore[arg-type]


def test_without_evidence_a_turn_goes_where_its_seed_says(
    tmp_path: Path,
    no_sdk: None,  # noqa: ARG001
) -> None:
    proxy = Proxy(tmp_path)
    proxy.turn(chat(user("one")), assistant("1"))
    proxy.exporter.shutdown()
    for path in tmp_path.glob("catalog.sqlite3*"):
        path.unlink()
    (tmp_path / "catalog.sqlite3").mkdir()
    request = chat(user("one"), assistant("1"), user("two"))
    turn = proxy.turn(request, assistant("2"))
    assert turn["conversation_id"] == get_conversation_id(route="chat", payload=request)
    assert turn["otel"] == {**turn["otel"], "identity": "seed", "continues": None, "evidence_read": False}
    named = proxy.turn(chat(user("one"), conversation_id="c"))
    assert (named["conversation_id"], named["otel"]["identity"]) == ("c", "explicit")


@pytest.mark.parametrize("settings", [{}, {"grouping": "dialogue"}, {"scope": "header:x-tenant"}, {"stream_events": 1}])
def test_reindex_finds_the_evidence_again(settings: dict[str, Any], tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    proxy = Proxy(tmp_path, **settings)
    text = "a long answer that comes in many pieces"
    streamed = [*chat_stream(text, upstream=True), ["set_stream_summary", {"text": text}]]
    opened = [proxy.turn(chat(user(f"one {number}")), calls=streamed, headers={"x-tenant": "t"}) for number in range(3)]
    again = proxy.turn(chat(user("one 0")), assistant("1"), headers={"x-tenant": "t"})
    before = {turn["turn_id"]: turn for turn in proxy.turns()}
    proxy.exporter.shutdown()
    for path in tmp_path.glob("catalog.sqlite3*"):
        path.unlink()
    reindex(tmp_path)
    history = (user("one 1"), assistant(text), user("two"))
    turn = proxy.turn(chat(*history), assistant("2"), headers={"x-tenant": "t"})
    assert turn["conversation_id"] == opened[1]["conversation_id"]
    assert (turn["otel"]["identity"], turn["otel"]["continues"]) == ("prefix", opened[1]["turn_id"])
    third = proxy.turn(chat(user("one 0")), assistant("1"), headers={"x-tenant": "t"})
    assert (third["conversation_id"] == again["conversation_id"]) is (settings.get("grouping") != "dialogue")
    proxy.exporter.export(proxy.spans.get_finished_spans())  # known turns stay where they are
    after = {turn["turn_id"]: turn for turn in proxy.turns()}
    assert {turn_id: after[turn_id] for turn_id in before} == before
    assert len(after) == len(before) + 2


def test_a_span_that_comes_twice_is_one_turn_of_the_same_conversation(proxy: Proxy) -> None:
    proxy.turn(chat(user("one")), assistant("1"))
    proxy.turn(chat(user("one"), assistant("1"), user("two")), assistant("2"))
    before = proxy.turns()
    proxy.exporter.export(proxy.spans.get_finished_spans()[::-1])
    assert proxy.turns() == before


def test_a_batch_is_taken_in_the_order_of_time(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    proxy = Proxy(tmp_path / "first")
    for exchanges in range(1, 6):
        messages = [message for number in range(exchanges) for message in (user(f"q{number}"), assistant(f"a{number}"))]
        proxy.turn(chat(*messages[:-1]), messages[-1])
    exporter = otel_convlog.ConversationSpanExporter(directory=tmp_path / "second")
    exporter.export(proxy.spans.get_finished_spans()[::-1])
    (path,) = (tmp_path / "second").glob("*/*.json")
    assert read_document(path) == read_document(proxy.log.files()[0])


def test_old_evidence_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "_FORGETTING_INTERVAL_S", 0)
    monkeypatch.setattr(evidence, "MOST_TURNS", 10)
    store = ConversationStore(tmp_path)
    identifier = Identifier(store.evidence, grouping="dialogue")
    requests: list[Any] = [chat(user(f"{number}")) for number in range(50)]
    for number, request in enumerate(requests):
        identifier.identify(make_turn(number, request).record)
    with store.evidence.session() as session:
        assert session is not None
        known = [session.turn(f"turn_{number:024x}") is not None for number in range(50)]
    assert known == [False] * 40 + [True] * 10
    long_ago = replace(make_turn(50, requests[0]).record, started_at="2020-01-01T00:00:00.000000Z")
    identifier.identify(long_ago)
    for number in range(51, 61):
        identifier.identify(make_turn(number, requests[number % 50]).record)
    with store.evidence.session() as session:
        assert session is not None
        assert session.turn(long_ago.turn_id) is None


def test_a_session_that_has_ended_leaves_the_connection_to_the_next_one(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    with store.evidence.session() as session:
        assert session is not None
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        session.turn("turn_000000000000000000000000")


def test_the_history_of_one_protocol_is_known_in_another(proxy: Proxy) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x", "n": 1}'}}
    asked = [user("What is there?"), {"role": "assistant", "content": "I look.", "tool_calls": [call]}]
    tool = {"role": "tool", "tool_call_id": "call_1", "content": "A tree."}
    first = proxy.turn(chat(asked[0]), asked[1])
    second = proxy.turn(chat(*asked, tool), assistant("It is a tree."))
    used = {"type": "tool_use", "id": "t", "name": "look", "input": {"n": 1, "at": "x"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "A tree."}]}
    anthropic = [
        {"role": "user", "content": [{"type": "text", "text": "What is there?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}, used]},
        {"role": "user", "content": [result]},
        assistant("It is a tree."),
        user("Sure?"),
    ]
    responses = [
        user("What is there?"),
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": '{"n":1,"at":"x"}'},
        {"type": "function_call_output", "call_id": "c", "output": "A tree."},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It is a tree."}]},
        user("Sure?"),
    ]
    for route, request in (
        ("messages", {"messages": anthropic}),
        ("responses", {"input": responses}),
    ):
        turn = proxy.turn(request, assistant("Yes."), route=route)
        assert turn["conversation_id"] == first["conversation_id"]
        assert turn["otel"]["continues"] == second["turn_id"]


_SAID = "It is a tree,\nand a tall one."
_USED = {"type": "tool_use", "id": "t", "name": "look", "input": {"n": 1, "at": "x"}}
_BLOCKS: list[dict[str, Any]] = [{"type": "text", "text": _SAID}, _USED]
_CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x", "n": 1}'}}
_DELTAS = [
    {"content": _SAID[:5]},
    {"content": _SAID[5:]},
    {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "look", "arguments": '{"at": '}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": '"x", "n": 1}'}}]},
]
_CHUNKS = [
    *({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in _DELTAS),
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    {"choices": [], "usage": {"total_tokens": 1}},
]
_OUTPUT: list[dict[str, Any]] = [
    {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
    {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": _SAID}]},
    {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "look", "arguments": '{"n":1,"at":"x"}'},
]
_PARTS: list[dict[str, Any]] = [
    {"text": "Hm.", "thought": True},
    {"text": _SAID},
    {"functionCall": {"name": "look", "args": {"at": "x", "n": 1}}},
]
_ANSWERS: dict[str, list[list[Any]]] = {
    "chat": chat_answer({"role": "assistant", "content": _SAID, "tool_calls": [_CALL]}),
    "chat to the client": [
        ["attach_client_response", {"choices": [{"message": {"content": _SAID, "tool_calls": [_CALL]}}]}]
    ],
    "chat, the second choice": [
        [
            "attach_upstream_response",
            {"choices": [{"message": {"content": "No."}}, {"message": {"content": _SAID, "tool_calls": [_CALL]}}]},
        ]
    ],
    "chat chunks": [["append_upstream_event", chunk] for chunk in _CHUNKS],
    "chat chunks in envelopes": [["append_client_event", {"type": "openai_chunk", "data": chunk}] for chunk in _CHUNKS],
    "chat chunks as text in envelopes": [
        ["append_client_event", {"event": None, "data": json.dumps(chunk)}] for chunk in _CHUNKS
    ],
    "chat chunks as lines": [["append_client_event", f"data: {json.dumps(chunk)}"] for chunk in _CHUNKS],
    "the summary's text is not asked where there are events": [
        *(["append_client_event", f"data: {json.dumps(chunk)}\n\n"] for chunk in _CHUNKS),
        ["set_stream_summary", {"text": "something else"}],
        ["attach_client_response", {"type": "stream.summary"}],
    ],
    "messages": messages_answer(_BLOCKS),
    "messages events": messages_stream([{"type": "thinking", "thinking": "Hm.", "signature": "s"}, *_BLOCKS]),
    "responses": [["attach_upstream_response", {"id": "resp_1", "status": "completed", "output": _OUTPUT}]],
    "responses events": [
        ["append_upstream_event", event]
        for event in (
            {"type": "response.created", "response": {"id": "resp_1", "output": []}},
            {"type": "response.output_text.delta", "output_index": 1, "delta": _SAID[:3]},
            *(
                {"type": "response.output_item.done", "output_index": at, "item": item}
                for at, item in enumerate(_OUTPUT)
            ),
            {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": []}},
        )
    ],
    "gemini": [["attach_upstream_response", {"candidates": [{"content": {"role": "model", "parts": _PARTS}}]}]],
    "gemini chunks": [
        [
            "append_upstream_event",
            {"response": {"candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": reason}]}},
        ]
        for part, reason in zip(_PARTS, (None, None, "STOP"), strict=True)
    ],
}


@pytest.mark.parametrize("name", _ANSWERS)
def test_an_answer_is_known_in_whatever_form_it_was_logged(name: str, proxy: Proxy) -> None:
    first = proxy.turn(chat(user("What is there?")), calls=_ANSWERS[name])
    said = {"role": "assistant", "content": _SAID, "tool_calls": [_CALL]}
    tool = {"role": "tool", "tool_call_id": "call_1", "content": "A tree."}
    second = proxy.turn(chat(user("What is there?"), said, tool), assistant("Well."))
    assert (second["otel"]["identity"], second["otel"]["continues"]) == ("prefix", first["turn_id"])


def test_an_answer_that_the_client_has_begun_is_continued(proxy: Proxy) -> None:
    first = proxy.turn({"messages": [user("One word?"), assistant("It is a")]}, calls=messages_answer([_BLOCKS[0]]))
    history = [user("One word?"), assistant(f"It is a{_SAID}"), user("More?")]
    second = proxy.turn({"messages": history}, assistant("No."))
    assert second["otel"]["continues"] == first["turn_id"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda values: st.lists(values, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["role", "content", "type", "text", "parts", "id", "choices", "message", "delta", "output", "index", "data",
             "candidates", "tool_calls", "function", "arguments", "item", "response", "content_block", "source", "url"]
        ),
        values,
        max_size=5,
    ),
    max_leaves=30,
)  # fmt: skip
_numbers = count(1)
_kinds = st.sampled_from(["text", "tool_use", "message", "function_call", "response.completed", "content_block_delta"])


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(["messages", "input", "contents", "previous_response_id"]),
    history=st.lists(_json) | _json,
    answer=_json,
    events=st.lists(st.dictionaries(st.just("type"), _kinds).flatmap(lambda kind: _json.map(
        lambda value: {**kind, **value} if isinstance(value, dict) else value)) | st.text(max_size=20)),
)  # fmt: skip
def test_no_request_and_no_answer_is_too_strange(
    name: str, history: Any, answer: Any, events: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    request = json.loads(json.dumps({name: history, "system": answer}).replace("NaN", "null").replace("Infinity", "1"))
    events = json.loads(json.dumps(events).replace("NaN", "null").replace("Infinity", "1"))
    record = make_turn(next(_numbers), request, upstream_response=answer).record
    record = replace(record, client_events=replace(record.client_events, events=events))
    identity = Identifier(ConversationStore(tmp_path_factory.getbasetemp()).evidence).identify(record)
    assert identity.evidence_read  # nothing was raised on the way


@pytest.mark.parametrize(
    "fields",
    [
        {"conversation": 10**5_000},
        {"litellm_session_id": 10**5_000},
        {"metadata": {"user_id": '{"session_id":' + "9" * 5_000 + "}"}},
        {"tenant": 10**5_000},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": 10**5_000}}]}]},
    ],
)
def test_no_number_is_too_long_for_a_turn(fields: dict[str, Any], tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    proxy = Proxy(tmp_path, scope="body:tenant")
    request = {**chat(user("hi")), **fields}
    otel_convlog.finalize_turn(
        otel_convlog.start_turn(route="chat", client_model="m", backend="b", stream=False, client_request=request)
    )
    (path,) = proxy.log.files()
    written: Any = read_stored(path)["turns"]  # Python's own json refuses such a number
    assert written[0]["client_request"] == request
    assert (written[0]["otel"]["identity"], proxy.exporter.turns_failed) == ("seed", 0)


def test_an_id_without_digits_costs_no_more_than_its_length(proxy: Proxy) -> None:
    tool = {"role": "tool", "tool_call_id": "q" * 1_000_000, "content": "x"}
    assert proxy.turn(chat(user("hi"), tool), assistant("1"))["otel"]["identity"] == "seed"


def test_messages_that_say_nothing_cost_no_more_than_their_number(proxy: Proxy) -> None:
    messages = [message for number in range(20_000) for message in (user(f"{number}"), assistant(""))]
    first = proxy.turn(chat(*messages), assistant("1"))
    second = proxy.turn(chat(*messages, assistant("1"), user("two")), assistant("2"))
    assert second["otel"]["continues"] == first["turn_id"]


@pytest.mark.parametrize(
    "call_id",
    ["functions.base64decode:0", "call_getWeatherForecast1", "00000000-0000-0000-0000-000000000000", "call_1"],
)
def test_an_id_that_is_a_name_or_a_number_joins_no_dialogues(call_id: str, proxy: Proxy) -> None:
    def call(at: str) -> dict[str, Any]:
        function = {"name": "look", "arguments": json.dumps({"at": at})}
        return {"role": "assistant", "tool_calls": [{"id": call_id, "type": "function", "function": function}]}

    first = {at: proxy.turn(chat(user(f"Look at {at}.")), call(at)) for at in ("a", "b")}
    for at in ("a", "b"):
        result = {"role": "tool", "tool_call_id": call_id, "content": "done"}
        turn = proxy.turn(chat(user(f"Look at {at}."), call(at), result), assistant("1"))
        assert turn["otel"]["continues"] == first[at]["turn_id"]


def test_counted_response_ids_join_no_dialogues(proxy: Proxy) -> None:
    for name in ("a", "b"):
        proxy.turn({"input": name}, route="responses", calls=[["attach_upstream_response", _response("resp_1")]])
    turns = [
        proxy.turn({"input": f"more {name}", "previous_response_id": "resp_1"}, route="responses") for name in "ab"
    ]
    assert len({turn["conversation_id"] for turn in turns}) == 2


def _response(response_id: str) -> dict[str, Any]:
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yes"}]}
    return {"id": response_id, "status": "completed", "output": [message]}


def test_an_answer_that_the_history_only_names_is_known(proxy: Proxy) -> None:
    item = {**_response("")["output"][0], "id": "msg_68af0c1e9a7081a2b3c4d5e6f7"}
    response = {**_response("resp_68af0c1e9a7081a2b3c4d5e6f8"), "output": [item]}
    first = proxy.turn({"input": [user("one")]}, route="responses", calls=[["attach_upstream_response", response]])
    history = [user("one"), {"type": "item_reference", "id": item["id"]}, user("two")]
    second = proxy.turn({"input": history}, route="responses")
    assert (second["otel"]["identity"], second["otel"]["continues"]) == ("generated_id", first["turn_id"])


def test_a_spoken_answer_is_known_by_its_id(proxy: Proxy) -> None:
    spoken = {"id": "audio_6780b5a1c2d3e4f5", "data": "UklGRg==", "transcript": "Yes."}
    first = proxy.turn(chat(user("one")), {"role": "assistant", "content": None, "audio": spoken})
    history = [user("one"), {"role": "assistant", "audio": {"id": spoken["id"]}}, user("two")]
    second = proxy.turn(chat(*history), assistant("2"))
    assert (second["otel"]["identity"], second["otel"]["continues"]) == ("generated_id", first["turn_id"])


def test_the_evidence_of_turns_that_come_while_the_catalog_is_locked_is_kept_later(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_sdk: None,  # noqa: ARG001
) -> None:
    monkeypatch.setattr("otel_convlog.store.catalog._BUSY_S", 0.01)
    proxy = Proxy(tmp_path)
    proxy.turn(chat(user("zero")), assistant("0"))
    proxy.exporter.shutdown()
    other = sqlite3.connect(tmp_path / "catalog.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    first = proxy.turn(chat(user("one")), assistant("1"))
    assert first["otel"]["evidence_read"] is False
    other.execute("ROLLBACK")
    other.close()
    time.sleep(0.6)
    second = proxy.turn(chat(user("one"), assistant("1"), user("two")), assistant("2"))
    assert (second["otel"]["identity"], second["otel"]["continues"]) == ("prefix", first["turn_id"])


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0c"])
def test_a_line_separator_of_unicode_does_not_part_an_event(separator: str, proxy: Proxy) -> None:
    said = f"It is{separator}a tree"
    chunk = {"choices": [{"index": 0, "delta": {"content": said}, "finish_reason": "stop"}]}
    line = f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
    first = proxy.turn(chat(user("one")), calls=[["append_client_event", line]])
    second = proxy.turn(chat(user("one"), assistant(said), user("two")), assistant("2"))
    assert second["otel"]["continues"] == first["turn_id"]


@pytest.mark.parametrize("form", ["text", "bytes", "lines", "lines with blank ones"])
def test_a_raw_stream_is_read_wherever_it_was_cut(form: str) -> None:
    chunks: list[Any] = [*_CHUNKS[:-1]]
    text = "".join(f"data: {json.dumps(chunk, separators=(',', ':'))}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    expected = read_response(assemble(chunks))
    lines = text.split("\n")
    pieces: list[list[Any]] = [[line for line in lines if line]] if form == "lines" else [lines]
    if form == "text":
        pieces = [[text[:cut], text[cut:]] for cut in range(len(text))]
    elif form == "bytes":  # as JSON has them
        pieces = [[str(text[:cut].encode()), str(text[cut:].encode())] for cut in range(0, len(text), 7)]
    for events in pieces:
        assert read_response(assemble(events)) == expected


@pytest.mark.parametrize("value", [{"id": "b"}, ["b"], 2.5, False, None, " a"])
def test_tenants_differ_whatever_their_value_is(value: Any, tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    proxy = Proxy(tmp_path, scope="body:metadata.user.id")
    of_others: list[Any] = [{"id": "a"}, ["a"], 1.5, True, "a"]
    ids = [proxy.turn(chat(user("hi"), metadata={"user.id": other}))["conversation_id"] for other in of_others]
    assert len({*ids, proxy.turn(chat(user("hi"), metadata={"user": {"id": value}}))["conversation_id"]}) == 6


def test_a_header_that_a_client_sends_beside_the_proxy_s_is_another_tenant(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    proxy = Proxy(tmp_path, scope="header:x-tenant")
    own = proxy.turn(chat(user("hi")), headers={"x-tenant": "a"})
    forged = proxy.turn(chat(user("hi")), headers=[("X-Tenant", "a"), ("x-tenant", "b")])
    assert own["conversation_id"] != forged["conversation_id"]


def test_a_deeply_nested_request_is_no_obstacle(proxy: Proxy) -> None:
    content: Any = "x"
    for _ in range(5_000):
        content = [{"type": "tool_result", "content": content}]
    turn = proxy.turn(chat({"role": "user", "content": content}), assistant("1"))
    assert turn["otel"]["identity"] == "seed"


def test_unclosed_reminders_cost_no_more_than_their_length(proxy: Proxy) -> None:
    text = "<system-reminder>" * 100_000
    first = proxy.turn(chat(user(text)), assistant("1"))
    second = proxy.turn(chat(user(text), assistant("1"), user("two")), assistant("2"))
    assert second["otel"]["continues"] == first["turn_id"]


def test_processes_that_write_all_the_time_do_not_keep_each_other_from_the_evidence(tmp_path: Path) -> None:
    def all_read_it(directory: Path) -> bool:
        children = []
        for process in range(8):
            pid = os.fork()
            if pid == 0:
                identifier = Identifier(ConversationStore(directory).evidence)
                requests: list[Any] = [chat(user(f"{process} {number}")) for number in range(200)]
                records = [make_turn(1_000 * process + at, request).record for at, request in enumerate(requests)]
                os._exit(0 if all(identifier.identify(record).evidence_read for record in records) else 1)
            children.append(pid)
        return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 8

    # A machine that is busy with something else may stop the one for a second that the seven wait for.
    assert any(all_read_it(tmp_path / str(attempt)) for attempt in range(3))
