"""``diff``."""

from __future__ import annotations

from difflib import unified_diff
from typing import TYPE_CHECKING

import click

from otel_convlog.cli.common import conversation_argument, log_command, turn_place
from otel_convlog.cli.speech import folded
from otel_convlog.jsontext import to_indented_json
from otel_convlog.reading.differences import MISSING, cache_break, field_changes, other_changes, piece_changes
from otel_convlog.reading.messages import answer_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_convlog.cli.common import Log
    from otel_convlog.cli.output import Output
    from otel_convlog.jsontext import Json
    from otel_convlog.reading.differences import CacheBreak, FieldChange

_MOST_LINES = 2_000  # of a text that is compared line by line


@log_command("diff")
@conversation_argument
@click.argument("first", metavar="[A]", required=False)
@click.argument("second", metavar="[B]", required=False)
@click.option("--proxy", is_flag=True, help="What the proxy changed in turn A, or in the last one.")
@click.option("--full", is_flag=True, help="Long texts whole.")
def command(log: Log, conversation: str, first: str | None, second: str | None, proxy: bool, full: bool) -> int:
    """Show what changed between the requests of two turns, and where that breaks a cache's prefix.

    Without A and B these are the last two; without B, A and the one behind it. The exit status is 1 where the prefix is
    broken, or where the proxy has changed something.
    """
    places = log.places(log.conversation(conversation))
    if proxy:
        return _show_proxy(log, turn_place(places, first or "-1").read(), full=full)
    a = turn_place(places, first or "-2")
    b = turn_place(places, second or str(a.number + 1))
    earlier, later = a.read(), b.read()
    broken = cache_break(earlier, later)
    changes, others = piece_changes(earlier, later), other_changes(earlier, later)
    if log.output.as_json:
        log.output.value(
            {
                "from_turn": a.number,
                "to_turn": b.number,
                "cache_break": {**vars(broken), "broken": broken.broken},
                "changes": [
                    {
                        "kind": change.kind,
                        "before": change.before and {"name": change.before.name, "value": change.before.value},
                        "after": change.after and {"name": change.after.name, "value": change.after.value},
                    }
                    for change in changes
                    if change.kind != "same"
                ],
                "fields": [vars(change) for change in others],
            }
        )
        return int(broken.broken)
    log.output.line(f"turn {a.number} → turn {b.number}", style="bold")
    _print_break(log.output, broken)
    marked = False
    for change in changes:
        if broken.broken and not marked and change.before is not None and change.before.name == broken.at:
            log.output.line("──── the cached prefix ends here ────", style="bold red")
            marked = True
        if change.kind == "same":
            log.output.line(f"  {change.after.name if change.after else ''}", style="dim")
        elif change.kind == "added" and change.after is not None:
            log.output.line(f"+ {change.after.name}: {folded(change.after.text, full=full)}", style="green")
        elif change.kind == "removed" and change.before is not None:
            log.output.line(f"- {change.before.name}: {folded(change.before.text, full=full)}", style="red")
        elif change.before is not None and change.after is not None:
            log.output.line(f"~ {change.after.name}", style="yellow")
            _print_fields(log.output, field_changes(change.before.value, change.after.value), full=full)
    _print_fields(log.output, others, full=full)
    return int(broken.broken)


def _print_break(output: Output, broken: CacheBreak) -> None:
    if not broken.broken:
        output.line(f"the prefix holds: all {broken.messages} messages, about {broken.tokens} tokens", style="green")
        return
    output.line(
        f"the prefix breaks at {broken.at}, behind {broken.messages} messages and about {broken.tokens} tokens;"
        f" about {broken.lost_tokens} tokens are lost to a cache",
        style="bold red",
    )
    output.line(f"  was: …{broken.before}")
    output.line(f"  is:  …{broken.after}" if broken.after else "  is:  (the end)")


def _show_proxy(log: Log, turn: dict[str, Json], *, full: bool) -> int:
    upstream = turn.get("upstream_request")
    sent = upstream if isinstance(upstream, dict) else {}
    changes = {
        "request": list(field_changes(turn.get("client_request"), sent.get("body", MISSING))),
        "headers": list(field_changes(turn.get("request_headers"), sent.get("headers", MISSING))),
        "response": list(field_changes(answer_of(turn, "upstream"), answer_of(turn, "client"))),
    }
    if log.output.as_json:
        log.output.value({name: [vars(change) for change in found] for name, found in changes.items()})
        return int(any(changes.values()))
    for name, title in (
        ("request", "client request → upstream request"),
        ("headers", "client's headers → headers upstream"),
        ("response", "upstream response → client response"),
    ):
        log.output.line(title + ("" if changes[name] else ": nothing changed"), style="bold")
        _print_fields(log.output, changes[name], full=full)
    return int(any(changes.values()))


def _print_fields(output: Output, changes: Iterable[FieldChange], *, full: bool) -> None:
    for change in changes:
        output.line(f"  {change.path}", style="yellow")
        if isinstance(change.before, str) and isinstance(change.after, str) and "\n" in change.before + change.after:
            _print_lines(output, change.before, change.after, full=full)
            continue
        for mark, value, style in (("-", change.before, "red"), ("+", change.after, "green")):
            if value is not MISSING:
                text = value if isinstance(value, str) else to_indented_json(value).decode("utf-8", "replace")
                output.line(f"    {mark} {folded(text, full=full)}", style=style)


def _print_lines(output: Output, before: str, after: str, *, full: bool) -> None:
    old, new = before.split("\n"), after.split("\n")
    if max(len(old), len(new)) > _MOST_LINES and not full:
        output.line(f"    {len(old):,} lines → {len(new):,} lines; --full compares them")
        return
    for line in list(unified_diff(old, new, lineterm="", n=1))[2:]:
        output.line(f"    {line}", style={"+": "green", "-": "red", "@": "cyan"}.get(line[:1], ""))
