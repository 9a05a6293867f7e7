"""The time to the first token is that of the first words, thoughts or call, not of what is sent before them."""

from __future__ import annotations

from typing import Any

import pytest

from otel_convlog.streams.first_token import first_token_ms

_CHAT: list[Any] = [
    {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"delta": {"content": "a"}}]},
]
_CALL: list[Any] = [{"choices": []}, {"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}]
_MESSAGES: list[Any] = [{"type": "message_start"}, {"type": "content_block_delta", "delta": {"text": "a"}}]
_RESPONSES: list[Any] = [{"type": "response.created"}, {"type": "response.output_text.delta", "delta": "a"}]
_GEMINI: list[Any] = [{"usageMetadata": {}}, {"candidates": [{"content": {"parts": [{"text": "a"}]}}]}]
_TEXT: list[Any] = [": ping\n\n", 'data: {"choices": [{"delta": {"content": "a"}}]}\n\n']


def _turn(side: str, events: list[Any]) -> Any:
    return {"stream_trace": {f"{side}_events": events}, "otel": {f"{side}_offsets_ms": [1.0, 2.0]}}


@pytest.mark.parametrize("side", ["client", "upstream"])
@pytest.mark.parametrize("events", [_CHAT, _CALL, _MESSAGES, _RESPONSES, _GEMINI, _TEXT])
def test_of_every_protocol(side: str, events: list[Any]) -> None:
    assert first_token_ms(_turn(side, events)) == 2.0


def test_of_an_unknown_protocol_the_first_event_counts() -> None:
    assert first_token_ms(_turn("client", ["a", "b"])) == 1.0


@pytest.mark.parametrize("turn", [{}, {"stream_trace": None, "otel": {}}, _turn("client", [])])
def test_what_was_not_streamed_has_none(turn: Any) -> None:
    assert first_token_ms(turn) is None
