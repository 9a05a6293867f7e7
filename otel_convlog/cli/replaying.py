"""``replay``."""

from __future__ import annotations

from difflib import unified_diff
from typing import TYPE_CHECKING

import click

from otel_convlog.cli.common import conversation_argument, log_command, turn_place
from otel_convlog.reading.replaying import replay_turn
from otel_convlog.reading.units import milliseconds

if TYPE_CHECKING:
    from otel_convlog.cli.common import Log


@log_command("replay")
@conversation_argument
@click.option("--turn", default="-1", metavar="N", help="Which turn; default: the last.")
@click.option("--to", required=True, metavar="URL", help="A server, or the whole URL.")
@click.option("--upstream", is_flag=True, help="Send what went upstream, not what the client sent.")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="The credentials, which are masked.")
@click.option("--timeout", "timeout_s", type=float, default=600.0, metavar="S", help="Default: 600.")
def command(
    log: Log, conversation: str, turn: str, to: str, upstream: bool, headers: tuple[str, ...], timeout_s: float
) -> int:
    """Send a logged request again, and show the difference of the answers; the exit status is 1 where there is one."""
    given: dict[str, str] = {}
    for header in headers:
        name, colon, value = header.partition(":")
        if not (colon and name.strip()):
            raise click.UsageError(f"{header!r} is no header: 'NAME: VALUE'")
        given[name.strip()] = value.strip()
    place = turn_place(log.places(log.conversation(conversation)), turn)
    try:
        replayed = replay_turn(place.read(), to, upstream=upstream, headers=given, timeout_s=timeout_s)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if log.output.as_json:
        log.output.value({"turn": place.number, **vars(replayed), "differs": replayed.differs})
        return int(replayed.differs)
    log.output.line(
        f"turn {place.number} → {replayed.url}: status {replayed.status}, {milliseconds(replayed.duration_ms)}"
        f" (then {milliseconds(place.duration_ms)})",
        style="bold",
    )
    before, after = ("\n".join(words).split("\n") for words in (replayed.before, replayed.after))
    if not replayed.differs:
        log.output.line("the same answer:", style="green")
        log.output.markdown("\n".join(after))
        return 0
    for line in list(unified_diff(before, after, lineterm="", n=3))[2:]:
        log.output.line(line, style={"+": "green", "-": "red", "@": "cyan"}.get(line[:1], ""))
    return 1
