"""Whatever bytes pass, both sides get them as they are, nothing is raised, and there is a turn."""

from __future__ import annotations

import gzip
import os
import random
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING

import brotli
import pytest
import zstandard
from captured_exchanges import CHAT, Exchanges
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WORDS = [
    b"data: ",
    b"event: x\n",
    b"\n\n",
    b"\r\n",
    b":c",
    b"\xef\xbb\xbf",
    b"\xff\x00",
    b'{"choices": [{"delta": {"content": [{"index": 0}, 7], "tool_calls": [{"index": "a", "function": 3}]}}]}',
    b'{"type": "content_block_delta", "index": 1e3, "delta": {"partial_json": "{", "citation": {}}}',
    b'{"type": "message_delta", "delta": 7}',
    b'{"type": "response.output_item.added", "item": {"content": {}}, "output_index": -1}',
    b'{"type": "response.output_text.delta", "output_index": -1, "delta": "x"}',
    b'{"type": "response.completed", "response": {"output": 3}}',
    b'{"candidates": [{"content": {"parts": 3}, "index": null}], "promptFeedback": 3}',
    b'{"messages": [{"role": 3, "content": {}}], "stream": "x", "model": 7, "session_id": []}',
    b'{"error": "x", "usage": {"n": 1e999}}',
    b'"usage": ',
    b"[",
    b"}",
    b'"\\ud800"',
]
_BODIES = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(_WORDS) | st.binary(max_size=5), max_size=12).map(b"".join),
)
_ENCODINGS = {
    "": lambda plain: plain,
    "gzip": gzip.compress,
    "Deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "x,,\xe9": lambda plain: plain,
}


@pytest.fixture(params=["asgi", "wsgi"])
def exchanges(request: pytest.FixtureRequest, tmp_path: Path, no_sdk: None) -> Iterator[Exchanges]:  # noqa: ARG001
    exchanges = Exchanges(request.param, tmp_path)
    yield exchanges
    exchanges.close()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    request=_BODIES,
    answer=_BODIES,
    encoding=st.sampled_from(sorted(_ENCODINGS)),
    broken=st.booleans(),
    content_type=st.sampled_from(["application/json", "text/event-stream", "", "application/x-ndjson", ";;\xe9"]),
    path=st.sampled_from([CHAT, "/v1/responses", "/v1/messages", "/v1beta/models/\u2603:streamGenerateContent"]),
    cuts=st.lists(st.integers(0, 300), max_size=5),
)
def test_any_bytes_pass_and_are_a_turn(  # noqa: PLR0913, PLR0917  what Hypothesis makes up
    exchanges: Exchanges,
    request: bytes,
    answer: bytes,
    encoding: str,
    broken: bool,
    content_type: str,
    path: str,
    cuts: list[int],
) -> None:
    random.seed(os.urandom(8))  # of which the SDK makes its ids, and Hypothesis always the same
    encode = (lambda plain: plain[:-3]) if broken else _ENCODINGS[encoding]
    sent, answered = encode(request), encode(answer)
    ends = sorted({0, len(answered), *(min(cut, len(answered)) for cut in cuts)})
    pieces = [answered[start:end] for start, end in pairwise(ends)]
    before = len(exchanges.turns)
    header = ("content-encoding", encoding)
    exchanges.ask(sent, pieces, ("content-type", content_type), header, path=path, headers=[header], pieces=3)
    assert exchanges.read == sent
    assert exchanges.sent == pieces
    assert len(exchanges.turns) == before + 1
