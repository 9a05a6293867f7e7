"""``show``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from otel_convlog.cli.common import conversation_argument, log_command, turn_place
from otel_convlog.cli.legs import print_legs
from otel_convlog.cli.speech import print_messages
from otel_convlog.jsontext import to_indented_json
from otel_convlog.reading.dialogue import told
from otel_convlog.reading.timing import STALL_MS, timeline
from otel_convlog.reading.turns import turns_of
from otel_convlog.reading.units import milliseconds, moment

if TYPE_CHECKING:
    from otel_convlog.cli.common import Log
    from otel_convlog.jsontext import Json
    from otel_convlog.reading.conversations import ConversationSummary
    from otel_convlog.reading.dialogue import NewOfTurn
    from otel_convlog.reading.turns import TurnPlace

_EVENT_WIDTH = 100


@log_command("show")
@conversation_argument
@click.option("--turn", metavar="N", help="Only that turn: its number, from the end where negative, or its id.")
@click.option("--wire", is_flag=True, help="The four legs: what the client sent, what went upstream, what came back.")
@click.option("--events", is_flag=True, help="The stream's events with their timing.")
@click.option("--stall", "stall_ms", type=float, default=STALL_MS, metavar="MS", help="Mark pauses longer than that.")
@click.option("--raw", is_flag=True, help="The turns as their file has them.")
@click.option("--full", is_flag=True, help="Thinking and tools' results unfolded, bodies whole.")
def command(
    log: Log, conversation: str, turn: str | None, wire: bool, events: bool, stall_ms: float, raw: bool, full: bool
) -> None:
    """Show a conversation as its people had it: of each turn what is new.

    ID may be shortened to as much of its beginning as tells it from others.
    """
    found = log.conversation(conversation)
    places = log.places(found)
    wanted = places if turn is None else [turn_place(places, turn)]
    if raw or wire or events:
        for place, value in turns_of(wanted):
            if raw:
                _print_raw(log, value)
            elif wire:
                _print_turn_head(log, place)
                print_legs(log.output, value, full=full)
            else:
                _print_events(log, place, value, stall_ms)
        return
    if not log.output.as_json:
        _print_head(log, found)
    for place, value, new in told(places, wanted):
        _print_turn(log, place, value, new, full=full)


def _print_raw(log: Log, value: dict[str, Json]) -> None:
    if log.output.as_json:
        log.output.value(value)
    else:
        log.output.line(to_indented_json(value).decode("utf-8", "replace"))


def _print_head(log: Log, conversation: ConversationSummary) -> None:
    log.output.line(
        f"{conversation.conversation_id}  {conversation.route}, {conversation.turn_count} turns,"
        f" {moment(conversation.created_at)} to {moment(conversation.updated_at)},"
        f" {conversation.input_tokens} tokens in, {conversation.output_tokens} out,"
        f" {milliseconds(conversation.duration_ms)}, {conversation.errors} errors",
        style="bold",
    )


def _print_turn_head(log: Log, place: TurnPlace) -> None:
    if log.output.as_json:
        return
    models = place.client_model
    if place.upstream_model and place.upstream_model != place.client_model:
        models += f" → {place.upstream_model}"
    facts = [moment(place.started_at), f"{models} at {place.backend}" if place.backend else models]
    if place.input_tokens is not None or place.output_tokens is not None:
        facts.append(f"{place.input_tokens or 0} tokens in, {place.output_tokens or 0} out")
    facts.append(milliseconds(place.duration_ms))
    if place.first_token_ms is not None:
        facts.append(f"first token after {milliseconds(place.first_token_ms)}")
    facts += [place.evidence] if place.evidence else []
    facts += [] if place.complete else ["cut off by a limit"]
    log.output.line()
    log.output.line(f"── turn {place.number} · {' · '.join(facts)}", style="bold cyan")


def _print_turn(log: Log, place: TurnPlace, value: dict[str, Json], new: NewOfTurn, *, full: bool) -> None:
    error = value.get("error")
    if log.output.as_json:
        log.output.value(
            {
                "number": place.number,
                "turn_id": place.turn_id,
                "started_at": place.started_at,
                "client_model": place.client_model,
                "upstream_model": place.upstream_model,
                "backend": place.backend,
                "duration_ms": place.duration_ms,
                "first_token_ms": place.first_token_ms,
                "usage": value.get("usage"),
                "grouped_by": place.evidence,
                "complete": place.complete,
                "repeated_messages": new.repeated,
                "history_changed": new.parts_from_history,
                "system": [message.raw for message in new.system],
                "new_messages": [message.raw for message in new.messages],
                "answers": [message.raw for message in new.answers],
                "error": error,
            }
        )
        return
    _print_turn_head(log, place)
    if new.parts_from_history:
        log.output.line(f"(the history was changed behind its message {new.repeated})", style="yellow")
    elif not new.messages and new.repeated:
        log.output.line("(the same messages as before)", style="dim")
    print_messages(log.output, (*new.system, *new.messages, *new.answers), full=full)
    if error is not None:
        log.output.line(f"error: {to_indented_json(error).decode('utf-8', 'replace')}", style="bold red")


def _print_events(log: Log, place: TurnPlace, value: dict[str, Json], stall_ms: float) -> None:
    events = timeline(value, stall_ms=stall_ms)
    if log.output.as_json:
        for event in events:
            log.output.value({"turn": place.number, **vars(event)})
        return
    _print_turn_head(log, place)
    if not events:
        log.output.line("(not streamed)", style="dim")
        return
    log.output.table(
        ("ms", "after", "side", "no.", "event", "text", ""),
        [
            (
                "" if event.offset_ms is None else f"{event.offset_ms:.1f}",
                "" if event.gap_ms is None else f"+{event.gap_ms:.1f}",
                event.side,
                event.number,
                event.kind,
                repr(event.text[:_EVENT_WIDTH]) if event.text else "",
                "STALLED" if event.stalled else "",
            )
            for event in events
        ],
        right=("ms", "after", "no."),
    )
