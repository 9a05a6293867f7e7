"""What a span of an instrumentation says of a call of a model, whatever its vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

from opentelemetry.trace import StatusCode

from otel_convlog.jsontext import json_or_none
from otel_convlog.redaction import HEADER_ATTRIBUTES, sanitize_header_attribute
from otel_convlog.usage import by_common_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.parts import Object


class Kind(Enum):
    """What a span stands for.

    Attributes:
        CALL: One call of a model.
        AROUND: An agent, a chain, a workflow: what it says, the calls in it say too.
        OTHER: Anything else: an embedding, a retrieval, a tool.
    """

    CALL = "call"
    AROUND = "around"
    OTHER = "other"


@dataclass(slots=True)
class Said:
    """What was said in a call, as far as a span has it.

    Attributes:
        request: The whole request as it was sent, where the span has it; likewise `response`.
        messages: Else its messages in the conventions' form (`otel_convlog.readers.parts`); the text that is left of
            them where they have been cut; None where the span has none. Likewise `answers`.
        system: Parts of the system's instructions that stand apart from the messages.
        tools: The tools on offer.
        parameters: Temperature and the like, by the conventions' names.
        usage: Token counts in the provider's words, where they stand with the answer.
        missing: How many of the first messages are missing.
        cut: The names of attributes that have been cut.
    """

    request: Object | None = None
    response: Object | None = None
    messages: list[Json] | str | None = None
    answers: list[Json] | None = None
    system: list[Json] = field(default_factory=list)
    tools: Json = None
    parameters: dict[str, Json] = field(default_factory=dict)
    usage: Json = None
    missing: int = 0
    cut: list[Json] = field(default_factory=list)

    @property
    def asks(self) -> bool:
        """Whether there is anything of the request."""
        return self.request is not None or bool(self.messages)

    @property
    def answers_it(self) -> bool:
        """Whether there is anything of the answer."""
        return self.response is not None or bool(self.answers)


@dataclass(frozen=True, slots=True, eq=False)
class CallSpan:
    """A span of a call.

    Attributes:
        source: The vocabulary and the instrumentation's name and version.
        parent_id: The parent of the same process; None where there is none.
        route: The API; empty where the span does not tell.
        previous_response_id: The answer that the request names as the one it continues.
        finish_reasons: Why the answer ended.
        error: None where there was none.
        usage: Token counts by the names of docs/sources.md.
        metadata: The attributes that have no other place.
        texts: All attributes that are text and no content: conversation ids are among them.
        size: About how many bytes of memory it takes.
        dropped: How many attributes limits of the SDK have dropped; likewise `dropped_events`.
        awaits_answer: Whether another span will say what was answered.
        answers: Whether it says what was answered to a call that another span has begun.
    """

    kind: Kind
    name: str
    source: str
    trace_id: int
    span_id: int
    parent_id: int | None
    parent_span_id: int | None
    started_ns: int
    ended_ns: int
    sampled: bool
    service_name: str
    route: str
    client_model: str
    backend: str
    stream: bool
    target_url: str
    response_id: str
    response_model: str
    previous_response_id: str
    finish_reasons: list[str]
    said: Said
    usage: dict[str, Json]
    error: Json
    metadata: dict[str, Json]
    texts: dict[str, str]
    size: int = 0
    dropped: int = 0
    dropped_events: int = 0
    awaits_answer: bool = False
    answers: bool = False

    @property
    def has_content(self) -> bool:
        """Whether it says anything of what was said."""
        return self.said.asks or self.said.answers_it

    def without_content(self) -> CallSpan:
        """Return the span without what was said: what stands around a call says it again."""
        return replace(self, said=Said(), metadata={}, size=0)

    @property
    def times(self) -> tuple[int, int]:
        """When it began and ended, in nanoseconds."""
        return self.started_ns, self.ended_ns

    @property
    def maker(self) -> tuple[str, str]:
        """What made it: two spans of one maker are of two calls, unless one stands in the other."""
        return self.source, self.name


def plain(value: object) -> Json:
    """Return an attribute's value as JSON: sequences as lists, bytes as text."""
    if isinstance(value, (str, int, float)) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    return str(value)


def nested(value: object) -> Json:
    """Return a value that stands as nested attribute values, or as the text of its JSON; other text is None."""
    if isinstance(value, str):
        return json_or_none(value)
    return plain(value)


@dataclass(frozen=True, slots=True)
class Names:
    """A vocabulary's names.

    Attributes:
        content: Attributes that hold what was said; likewise those that begin with one of `content_prefixes`.
        read: Attributes that have a place of their own in a turn.
        usage: The names of docs/sources.md, by those of the vocabulary.
        usage_prefixes: What the names of token counts begin with. One that is not in `usage` keeps the rest of its
            name, with ``_`` for each point.
    """

    content: frozenset[str]
    content_prefixes: tuple[str, ...]
    read: frozenset[str]
    usage: dict[str, str]
    usage_prefixes: tuple[str, ...]


class Sorted:
    """Attributes by what they are for.

    Args:
        attributes: A span's.
        names: Its vocabulary's.

    Attributes:
        metadata: Those that have no other place.
        texts: Those that are text and no content.
        usage: Token counts.
        size: About how many bytes they take.
    """

    __slots__ = ("metadata", "size", "texts", "usage")

    def __init__(self, attributes: Mapping[str, object], names: Names) -> None:
        self.metadata: dict[str, Json] = {}
        self.texts: dict[str, str] = {}
        self.usage: dict[str, Json] = {}
        self.size = 0
        for name, value in attributes.items():
            if isinstance(value, str):
                self.size += len(value)
            if name in names.content or name.startswith(names.content_prefixes):
                continue
            if isinstance(value, str):
                self.texts[name] = value
            if name in names.read:
                continue
            if name.startswith(names.usage_prefixes):
                prefix = next(prefix for prefix in names.usage_prefixes if name.startswith(prefix))
                counted = names.usage.get(name) or name.removeprefix(prefix).replace(".", "_")
                self.usage.setdefault(counted, plain(value))
            elif name in HEADER_ATTRIBUTES or name.startswith("http."):
                self.metadata[name] = plain(sanitize_header_attribute(name, value) if "header" in name else value)
            else:
                self.metadata[name] = plain(value)


def with_provider_usage(usage: dict[str, Json], given: Json) -> dict[str, Json]:
    """Add to token counts what a usage in the provider's own words says beyond them."""
    if isinstance(given, dict):
        for name, count in by_common_names(given).items():
            usage.setdefault(name, count)
    return usage


def text(attributes: Mapping[str, object], *names: str) -> str:
    """Return the first of these attributes that is text and not empty."""
    for name in names:
        if isinstance(value := attributes.get(name), str) and value:
            return value
    return ""


def texts(value: object) -> list[str]:
    """Return a list of text: an attribute that is one, the JSON of one, or one text."""
    if isinstance(value, str):
        read = json_or_none(value) if value[:1] == "[" else value
        value = read if isinstance(read, list) else [value]
    return [str(item) for item in value if item is not None] if isinstance(value, (list, tuple)) else []


def unflattened(attributes: Mapping[str, object], prefix: str) -> Json:
    """Return the attributes under a prefix as the tree that their dotted names describe, numbers as a list's places.

    Returns:
        A list or an object; None where there is none.
    """
    root: Object = {}
    length = len(prefix)
    for name, value in attributes.items():
        if not name.startswith(prefix):
            continue
        *path, last = name[length:].split(".")
        node = root
        for step in path:
            inner = node.get(step)
            if not isinstance(inner, dict):
                inner = node[step] = {} if inner is None else {"": inner}
            node = inner
        node[last] = plain(value)
    return _lists(root) if root else None


def _lists(node: Json) -> Json:
    if not isinstance(node, dict):
        return node
    if all(name.isdecimal() for name in node):
        return [_lists(node[name]) for name in sorted(node, key=int)]
    return {name: _lists(value) for name, value in node.items()}


def first_index(attributes: Iterable[str], prefix: str) -> int:
    """Return the lowest of the numbers that follow a prefix; 0 where there is none."""
    length = len(prefix)
    numbers = [
        int(number)
        for name in attributes
        if name.startswith(prefix) and (number := name[length:].partition(".")[0]).isdecimal()
    ]
    return min(numbers, default=0)


def error_of(span: ReadableSpan, attributes: Mapping[str, object]) -> Json:
    """Return what went wrong, from the span's status, its ``error.type`` and the exception it has recorded."""
    kind = text(attributes, "error.type")
    failed = span.status.status_code is StatusCode.ERROR
    if not failed and not kind:
        return None
    exception: Mapping[str, object] = next(
        (event.attributes or {} for event in reversed(span.events) if event.name == "exception"), {}
    )
    error: Object = {
        "type": kind or text(exception, "exception.type") or "_OTHER",
        "message": text(exception, "exception.message") or span.status.description or text(attributes, "error.message"),
    }
    if stack := text(exception, "exception.stacktrace"):
        error["stacktrace"] = stack
    return error


def source_of(vocabulary: str, span: ReadableSpan) -> str:
    """Return the vocabulary, and the instrumentation that has made the span."""
    scope = span.instrumentation_scope
    if scope is None or not scope.name:
        return vocabulary
    return f"{vocabulary}:{scope.name}/{scope.version}" if scope.version else f"{vocabulary}:{scope.name}"
