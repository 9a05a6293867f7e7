"""``prune``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from otel_convlog.cli.common import log_command
from otel_convlog.cli.progress import busy
from otel_convlog.store import ConversationStore

if TYPE_CHECKING:
    from otel_convlog.cli.common import Log


@log_command("prune", needs_catalog=False, fetches=False)
@click.option("--max-age-days", type=click.FloatRange(0), help="Default: OTEL_EXPORTER_CONVLOG_MAX_AGE_DAYS.")
@click.option("--max-bytes", type=click.IntRange(0), help="Default: OTEL_EXPORTER_CONVLOG_MAX_BYTES.")
def command(log: Log, max_age_days: float | None, max_bytes: int | None) -> None:
    """Remove conversations that are too old, then the oldest until the rest is within the bytes.

    The conversation written last always stays.
    """
    age = log.settings.max_age_days if max_age_days is None else max_age_days
    most = log.settings.max_bytes if max_bytes is None else max_bytes
    if age is None and most is None:
        raise click.UsageError("give --max-age-days or --max-bytes, or set one of their variables")
    with busy("removing conversations"):
        if log.mirror is not None:
            removed = log.mirror.prune(max_age_days=age, max_bytes=most)
        else:
            with closing(ConversationStore(log.directory)) as store:
                removed = store.prune(max_age_days=age, max_bytes=most)
    if log.output.as_json:
        log.output.value({"conversations_removed": removed})
    else:
        log.output.line(f"{removed} conversations removed")
