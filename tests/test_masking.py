"""Headers reach neither the span nor the file with a secret in them."""

from __future__ import annotations

from enum import Enum
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.datastructures import Headers as StarletteHeaders
from werkzeug.datastructures import Headers as WerkzeugHeaders

from otel_convlog import finalize_turn, sanitize_headers, start_turn
from otel_convlog.redaction.urls import sanitize_url


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Bearer sk-1234567890", "Bear***7890"),
        ("123456789", "1234***6789"),
        ("12345678", "***"),
        ("", "***"),
        (None, "***"),
        (123456789012, "1234***9012"),
        (b"Bearer sk-1234567890", "Bear***7890"),
        (["a", "b"], "['a'***'b']"),
    ],
)
@pytest.mark.parametrize("name", ["authorization", "X-Api-Key", "API-KEY", "x-goog-api-key", " Authorization "])
def test_a_secret_shows_at_most_four_and_four_characters(name: str, value: object, shown: str) -> None:
    assert sanitize_headers({name: value, "Accept": 5}) == {name: shown, "Accept": 5}


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Authorization", b"Bearer sk-1234567890"), (b"X-A", b"1"), (b"x-b", b"\xe9")],
        ((("Authorization", "Bearer sk-1234567890"), ["X-A", "1"], ("x-b", "é"))),
        httpx.Headers([(b"Authorization", b"Bearer sk-1234567890"), (b"X-A", b"1"), (b"x-b", b"\xe9")]),
        StarletteHeaders(raw=[(b"Authorization", b"Bearer sk-1234567890"), (b"X-A", b"1"), (b"x-b", b"\xe9")]),
        WerkzeugHeaders([("Authorization", "Bearer sk-1234567890"), ("X-A", "1"), ("x-b", "é")]),
    ],
    ids=["asgi", "pairs", "httpx", "starlette", "werkzeug"],
)
def test_headers_of_every_framework_are_masked(headers: object) -> None:
    sanitized = {name.lower(): value for name, value in sanitize_headers(headers).items()}
    assert sanitized == {"authorization": "Bear***7890", "x-a": "1", "x-b": "é"}


def test_repeated_headers_are_all_masked() -> None:
    headers = [("x-api-key", "first-secret"), ("a", "1"), ("x-api-key", "second-secret"), ("a", "2")]
    assert sanitize_headers(headers) == {"x-api-key": "firs***cret, seco***cret", "a": "1, 2"}


_LONG = "made-up-0123456789-abcdef-long"


@pytest.mark.parametrize(
    "name",
    [
        *("Proxy-Authorization", "cookie", "Set-Cookie", "x-auth-token", "X-Amz-Security-Token", " x_auth_token "),
        *("x-goog-iam-authorization-token", "X-Csrf-Token", "client-secret", "my_api_key", "X-ApiKey", "x-db-password"),
        *("x-session-key", "Ocp-Apim-Subscription-Api-Key", "X-Access-Tokens", "x-ratelimit-tokens-owner"),
    ],
)
def test_what_a_name_says_is_secret_shows_four_and_four_where_it_is_long_and_else_nothing(name: str) -> None:
    assert sanitize_headers({name: _LONG}) == {name: "made***long"}
    assert sanitize_headers([(name.encode(), _LONG[:19].encode())]) == {name: "***"}


def test_the_scheme_of_a_credential_stays() -> None:
    headers = {"Proxy-Authorization": "Basic " + "QWxhZGRpbjpvcGVu", "x-auth-token": f"Bearer {_LONG}"}
    assert sanitize_headers(headers) == {"Proxy-Authorization": "Basic ***", "x-auth-token": "Bearer made***long"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("openai-organization", "org-0123456789abcdefghij"),
        ("x-ratelimit-remaining-tokens", "149984"),
        ("X-RateLimit-Reset-Tokens", "6m0.5s"),
        ("anthropic-ratelimit-tokens-reset", "2026-11-23T08:06:10Z"),
        ("x-session-id", "0b6f4a0e-1111-4222-8333-444455556666"),
        ("cookie2", "kept"),
    ],
)
def test_what_is_no_secret_stays(name: str, value: str) -> None:
    assert sanitize_headers({name: value}) == {name: value}


def test_an_operator_names_more_headers_to_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_CONVLOG_REDACT_HEADERS", "X-User-Email, x_team")
    headers = {"x-user-email": "somebody@example.com", "X-Team": "blue", "x-other": "o"}
    assert sanitize_headers(headers) == {"x-user-email": "some***.com", "X-Team": "***", "x-other": "o"}


def test_a_url_in_a_header_is_masked() -> None:
    headers = {"Referer": "https://me:hunter2@example.com/a?api_key=abc&page=2", "x-link": "no=url"}
    assert sanitize_headers(headers) == {
        "Referer": "https://me:***@example.com/a?api_key=***&page=2",
        "x-link": "no=url",
    }


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/v1?key=abc&model=m", "https://h/v1?key=***&model=m"),
        ("https://h/?a=1&access_token=x;sig=y#id_token=z", "https://h/?a=1&access_token=***;sig=***#id_token=***"),
        (
            "https://b.s3/x?X-Amz-Credential=c&X-Amz-Date=d&X-Amz-Signature=s",
            "https://b.s3/x?X-Amz-Credential=***&X-Amz-Date=d&X-Amz-Signature=***",
        ),
        ("https://h/?max_tokens=5&Api%2DKey=v", "https://h/?max_tokens=5&Api%2DKey=***"),
        ("https://h/?next=https%3A%2F%2Fg%2F%3Ftoken%3Dabc", "https://h/?next=https%3A%2F%2Fg%2F%3Ftoken%3D***"),
        ("postgres://me:p@ss:word@db:5432/x", "postgres://me:***@db:5432/x"),
        ("https://" + "x" * 20 + "@git.example/r", "https://***@git.example/r"),
        ("https://alice@h/", "https://alice@h/"),
        ("http://[::1", "http://[::1"),
        ("", ""),
    ],
)
def test_a_url_shows_no_credential(url: str, shown: str) -> None:
    assert sanitize_url(url) == shown


def test_the_url_of_a_turn_is_masked_on_the_span_already(no_sdk: None) -> None:  # noqa: ARG001
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    start: dict[str, Any] = {
        "route": "chat",
        "client_model": "m",
        "backend": "b",
        "stream": False,
        "client_request": {},
    }
    urls: list[Any] = ["https://h/?key=hunter2", httpx.URL("https://me:hunter2@h/"), "https://h/\ud800?key=hunter2"]
    for url in urls:
        finalize_turn(start_turn(**start, target_url=url))
    assert "hunter2" not in "".join(span.to_json() for span in memory.get_finished_spans())


class _Raises:
    def __str__(self) -> str:
        raise RuntimeError

    def items(self) -> Any:
        raise RuntimeError


@pytest.mark.parametrize(
    "headers",
    [None, "Authorization: Bearer sk-1234567890", b"x", 5, _Raises(), ["ab", ("one",), 3], {_Raises(): "v"}, iter([])],
    ids=lambda headers: type(headers).__name__,
)
def test_what_has_no_header_names_gives_no_headers(headers: object) -> None:
    assert sanitize_headers(headers) == {}


class _Name(str, Enum):
    AUTH = "Authorization"

    def __str__(self) -> str:
        return f"Name.{self.name}"


@pytest.mark.parametrize(
    "name", [_Name.AUTH, b"Authorization", bytearray(b"authorization"), memoryview(b"AUTHORIZATION")]
)
def test_a_secret_is_masked_whatever_its_name_is_made_of(name: Any) -> None:
    (shown,) = sanitize_headers([(name, "Bearer sk-1234567890")]).values()
    assert shown == "Bear***7890"


def test_one_header_that_cannot_be_read_does_not_take_the_others_with_it() -> None:
    assert sanitize_headers({"a": 1, _Raises(): 2, "b": 3}) == {"a": 1, "b": 3}


def test_a_secret_that_cannot_be_read_is_masked() -> None:
    assert sanitize_headers({"Authorization": _Raises()}) == {"Authorization": "***"}


def test_the_caller_s_headers_stay_as_they_are() -> None:
    headers = {"Authorization": "Bearer sk-1234567890"}
    sanitize_headers(headers)
    assert headers == {"Authorization": "Bearer sk-1234567890"}
