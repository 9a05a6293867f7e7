"""``verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_convlog.cli.common import log_command
from otel_convlog.cli.progress import progress
from otel_convlog.integrity import KINDS, verify_log

if TYPE_CHECKING:
    from otel_convlog.cli.common import Log


@log_command("verify", needs_catalog=False)
def command(log: Log) -> int:
    """Look whether the log is whole: every file against the format, and the catalog against the files.

    The exit status is 1 where something is damaged. A turn that a limit has cut when it was recorded, and a file that
    the catalog has yet to read, are told and no damage.
    """
    damage = 0
    with progress("verifying") as tell:
        for problem in verify_log(log.directory, tell):
            damage += problem.is_damage
            if log.output.as_json:
                log.output.value({**vars(problem), "is_damage": problem.is_damage})
                continue
            where = problem.path.relative_to(log.directory).as_posix()
            what = KINDS[problem.kind] + (f" ({problem.detail})" if problem.detail else "")
            turn = f" {problem.turn_id}" if problem.turn_id else ""
            log.output.line(f"{where}{turn}: {problem.kind}: {what}", style="red" if problem.is_damage else "yellow")
    if not log.output.as_json:
        log.output.line(f"{damage} problems; otel-convlog repair mends them" if damage else "the log is whole")
    return int(damage > 0)
