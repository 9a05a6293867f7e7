"""No secret of a known format reaches a byte of the directory, wherever in a turn it stands."""

from __future__ import annotations

import json
import logging
import os
import random
from pathlib import Path
from time import thread_time_ns
from typing import Any

import pytest
from conversation_log import Log, read_document
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_secrets import make_named, make_tokens

import otel_convlog
from otel_convlog.jsontext import to_indented_json, to_json
from otel_convlog.redaction.found import replaced
from otel_convlog.redaction.streams import Edit, clean_events, edited
from otel_convlog.redaction.texts import find_secrets, may_hold_secret

_TOKENS = make_tokens()
_NAMED = make_named()
_START: dict[str, Any] = {"route": "chat", "client_model": "m", "backend": "b", "stream": True}


def _clean(text: str) -> str:
    return replaced(text, find_secrets(text))


def _raw_parts(secret: str) -> list[str]:
    """Return what of a secret must stand nowhere: any 12 of its characters that are not its fixed beginning."""
    return [secret[at : at + 12] for at in range(len(secret) - 12, max(len(secret) - 40, 11), -4)] + [secret]


def assert_nowhere(directory: Path, secret: str) -> None:
    for path in sorted(directory.rglob("*")):
        data = path.name.encode() + (path.read_bytes() if path.is_file() else b"")
        for part in _raw_parts(secret):
            for form in {part, json.dumps(part)[1:-1], json.dumps(json.dumps(part))[3:-3]}:
                assert form.encode() not in data, (path.name, part)


@pytest.mark.parametrize("name", _TOKENS)
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "it is {}, you see",
        "key={}",
        '"{}"',
        "({})",
        "see\n{}\nthere",
        "密钥{}。",
        "<{}>",
        "`{}`",
        "{}.",
        "a\\n{}\\tb",
    ],
)
def test_a_key_is_taken_out_of_any_text(name: str, around: str) -> None:
    secret = _TOKENS[name]
    text = around.format(secret)
    clean = _clean(text)
    assert not [part for part in _raw_parts(secret) if part in clean]
    assert "[REDACTED:" in clean
    assert _clean(clean) == clean


@pytest.mark.parametrize("name", _NAMED)
def test_what_a_name_tells_of_is_taken_out(name: str) -> None:
    text, secret = _NAMED[name]
    clean = _clean(text)
    assert secret not in clean
    assert clean.startswith(text[:4])
    assert _clean(clean) == clean


@pytest.mark.parametrize("seed", range(20))
def test_other_secrets_of_the_same_formats_are_found(seed: int) -> None:
    source = random.Random(seed)
    named = make_named(seed)
    texts = [(secret, secret) for secret in make_tokens(seed).values()] + list(named.values())
    for text, secret in texts:
        for around in (text, f"see {text} there", json.dumps({"a": f"line\n{text}\n"})):
            clean = _clean(around)
            assert not [part for part in _raw_parts(secret) if part in clean], around
            assert may_hold_secret(to_indented_json({"q": [around]}))
        cut = source.randrange(1, len(text))
        events: list[Any] = [_openai_chunk(piece) for piece in ("see ", text[:cut], text[cut:], " there")]
        assert secret not in _texts(clean_events(events, _changes))


@pytest.mark.parametrize("levels", range(4))
@pytest.mark.parametrize("name", [*_TOKENS, *_NAMED])
def test_a_secret_is_found_in_json_in_json(name: str, levels: int) -> None:
    text, secret = _NAMED[name] if name in _NAMED else (f'see:\n{_TOKENS[name]}\n"quoted"', _TOKENS[name])
    for _ in range(levels):
        text = json.dumps({"arguments": text})
    assert may_hold_secret(to_indented_json({"a": [text]}))
    clean = _clean(text)
    assert not [part for part in _raw_parts(secret) if part in clean]
    for _ in range(levels):
        clean = json.loads(clean)["arguments"]  # what stood around it is still JSON


@given(st.lists(st.text(max_size=40), max_size=6), st.sampled_from(sorted(_TOKENS)), st.integers(0, 3))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_what_is_found_in_a_string_is_suspicious_in_a_turn(around: list[str], name: str, levels: int) -> None:
    text = " ".join([*around, _TOKENS[name], *around])
    for _ in range(levels):
        text = json.dumps(text)
    if find_secrets(text):
        assert may_hold_secret(to_indented_json({"turns": [{text: text, "x": around}]}))


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_text_can_be_looked_at(text: str) -> None:
    clean = _clean(text)
    assert _clean(clean) == clean
    assert find_secrets(text) == [] or may_hold_secret(to_json(text))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "sk-",
            "://",
            "password=",
            '"secret": "',
            "Bearer ",
            "eyJ",
            "-----BEGIN PRIVATE KEY-----",
            "@",
            "?key=",
            "\\n",
        ),
        *(
            "AKIA",
            "a",
            "a.",
            "https://a:",
            "api_key: ",
            "sk-a1",
            "xoxb-1-",
            "%3f",
            "?a=%3fa%3d",
            "-",
            "hooks.slack.com/",
        ),
        *("[REDACTED:", "Cookie: a=", "secret access key ", "data:a;base64,", "M" * 24 + ".", "7:AA"),
    ],
)
def test_no_text_takes_long(text: str) -> None:
    """Four times the text takes four times the work; it would take 16, were it not in proportion."""
    short, long = (min(_work_ns(text * (5_000 * size // len(text))) for _ in range(3)) for size in (1, 4))
    assert long < 12 * short + 50_000_000


def _work_ns(text: str) -> int:
    """Return the processor's time, which other programs do not change."""
    started = thread_time_ns()
    find_secrets(text)
    return thread_time_ns() - started


_PLACES = (
    *("request_headers", "target_url", "client_request", "metadata", "upstream_request", "upstream_headers"),
    *("upstream_response", "client_response", "summary", "error", "usage", "key", "events", "id", "model", "exception"),
)


def _turn_with(text: str, place: str) -> None:
    body = {"messages": [{"role": "user", "content": text}], "tools": [{"f": {"arguments": json.dumps({"a": text})}}]}
    at: dict[str, Any] = {place: text}
    with otel_convlog.Turn(
        **{**_START, "client_model": at.get("model", "m")},
        request_headers={"x-note": at["request_headers"]} if "request_headers" in at else {},
        target_url=at.get("target_url", ""),
        client_request={
            **(body if place == "client_request" else {}),
            **({"session_id": text} if place == "id" else {}),
        },
        metadata={"note": [at["metadata"]]} if "metadata" in at else None,
    ) as turn:
        headers = {"x-note": text} if place == "upstream_headers" else {}
        turn.attach_upstream_request(body if place == "upstream_request" else {}, headers)
        turn.attach_upstream_response({"choices": [{"message": {"content": at.get("upstream_response")}}]})
        turn.attach_client_response({text: {text: 1}} if place == "key" else {"output": at.get("client_response")})
        for event in {"delta": {"text": at.get("events")}}, at.get("events", ""):
            turn.append_upstream_event(event)
            turn.append_client_event(event)
        turn.set_stream_summary({"text": at.get("summary", "")})
        if place == "error":
            turn.attach_error({"type": "E", "message": text, "stack": f"Traceback\n  File x\nE: {text}"})
        if place == "exception":
            turn.span.record_exception(RuntimeError(text))
        turn.finalize(usage={"note": text} if place == "usage" else None)


@pytest.mark.parametrize("place", _PLACES)
def test_no_secret_reaches_the_directory_or_the_log(place: str, log: Log, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for secret in _TOKENS.values():
        _turn_with(secret, place)
    for text, _ in _NAMED.values():
        _turn_with(text, place)
    assert log.exporter.turns_written == len(_TOKENS) + len(_NAMED)
    assert log.exporter.turns_failed == 0
    for path in log.files():
        read_document(path)
    for secret in [*_TOKENS.values(), *(secret for _, secret in _NAMED.values())]:
        assert_nowhere(log.directory, secret)
        assert secret not in caplog.text
        assert secret not in str([record.__dict__ for record in caplog.records])


def _openai_chunk(piece: str) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": {"content": piece}}]}


def _openai_call(piece: str) -> dict[str, Any]:
    call = {"index": 0, "function": {"arguments": piece}}
    return {"type": "openai_chunk", "data": {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}}


_SHAPES: dict[str, Any] = {
    "chat": _openai_chunk,
    "chat, reasoning": lambda p: {"choices": [{"index": 0, "delta": {"reasoning_content": p}}]},
    "chat, arguments": _openai_call,
    "responses": lambda p: {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": p},
    "responses, arguments": lambda p: {"type": "response.function_call_arguments.delta", "item_id": "i", "delta": p},
    "messages": lambda p: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": p}},
    "messages, thinking": lambda p: {"type": "content_block_delta", "index": 1, "delta": {"thinking": p}},
    "messages, arguments": lambda p: {"type": "content_block_delta", "index": 2, "delta": {"partial_json": p}},
    "gemini": lambda p: {"candidates": [{"content": {"parts": [{"text": p}], "role": "model"}}]},
    "own": lambda p: {"type": "token", "text": p},
    "lines": lambda p: f"data: {json.dumps(_openai_chunk(p))}\n\n",
    "lines of bytes": lambda p: f"data: {json.dumps(_openai_chunk(p))}\n\n".encode(),
    "JSON as text": lambda p: json.dumps(_openai_chunk(p)),
    "data as text": lambda p: {"event": "delta", "data": json.dumps(_openai_chunk(p))},
    "text": lambda p: p,
}


def _texts(events: list[Any]) -> str:
    """Return all texts of events in order, those within texts too, so that a secret in pieces would be whole."""
    found = ""
    for event in events:
        if isinstance(event, dict):
            found += _texts(
                [value for key, value in event.items() if key not in ("type", "id", "item_id", "role", "event")]
            )
        elif isinstance(event, list):
            found += _texts(event)
        elif isinstance(event, str):
            line = event.removeprefix("b'").removeprefix("data: ").split("\n")[0].removesuffix("\\n\\n'")
            try:
                value = json.loads(line)
            except ValueError:
                found += event
            else:
                found += _texts([value]) if isinstance(value, (dict, list)) else event
    return found


@pytest.mark.parametrize("shape", _SHAPES)
def test_a_secret_in_two_events_is_taken_out_wherever_it_is_cut(shape: str, tmp_path: Path) -> None:  # noqa: ARG001
    for secret in [_TOKENS[name] for name in ("github", "anthropic", "aws id", "jwt", "rsa key")]:
        for cut in range(1, len(secret)):
            pieces = ["see ", secret[:cut], secret[cut:], " there"]
            events = json.loads(to_json([_SHAPES[shape](piece) for piece in pieces]))
            cleaned = clean_events(events, _changes)
            assert len(cleaned) == len(events)
            text = _texts(cleaned)
            assert secret not in text, cut
            assert not [part for part in _raw_parts(secret) if part in text], cut
            assert "see " in text
            assert " there" in text


def _changes(text: str) -> list[Edit]:
    return [Edit(one.start, one.end, f"[REDACTED:{one.kind}]") for one in find_secrets(text)]


def test_a_secret_in_many_pieces_of_a_raw_stream_is_taken_out() -> None:
    source = random.Random(3)
    secret = _TOKENS["openai project"]
    for _ in range(40):
        said = [secret[at : at + 3] for at in range(0, len(secret), 3)]
        raw = (
            "".join(f"data: {json.dumps(_openai_chunk(piece))}\n\n" for piece in ["see ", *said, " there"])
            + "data: [DONE]\n\n"
        )
        cuts = sorted(source.sample(range(len(raw)), 12))
        pieces = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
        cleaned = clean_events(list(pieces), _changes)
        whole = "".join(str(piece) for piece in cleaned)
        chunks = [json.loads(line[6:]) for line in whole.splitlines() if line.startswith("data: {")]
        text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)
        assert text == "see [REDACTED:openai-key] there"
        assert len(cleaned) == len(pieces)


def test_a_secret_before_the_events_that_are_left_out_leaves_no_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    del tmp_path
    monkeypatch.setenv("OTEL_EXPORTER_CONVLOG_STREAM_EVENTS", "2")
    log: Log = request.getfixturevalue("log")
    secret = _TOKENS["anthropic"]
    turn = otel_convlog.start_turn(**_START, client_request={})
    for piece in ("a", secret[:40], secret[40:60], secret[60:], "b", "c"):
        otel_convlog.append_client_event(turn, _openai_chunk(piece))
    otel_convlog.finalize_turn(turn)
    (written,) = log.document()["turns"]
    assert written["otel"]["client_events_left_out"] == 2
    assert "[REDACTED:anthropic-key]" in json.dumps(written["stream_trace"]["client_events"])
    for part in (secret[:30], secret[40:60], secret[60:75], secret[-12:]):
        assert part not in json.dumps(written)


@given(st.lists(st.text(max_size=8), max_size=8), st.lists(st.integers(0, 60), max_size=6))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_pieces_after_a_change_are_the_changed_whole_in_as_many_pieces(texts: list[str], bounds: list[int]) -> None:
    whole = "".join(texts)
    at = sorted({min(bound, len(whole)) for bound in bounds})
    edits = [Edit(start, end, "*") for start, end in zip(at[::2], at[1::2], strict=False)]
    expected, end = "", 0
    for edit in edits:
        expected, end = expected + whole[end : edit.start] + "*", edit.end
    pieces = edited(texts, edits)
    assert "".join(pieces) == expected + whole[end:]
    assert len(pieces) == len(texts)


def test_a_redacted_turn_says_what_was_taken_out(log: Log) -> None:
    secret = _TOKENS["github"]
    otel_convlog.finalize_turn(
        otel_convlog.start_turn(
            **_START, client_request={"messages": [{"role": "user", "content": f"use {secret} and {secret}"}]}
        )
    )
    (turn,) = log.document()["turns"]
    assert turn["client_request"]["messages"][0]["content"] == "use [REDACTED:github-token] and [REDACTED:github-token]"
    assert turn["otel"]["redacted"] == {"github-token": 2}


def test_a_turn_without_secrets_says_nothing_of_them(log: Log) -> None:
    otel_convlog.finalize_turn(otel_convlog.start_turn(**_START, client_request={"messages": []}))
    (turn,) = log.document()["turns"]
    assert not {"redacted", "redaction_failed"} & set(turn["otel"])


def test_an_image_stays_as_it_is(log: Log) -> None:
    source = random.Random(1)
    data = "".join(source.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=200_000))
    secret = _TOKENS["google api"]
    url = f"data:image/png;base64,{data}/{secret}"
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": _TOKENS["github"]}]
    request = {"messages": [{"role": "user", "content": content}]}
    otel_convlog.finalize_turn(otel_convlog.start_turn(**_START, client_request=request))
    (turn,) = log.document()["turns"]
    assert turn["client_request"]["messages"][0]["content"] == [
        content[0],
        {"type": "text", "text": "[REDACTED:github-token]"},
    ]


def test_the_dialogue_of_a_secret_stays_one_conversation(log: Log) -> None:
    history: list[dict[str, Any]] = []
    for number in range(3):
        history.append({"role": "user", "content": f"{number}: my key is {_TOKENS['github']}"})
        turn = otel_convlog.start_turn(**_START, client_request={"messages": history})
        answer = {"role": "assistant", "content": f"noted {number} {_TOKENS['github']}"}
        otel_convlog.attach_client_response(turn, {"choices": [{"message": answer}]})
        otel_convlog.finalize_turn(turn)
        history.append(answer)
    assert log.document()["turn_count"] == 3


class _Unlucky:
    def __init__(self, secret: str) -> None:
        self._secret = secret

    def get(self, *_: Any) -> None:
        raise ValueError(f"no such key: {self._secret}")

    __bool__ = __len__ = __iter__ = keys = items = get


@pytest.mark.parametrize("name", ["otel_convlog.turn", "otel_convlog.exporter", "otel_convlog.identity.identifier"])
def test_no_secret_stands_in_a_log_message_or_traceback(name: str, log: Log, caplog: pytest.LogCaptureFixture) -> None:
    secret = _TOKENS["openai of 48"]
    assert log.exporter.turns_written == 0
    try:
        _Unlucky(secret).get()
    except ValueError:
        logging.getLogger(name).exception("a message with %s", secret)
    (record,) = caplog.records
    assert secret not in caplog.text + str(record.__dict__)
    assert "a message with [REDACTED:api-key]" in caplog.text
    assert "ValueError: no such key: [REDACTED:api-key]" in caplog.text
    assert "in get" in caplog.text


def test_a_log_message_without_secrets_stays_as_it_is(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    assert log.exporter.turns_written == 0
    try:
        _Unlucky("nothing").get()
    except ValueError:
        logging.getLogger("otel_convlog.exporter").exception("failed for %s", "this")
    (record,) = caplog.records
    assert (record.msg, record.args) == ("failed for %s", ("this",))
    assert record.exc_info is not None


def test_ordinary_text_and_code_stays_as_it_is() -> None:
    """Fewer than one line in 10,000 of the standard library and its tests, which have made-up passwords in them."""
    folder = Path(os.__file__).parent
    lines = touched = 0
    for path in sorted(folder.rglob("*.py")):
        if "site-packages" in path.parts:
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        before, after = text.splitlines(), _clean(text).splitlines()
        assert len(before) == len(after), path
        lines += len(before)
        touched += sum(a != b for a, b in zip(before, after, strict=True))
    assert lines > 100_000
    assert touched * 10_000 < lines, (touched, lines)
