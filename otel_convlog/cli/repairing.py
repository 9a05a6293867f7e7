"""``repair``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.cli.common import log_command
from otel_convlog.cli.progress import progress
from otel_convlog.integrity import repair_log

if TYPE_CHECKING:
    from otel_convlog.cli.common import Log


@log_command("repair", needs_catalog=False, changes=True)
def command(log: Log) -> None:
    """Mend what verify finds. No turn that is whole is lost; a file that is changed is kept beside as it was."""
    mended = 0
    with progress("repairing") as tell:
        for done in repair_log(log.directory, tell):
            mended += 1
            if log.output.as_json:
                log.output.value(done)
                continue
            turns = f", {done.turns} turns" if done.turns else ""
            kept = f"; as it was: {done.kept.name}" if done.kept is not None else ""
            log.output.line(f"{done.path.relative_to(log.directory).as_posix()}: {done.what}{turns}{kept}")
    if not log.output.as_json:
        log.output.line(f"{mended} repairs" if mended else "there was nothing to repair")
