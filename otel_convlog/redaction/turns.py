"""Taking secrets out of a turn before anything of it is written.

The cheap question comes first: whether the turn's bytes, as they would be written, look suspicious at all. Only then
its values are gone through, one field after another. A field in which a rule, a pattern or the user's hook fails is
blanked; the others are not touched by that.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeAlias

from otel_convlog.forks import after_fork_in_child
from otel_convlog.jsontext import to_json
from otel_convlog.record import IdentifiedTurn, StreamEvents
from otel_convlog.redaction import rules
from otel_convlog.redaction.found import Found, mark, replaced, without_overlap
from otel_convlog.redaction.headers import header_name, sanitize_headers
from otel_convlog.redaction.hook import BoundedCaller, HookError
from otel_convlog.redaction.patterns import TURN_S, PatternTimeoutError, UserPatterns
from otel_convlog.redaction.streams import Edit, clean_events
from otel_convlog.redaction.texts import find_secrets, may_hold_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_convlog.jsontext import Json
    from otel_convlog.record import TurnRecord

    Redactor: TypeAlias = "Callable[[str, str], str]"

_logger = logging.getLogger(__name__)

FAILED: Final = "[REDACTED: redaction failed]"

# The parts of a turn, as docs/format.md names them: those that hold what somebody has written, and the others.
_WRITTEN = (
    *("target_url", "request_headers", "client_request", "metadata", "upstream_request", "upstream_response"),
    *("client_response", "stream_summary", "error"),
)
_NAMES = ("route", "client_model", "backend", "upstream_model", "usage")
_LONGEST_REMEMBERED = 200
_MANY = 32
_EVENTS = ("upstream_events", "client_events")


@dataclass
class _Noted:
    """What has been done to one turn."""

    deadline: float
    kinds: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    clean: set[str] = field(default_factory=set)  # short texts that were looked at: a stream repeats them in each event


class TurnRedactor:
    """Takes secrets out of turns. For any number of threads.

    Args:
        headers: Names of headers to mask, besides those that are masked where a turn is recorded.
        patterns: The user's own patterns.
        hook: The user's own function: given a field's name and a text of it, it returns the text as it may be written.
    """

    def __init__(
        self, *, headers: Iterable[str] = (), patterns: UserPatterns | None = None, hook: Redactor | None = None
    ) -> None:
        self._headers = frozenset(map(header_name, headers))
        self._patterns = patterns or UserPatterns()
        self._hook = hook
        self._looks_at_all = bool(self._patterns.patterns or hook)
        self._caller = BoundedCaller()
        self.failures: Counter[str] = Counter()
        self._lock = threading.Lock()
        after_fork_in_child(self._reset_in_child)

    def clean_text(self, text: str) -> str:
        """Return a text without what the rules and the user's patterns find in it.

        Raises:
            Exception: A pattern takes too long.
        """
        return replaced(text, self._find(text, monotonic() + TURN_S))

    def clean_streams(self, record: TurnRecord) -> TurnRecord:
        """Return a turn without the secrets of which its streamed events each have a piece.

        To be done before events are left out: a piece of a secret is not known by itself.
        """
        noted = _Noted(monotonic() + TURN_S)
        changed = {name: self._cleaned_events(name, getattr(record, name), noted) for name in _EVENTS}
        if all(changed[name] is getattr(record, name) for name in _EVENTS):
            return record
        return self._with_notes(replace(record, **changed), noted)  # type: ignore[arg-type]  # both are StreamEvents

    def clean(self, turn: IdentifiedTurn, body: bytes | memoryview) -> IdentifiedTurn:
        """Return a turn without secrets; the same one where it has none.

        Args:
            turn: The turn.
            body: Its JSON, as it would be written.
        """
        if not (self._looks_at_all or self._headers or may_hold_secret(body)):
            return turn
        noted = _Noted(monotonic() + TURN_S)
        record = turn.record
        fields = (*_WRITTEN, *_NAMES)
        changed: dict[str, Json] = {name: self._cleaned(name, getattr(record, name), noted) for name in fields}
        events = {name: self._cleaned_list(name, getattr(record, name), noted) for name in _EVENTS}
        if "attempts" in record.trace:
            changed["trace"] = {**record.trace, "attempts": self._cleaned("attempts", record.trace["attempts"], noted)}
        record = replace(
            record,
            **changed,  # type: ignore[arg-type]  # JSON all
            **events,  # type: ignore[arg-type]  # StreamEvents both
        )
        return IdentifiedTurn(self._with_notes(record, noted), turn.identity)

    def _cleaned(self, name: str, value: Json, noted: _Noted) -> Json:
        if value is None or isinstance(value, (int, float)):
            return value
        try:
            if not (self._headers or self._is_suspicious(value)):
                return value
            if self._hook is None or name in _NAMES:
                return self._walked(name, value, noted)
            return self._caller.call(lambda: self._walked(name, value, noted))
        except Exception as error:  # noqa: BLE001  whatever fails, the secret is not written, and the turn is
            self._note_failure(name, error, noted)
            return FAILED

    def _cleaned_list(self, name: str, events: StreamEvents, noted: _Noted) -> StreamEvents:
        value = self._cleaned(name, events.events, noted)
        if isinstance(value, list):
            return StreamEvents(value, events.offsets_ms, events.left_out)
        return StreamEvents([value], [], events.left_out + len(events.events))

    def _cleaned_events(self, name: str, events: StreamEvents, noted: _Noted) -> StreamEvents:
        if not events.events:
            return events

        def found(text: str) -> list[Edit]:
            return [Edit(one.start, one.end, self._noted(one, noted)) for one in self._find(text, noted.deadline)]

        try:
            cleaned = clean_events(events.events, found)
            if self._hook is not None:
                cleaned = self._caller.call(lambda: clean_events(cleaned, lambda text: self._edits_of_hook(name, text)))
        except Exception as error:  # noqa: BLE001  as above
            self._note_failure(name, error, noted)
            return StreamEvents([FAILED], [], events.left_out + len(events.events))
        return events if cleaned is events.events else StreamEvents(cleaned, events.offsets_ms, events.left_out)

    def _edits_of_hook(self, name: str, text: str) -> list[Edit]:
        """Return what the hook changes in a text, as one change: from the first character to the last that differ."""
        new = self._hooked(name, text)
        if new == text:
            return []
        start = _alike(text, new)
        end = _alike(text[start:][::-1], new[start:][::-1])
        return [Edit(start, len(text) - end, new[start : len(new) - end])]

    def _walked(self, name: str, value: Json, noted: _Noted, key: str = "") -> Json:
        if isinstance(value, str):
            return self._cleaned_text(name, value, noted, key)
        if isinstance(value, list):
            return self._walked_list(name, value, noted, key)
        if not isinstance(value, dict):
            return value
        if self._headers and name in ("request_headers", "upstream_request"):
            value = self._with_headers(name, value)
        walked: dict[str, Json] = {}
        for given, item in value.items():
            new = self._cleaned_text(name, given, noted, "")
            while new in walked:
                new += "'"  # two secrets are one mark
            walked[new] = self._walked(name, item, noted, given)
        return walked

    def _walked_list(self, name: str, items: list[Json], noted: _Noted, key: str) -> list[Json]:
        if len(items) <= _MANY:
            return [self._walked(name, item, noted, key) for item in items]
        walked: list[Json] = []
        for start in range(0, len(items), _MANY):  # of a stream's events most hold nothing
            some = items[start : start + _MANY]
            suspicious = self._is_suspicious(some) or rules.is_secret_key(key)
            walked += [self._walked(name, item, noted, key) for item in some] if suspicious else some
        return walked

    def _is_suspicious(self, value: Json) -> bool:
        return self._looks_at_all or may_hold_secret(to_json(value))

    def _with_headers(self, name: str, value: dict[str, Json]) -> dict[str, Json]:
        if name == "request_headers":
            return sanitize_headers(value, names=self._headers)  # type: ignore[return-value]  # JSON's values stay such
        headers = value.get("headers")
        if not isinstance(headers, dict):
            return value
        return {**value, "headers": sanitize_headers(headers, names=self._headers)}  # type: ignore[dict-item]  # as above

    def _cleaned_text(self, name: str, text: str, noted: _Noted, key: str) -> str:
        if key and rules.is_secret_key(key) and rules.is_secret_value(text):
            return self._noted(Found(0, len(text), "credential"), noted)
        if text not in noted.clean:
            secrets = self._find(text, noted.deadline)
            for one in secrets:
                self._noted(one, noted)
            if secrets:
                text = replaced(text, secrets)
            elif len(text) <= _LONGEST_REMEMBERED:
                noted.clean.add(text)
        return text if self._hook is None or not text or name in _NAMES else self._hooked(name, text)

    def _hooked(self, name: str, text: str) -> str:
        new = self._hook(name, text) if self._hook is not None else text
        if not isinstance(new, str):
            raise HookError(f"it returned {type(new).__name__}, not text")
        return new

    def _find(self, text: str, deadline: float) -> list[Found]:
        secrets = find_secrets(text)
        if self._patterns.patterns and text:
            secrets = without_overlap([*secrets, *self._patterns.find(text, deadline)])
        return secrets

    def _noted(self, secret: Found, noted: _Noted) -> str:
        noted.kinds[secret.kind] += 1
        return mark(secret.kind)

    def _note_failure(self, name: str, error: Exception, noted: _Noted) -> None:
        # Not the error's own text, which may repeat what it was about.
        what = str(error) if isinstance(error, (HookError, PatternTimeoutError)) else type(error).__name__
        noted.failed[name] = what
        with self._lock:
            self.failures[name] += 1
            first = self.failures[name] == 1
        if first:
            _logger.error("redaction of %s failed (%s); it is not written, nor when that happens again", name, what)

    def _with_notes(self, record: TurnRecord, noted: _Noted) -> TurnRecord:
        trace = dict(record.trace)
        if noted.kinds:
            before = trace.get("redacted")
            kinds = Counter(before if isinstance(before, dict) else {})
            kinds.update(noted.kinds)
            trace["redacted"] = dict(kinds)
        if noted.failed:
            before = trace.get("redaction_failed")
            trace["redaction_failed"] = {**(before if isinstance(before, dict) else {}), **noted.failed}
        return replace(record, trace=trace)

    def _reset_in_child(self) -> None:
        self._lock = threading.Lock()
        self.failures = Counter()
        self._caller.reset()


def _alike(one: str, other: str) -> int:
    """Return how many first characters two texts have in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
