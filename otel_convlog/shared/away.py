"""What the parts of a shared log raise where they cannot be had."""

from __future__ import annotations


class AwayError(OSError):
    """The object store or the database cannot be used now; the same may work later."""


class ChangedError(OSError):
    """Somebody else has changed a document, or a conversation, meanwhile."""
