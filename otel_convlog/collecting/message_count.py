"""How many messages a body has, known before it is decoded.

A message of two bytes on the wire takes up to 160 bytes in memory, so that a body within its limit could fill the
machine's; in JSON it takes some 20 us too. Bodies that are small enough to do no harm are not looked at.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

MOST_MESSAGES = 1_000_000  # 160 MB at most

MOST_TOKENS = 1_000_000  # of JSON; a span with twenty attributes has 150

_HARMLESS_BYTES = 1 << 20
_DEEPEST = 100  # protobuf's own limit

_QUOTE = ord('"')
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # https://protobuf.dev/programming-guides/encoding/#structure

_Fields: TypeAlias = "dict[int, Descriptor]"


# What begins a value of JSON, or a text, in which the same letters stand for nothing.
_TOKEN = re.compile(rb'[{\[,]|"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class TooManyMessagesError(Exception):
    """A body has more messages than are decoded."""


def check_json(body: bytes) -> None:
    """Count the values of a request in JSON.

    Raises:
        TooManyMessagesError: They are more than `MOST_TOKENS`.
    """
    if sum(map(body.count, (b"{", b"[", b","))) <= MOST_TOKENS:
        return
    # Of the texts there are as many as commas and braces, or one more each.
    tokens = (token for token in _TOKEN.finditer(body) if body[token.start()] != _QUOTE)
    if next(islice(tokens, MOST_TOKENS, None), None) is not None:
        raise TooManyMessagesError


def check_protobuf(body: bytes) -> None:
    """Count the messages of a request in protobuf.

    Raises:
        TooManyMessagesError: They are more than `MOST_MESSAGES`.
        DecodeError: The body is no protobuf.
    """
    if len(body) <= _HARMLESS_BYTES:
        return
    try:
        _count(body)
    except IndexError as error:
        raise DecodeError("the body is cut") from error


def _count(body: bytes) -> None:
    count = 0
    around: list[tuple[int, _Fields]] = []  # the messages that are not at their end: where that is, and their fields
    at, end, fields = 0, len(body), _message_fields(ExportTraceServiceRequest.DESCRIPTOR)
    while True:
        while at >= end:
            if not around:
                return
            end, fields = around.pop()
        tag, at = _varint(body, at)
        kind = tag & 7
        if kind == _BYTES:
            length, at = _varint(body, at)
            inner = fields.get(tag >> 3)
            if inner is None:
                at += length
                continue
            count += 1
            if count > MOST_MESSAGES:
                raise TooManyMessagesError
            if len(around) == _DEEPEST or at + length > end:
                raise DecodeError("the body is nested too deeply, or cut")
            around.append((end, fields))
            end, fields = at + length, _message_fields(inner)
        elif kind == _VARINT:
            _, at = _varint(body, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise DecodeError(f"the body has a field of the unknown kind {kind}")


@cache
def _message_fields(message: Descriptor) -> _Fields:
    """Return the fields of a message that are messages themselves, by their numbers."""
    return {field.number: field.message_type for field in message.fields if field.message_type is not None}


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """Return a number, and where the next thing stands."""
    byte = body[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = body[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
        if shift > 63:
            raise DecodeError("the body has a number of more than 64 bits")
