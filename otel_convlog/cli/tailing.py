"""``tail``."""

from __future__ import annotations

from contextlib import closing, suppress
from time import sleep
from typing import TYPE_CHECKING

import click

from otel_convlog.cli.common import log_command
from otel_convlog.reading.harmless import harmless_line
from otel_convlog.reading.messages import answers_of, request_messages
from otel_convlog.reading.recent import Follower
from otel_convlog.reading.units import milliseconds, moment

if TYPE_CHECKING:
    from otel_convlog.cli.common import Log
    from otel_convlog.jsontext import Json
    from otel_convlog.reading.messages import Message
    from otel_convlog.reading.recent import RecentTurn

_LOOK_S = 0.25
_TEXT_WIDTH = 100


@log_command("tail")
@click.option("--lines", "-n", type=click.IntRange(0), default=10, help="How many turns first; default: 10.")
@click.option("--follow", "-f", is_flag=True, help="Go on with turns as they are written, until Ctrl-C.")
def command(log: Log, lines: int, follow: bool) -> None:
    """Show the turns that were written last, by all processes."""
    with log.followed(), closing(Follower(log.directory)) as follower, suppress(KeyboardInterrupt):
        _print(log, follower.last(lines, follow=follow))
        while follow:
            sleep(_LOOK_S)
            _print(log, follower.new())


def _print(log: Log, turns: list[RecentTurn]) -> None:
    for turn in turns:
        try:
            value = turn.read()
        except (OSError, ValueError):  # forgotten, or replaced, meanwhile
            continue
        said = [message for message in request_messages(value.get("client_request")) if not message.is_system][-1:]
        asked, answer = _words(said), _words(answers_of(value)[-1:])
        if log.output.as_json:
            shown = {name: item for name, item in vars(turn).items() if name not in ("path", "offset", "length")}
            log.output.value({**shown, "asked": asked, "answer": answer, "error": value.get("error")})
            continue
        facts = [turn.client_model, f"{turn.input_tokens or 0}→{turn.output_tokens or 0} tokens"]
        facts.append(milliseconds(turn.duration_ms))
        if turn.first_token_ms is not None:
            facts.append(f"first token {milliseconds(turn.first_token_ms)}")
        line = f"{moment(turn.updated_at)}  {turn.conversation_id}  {', '.join(facts)}"
        error = f"  ERROR {_error(value.get('error'))}" if turn.error else ""
        log.output.line(
            harmless_line(f"{line}  {asked[:_TEXT_WIDTH]} ⇒ {answer[:_TEXT_WIDTH]}{error}"),
            style="red" if error else "",
        )
    log.output.flush()


def _error(error: Json) -> str:
    if isinstance(error, dict):
        return " ".join(str(error[name]) for name in ("type", "status_code", "message") if name in error)
    return str(error)


def _words(messages: list[Message]) -> str:
    """Return what messages say, or call, or give back."""
    return " ".join(
        f"{part.name}({part.text})" if part.kind == "call" else part.text
        for message in messages
        for part in message.parts
        if part.kind != "thinking"
    )
