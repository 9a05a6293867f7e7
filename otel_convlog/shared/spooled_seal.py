"""What is compared of a turn, beside the turn in the spool: it goes to the database, and no further."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from otel_convlog.jsontext import to_json
from otel_convlog.store.document import TURN_END

if TYPE_CHECKING:
    from otel_convlog.jsontext import Json
    from otel_convlog.store.document import RenderedTurn

_NAME = "compared"
_MEMBER = b',\n      "%s": ' % _NAME.encode()  # of the turn itself: nothing in it is indented as little


def with_seal(turn: RenderedTurn, seal: str) -> RenderedTurn:
    """Return a turn that has it as its last member.

    Args:
        turn: The turn.
        seal: From `otel_convlog.identity.seal`.
    """
    body = b"".join([turn.body[: -len(TURN_END)], _MEMBER, to_json(seal), TURN_END])
    return replace(turn, body=memoryview(body))


def without_seal(turn: dict[str, Json], body: bytes) -> tuple[bytes, str | None]:
    """Take it out of a turn.

    Args:
        turn: The turn's JSON, which is changed.
        body: The turn.

    Returns:
        The turn as it was before `with_seal`, and what that was given; None where it was given nothing.
    """
    seal = turn.pop(_NAME, None)
    if not isinstance(seal, str):
        return body, None
    return body[: body.rindex(_MEMBER)] + TURN_END, seal
