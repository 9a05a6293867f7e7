"""Headers reach neither the span nor the file with a secret in them."""

from __future__ import annotations

from enum import Enum
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers as StarletteHeaders
from werkzeug.datastructures import Headers as WerkzeugHeaders

from otel_convlog import sanitize_headers


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
