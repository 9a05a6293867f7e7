"""Whether a call that an instrumentation has recorded is what a turn of the proxy's is about."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from otel_convlog import attributes as names
from otel_convlog.jsontext import json_or_none, to_json
from otel_convlog.readers.words import answered, last_asked
from otel_convlog.streams import assemble

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
        Else the id of the answer tells, or, where there is none, what was asked and answered.

        Args:
            spans: What is known of the call.
        """
        if not any(self._from_ns <= span.started_ns <= self._to_ns for span in spans):
            return False
        if any(span.response_id and span.response_id in self.response_ids for span in spans):
            return True
        answers = [text for span in spans if (text := answered(span).strip())]
        if self.shares_trace(spans):
            logged = list(self._texts(_ANSWERS))
            streamed = any(event.name.startswith(names.PREFIX) for event in self._turn.events)
            return not answers or not logged or streamed or _stand_in(answers, logged)
        if not _stand_in(filter(None, map(last_asked, spans)), list(self._texts(_REQUESTS))):
            return False
        if any(span.response_id for span in spans):  # which is none of the turn's
            return False
        return not answers or _stand_in(answers, [*self._texts(_ANSWERS), *self._assembled()])

    def shares_trace(self, spans: Sequence[CallSpan]) -> bool:
        """Say whether one trace holds both the turn and a call."""
        return any(span.trace_id == self._trace_id for span in spans)

    @property
    def size(self) -> int:
        """About how many bytes of memory it keeps."""
        values = [*(self._turn.attributes or {}).values()]
        for event in self._turn.events:
            values += (event.attributes or {}).values()
        return sum(len(value) for value in values if isinstance(value, str))

    @property
    def response_ids(self) -> frozenset[str]:
        """What stands in the turn's answers as an id, of the answer or of anything else."""
        if self._ids is None:
            self._ids = frozenset(found for text in self._texts(_ANSWERS) for found in _ID.findall(text))
        return self._ids

    def _assembled(self) -> Iterator[str]:
        for text in self._streams():
            yield _assembled(text)

    def _texts(self, of: Sequence[str]) -> Iterator[str]:
        attributes = self._turn.attributes or {}
        for name in of:
            if isinstance(text := attributes.get(name), str):
                yield text
        if of is _ANSWERS:
            yield from self._streams()

    def _streams(self) -> Iterator[str]:
        for event in self._turn.events:
            for name in (names.EVENTS, names.WIRE):
                if isinstance(text := (event.attributes or {}).get(name), str):
                    yield text


def _assembled(text: str) -> str:
    """Return the JSON of what a stream comes to, of which this is its events, or its text as it was on the wire."""
    events = json_or_none(text)
    return to_json(assemble(events if isinstance(events, list) else [text])).decode()


def _stand_in(words: Iterable[str], texts: Sequence[str]) -> bool:
    """Say whether any of these words stand in any of these texts of JSON."""
    return any(quoted in text for quoted in (to_json(word).decode()[1:-1] for word in words) for text in texts)
