"""LiteLLM's proxy as it is, started by ``opentelemetry-instrument``: its turns are recorded with all their legs.

Slow, for it installs it; run with ``pytest -m live``.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
from captured_servers import INSTRUMENTED, turns_in
from environments import environment_with, variables_without_otel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

_KEY = "sk-master-0123456789"
_START_S = 120.0
_MESSAGES: Any = [{"role": "user", "content": "hello, 你好"}]


@contextmanager
def gateway(python: Path, upstream: str, directory: Path) -> Iterator[str]:
    """Run LiteLLM's proxy before the offline upstream."""
    models = [
        {"model_name": "fast", "litellm_params": {"model": "openai/gpt-5-mini", "api_base": f"{upstream}/v1"}},
        {"model_name": "claude", "litellm_params": {"model": "anthropic/claude-sonnet-4-5", "api_base": upstream}},
    ]
    for model in models:
        model["litellm_params"]["api_key"] = "sk-upstream-0123456789"  # type: ignore[index]  # a dict
    config = directory / "config.yaml"  # JSON is YAML
    config.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": _KEY}}))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [python.with_name("opentelemetry-instrument"), python.with_name("litellm")]
    arguments = ["-c", str(config), "--host", "127.0.0.1", "--port", str(port)]
    variables = {**INSTRUMENTED, "OTEL_EXPORTER_CONVLOG_DIRECTORY": str(directory / "log")}
    with subprocess.Popen(
        [*map(str, command), *arguments],
        env={**variables_without_otel(), **variables},
        cwd=directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            deadline = time.monotonic() + _START_S
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def test_an_unmodified_gateway_is_recorded_on_all_four_legs(upstream: str, wheel: Path, tmp_path: Path) -> None:
    python = environment_with(tmp_path / "venv", [str(wheel), "litellm[proxy]", "opentelemetry-distro"])
    with gateway(python, upstream, tmp_path) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=_KEY, max_retries=0)
        claude = anthropic.Anthropic(base_url=url, api_key=_KEY, max_retries=0)
        texts = [client.chat.completions.create(model="fast", messages=_MESSAGES).choices[0].message.content]
        chunks = client.chat.completions.create(model="fast", messages=_MESSAGES, stream=True)
        texts.append("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))
        texts.append(client.responses.create(model="fast", input="hello").output_text)
        answer = claude.messages.create(model="claude", max_tokens=9, messages=_MESSAGES)
        texts.append("".join(block.text for block in answer.content if block.type == "text"))
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="of nobody", messages=_MESSAGES)
    *answered, refused = turns_in(tmp_path / "log")
    assert [turn["route"] for turn in answered] == ["chat", "chat", "responses", "messages"]
    for turn, text in zip(answered, texts, strict=True):
        assert turn["error"] is None
        assert turn["target_url"].startswith(upstream)
        assert turn["client_model"] != turn["upstream_model"] == turn["upstream_request"]["body"]["model"]
        assert turn["usage"]
        assert json.dumps(text, ensure_ascii=False)[1:-1] in json.dumps(turn["client_response"], ensure_ascii=False)
        assert turn["upstream_response"] or turn["stream_trace"]["upstream_events"]
        assert _KEY not in json.dumps(turn)
        assert "sk-upstream-0123456789" not in json.dumps(turn)
    assert refused["error"]["status_code"] == 400
    assert refused["upstream_request"] is None
