"""What it costs to know that a turn holds no secret, and to take one out, beside writing the turn.

In one run, alternatively: a turn is rendered and written (`store`), and taken from its record to the file with its
conversation found (`whole`), which is what a turn costs in all; beside it what redaction adds.
"""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import medians_us
from payloads import PAYLOADS, make_event
from store_helpers import make_turn

from otel_convlog.identity.identifier import Identifier
from otel_convlog.record import IdentifiedTurn, StreamEvents
from otel_convlog.redaction.turns import TurnRedactor
from otel_convlog.store import ConversationStore, render

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDS = 60
_EVENTS = 1_000


def _turns() -> dict[str, IdentifiedTurn]:
    turns = {f"90 KB of {name}": make_turn(0, make(90_000)) for name, make in PAYLOADS.items()}
    code = Path(tempfile.__file__).read_text("utf-8") * 3
    digits = random.Random(1).randbytes(45_000).hex()  # as dumps and digests have them: one long run
    turns["90 KB of hexadecimal digits"] = make_turn(0, {"messages": [{"role": "user", "content": digits}]})
    turns["code of 90 KB"] = make_turn(0, {"messages": [{"role": "user", "content": code[:90_000]}]})
    events = StreamEvents([make_event() for _ in range(_EVENTS)])
    turns[f"a stream of {_EVENTS} events"] = make_turn(
        0, {"messages": []}, client_events=events, upstream_events=events
    )
    return turns


def _measured(turn: IdentifiedTurn, directory: Path) -> dict[str, float]:
    store = ConversationStore(directory)
    identifier = Identifier(store.evidence)
    redactor = TurnRedactor()
    body = render(turn).body
    secret = "gh" + "p_" + "0123456789abcdefghijABCDEFGHIJ012345"
    unclean = IdentifiedTurn(replace(turn.record, metadata={"note": f"a {secret}"}), turn.identity)
    unclean_body = render(unclean).body
    number = 0

    def numbered() -> IdentifiedTurn:
        nonlocal number
        number += 1
        record = replace(turn.record, turn_id=f"turn_{number:024x}")
        return IdentifiedTurn(record, turn.identity)

    def write() -> None:
        fresh = numbered()
        store.write(store.path_of(fresh), [render(fresh)])

    def whole() -> None:
        fresh = numbered()
        identity = identifier.identify(fresh.record)
        store.write(store.path_of(fresh), [render(IdentifiedTurn(fresh.record, identity))])

    def look() -> None:
        redactor.clean_streams(turn.record)
        assert redactor.clean(turn, body) is turn

    def take_out() -> None:
        redactor.clean_streams(unclean.record)
        render(redactor.clean(unclean, unclean_body))

    alternatives: dict[str, Callable[[], Any]] = {"store": write, "whole": whole, "look": look, "take out": take_out}
    try:
        return medians_us(alternatives, _ROUNDS)
    finally:
        store.close()


def main() -> None:
    """Print a table."""
    columns = ("turn", "write", "find and write", "look for secrets", "look / write", "look / all", "take one out")
    print("|", " | ".join((*columns, "out / all")), "|")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, turn in _turns().items():
        with tempfile.TemporaryDirectory() as folder:
            us = _measured(turn, Path(folder))
        look, out, store, whole = us["look"], us["take out"], us["store"], us["whole"]
        times = " | ".join(f"{time:.0f} µs" for time in (store, whole, look))
        print(f"| {name} | {times} | {look / store:.2f} | {look / whole:.2f} | {out:.0f} µs | {out / whole:.2f} |")


if __name__ == "__main__":
    main()
