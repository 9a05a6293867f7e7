"""What a turn's span says of itself and in OpenTelemetry's words, read out of the caller's objects without trust."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from otel_convlog import attributes as names
from otel_convlog.usage import token_counts

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

# https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/ (gen_ai.operation.name)
_OPERATIONS = {
    "chat": "chat",
    "responses": "chat",
    "messages": "chat",
    "gemini": "generate_content",
    "embeddings": "embeddings",
}

_USAGE_NAMES = (names.GEN_AI_USAGE_INPUT_TOKENS, names.GEN_AI_USAGE_OUTPUT_TOKENS)

_LARGEST_INT = 2**63 - 1  # what an attribute can hold on its way to other backends


def turn_id(trace_id: int, span_id: int) -> str:
    """Return the id of the turn that a span records: the same span gives the same turn (docs/design.md, "The span")."""
    return f"turn_{trace_id & 0xFFFFFFFF:08x}{span_id:016x}"


def genai_attributes(route: str, model: str, provider: str) -> dict[str, AttributeValue]:
    """Return the attributes of the GenAI semantic conventions that a request has from the start."""
    found: dict[str, AttributeValue] = {}
    if route in _OPERATIONS:
        found[names.GEN_AI_OPERATION_NAME] = _OPERATIONS[route]
    if model:
        found[names.GEN_AI_REQUEST_MODEL] = model
    if provider:
        found[names.GEN_AI_PROVIDER_NAME] = provider
    return found


def figures(usage: object, duration_ms: object) -> dict[str, AttributeValue]:
    """Return the attributes that are read out of objects of the caller's, which may raise anything."""
    found: dict[str, AttributeValue] = {}
    try:
        counts = zip(_USAGE_NAMES, token_counts(usage), strict=True)
        found.update({name: count for name, count in counts if count is not None})
    except Exception:  # noqa: BLE001  the usage itself is recorded as JSON
        found.clear()
    if (duration := _number(duration_ms)) is not None:
        found[names.DURATION_MS] = duration
    return found


def attribute_text(value: object) -> str:
    """Return text that every backend can encode: a lone surrogate would make others drop the attribute."""
    if type(value) is str and value.isascii():
        return value
    try:
        text = str(value) if value is not None else ""
    except Exception:  # noqa: BLE001  a user's __str__ may raise anything
        return f"<unprintable {type(value).__name__}>"
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def truth(value: object) -> bool:
    """Return whether a value is true; False where it does not say."""
    try:
        return bool(value)
    except Exception:  # noqa: BLE001  a user's __bool__ may raise anything
        return False


def type_name(exc: BaseException) -> str:
    """Return an exception's class as the conventions have ``exception.type``: with its module, if not a built-in."""
    kind = type(exc)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _number(duration_ms: object) -> int | float | None:
    """Return a duration that an attribute can hold; None where none was given, and for 0 (docs/recording.md)."""
    try:
        if isinstance(duration_ms, int) and abs(duration_ms) <= _LARGEST_INT:
            return int(duration_ms) or None
        number = float(duration_ms)  # type: ignore[arg-type]  # whatever else is no number raises
    except Exception:  # noqa: BLE001  a user's object may raise anything
        return None
    return number if number and isfinite(number) else None
