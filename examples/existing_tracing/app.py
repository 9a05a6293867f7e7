"""A chat application that knows nothing of otel_convlog; its conversations are logged all the same.

What it needs is installed beside it, and switched on by variables (docs/sources.md)::

    pip install otel-convlog opentelemetry-distro opentelemetry-instrumentation-genai-openai openai
    export OTEL_TRACES_EXPORTER=convlog OTEL_METRICS_EXPORTER=none OTEL_LOGS_EXPORTER=none
    export OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only
    opentelemetry-instrument python app.py "What is a span?" "And a trace?"

`OPENAI_API_KEY` and, for another server than OpenAI's, `OPENAI_BASE_URL` are the client library's own variables.
"""

from __future__ import annotations

import os
import sys

import openai
from openai.types.chat import ChatCompletionMessageParam

MODEL = os.environ.get("MODEL", "gpt-5-mini")


def main(questions: list[str]) -> None:
    """Ask the questions in one dialogue, and print the answers as they come."""
    client = openai.OpenAI()
    messages: list[ChatCompletionMessageParam] = [{"role": "system", "content": "You are terse."}]
    for question in questions:
        print(f"> {question}")
        messages.append({"role": "user", "content": question})
        answer = ""
        for chunk in client.chat.completions.create(model=MODEL, messages=messages, stream=True):
            piece = (chunk.choices[0].delta.content or "") if chunk.choices else ""
            print(piece, end="", flush=True)
            answer += piece
        print()
        messages.append({"role": "assistant", "content": answer})


if __name__ == "__main__":
    main(sys.argv[1:] or ["What is a span?", "And a trace?", "Thank you."])
