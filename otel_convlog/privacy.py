"""Cleaning a log that is written already: `scrub`, `forget`, `verify` (docs/privacy.md).

All of it may be done beside running writers::

    from pathlib import Path
    from otel_convlog.privacy import Target, forget, scrub, verify

    log = Path("data/conversations")
    scrub(log, dry_run=True).kinds
    forget(log, Target(caller="header:x-user=alice"))
    assert verify(log, Target(text="alice@example.com")) == []
"""

from __future__ import annotations

from otel_convlog.store.forgetting import Forgotten, Target, forget, verify
from otel_convlog.store.scrubbing import Scrubbed, scrub

__all__ = ["Forgotten", "Scrubbed", "Target", "forget", "scrub", "verify"]
