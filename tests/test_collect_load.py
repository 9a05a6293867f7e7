"""The endpoint under many senders at once, hostile ones among them, and killed in the middle."""

from __future__ import annotations

import gzip
import random
import signal
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import requests
from collect_process import PROTOBUF, Collecting, answer_of, collecting, ids_in, turn_ids, turns_request

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

pytestmark = [
    pytest.mark.crash,
    pytest.mark.skipif(sys.platform != "linux", reason="the system says there how much memory was used"),
]

_SENDERS = 200
_REQUESTS = 8  # of each
_MOST_BODY_BYTES = 64 << 20
_MOST_MEMORY_BYTES = 1 << 30  # as much as its queue may hold, four times


class _Endpoint:
    """Where the collector is now."""

    def __init__(self) -> None:
        self.collector: Collecting | None = None

    def post(self, body: bytes, headers: dict[str, str]) -> requests.Response | None:
        """Return its answer; None where there was none."""
        collector = self.collector
        if collector is None:
            time.sleep(0.1)
            return None
        try:
            return collector.post(body, {**PROTOBUF, **headers})
        except requests.RequestException:
            time.sleep(0.1)
            return None


class _Sender(threading.Thread):
    """Sends turns as an SDK does, some of them twice, until each is acknowledged."""

    def __init__(self, number: int, endpoint: _Endpoint) -> None:
        super().__init__(daemon=True)
        self._random = random.Random(number)
        self._endpoint = endpoint
        self.acknowledged: list[str] = []
        self.dropped: list[int] = []
        self.tries = 0

    def run(self) -> None:
        for _ in range(_REQUESTS):
            request = turns_request([f"c{self._random.randrange(100)}" for _ in range(3)], size_bytes=2_000)
            for _ in range(self._random.choice((1, 1, 2))):
                self._deliver(request)

    def _deliver(self, request: ExportTraceServiceRequest) -> None:
        body, packed = request.SerializeToString(), self._random.random() < 0.5
        headers = {"content-encoding": "gzip"} if packed else {}
        while True:
            self.tries += 1
            answer = self._endpoint.post(gzip.compress(body) if packed else body, headers)
            if answer is None or answer.status_code == 503:
                continue
            if answer.ok and not answer_of(answer).partial_success.rejected_spans:
                self.acknowledged += ids_in(request)
            else:
                self.dropped.append(answer.status_code)
            return


class _Nuisance(threading.Thread):
    """Sends what is no request: garbage, 50 MB of nothing, what unpacks without end; all of it is refused."""

    def __init__(self, endpoint: _Endpoint, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._endpoint = endpoint
        self._stop_event = stop
        self.answers: Counter[int] = Counter()

    def run(self) -> None:
        source = random.Random(5)
        bomb = gzip.compress(bytes(_MOST_BODY_BYTES * 4))
        bodies = [
            (source.randbytes(50_000_000), {}),
            (source.randbytes(1000), {}),
            (bomb, {"content-encoding": "gzip"}),
        ]
        while not self._stop_event.is_set():
            for body, headers in bodies:
                if (answer := self._endpoint.post(body, headers)) is not None:
                    self.answers[answer.status_code] += 1
            time.sleep(0.5)


def test_nothing_acknowledged_is_lost_and_nothing_is_twice(tmp_path: Path) -> None:
    endpoint, stop = _Endpoint(), threading.Event()
    senders = [_Sender(number, endpoint) for number in range(_SENDERS)]
    nuisance = _Nuisance(endpoint, stop)
    for thread in (*senders, nuisance):
        thread.start()
    memory: list[int] = []
    for ending in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        with collecting(tmp_path, "--max-body-bytes", str(_MOST_BODY_BYTES)) as collector:
            endpoint.collector = collector
            before = sum(len(sender.acknowledged) for sender in senders)
            deadline = time.monotonic() + 120
            while sum(len(sender.acknowledged) for sender in senders) < before + 500 and time.monotonic() < deadline:
                time.sleep(0.05)
            memory.append(collector.most_memory_bytes())
            collector.stop(ending)
            endpoint.collector = None
    with collecting(tmp_path, "--max-body-bytes", str(_MOST_BODY_BYTES)) as collector:
        endpoint.collector = collector
        for sender in senders:
            sender.join(300)
            assert not sender.is_alive()
        while not nuisance.answers:
            time.sleep(0.1)
        stop.set()
        nuisance.join(120)
        memory.append(collector.most_memory_bytes())
        assert collector.stop() == 0
    written = Counter(turn_ids(tmp_path))
    acknowledged = {turn for sender in senders for turn in sender.acknowledged}
    assert not [sender.dropped for sender in senders if sender.dropped]
    assert len(acknowledged) == _SENDERS * _REQUESTS * 3
    assert acknowledged == set(written)
    assert set(written.values()) == {1}
    assert set(nuisance.answers) <= {400, 413, 503}
    assert max(memory) < _MOST_MEMORY_BYTES
    print(  # noqa: T201  how often it mattered
        f"{sum(sender.tries for sender in senders)} requests for {len(acknowledged)} turns;"
        f" refused {dict(nuisance.answers)}; {max(memory) >> 20} MB"
    )
