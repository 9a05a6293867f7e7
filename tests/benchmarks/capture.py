"""What the capture costs a proxy: its throughput and the time to the first byte, with everything on and everything off.

One run, in turn: the same proxy (``examples/proxy/captured.py``) with the middleware, the hook and the log, and without
any of them, before the same upstream. Where that answers at once, nothing but the proxy is slow, and its process is
busy all the time: that is the worst case. Where it answers at a model's pace, a hundred events a second, the proxy
waits as proxies do. Run it: ``python tests/benchmarks/capture.py``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

_ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(_ROOT))

from examples.asgi import serve  # noqa: E402  after its place is known
from examples.proxy.captured import create_app  # noqa: E402  as above
from examples.serving import ProxyOptions  # noqa: E402  as above

_PACE_S = 0.01
_ROUNDS = 7
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n%s\r\n\r\n"
_TEXT = [f" word{number}" for number in range(100)]


def _chunk(delta: dict[str, Any], **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None, **more.pop("choice", {})}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**head, "choices": [choice], **more}).encode() + b"\n\n"


_USAGE = {"prompt_tokens": 5, "completion_tokens": 100, "total_tokens": 105}
_CHUNKS = [
    *(_chunk({"content": text}) for text in _TEXT),
    _chunk({}, choice={"finish_reason": "stop"}, usage=_USAGE),
    b"data: [DONE]\n\n",
]
_MESSAGE = {"role": "assistant", "content": "".join(_TEXT)}
_PLAIN = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": _MESSAGE}],
        "usage": _USAGE,
    }
).encode()


async def _upstream(port: int) -> None:
    """Answer at once, with no work: what is measured is the proxy."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                body = await _read_message(reader)
                if b'"stream": true' in body:
                    writer.write(_HEAD % (b"text/event-stream", b"transfer-encoding: chunked"))
                    pause_s = _PACE_S if b'"model": "paced"' in body else 0
                    for chunk in _CHUNKS:
                        writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                        await asyncio.sleep(pause_s)
                    writer.write(b"0\r\n\r\n")
                else:
                    writer.write(_HEAD % (b"application/json", b"content-length: %d" % len(_PLAIN)) + _PLAIN)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, limit=1 << 22)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"transfer-encoding: chunked" in head:
        pieces = []
        while size := int(await reader.readline(), 16):
            pieces.append((await reader.readexactly(size + 2))[:-2])
        await reader.readexactly(2)
        return b"".join(pieces)
    (length,) = (line.partition(b":")[2] for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    return await reader.readexactly(int(length))


class _Case(NamedTuple):
    """What is asked, and how often."""

    name: str
    requests: int
    size_bytes: int
    stream: bool = False
    paced: bool = False
    clients: int = 8  # at once


_CASES = (
    _Case("2 KB, plain", 800, 2_000),
    _Case("50 KB, plain", 400, 50_000),
    _Case("2 KB, 100 events", 160, 2_000, stream=True),
    _Case("the same, paced", 160, 2_000, stream=True, paced=True, clients=40),
    _Case("the same, one client", 60, 2_000, stream=True, clients=1),
)


async def _load(port: int, case: _Case) -> tuple[float, list[float]]:
    """Ask with several clients at once; return requests a second, and the time to the first byte of each, in ms."""
    first_ms: list[float] = []
    model = "paced" if case.paced else "m"

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        for request in range(case.requests // case.clients):
            question = f"{time.time_ns()} {number} {request} " + "lorem ipsum " * (case.size_bytes // 12)
            body = json.dumps(
                {"model": model, "stream": case.stream, "messages": [{"role": "user", "content": question}]}
            ).encode()
            head = (
                "POST /v1/chat/completions HTTP/1.1\r\nhost: proxy\r\nauthorization: Bearer sk-0123456789abcdef\r\n"
                f"content-type: application/json\r\nuser-agent: benchmark\r\ncontent-length: {len(body)}\r\n\r\n"
            )
            started = time.perf_counter()
            writer.write(head.encode() + body)
            await reader.readexactly(1)
            first_ms.append((time.perf_counter() - started) * 1e3)
            await _read_message(reader)
            if case.clients == 1:  # as somebody who reads the answer first
                await asyncio.sleep(0.02)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(case.clients)))
    return case.requests / (time.perf_counter() - started), first_ms


class _Process:
    """This script as a server of its own."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().strip().rpartition(":")[2])

    def cpu_s(self) -> tuple[float, float]:
        """Return the processor time that it has used, and that of its writer's process, in seconds (Linux)."""
        return _cpu_s(self._process.pid), sum(map(_cpu_s, self._children()))

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def _children(self) -> list[int]:
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/children")  # of any thread
        return [int(pid) for thread in threads for pid in thread.read_text().split()]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _measure(case: _Case, proxies: dict[str, _Process]) -> None:
    throughput: dict[str, list[float]] = {name: [] for name in proxies}
    first: dict[str, list[float]] = {name: [] for name in proxies}
    cpu: dict[str, list[float]] = {name: [] for name in (*proxies, "writer")}
    for number in range(_ROUNDS + 1):
        for name, proxy in proxies.items():
            before = proxy.cpu_s()
            per_second, first_ms = asyncio.run(_load(proxy.port, case))
            time.sleep(0.5)  # what still waits to be written
            if number:  # the first round warms up
                throughput[name].append(per_second)
                first[name] += first_ms
                own, writer = (
                    (after - then) / case.requests * 1e3 for after, then in zip(proxy.cpu_s(), before, strict=True)
                )
                cpu[name].append(own)
                if name == "on":
                    cpu["writer"].append(writer)
    ratios = sorted(on / off for on, off in zip(throughput["on"], throughput["off"], strict=True))
    print(
        f"{case.name:24} {median(throughput['off']):8.0f}/s {median(throughput['on']):8.0f}/s"
        f"   {median(ratios):5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        f"   first byte {median(first['off']):.2f} ms, {median(first['on']):.2f} ms"
        f"   CPU {median(cpu['off']):.2f} ms, {median(cpu['on']):.2f} ms, writer {median(cpu['writer']):.2f} ms",
        flush=True,
    )


def _main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        upstream = _Process("upstream")
        proxies = {name: _Process(name, str(upstream.port), directory) for name in ("off", "on")}
        try:
            print(f"{'':24} {'off':>10} {'on':>10}   ratio (of each round)")
            for case in _CASES:
                _measure(case, proxies)
        finally:
            for process in (*proxies.values(), upstream):
                process.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", nargs="?", choices=["upstream", "on", "off"], help="for its own processes")
    parser.add_argument("upstream_port", nargs="?")
    parser.add_argument("directory", nargs="?", type=Path)
    given = parser.parse_args()
    if given.role is None:
        _main()
    elif given.role == "upstream":
        asyncio.run(_upstream(0))
    else:
        options = ProxyOptions(f"http://127.0.0.1:{given.upstream_port}", directory=given.directory)
        serve(create_app(options, capture=given.role == "on"), 0)
