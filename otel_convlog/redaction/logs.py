"""Keeping secrets out of this package's own log messages: a foreign exception's text may repeat what it was about."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

from otel_convlog.redaction.found import replaced
from otel_convlog.redaction.texts import find_secrets

if TYPE_CHECKING:
    from logging import LogRecord

_PACKAGE = __name__.partition(".")[0]


class _WithoutSecrets(logging.Filter):
    """Replaces a record's message, and its traceback, where they hold a secret; other records stay as they are."""

    def filter(self, record: LogRecord) -> bool:
        try:
            self._clean(record)
        except Exception:  # noqa: BLE001  then what it says is not known, so it is not said
            record.msg, record.args = "[a message that could not be looked at for secrets]", ()
            record.exc_info = record.exc_text = None
        return True

    def _clean(self, record: LogRecord) -> None:
        message = record.getMessage()
        if secrets := find_secrets(message):
            record.msg, record.args = replaced(message, secrets), ()
        if record.exc_info and record.exc_info[0] is not None:
            text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            if secrets := find_secrets(text):
                record.exc_info, record.exc_text = None, replaced(text, secrets)


_FILTER = _WithoutSecrets()


def keep_secrets_out_of_logs() -> None:
    """Let all loggers of this package that there are log no secrets; a second call does nothing new."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == _PACKAGE:
            logging.getLogger(name).addFilter(_FILTER)
