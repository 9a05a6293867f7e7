"""What recording costs the proxy's own request, beside ``copy.deepcopy`` of the same data and ``orjson.dumps``, the
floor.

Run ``python tests/benchmarks/request_path.py``.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import orjson
from measure import medians_us
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from payloads import PAYLOADS, make_event, make_request

import otel_convlog

if TYPE_CHECKING:
    from collections.abc import Callable


def turn_with(payload: object) -> None:
    """Record a turn of which every leg is the payload: start, four attaches, finalize."""
    turn = otel_convlog.start_turn(
        route="chat", client_model="gpt-5", backend="openai", stream=False, client_request=payload
    )
    otel_convlog.attach_upstream_request(turn, payload, {"authorization": "Bearer sk-1234567890"})
    otel_convlog.attach_upstream_response(turn, payload)
    otel_convlog.attach_client_response(turn, payload)
    otel_convlog.set_stream_summary(turn, payload)
    otel_convlog.finalize_turn(turn, usage={"prompt_tokens": 5, "completion_tokens": 7})


def print_without_sdk() -> None:
    """Print the cost of all calls of a turn where nothing records."""
    payload = make_request(50_000)
    cost = medians_us({"turn": lambda: turn_with(payload)}, rounds=200, repeat=50)["turn"]
    print(f"no SDK: start + 4 attaches + finalize {cost:6.2f} µs")


def print_turns() -> None:
    """Print the cost of a turn whose five legs are the same payload.

    ``kept`` is the floor of anything that records: it keeps what it has encoded, as a recorder must, and so pays for
    fresh memory, which ``orjson.dumps`` alone, its result dropped at once, does not.
    """
    for kind, make in PAYLOADS.items():
        for size in (50_000, 300_000):
            payload = make(size)

            def drop(encode: Callable[[object], object], payload: object = payload) -> None:
                for _ in range(5):
                    encode(payload)

            def keep(payload: object = payload) -> list[bytes]:
                return [orjson.dumps(payload) for _ in range(5)]

            cost = medians_us(
                {
                    "turn": partial(turn_with, payload),
                    "floor": partial(drop, orjson.dumps),
                    "kept": keep,
                    "deepcopy": partial(drop, copy.deepcopy),
                },
                rounds=60,
            )
            allowed = 1.6 * cost["floor"] + 150
            print(
                f"{kind:>20}, {size // 1000:3d} KB x 5: turn {cost['turn']:5.0f} µs,"
                f" orjson.dumps {cost['floor']:5.0f} µs (kept {cost['kept']:5.0f} µs),"
                f" deepcopy {cost['deepcopy']:6.0f} µs;"
                f" turn / (1.6 orjson.dumps + 150 µs) = {cost['turn'] / allowed:.2f},"
                f" turn / kept = {cost['turn'] / cost['kept']:.2f},"
                f" deepcopy / turn = {cost['deepcopy'] / cost['turn']:.1f}"
            )


def print_events() -> None:
    """Print what an event costs in a stream of 1,000: appended, and with its share of starting and ending the turn."""
    event = make_event()
    count = 1_000

    def times(call: Callable[[object], object]) -> None:
        for _ in range(count):
            call(event)

    def stream() -> None:
        turn = otel_convlog.start_turn(
            route="chat", client_model="gpt-5", backend="openai", stream=True, client_request={}
        )
        times(lambda event: otel_convlog.append_upstream_event(turn, event))
        otel_convlog.finalize_turn(turn)

    appending = otel_convlog.Turn(route="chat", client_model="gpt-5", backend="openai", stream=True, client_request={})

    def append() -> None:
        appending._upstream_events.clear()
        times(lambda event: otel_convlog.append_upstream_event(appending, event))

    cost = medians_us(
        {
            "append": append,
            "stream": stream,
            "floor": partial(times, orjson.dumps),
            "deepcopy": partial(times, copy.deepcopy),
        },
        rounds=60,
    )
    each = {name: value / count for name, value in cost.items()}
    for name in ("append", "stream"):
        print(
            f"stream event ({name}): {each[name]:.2f} µs, orjson.dumps {each['floor']:.2f} µs, "
            f"deepcopy {each['deepcopy']:.2f} µs; event / orjson.dumps = {each[name] / each['floor']:.2f}, "
            f"deepcopy / event = {each['deepcopy'] / each[name]:.1f}"
        )


_IMPORT = """
import json, sys, time
import opentelemetry.sdk.trace.export
started = time.perf_counter()
import otel_convlog
print(json.dumps((time.perf_counter() - started) * 1000))
"""


def print_import() -> None:
    """Print what the import costs a process that has the OpenTelemetry SDK already."""
    costs = sorted(
        json.loads(subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, check=True).stdout)
        for _ in range(11)
    )
    print(f"import otel_convlog, beyond opentelemetry.sdk: {costs[5]:.1f} ms ({costs[0]:.1f} to {costs[-1]:.1f})")


if __name__ == "__main__":
    print_import()
    print_without_sdk()
    trace.set_tracer_provider(TracerProvider())
    print_turns()
    print_events()
