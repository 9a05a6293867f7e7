"""A log in which every place of a turn holds what would do harm, in the shape of all four protocols."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from cli_helpers import write
from store_helpers import make_turn

from otel_convlog.record import StreamEvents
from otel_convlog.store import reindex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_convlog.record import IdentifiedTurn

_SVG = base64.b64encode(
    b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'
).decode()
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

PAYLOADS = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)><animate onbegin=alert(1) attributeName=x dur=1s>",
    "</textarea></title></style></script><script>alert(1)</script>",
    "[link](javascript:alert(1)) [link](JaVaScRiPt&#58;alert(1)) <javascript:alert(1)> [x](vbscript:x)",
    "[link](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](//evil.example/ 'title\" onmouseover=alert(1)')",
    "![picture](https://evil.example/beacon.png) ![x](//evil.example/b.png) ![x](/conversation/x)",
    f'![picture](data:image/svg+xml;base64,{_SVG}) ![x](data:image/png;base64,{_PIXEL} "onload=alert(1)")',
    "[ref]: javascript:alert(1)\n[ref] and [x][ref]",
    '```"><script>alert(1)</script>\n<script>alert(1)</script>\n```',
    "<style>*{display:none}</style><link rel=stylesheet href=//evil.example/x.css>",
    '<meta http-equiv=refresh content="0;url=//evil.example/"><base href="//evil.example/">',
    "<iframe srcdoc='<script>alert(1)</script>'></iframe><form action=//evil.example/><button>go",
    "{{ 7*7 }} {% raw %} ${7*7} #{7*7} <%= 7*7 %> {{ cycler.__init__.__globals__ }}",
    "<!-- --!> ]]> <![CDATA[ <?xml ?> <plaintext>",
    "\x1b[2J\x1b]0;owned\x07 \x9b31m \x00 \x7f \u202eesrever\u202c \u2066\u2069 \u200b \ufeff \u2028 \ufffe",
    "a\u0300\u0301\u0302\u0303" * 200,
    "| a | b |\n|---|---|\n| <script>alert(1)</script> | `x` |",
    "> " * 400 + "deep",
    "[" * 2_000 + "x" + "](y)" * 50,
    "*" * 3_000 + "x",
    "<details open ontoggle=alert(1)><summary>x",
    "../../../../etc/passwd%00 //evil.example \\\\evil\\share",
    "'; DROP TABLE turns; --",
)
POISON = "\n\n".join(PAYLOADS)


def make_hostile_log(directory: Path) -> list[str]:
    """Write the log; return the ids of its conversations."""
    turns: dict[str, list[IdentifiedTurn]] = {}
    for name, fields in _plain_turns().items():
        turns[f"poisoned-{name}"] = [
            _turn(number, f"poisoned-{name}", changed)
            for number, changed in enumerate((fields, _poisoned(fields), _poisoned(fields, keys=True), fields), 1)
        ]
        turns[f"malformed-{name}"] = [
            _turn(number, f"malformed-{name}", changed) for number, changed in enumerate(_malformed(fields), 1)
        ]
    turns["oversized"] = [_turn(number, "oversized", fields) for number, fields in enumerate(_oversized(), 1)]
    for some in turns.values():
        write(directory, *some)
    return [*turns, *_foreign_files(directory)]


def _turn(number: int, conversation_id: str, fields: dict[str, Any]) -> IdentifiedTurn:
    given = dict(fields)
    for side in ("upstream", "client"):
        events = given.pop(f"{side}_events", [])
        offsets = [10.0 * number for number in range(1, len(events) + 1)]
        given[f"{side}_events"] = StreamEvents(events, offsets)
    payload = given.pop("client_request", None)
    return make_turn(number, payload, conversation_id=conversation_id, **given)


def _plain_turns() -> dict[str, dict[str, Any]]:
    """A turn of each protocol with all that a page may show of one."""
    common: dict[str, Any] = {
        "request_headers": {"user-agent": "sdk/1", "x-thing": "yes", "authorization": "Bear***cret"},
        "metadata": {"tenant": "a", "tags": ["b", "c"]},
        "usage": {"input_tokens": 10, "output_tokens": 5, "details": {"cached": 3}},
        "error": {"type": "upstream_error", "message": "it broke", "status": 500},
        "target_url": "https://api.example/v1/x",
        "upstream_model": "model-upstream",
        "client_model": "model-client",
        "backend": "backend",
        "stream": True,
        "stream_summary": {"text": "all of it", "count": 3},
        "attributes": {"a": "b"},
        "trace": {
            "trace_id": "80a754f4ffbd952adc734b910d672fe7",
            "span_id": "716575ccbf697099",
            "attempts": [
                {"request": {"body": {"a": "b"}}, "response": {"c": "d"}, "error": "no", "url": "u", "status": 500}
            ],
            "lost": {"events": "some"},
            "source": "turn",
        },
    }
    image = f"data:image/png;base64,{_PIXEL}"
    tool = {
        "type": "function",
        "function": {"name": "look", "description": "it looks", "parameters": {"type": "object"}},
    }
    chat_request = {
        "model": "m",
        "tools": [tool],
        "messages": [
            {"role": "system", "content": "be brief"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": image}}],
            },
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "found"},
        ],
    }
    chat_answer = {
        "id": "r1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "so"}}],
    }
    chunk = {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "so"}}],
    }
    messages_request = {
        "model": "m",
        "system": [{"type": "text", "text": "be brief"}],
        "tools": [{"name": "look", "description": "it looks", "input_schema": {"type": "object"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PIXEL}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": 1}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "found"}]},
        ],
    }
    messages_answer = {"id": "r1", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "so"}]}
    messages_events = [
        {"type": "message_start", "data": {"type": "message_start", "message": {**messages_answer, "content": []}}},
        {
            "type": "content_block_start",
            "data": {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        },
        {
            "type": "content_block_delta",
            "data": {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "so"}},
        },
    ]
    responses_request = {
        "model": "m",
        "instructions": "be brief",
        "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}}],
        "input": [
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": image}],
            },
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"a": 1}'},
            {"type": "function_call_output", "call_id": "call_1", "output": "found"},
        ],
    }
    responses_answer = {
        "id": "resp_1",
        "object": "response",
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "so"}]}],
    }
    responses_events = [
        {
            "type": "response.output_text.delta",
            "data": {"type": "response.output_text.delta", "output_index": 0, "delta": "so"},
        },
        {"type": "response.completed", "data": {"type": "response.completed", "response": responses_answer}},
    ]
    gemini_request = {
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "tools": [{"functionDeclarations": [{"name": "look", "description": "it looks"}]}],
        "contents": [
            {"role": "user", "parts": [{"text": "see"}, {"inlineData": {"mimeType": "image/png", "data": _PIXEL}}]},
            {
                "role": "model",
                "parts": [{"text": "hm", "thought": True}, {"functionCall": {"name": "look", "args": {"a": 1}}}],
            },
            {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"found": "it"}}}]},
        ],
    }
    gemini_answer = {"candidates": [{"content": {"role": "model", "parts": [{"text": "so"}]}, "finishReason": "STOP"}]}
    protocols: dict[str, tuple[Any, Any, list[Any]]] = {
        "chat": (chat_request, chat_answer, [{"type": "openai_chunk", "data": chunk}]),
        "messages": (messages_request, messages_answer, messages_events),
        "responses": (responses_request, responses_answer, responses_events),
        "gemini": (gemini_request, gemini_answer, [{"type": "gemini_chunk", "data": gemini_answer}]),
    }
    return {
        name: {
            **common,
            "route": name,
            "client_request": request,
            "upstream_request": {"headers": common["request_headers"], "body": request},
            "upstream_response": answer,
            "client_response": answer,
            "upstream_events": events,
            "client_events": events,
        }
        for name, (request, answer, events) in protocols.items()
    }


# What tells a page how to show the rest: as it is, so that the rest is shown.
_SHAPES = frozenset({"type", "role", "object", "stream"})


def _poisoned(value: Any, *, keys: bool = False, name: str = "") -> Any:
    """Return a value with every text in it replaced; the names of its fields too where that is wanted."""
    if isinstance(value, dict):
        changed = {field: _poisoned(item, keys=keys, name=field) for field, item in value.items()}
        return changed | ({POISON: POISON, **{text[:60]: text for text in PAYLOADS}} if keys and name else {})
    if isinstance(value, list):
        return [_poisoned(item, keys=keys, name=name) for item in value] + (
            [POISON] if keys and name not in ("", "upstream_events") else []
        )
    if isinstance(value, str) and name not in _SHAPES:
        if value.startswith("data:image/png"):
            return f"data:image/svg+xml;base64,{_SVG}" if keys else f'{value}" onerror="alert(1)'
        return POISON
    return value


def _malformed(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield turns each of which has something of another type at one of its upper places."""
    wrong: tuple[Any, ...] = (None, "text", 7, [], {}, [None, 1, "x", [[]], {"role": 3, "content": {"type": []}}])
    for place in _places(fields, 4):
        for number, value in enumerate(wrong):
            if len(place) > 1 and number != (len(place) + len(str(place))) % len(wrong):
                continue  # one of them, or there would be thousands
            if len(place) == 1 and place[0] in ("upstream_events", "client_events", "trace", "attributes"):
                continue  # a record has lists and objects there; files may have anything: `_foreign_files`
            yield _with(fields, place, value)


def _places(value: Any, depth: int, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    if depth:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, item in items:
            if name != "stream":
                yield from _places(item, depth - 1, (*place, name))


def _with(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[place[0]] = _with(value[place[0]], place[1:], new)
    return changed


def _oversized() -> Iterator[dict[str, Any]]:
    def asked(content: Any) -> dict[str, Any]:
        return {"client_request": {"model": "m", "messages": [{"role": "user", "content": content}]}, "route": "chat"}

    deep: Any = "bottom"
    for _ in range(900):  # what a reader of JSON still takes
        deep = [deep]
    yield asked("x" * 50_000_000)
    yield asked("a line of text\n" * 200_000)
    yield asked("# heading\n\n- item **bold** `code` [x](http://a.example)\n" * 20_000)
    yield asked("<script>alert(1)</script>" * 40_000)
    yield asked([{"type": "text", "text": f"part {number}"} for number in range(50_000)])
    yield asked([{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9_000_000}}])
    yield asked(deep)
    yield {
        "client_request": {"messages": [{"role": "user", "content": str(number)} for number in range(20_000)]},
        "route": "chat",
    }
    yield {"client_request": {f"key {number}": number for number in range(100_000)}, "metadata": {"x": deep}}
    yield {
        **asked("hi"),
        "request_headers": {f"h{number}": "v" * 1_000 for number in range(5_000)},
        "client_model": "m" * 100_000,
    }
    chunk = {"choices": [{"index": 0, "delta": {"content": "y" * 1_000}}]}
    yield {**asked("hi"), "stream": True, "upstream_events": [{"type": "openai_chunk", "data": chunk}] * 20_000}
    yield {**asked("hi"), "error": "e" * 5_000_000, "usage": {f"u{number}": 1e308 for number in range(1_000)}}


def _foreign_files(directory: Path) -> list[str]:
    """Write files that no writer of ours has made; return the ids in them."""
    ids = [
        "<img src=x onerror=alert(1)>",
        "..",
        "a/b\\c",
        "\u202eesrever",
        "x" * 5_000,
        "%2e%2e%2f",
        "?q=1#x",
        "'\"&amp;",
    ]
    template = json.loads(next(directory.glob("*/poisoned-chat.json")).read_bytes())
    folder = directory / "2026-11-20"
    folder.mkdir()

    def write_document(number: int, conversation_id: str, turns: list[dict[str, Any]]) -> None:
        named = [{**turn, "conversation_id": conversation_id} for turn in turns]
        document = {**template, "conversation_id": conversation_id, "turns": named, "turn_count": len(named)}
        (folder / f"foreign-{number}.json").write_text(json.dumps(document, indent=2), "utf-8")

    for number, conversation_id in enumerate(ids):
        hostile_id = f"{POISON[:300]}{number}"
        others = {**template["turns"][1], "turn_id": f"turn_{number:024x}"}
        write_document(number, conversation_id, [{**template["turns"][0], "turn_id": hostile_id}, others])
    fields = [name for name in template["turns"][0] if name not in ("conversation_id", "turn_id")]
    wrong: tuple[Any, ...] = (None, POISON, -1.5, [POISON], {POISON: POISON})
    write_document(
        len(ids),
        "foreign-fields",
        [
            {**template["turns"][0], name: value, "turn_id": f"turn_f{5 * number + index:023x}"}
            for number, name in enumerate(fields)
            for index, value in enumerate(wrong)
        ],
    )
    reindex(directory)
    return [*ids, "foreign-fields"]
