"""Sending a logged request again, and comparing what comes back with what came then."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from otel_convlog.jsontext import from_wire, to_json
from otel_convlog.reading.legs import PATHS, request_of
from otel_convlog.reading.messages import answer_messages, answers_of
from otel_convlog.streams import assemble

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_convlog.jsontext import Json
    from otel_convlog.reading.messages import Message

# What tells a server which form of its protocol is spoken. Credentials are masked in the log, and so not sent.
_KEPT_HEADERS = ("anthropic-version", "anthropic-beta", "openai-beta")


@dataclass(frozen=True)
class Replayed:
    """What came back.

    Attributes:
        url: Where the request went.
        status: The answer's status.
        duration_ms: Until its last byte.
        answer: It, put together where it was streamed.
        before: What the turn was answered, as text a message; `after` what came now.
    """

    url: str
    status: int
    duration_ms: float
    answer: Json
    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether something else was said than then."""
        return self.before != self.after


def replay_turn(
    turn: dict[str, Json],
    to: str,
    *,
    upstream: bool = False,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 600.0,
) -> Replayed:
    """Send a turn's request again.

    Args:
        turn: The turn's JSON.
        to: A server, to which the path of the turn's protocol is added; or the whole URL, with a path.
        upstream: Whether to send what went upstream; else what the client sent.
        headers: Further headers: the credentials.
        timeout_s: How long to wait for each piece of the answer.

    Raises:
        ValueError: There is no request, or no URL for it.
        OSError: There is no answer.
    """
    body, logged = _request_of(turn, upstream=upstream)
    kept = {name: value for name, value in logged.items() if name.lower() in _KEPT_HEADERS}
    url = _url(turn, to)
    sent = Request(  # noqa: S310  the scheme was looked at
        url,
        data=to_json(body).strip(),
        headers={"content-type": "application/json", "accept-encoding": "identity", **kept, **(headers or {})},
    )
    started = perf_counter()
    try:
        with urlopen(sent, timeout=timeout_s) as response:  # noqa: S310  as above
            status, data = response.status, response.read()
    except HTTPError as error:
        with error:
            status, data = error.code, error.read()
    duration_ms = (perf_counter() - started) * 1000
    answer = from_wire(data)
    if isinstance(answer, str) and (assembled := assemble([answer])) is not None:
        answer = assembled
    after = _words(answer_messages(answer)) or (to_json(answer).decode().strip(),)
    return Replayed(url, status, duration_ms, answer, _words(answers_of(turn)), after)


def _request_of(turn: dict[str, Json], *, upstream: bool) -> tuple[Json, dict[str, str]]:
    headers, body = request_of(turn, "upstream" if upstream else "client")
    if not isinstance(body, dict):
        raise ValueError("the turn has no such request")  # noqa: TRY004  it is the log's value
    return body, {name: value for name, value in headers.items() if isinstance(value, str)}


def _url(turn: dict[str, Json], to: str) -> str:
    parts = urlsplit(to)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"{to} is no URL of a server")
    if parts.path.strip("/"):
        return to
    path = PATHS.get(str(turn.get("route"))) or urlsplit(str(turn.get("target_url"))).path
    if not path:
        raise ValueError(f"what is the path of {turn.get('route')} requests? Give the whole URL")
    return to.rstrip("/") + path


def _words(messages: list[Message]) -> tuple[str, ...]:
    """Return what messages say and call, without ids, which are new each time."""
    return tuple(
        f"{part.name}({part.text})" if part.kind == "call" else part.text
        for message in messages
        for part in message.parts
        if part.kind != "thinking"
    )
