"""What is compared of a turn, as text, for another machine, which gets the turn without what it is compared by.

The words are not in it, nor anything by which who has it could try out what was said: `otel_convlog.identity.said`.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from otel_convlog.identity.exchange import Answer, Exchange, NamedId, Opening, chain_of
from otel_convlog.identity.said import Known, Line, Said, Told

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_DIGEST_BYTES = 32
_LARGEST = 255  # no rule asks whether more bytes than that were said
_MOST_WEIGHED = (
    16  # of the last messages: those of the exchanges that a rule weighs (`otel_convlog.identity.compacted`)
)
_NOTHING = Told(0, 0, b"")


class Sealed(NamedTuple):
    """What is compared of a turn.

    Attributes:
        exchange: It.
        seed: The conversation of a turn that continues nothing.
        whole: Whether the turn's request was whole: `otel_convlog.record.TurnRecord.request_is_whole`.
    """

    exchange: Exchange
    seed: str
    whole: bool


def seal(sealed: Sealed) -> str:
    """Return it as text, about 45 characters for each message."""
    exchange = sealed.exchange
    messages = exchange.messages
    first_answer = next((said for said in messages if said.assistant), None)
    return orjson.dumps(
        {
            "seed": sealed.seed,
            "whole": sealed.whole,
            "start": _text(exchange.whole_chain[0]),
            "assistant_first": bool(messages) and messages[0].assistant,
            "digests": _text(b"".join(said.digest for said in messages)),
            "sizes": _text(bytes(_bounded(said.size for said in messages))),
            "told": [_bounded(said.told[:2]) for said in messages[-_MOST_WEIGHED:]],
            "first_answer_head": _text(first_answer.told.head) if first_answer else "",
            "summaries": [_lines(summary) for summary in exchange.summaries],
            "openings": [[_text(opening.key), *_bounded([opening.size])] for opening in exchange.openings],
            "system": _text(exchange.system),
            "generated_ids": [[position, _text(key)] for position, key in exchange.generated_ids],
            "previous": _id(exchange.previous) if exchange.previous is not None else None,
            "answers": [
                {
                    "digest": _text(said.digest),
                    "whole": _text(whole),
                    "size": min(said.size, _LARGEST),
                    "told": _bounded(said.told[:2]),
                    "head": _text(said.told.head),
                    "lines": _lines(said.opening_lines),
                }
                for said, whole in exchange.answers
            ],
            "answered": exchange.answered,
            "failed": exchange.failed,
            "shows_answer": exchange.shows_answer,
            "answer_ids": [_id(named) for named in exchange.answer_ids],
        }
    ).decode()


def unseal(text: str) -> Sealed:
    """Return what `seal` was given, as far as it is compared.

    Raises:
        ValueError: The text is from somewhere else.
    """
    try:
        return _unsealed(orjson.loads(text))
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"it is not what is compared of a turn: {error!r}") from error


def _unsealed(value: Any) -> Sealed:
    digests, sizes = _bytes(value["digests"]), _bytes(value["sizes"])
    if len(digests) != _DIGEST_BYTES * len(sizes):
        raise ValueError(f"it has {len(digests)} bytes of digests for {len(sizes)} messages")
    told = [_NOTHING] * (len(sizes) - len(value["told"])) + [_told(sums) for sums in value["told"]]
    first_is_assistant = bool(value["assistant_first"])
    if (first_answer := 0 if first_is_assistant else 1) < len(sizes):
        told[first_answer] = told[first_answer]._replace(head=_bytes(value["first_answer_head"]))
    messages = tuple(
        Said(
            first_is_assistant is (at % 2 == 0),
            digests[at * _DIGEST_BYTES : (at + 1) * _DIGEST_BYTES],
            size,
            Known(told[at], (), _read_lines(value["summaries"][at]) if at < len(value["summaries"]) else ()),
        )
        for at, size in enumerate(sizes)
    )
    exchange = Exchange(
        messages=messages,
        whole_chain=chain_of(_bytes(value["start"]), messages),
        openings=tuple(Opening(_bytes(key), int(size)) for key, size in value["openings"]),
        system=_bytes(value["system"]),
        generated_ids=tuple((int(position), _bytes(key)) for position, key in value["generated_ids"]),
        previous=_read_id(value["previous"]) if value["previous"] is not None else None,
        answers=tuple(_answer(answer) for answer in value["answers"]),
        answered=bool(value["answered"]),
        failed=bool(value["failed"]),
        shows_answer=bool(value["shows_answer"]),
        answer_ids=tuple(map(_read_id, value["answer_ids"])),
    )
    return Sealed(exchange, str(value["seed"]), bool(value["whole"]))


def _answer(value: Any) -> Answer:
    said = Said(
        True,
        _bytes(value["digest"]),
        int(value["size"]),
        Known(_told(value["told"], value["head"]), _read_lines(value["lines"])),
    )
    return Answer(said, _bytes(value["whole"]))


def _told(sums: Sequence[Any], head: str = "") -> Told:
    text, size = sums
    return Told(int(text), int(size), _bytes(head))


def _id(named: NamedId) -> list[str | bool]:
    return [_text(named.key), named.generated]


def _read_id(value: Sequence[Any]) -> NamedId:
    key, generated = value
    return NamedId(_bytes(key), bool(generated))


def _lines(lines: Iterable[Line]) -> list[list[str | int]]:
    return [[_text(line.digest), *_bounded([line.size])] for line in lines]


def _read_lines(value: Iterable[Sequence[Any]]) -> tuple[Line, ...]:
    return tuple(Line(_bytes(digest), int(size)) for digest, size in value)


def _bounded(sizes: Iterable[int]) -> list[int]:
    return [min(size, _LARGEST) for size in sizes]


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return b64decode(text, validate=True)
