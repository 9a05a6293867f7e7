"""A conversation as one file that needs nothing else: what the pages show of it, from the same templates."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

from otel_convlog.viewer import inspector, links
from otel_convlog.viewer.chosen import ChosenTurn
from otel_convlog.viewer.dialogue import shown_turns
from otel_convlog.viewer.rail import entries
from otel_convlog.viewer.templates import render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_convlog.reading.conversations import ConversationSummary
    from otel_convlog.reading.turns import TurnPlace
    from otel_convlog.viewer.dialogue import ShownTurn

_STYLES = ("base.css", "conversation.css", "code.css", "inspector.css", "export.css")
_TABS = ("wire", "events", "diff")  # Raw is the file itself


def page_of(conversation: ConversationSummary, places: list[TurnPlace]) -> Iterator[str]:
    """Yield the page of a conversation in pieces, a turn at a time.

    Raises:
        FileNotFoundError: A file has been removed meanwhile.
        ValueError: A turn stands no more where it was.
    """
    folder = files("otel_convlog.viewer") / "static"
    style = "".join((folder / name).read_text("utf-8") for name in _STYLES)
    numbers = {place.turn_id: place.number for place in places}
    with links.in_file(numbers):
        head = render(
            "export.html",
            conversation=conversation,
            conversation_id=conversation.conversation_id,
            count=len(places),
            bytes=sum(place.length for place in places),
            entries=entries(places, range(1, len(places) + 1)),
            chosen_id="",
            tab="",
            style=Markup(style),  # noqa: S704  our own
            style_digest=b64encode(sha256(style.encode()).digest()).decode(),
        )
    yield head
    for turn in shown_turns(places, places):
        with links.in_file(numbers):
            text = _turn(conversation, places, turn)
        yield text
    yield render("export_end.html")


def _turn(conversation: ConversationSummary, places: list[TurnPlace], turn: ShownTurn) -> str:
    chosen = ChosenTurn(conversation, places, turn.place)
    return render(
        "export_turns.html",
        conversation_id=conversation.conversation_id,
        turns=[turn],
        place=turn.place,
        before=(),
        behind=(),
        tabs=[(links.TABS[tab], inspector.panel(tab, chosen, {})) for tab in _TABS],
    )
