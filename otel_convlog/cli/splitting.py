"""``split``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from otel_convlog.cli.common import conversation_argument, log_command, turn_place
from otel_convlog.cli.moves import print_move
from otel_convlog.cli.progress import busy
from otel_convlog.store.regrouping import split

if TYPE_CHECKING:
    from otel_convlog.cli.common import Log


@log_command("split", changes=True)
@conversation_argument
@click.argument("turns", metavar="TURN...", nargs=-1, required=True)
@click.option("--from", "and_later", is_flag=True, help="These turns and all behind the first of them.")
@click.option("--into", metavar="ID", help="The conversation's id; default: a random one.")
def command(log: Log, conversation: str, turns: tuple[str, ...], and_later: bool, into: str | None) -> None:
    """Put turns of a conversation into one of their own; files, catalog and evidence follow.

    TURN is a turn's number, or the beginning of its id.
    """
    found = log.conversation(conversation)
    places = log.places(found)
    wanted = [turn_place(places, turn) for turn in turns]
    if and_later:
        wanted = places[min(place.number for place in wanted) - 1 :]
    if into == found.conversation_id:
        raise click.UsageError("--into is the conversation itself")
    with busy("splitting"):
        moved = split(log.directory, found.files, {place.turn_id for place in wanted}, into)
    print_move(log, moved)
