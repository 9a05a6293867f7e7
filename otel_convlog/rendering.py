"""What becomes of a turn's record on its way to the store: its conversation is found, what must not be written goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.content import without_content
from otel_convlog.content_modes import FULL
from otel_convlog.limits_warning import LimitsWarning
from otel_convlog.record import IdentifiedTurn
from otel_convlog.store import render

if TYPE_CHECKING:
    from pathlib import Path

    from otel_convlog.destination import Destination
    from otel_convlog.identity.identifier import Identifier
    from otel_convlog.record import TurnRecord
    from otel_convlog.redaction.turns import TurnRedactor
    from otel_convlog.settings import Settings
    from otel_convlog.store import RenderedTurn
    from otel_convlog.store.directory_key import DirectoryKey


class TurnRenderer:
    """Renders turns. For any number of threads.

    Args:
        settings: What is to be written of them.
        identifier: Finds their conversations.
        redactor: Takes secrets out.
        destination: Where they go.
        key: What digests depend on, where content is not written.
    """

    def __init__(
        self,
        settings: Settings,
        identifier: Identifier,
        redactor: TurnRedactor,
        destination: Destination,
        key: DirectoryKey,
    ) -> None:
        self._settings = settings
        self._identifier = identifier
        self._redactor = redactor
        self._destination = destination
        self._key = key
        self._limits_warning = LimitsWarning()

    def rendered(self, record: TurnRecord) -> tuple[Path, RenderedTurn]:
        """Return the file of the conversation that a turn belongs to, and the turn as it may be written there.

        Raises:
            Exception: It cannot be read.
        """
        if lost := record.trace.get("lost"):
            self._limits_warning.note(lost, record.trace.get("source"))
        mode = self._settings.content.mode(record)
        key = b"" if mode == FULL else self._key.value()
        identity = self._identifier.identify(record, key=key)
        whole = record
        if mode == FULL:
            record = self._redactor.clean_streams(record)
        record = without_content(record.with_stream_events(self._settings.stream_events), mode)
        turn = IdentifiedTurn(record, identity)
        rendered = render(turn)
        clean = self._redactor.clean(turn, rendered.body)
        if clean is not turn:
            turn, rendered = clean, render(clean)
        if not record.tells_its_dialogue:
            rendered = self._destination.sealed(rendered, lambda: self._identifier.seal(whole, key=key))
        return self._destination.store.path_of(turn), rendered
