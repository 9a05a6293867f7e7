"""What a span of an instrumentation says of a call of a model, whatever its vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, cast

from opentelemetry.trace import StatusCode

from otel_convlog.readers.attribute_values import plain, text
from otel_convlog.readers.parts import says_any
from otel_convlog.redaction.headers import HEADER_ATTRIBUTES, sanitize_header_attribute
from otel_convlog.usage import by_common_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    from otel_convlog.jsontext import Json
    from otel_convlog.readers.parts import Object


class Kind(Enum):
    """What a span stands for.

    Attributes:
        CALL: One call of a model.
        AGENT: A run of an agent: what it says, the calls in it say too, where they can be seen.
        AROUND: A chain, a workflow, anything else that stands around calls and is none.
        OTHER: Anything else: an embedding, a retrieval, a tool.
    """

    CALL = "call"
    AGENT = "agent"
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
        return self.response is not None or any(says_any(message) for message in self.answers or ())


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
        awaits_inner: Whether a span in it may come after it, and say more.
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
    awaits_inner: bool = False

    @classmethod
    def of(  # noqa: PLR0913  what each vocabulary says in its own words
        cls,
        span: ReadableSpan,
        vocabulary: str,
        attributes: Mapping[str, object],
        found: Sorted,
        *,
        kind: Kind,
        said: Said,
        route: str,
        client_model: str,
        backend: str,
        stream: bool,
        response_id: str,
        response_model: str,
        finish_reasons: list[str],
        usage: dict[str, Json],
        target_url: str = "",
        previous_response_id: str = "",
        awaits_answer: bool = False,
        answers: bool = False,
        awaits_inner: bool = False,
    ) -> CallSpan:
        """Return what a span says of a call, from what its vocabulary says and what every span says."""
        context = cast("SpanContext", span.context)  # without one nobody has exported it
        started_ns = span.start_time or 0
        return cls(
            kind=kind,
            name=span.name,
            source=_source(vocabulary, span),
            trace_id=context.trace_id,
            span_id=context.span_id,
            parent_id=span.parent.span_id if span.parent and not span.parent.is_remote else None,
            parent_span_id=span.parent.span_id if span.parent else None,
            started_ns=started_ns,
            ended_ns=max(span.end_time or started_ns, started_ns),
            sampled=context.trace_flags.sampled,
            service_name=str(span.resource.attributes.get("service.name", "")),
            route=route,
            client_model=client_model,
            backend=backend,
            stream=stream,
            target_url=target_url,
            response_id=response_id,
            response_model=response_model,
            previous_response_id=previous_response_id,
            finish_reasons=finish_reasons,
            said=said,
            usage=usage,
            error=_error(span, attributes),
            metadata=found.metadata,
            texts=found.texts,
            size=found.size,
            dropped=span.dropped_attributes + sum(event.dropped_attributes for event in span.events),
            dropped_events=span.dropped_events,
            awaits_answer=awaits_answer,
            answers=answers,
            awaits_inner=awaits_inner,
        )

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


def _error(span: ReadableSpan, attributes: Mapping[str, object]) -> Json:
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


def _source(vocabulary: str, span: ReadableSpan) -> str:
    """Return the vocabulary, and the instrumentation that has made the span."""
    scope = span.instrumentation_scope
    if scope is None or not scope.name:
        return vocabulary
    return f"{vocabulary}:{scope.name}/{scope.version}" if scope.version else f"{vocabulary}:{scope.name}"
