"""What the endpoint answers: real requests to a real process."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from collect_process import answer_of, body_of, collecting, recorded, turn_ids
from opentelemetry import trace

import otel_convlog

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_acknowledged_is_in_its_file_once(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    provider, memory = recorded()
    trace.set_tracer_provider(provider)
    for number in range(3):
        with otel_convlog.Turn(
            route="chat",
            client_model="m",
            backend="openai",
            stream=False,
            client_request={"session_id": "s", "messages": [{"role": "user", "content": f"question {number}"}]},
        ):
            pass
    body = body_of(memory.get_finished_spans())
    with collecting(tmp_path) as collector:
        for _ in range(2):
            assert not answer_of(collector.post(body)).partial_success.rejected_spans
            assert set(Counter(turn_ids(tmp_path)).values()) == {1}
            assert len(turn_ids(tmp_path)) == 3
        assert collector.stop() == 0
