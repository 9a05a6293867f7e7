"""A proxy on a machine of its own, as far as the network goes: each request is a turn, written before it is answered.

Beside the shared log, the turns go to a directory that all proxies write: what one machine would have written.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_convlog import ConversationSpanExporter, attach_client_response, finalize_turn, start_turn
from otel_convlog.span_fields import turn_id
from otel_convlog.store import catalog


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
        turn = start_turn(
            route="chat",
            client_model=request["model"],
            backend="test",
            stream=False,
            client_request=request,
            request_headers=dict(self.headers),
        )
        said = request["messages"][-1]["content"]
        answer = {"choices": [{"message": {"role": "assistant", "content": f"The answer to: {said}"}}]}
        attach_client_response(turn, answer)
        assert turn is not None
        context = turn.span.get_span_context()
        finalize_turn(turn, duration_ms=1.0)
        body = orjson.dumps({**answer, "turn_id": turn_id(context.trace_id, context.span_id)})
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main(host: str, port: str, one_machine: str) -> None:
    # On a busy machine a turn does without the catalog after a second; here what is written is to be compared.
    catalog._BUSY_S = catalog._LOCK_S = 60.0
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConversationSpanExporter()))
    provider.add_span_processor(SimpleSpanProcessor(ConversationSpanExporter(directory=Path(one_machine), catalog="")))
    trace.set_tracer_provider(provider)
    server = ThreadingHTTPServer((host, int(port)), _Proxy)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
