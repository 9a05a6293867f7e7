"""What reading a span of an instrumentation costs, beside decoding its content alone.

Run ``python tests/benchmarks/sources.py``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from opentelemetry.sdk.trace import TracerProvider

from otel_convlog import readers
from otel_convlog.readers.call_record import record_of

sys.path.insert(0, str(Path(__file__).parents[1]))

from measure import medians_us
from recorded_spans import SPANS, load

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_ROUNDS = 200
_CONTENT = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions")
_VALUES = ("input.value", "output.value")


def finished(attributes: dict[str, Any]) -> ReadableSpan:
    span = TracerProvider().get_tracer("a benchmark").start_span("chat m", attributes=attributes)
    span.end()
    return span._readable_span()  # type: ignore[attr-defined, no-any-return]  # what the SDK hands to processors


def dialogue(messages: int, size: int) -> list[tuple[str, str]]:
    words = "the request was sent upstream and came back with an error, because "
    return [
        (("user", "assistant")[number % 2], (f"{number} " + words * (size // len(words) + 1))[:size])
        for number in range(messages)
    ]


def of_gen_ai(said: list[tuple[str, str]]) -> ReadableSpan:
    messages = [{"role": role, "parts": [{"type": "text", "content": text}]} for role, text in said]
    return finished(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "m",
            "gen_ai.response.id": "chatcmpl-1",
            "gen_ai.usage.input_tokens": 20,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.input.messages": json.dumps(messages[:-1]),
            "gen_ai.output.messages": json.dumps(messages[-1:]),
        }
    )


def of_openinference(said: list[tuple[str, str]]) -> ReadableSpan:
    messages = [{"role": role, "content": text} for role, text in said]
    answer = {"id": "chatcmpl-1", "model": "m", "choices": [{"index": 0, "message": messages[-1]}]}
    return finished(
        {
            "openinference.span.kind": "LLM",
            "llm.system": "openai",
            "input.value": json.dumps({"model": "m", "messages": messages[:-1]}),
            "input.mime_type": "application/json",
            "output.value": json.dumps(answer),
            "output.mime_type": "application/json",
        }
    )


def of_litellm(said: list[tuple[str, str]]) -> ReadableSpan:
    messages = [{"role": role, "content": text} for role, text in said]
    span = finished({"llm.openai.messages": str(messages), "llm.openai.id": "chatcmpl-1"})
    span._name = "raw_gen_ai_request"
    return span


def measure(name: str, span: ReadableSpan) -> None:
    attributes = span.attributes or {}
    texts = [text for key in (*_CONTENT, *_VALUES) if isinstance(text := attributes.get(key), str)]
    found = medians_us(
        {"decode": lambda: [orjson.loads(text) for text in texts], "read": lambda: _read(span)}, _ROUNDS, 5
    )
    size = sum(map(len, texts))
    ratio = found["read"] / found["decode"]
    print(f"{name:44} {size:8,} {found['decode']:10.1f} {found['read']:10.1f} {ratio:8.2f}")


def _read(span: ReadableSpan) -> object:
    call = readers.read_call(span)
    return record_of([call]) if call is not None else None


def main() -> None:
    print(f"{'span':44} {'bytes':>8} {'decode, µs':>10} {'read, µs':>10} {'ratio':>8}")
    for messages, size in ((150, 2_000), (400, 200), (20, 500), (3, 100)):
        said = dialogue(messages, size)
        measure(f"gen_ai, {messages} messages of {size:,} bytes", of_gen_ai(said))
        measure(f"openinference, {messages} messages of {size:,} bytes", of_openinference(said))
    for family in ("genai", "traceloop", "openinference"):
        measure(f"{family}, recorded chat", load(SPANS / family / "chat.jsonl")[-1])
    raw = of_litellm(dialogue(150, 2_000))
    cost = medians_us({"raw": lambda: _read(raw)}, 20, 1)["raw"]
    print(f"a raw request of LiteLLM's, 150 messages of 2,000 bytes: {cost / 1000:.1f} ms")
    foreign = finished({f"http.attribute.{number}": number for number in range(15)})
    cost = medians_us({"foreign": lambda: readers.is_call(foreign)}, _ROUNDS, 100)["foreign"]
    print(f"to see that a span with 15 attributes is none of a call: {cost:.2f} µs")


if __name__ == "__main__":
    main()
