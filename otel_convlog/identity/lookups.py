"""Which keys the search for a turn's conversation asks for first: evidence that is far away is fetched at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_convlog.identity.exchange import Exchange

_MOST_OWN_IDS = 2  # of answers: the one that the client got, and upstream's


def first_keys(exchange: Exchange) -> list[bytes]:
    """Return the keys that decide nearly every search: what else a rule asks for is asked for then.

    They are those of the whole request, of all but its last message, of how it opens, of the ids that it gives back,
    and of the answer, which a turn that has come before this one may show.
    """
    chain = exchange.whole_chain
    named = exchange.previous
    return list(
        dict.fromkeys(
            [
                *([named.key] if named is not None else []),
                *chain[-1:0:-1][:2],
                *(opening.key for opening in exchange.openings),
                *(key for _, key in exchange.generated_ids),
                *exchange.answered_keys(chain),
                *(own.key for own in exchange.answer_ids),
            ]
        )
    )


def dialogue_keys(exchange: Exchange) -> list[bytes]:
    """Return keys of which two turns share one, where the one shows the other: of how the dialogue opens, or of an id.

    Who looks for the conversations of both at once has to do it one after the other.
    """
    named = exchange.previous
    own = [own.key for own in exchange.answer_ids[:_MOST_OWN_IDS]]
    return own + ([named.key] if named is not None else exchange.whole_chain[1:2])
