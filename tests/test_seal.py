"""A turn whose words and events do not reach who finds its conversation: what is compared of it does."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from simulated_clients import CLIENTS, assistant, user
from store_helpers import make_turn

import otel_convlog
from otel_convlog.assembly.assembler import Assembler
from otel_convlog.identity.grouping import Grouping, question_of
from otel_convlog.identity.identifier import Identifier
from otel_convlog.identity.seal import unseal
from otel_convlog.record import IdentifiedTurn
from otel_convlog.store import ConversationStore

if TYPE_CHECKING:
    from pathlib import Path

    from simulated_clients import Turn

    from otel_convlog.record import TurnRecord

_DIALOGUES = 5


@pytest.fixture
def spans(no_sdk: None) -> InMemorySpanExporter:  # noqa: ARG001
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


def records(spans: InMemorySpanExporter, turns: list[Turn]) -> list[TurnRecord]:
    """Record turns, and read them."""
    for recorded in turns:
        turn = otel_convlog.start_turn(**recorded["start"])
        for name, *arguments in recorded["calls"]:
            getattr(otel_convlog, name)(turn, *arguments)
        otel_convlog.finalize_turn(turn)
    found, unreadable = Assembler(("turn",), most_bytes=1 << 30).add(spans.get_finished_spans())
    assert not unreadable
    return found


def mixed(client: Any) -> list[Turn]:
    """Turns of dialogues of a client, each dialogue's in their order."""
    dice = random.Random(11)
    dialogues = [list(client(number)) for number in range(_DIALOGUES)]
    order = [number for number, turns in enumerate(dialogues) for _ in turns]
    dice.shuffle(order)
    return [dialogues[number].pop(0) for number in order]


@pytest.mark.parametrize("grouping", ["lineage", "dialogue"])
@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_sealed_finds_what_the_words_find(
    client: str, grouping: str, spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    here, there = ConversationStore(tmp_path / "here"), ConversationStore(tmp_path / "there")
    identifier = Identifier(here.evidence, grouping=grouping)
    for record in records(spans, mixed(CLIENTS[client])):
        identity = identifier.identify(record, key=b"key")
        sealed = identifier.seal(record, key=b"key")
        assert sealed is not None
        question = question_of(IdentifiedTurn(record, identity), unseal(sealed))
        assert question is not None
        with there.evidence.session() as session:
            assert session is not None
            assert Grouping(grouping).answer(question, session) == identity


def test_nothing_in_it_tells_what_was_said_to_who_has_not_the_key(tmp_path: Path) -> None:
    identifier = Identifier(ConversationStore(tmp_path).evidence)
    said = "This session is being continued from a previous conversation. We spoke of a secret, at some length, here."
    request: Any = {"messages": [user(said), assistant("Yes. " * 100), user("And then?")]}
    answer: Any = {"choices": [{"message": assistant("A line that is so long that it is looked for. " * 10)}]}
    record = make_turn(1, request, client_response=answer).record
    ours, theirs = (identifier.seal(record, key=key) for key in (b"ours", b"theirs"))
    assert ours is not None
    assert theirs is not None
    digests = [set(re.findall(r"[A-Za-z0-9+/]{20,}=*", seal)) for seal in (ours, theirs)]
    assert len(digests[0]) > 8
    assert not digests[0] & digests[1]
    assert "secret" not in ours


def test_it_is_small(tmp_path: Path) -> None:
    identifier = Identifier(ConversationStore(tmp_path).evidence)
    messages: Any = [
        message for number in range(500) for message in (user(f"{number}?"), assistant(f"{number} " * 500))
    ]
    sealed = identifier.seal(make_turn(1, {"messages": messages}).record)
    assert sealed is not None
    assert len(sealed) < 50 * len(messages)


def test_a_turn_that_has_no_history_has_none(tmp_path: Path) -> None:
    evidence = ConversationStore(tmp_path).evidence
    assert Identifier(evidence, grouping="seed").seal(make_turn(1, {"messages": [user("hi")]}).record) is None
    assert Identifier(evidence).seal(make_turn(1, None, request_is_whole=False).record) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "1", '{"digests": 1}', '{"digests": "?", "sizes": ""}'])
def test_text_from_somewhere_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        unseal(text)


def test_one_that_lacks_anything_is_refused(tmp_path: Path) -> None:
    request: Any = {"messages": [user("hi"), assistant("Hello."), user("Go on.")]}
    sealed = Identifier(ConversationStore(tmp_path).evidence).seal(make_turn(1, request).record)
    assert sealed is not None
    whole = json.loads(sealed)
    for name in whole:
        with pytest.raises(ValueError, match=r"."):
            unseal(json.dumps({key: value for key, value in whole.items() if key != name}))
    with pytest.raises(ValueError, match="digests"):
        unseal(json.dumps({**whole, "digests": whole["digests"][:40]}))
