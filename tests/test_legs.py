"""A logged request as a command that a shell runs: as it was, and nothing else."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from otel_convlog.reading.legs import curl_of, url_of

_HARM = "'; touch owned #$(touch x)`touch y`\n\\ \"&&\u202e"


def _turn(headers: dict[str, Any], body: Any) -> dict[str, Any]:
    return {
        "route": "chat",
        "request_headers": headers,
        "client_request": body,
        "target_url": "https://api.example/v1/chat/completions",
        "upstream_request": {"headers": headers, "body": body},
    }


def _words(command: str) -> list[str]:
    """What a real shell makes of a command, with `printf` in the place of curl."""
    assert command.startswith("curl ")
    done = subprocess.run(
        ["/bin/sh", "-c", "AUTHORIZATION=key printf '%s\\0' " + command.removeprefix("curl ")],
        capture_output=True,
        check=True,
        env={"AUTHORIZATION": "key", "PATH": "/usr/bin:/bin"},
    )
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("side", ["client", "upstream"])
def test_a_shell_reads_the_request_as_it_was(side: Any) -> None:
    body = {"model": _HARM, "messages": [{"role": "user", "content": _HARM}], _HARM: 1}
    words = _words(curl_of(_turn({"host": "proxy:1", "authorization": "Bear***cret", "x-odd": _HARM}, body), side))
    assert words[0] == (
        "http://proxy:1/v1/chat/completions" if side == "client" else "https://api.example/v1/chat/completions"
    )
    assert "authorization: key" in words
    assert f"x-odd: {' '.join(_HARM.split())}" in words
    assert "content-type: application/json" in words
    assert json.loads(words[words.index("--data-raw") + 1]) == body


def test_a_header_whose_name_is_none_is_left_out() -> None:
    words = _words(curl_of(_turn({"x\r\ny": "z", "": "z", "a b": "z", "content-length": "7", "ok": "z"}, {}), "client"))
    assert [word for word in words if word.endswith(": z")] == ["ok: z"]


def test_where_the_client_s_request_went_is_said_as_far_as_it_is_known() -> None:
    assert url_of(_turn({"Host": "proxy"}, {}), "client") == "http://proxy/v1/chat/completions"
    assert url_of(_turn({}, {}), "client") == ""
    assert url_of({}, "upstream") == ""
