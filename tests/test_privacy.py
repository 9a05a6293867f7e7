"""What is written already can be cleaned: today's rules applied, what is to be forgotten removed without a trace."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from conversation_log import read_document
from made_up_secrets import make_named, make_tokens
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from store_helpers import make_turn
from windows_rules import only_posix

import otel_convlog
from otel_convlog import ConversationSpanExporter
from otel_convlog.privacy import Target, forget, scrub, verify
from otel_convlog.record import StreamEvents
from otel_convlog.store import ConversationStore, list_conversations, render

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_convlog.jsontext import Json

_TOKENS = make_tokens()
_NAMED = make_named()


@pytest.fixture
def talk(tmp_path: Path, no_sdk: None) -> Iterator[Any]:  # noqa: ARG001
    """Return what records a dialogue of some turns."""
    exporters: dict[str, ConversationSpanExporter] = {}

    def run(
        text: str, turns: int = 2, *, content: str = "full", user: str = "u", **request: Any
    ) -> ConversationSpanExporter:
        exporter = exporters.setdefault(content, ConversationSpanExporter(directory=tmp_path, content=content))
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace._TRACER_PROVIDER = provider
        history: list[dict[str, Any]] = []
        for number in range(turns):
            history.append({"role": "user", "content": f"{text} {number}"})
            turn = otel_convlog.start_turn(
                route="chat",
                client_model="m",
                backend="b",
                stream=False,
                client_request={"messages": history, "user": user, **request},
                request_headers={"x-user": user, "authorization": f"Bearer {user}-0123456789-0123456789"},
            )
            answer = {"role": "assistant", "content": f"answer {number} to {text}"}
            otel_convlog.attach_client_response(turn, {"choices": [{"message": answer}]})
            otel_convlog.finalize_turn(turn)
            history.append(answer)
        return exporter

    yield run
    trace._TRACER_PROVIDER = None
    for exporter in exporters.values():
        exporter.shutdown()


def _everything(directory: Path) -> bytes:
    return b"".join(path.name.encode() + path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


def _write_unclean(directory: Path) -> list[str]:
    """Write files as they were before there were rules; return the secrets in them."""
    store = ConversationStore(directory)
    texts = [*_TOKENS.values(), *(text for text, _ in _NAMED.values())]
    for number, text in enumerate(texts):
        request: Json = {
            "messages": [{"role": "user", "content": f"{text} is it"}, {"role": "user", "content": "x" * 50}]
        }
        events = StreamEvents([{"delta": {"text": text[:9]}}, {"delta": {"text": text[9:]}}], [1.0, 2.0])
        headers = {"authorization": "Bear***6789", "x-auth-token": text}
        for turn in (
            make_turn(
                2 * number, request, conversation_id=f"c{number % 5}", client_events=events, request_headers=headers
            ),
            make_turn(2 * number + 1, {"messages": []}, conversation_id=f"c{number % 5}"),
        ):
            store.write(store.path_of(turn), [render(turn)])
    day = next(directory.glob("????-??-??"))
    (day / "c0.json.damaged-1").write_text(f"torn {texts[0]} torn")
    torn = day / "torn.json"
    torn.write_bytes((day / "c1.json").read_bytes()[:-30])
    store.close()
    return [*_TOKENS.values(), *(secret for _, secret in _NAMED.values())]


def test_a_scrub_takes_out_of_all_files_what_todays_rules_find(tmp_path: Path) -> None:
    secrets = _write_unclean(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.glob("*/*")}
    dry = scrub(tmp_path, dry_run=True)
    assert {path: path.read_bytes() for path in tmp_path.glob("*/*")} == before
    done = scrub(tmp_path)
    assert (done.files, done.turns, done.kinds) == (dry.files, dry.turns, dry.kinds)
    assert done.files == 7
    assert done.turns == len(secrets)
    assert done.refused == {}
    assert done.complete
    data = _everything(tmp_path)
    for secret in secrets:
        for part in (secret, secret[-12:], json.dumps(secret)[1:-1]):
            assert part.encode() not in data
    for path in tmp_path.glob("*/c?.json"):
        document = read_document(path)
        assert document["turns"][0]["request_headers"]["authorization"] == "Bear***6789"
        assert document["turns"][0]["otel"]["client_offsets_ms"] == [1.0, 2.0]
        assert document["turns"][1] == json.loads(before[path])["turns"][1]
    again = scrub(tmp_path)
    assert (again.files, again.turns, +again.kinds) == (0, 0, {})


def test_a_scrubbed_log_is_listed_and_goes_on(talk: Any, tmp_path: Path) -> None:
    talk("hello Alice")
    scrub(tmp_path, redactor=lambda _, text: text.replace("Alice", "[NAME]"))
    assert b"Alice" not in _everything(tmp_path)
    assert [found.first_user_text for found in list_conversations(tmp_path)] == ["hello [NAME] 0"]
    talk("hello Alice", 3)
    (path,) = tmp_path.glob("*/*.json")
    assert read_document(path)["turn_count"] == 5


@only_posix
def test_a_scrubbed_file_keeps_its_mode(talk: Any, tmp_path: Path) -> None:
    talk("hello Alice")
    (path,) = tmp_path.glob("*/*.json")
    path.chmod(0o640)
    scrub(tmp_path, redactor=lambda _, text: text.replace("Alice", ""))
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_scrub_beside_writers_loses_no_turn(talk: Any, tmp_path: Path) -> None:
    done = threading.Event()

    def scrub_on() -> None:
        while not done.is_set():
            scrub(tmp_path, redactor=lambda _, text: text.replace("secretive", "-"))

    thread = threading.Thread(target=scrub_on)
    thread.start()
    exporter = talk("secretive", 60, conversation_id="same")
    done.set()
    thread.join()
    assert exporter.turns_failed == 0
    (path,) = tmp_path.glob("*/*.json")
    assert read_document(path)["turn_count"] == 60


def test_a_scrub_says_which_names_hold_a_secret(tmp_path: Path) -> None:
    store = ConversationStore(tmp_path)
    turn = make_turn(1, {}, conversation_id=_TOKENS["github"])
    store.write(store.path_of(turn), [render(turn)])
    store.close()
    assert scrub(tmp_path).named == [store.path_of(turn)]


@pytest.mark.parametrize("target", ["conversation_id", "text", "caller"])
def test_a_conversation_is_forgotten_without_a_trace(target: str, talk: Any, tmp_path: Path) -> None:
    talk("something private by quokkas", 3, user="alice-the-first", conversation_id="quokka-chat")
    talk("something else", 2, user="bob", conversation_id="other-chat")
    (day,) = tmp_path.glob("????-??-??")
    for path in (day / "quokka-chat.json.damaged-1", day / ".quokka-chat.json.tmp"):
        path.write_bytes((day / "quokka-chat.json").read_bytes()[:500])
    (tmp_path / "2020-01-01").mkdir()
    (tmp_path / "2020-01-01" / "quokka-chat.json").write_bytes((day / "quokka-chat.json").read_bytes())
    what = Target(
        **{
            target: {"conversation_id": "quokka-chat", "text": "by quokkas", "caller": "header:x-user=alice-the-first"}[
                target
            ]
        }
    )
    assert verify(tmp_path, what)
    before = _everything(tmp_path)
    assert forget(tmp_path, what, dry_run=True).conversations == {"quokka-chat"}
    assert _everything(tmp_path) == before
    done = forget(tmp_path, what)
    assert (done.conversations, done.turns, done.complete) == ({"quokka-chat"}, 6, True)
    assert len(done.files) == 4
    assert verify(tmp_path, what) == []
    data = _everything(tmp_path)
    for word in (b"quokka", b"alice-the-first"):
        assert word not in data
    assert [found.conversation_id for found in list_conversations(tmp_path)] == ["other-chat"]
    assert read_document(day / "other-chat.json")["turn_count"] == 2


def test_a_caller_is_known_by_a_masked_header_and_by_the_body(talk: Any, tmp_path: Path) -> None:
    for user in ("alice", "bob", "carol"):
        talk(f"I am {user}", user=user, conversation_id=f"chat-of-{user}")
    done = forget(tmp_path, Target(caller="header:Authorization=Bearer alice-0123456789-0123456789"))
    assert done.conversations == {"chat-of-alice", "chat-of-bob", "chat-of-carol"}  # masked, they are alike
    talk("I am dan", user="dan", conversation_id="chat-of-dan")
    talk("I am eve", user="eve", conversation_id="chat-of-eve")
    assert forget(tmp_path, Target(caller="body:user=dan")).conversations == {"chat-of-dan"}


def test_a_turn_is_forgotten_and_the_dialogue_goes_on(talk: Any, tmp_path: Path) -> None:
    talk("one two", 3, conversation_id="kept-chat")
    (path,) = tmp_path.glob("*/*.json")
    first, second, third = read_document(path)["turns"]
    assert third["otel"]["continues"] == second["turn_id"]
    done = forget(tmp_path, Target(turn_id=second["turn_id"]))
    assert (done.turns, done.complete) == (1, True)
    assert verify(tmp_path, Target(turn_id=second["turn_id"])) == []
    document = read_document(path)
    assert document["turns"] == [first, {**third, "otel": {**third["otel"], "continues": None}}]
    forget(tmp_path, Target(turn_id=third["turn_id"]))
    document = read_document(path)
    assert document["updated_at"] == first["updated_at"]
    talk("one two", 1, conversation_id="kept-chat")
    assert read_document(path)["turn_count"] == 2
    for turn in read_document(path)["turns"]:
        forget(tmp_path, Target(turn_id=turn["turn_id"]))
    assert not path.exists()
    assert list_conversations(tmp_path) == []


def test_a_conversation_without_content_is_forgotten_by_the_id_that_its_client_gave(talk: Any, tmp_path: Path) -> None:
    talk("one", content="metadata", conversation_id="what-the-client-says")
    (path,) = tmp_path.glob("*/*.json")
    assert "what-the-client-says" not in path.name
    target = Target(conversation_id="what-the-client-says")
    assert verify(tmp_path, target)
    assert len(forget(tmp_path, target).conversations) == 1
    assert verify(tmp_path, target) == []


def test_what_is_forgotten_is_not_recognised_again(talk: Any, tmp_path: Path) -> None:
    talk("a dialogue of its own", 2)
    (path,) = tmp_path.glob("*/*.json")
    turns = read_document(path)["turns"]
    forget(tmp_path, Target(conversation_id=read_document(path)["conversation_id"]))
    talk("a dialogue of its own", 3)
    (path,) = tmp_path.glob("*/*.json")
    document = read_document(path)
    assert document["turn_count"] == 3
    assert document["turns"][0]["otel"]["continues"] is None
    assert turns[0]["turn_id"] not in path.read_text()


@pytest.mark.parametrize(
    "target", [{}, {"text": ""}, {"text": "a", "turn_id": "b"}, {"caller": "alice"}, {"caller": "header:x-user="}]
)
def test_what_would_match_all_or_nothing_is_refused(target: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        Target(**target)
