"""Whether a call that an instrumentation has recorded is what a turn of the proxy's is about."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otel_convlog import attributes as names
from otel_convlog.jsontext import to_json
from otel_convlog.readers.parts import plain_text
from otel_convlog.readers.words import last_asked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_convlog.readers.call_span import CallSpan

_ANSWERS = (names.UPSTREAM_RESPONSE, names.CLIENT_RESPONSE, names.STREAM_SUMMARY)
_REQUESTS = (names.CLIENT_REQUEST, names.UPSTREAM_REQUEST)

_ID = re.compile(r'id\\*"\s*:\s*\\*"([^"\\]+)')  # also in JSON that stands in a text


class TurnWords:
    """What a turn of the proxy's says, as far as it tells whether a call stands in it; read when it is asked for.

    Args:
        turn: The turn's span.
    """

    def __init__(self, turn: ReadableSpan) -> None:
        self._turn = turn
        self._trace_id = turn.context.trace_id if turn.context is not None else None
        self._from_ns = turn.start_time or 0
        self._to_ns = turn.end_time or 0
        self._ids: frozenset[str] | None = None

    def holds(self, spans: Sequence[CallSpan]) -> bool:
        """Say whether a call was made within the turn, as the turn's own.

        Where one trace holds both, it was, unless their answers show that the call is another one (a guardrail's, say).
        Else the id of the answer tells, or, where there was none, what the user has said last.

        Args:
            spans: What is known of the call.
        """
        if not any(self._from_ns <= span.started_ns <= self._to_ns for span in spans):
            return False
        if any(span.response_id and span.response_id in self.response_ids for span in spans):
            return True
        answered = [message for span in spans for message in span.said.answers or ()]
        if self.shares_trace(spans):
            words = [text for message in answered if (text := plain_text(message))]
            streamed = any(event.name.startswith(names.PREFIX) for event in self._turn.events)
            logged = list(self._texts(_ANSWERS))
            return not words or not logged or streamed or _stand_in(words, logged)
        if answered or any(span.said.answers_it for span in spans):
            return False
        return _stand_in(filter(None, map(last_asked, spans)), list(self._texts(_REQUESTS)))

    def shares_trace(self, spans: Sequence[CallSpan]) -> bool:
        """Say whether one trace holds both the turn and a call."""
        return any(span.trace_id == self._trace_id for span in spans)

    @property
    def response_ids(self) -> frozenset[str]:
        """What stands in the turn's answers as an id, of the answer or of anything else."""
        if self._ids is None:
            self._ids = frozenset(found for text in self._texts(_ANSWERS) for found in _ID.findall(text))
        return self._ids

    def _texts(self, of: Sequence[str]) -> Iterator[str]:
        attributes = self._turn.attributes or {}
        for name in of:
            if isinstance(text := attributes.get(name), str):
                yield text
        if of is _ANSWERS:
            for event in self._turn.events:
                if isinstance(text := (event.attributes or {}).get(names.EVENTS), str):
                    yield text


def _stand_in(words: Iterable[str], texts: Sequence[str]) -> bool:
    """Say whether any of these words stand in any of these texts of JSON."""
    return any(quoted in text for quoted in (to_json(word).decode()[1:-1] for word in words) for text in texts)
