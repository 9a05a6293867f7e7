"""A turn as the rules of evidence see it: digests of its messages and answers, and the ids in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.identity.answers import Side, find_answers
from otel_convlog.identity.canonical import RESULT, SEAM, Message, essence, read_history
from otel_convlog.identity.evidence import KEY_BYTES, Kind, key_of
from otel_convlog.identity.said import Line, Said, digest_of, said_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from otel_convlog.identity.answers import Answers
    from otel_convlog.identity.canonical import History, Part
    from otel_convlog.record import TurnRecord

_MOST_IDS = 16
_MOST_OPENINGS = 8
_MOST_BEFORE_SUMMARY = 4  # messages up to it: Cline keeps the task, and says that something was left out
_MOST_SEEN = 128  # first messages of a request of which no turn is known

_SIDES = (b"\0", b"\1")  # the other's and the assistant's
_LONGEST_ID = 512  # bytes of an id that are looked at
_RUN = re.compile(r"[^\W_]{12,}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def is_generated(text: str) -> bool:
    """Say whether an id cannot be the same by chance, as call_0, get_weather:1 and getWeatherForecast1 can.

    In random text every second character or so is of another kind than the one before: digit, small letter, capital.
    """
    text = text[:_LONGEST_ID]
    runs = [found[0].replace("-", "") for found in _UUID.finditer(text)] or _RUN.findall(text)
    for run in runs:
        changes = sum(a.isdigit() != b.isdigit() or a.isupper() != b.isupper() for a, b in pairwise(run))
        if 4 * changes >= len(run) and any(map(str.isdigit, run)):
            return True
    return False


class NamedId(NamedTuple):
    """An id: the key of it, and whether somebody has generated it, so that it cannot be the same by chance."""

    key: bytes
    generated: bool


class Opening(NamedTuple):
    """What the user says first: the key of it, and about how many bytes it says."""

    key: bytes
    size: int


class Answer(NamedTuple):
    """An answer to the request.

    Attributes:
        said: It.
        whole: The digest of the message that it becomes in the history: with the words of the assistant's that the
            request ended with, if it did.
    """

    said: Said
    whole: bytes


@dataclass(frozen=True)
class Exchange:
    """One turn's request and its answers, as far as they are compared. Whatever is in it is of one scope.

    Attributes:
        messages: The request's, without those that say nothing; the two sides take turns.
        whole_chain: The keys of the first 0, 1, 2, … of them, where they are a whole history.
        openings: Where the user speaks first: the first 1, 2, … messages as the client has them, up to an answer that
            says something. All of them are the first of `messages`.
        system: A digest of its system prompt.
        generated_ids: The keys of ids in the history that somebody has generated, each with the number of the message
            (from 1) that it stands in; the last ones last.
        previous: The id of the answer that the request names as the one it continues.
        answers: What the turn was answered: several where the request asked for several.
        answered: Whether that is the whole answer.
        failed: Whether there was none at all, one that broke off, or an error.
        shows_answer: Whether the history shows anything of the assistant's or a tool's, also where it says nothing.
        answer_ids: The ids by which a later request may name, or give back, something of the answers; the answers' own
            first.
    """

    messages: tuple[Said, ...]
    whole_chain: list[bytes]
    openings: tuple[Opening, ...]
    system: bytes
    generated_ids: tuple[tuple[int, bytes], ...]
    previous: NamedId | None
    answers: tuple[Answer, ...]
    answered: bool
    failed: bool
    shows_answer: bool
    answer_ids: tuple[NamedId, ...]

    @property
    def is_opening(self) -> bool:
        """Whether the request shows nothing of an earlier turn: no answer, no tool's result, no answer's id."""
        return self.previous is None and not self.shows_answer

    @property
    def summaries(self) -> list[tuple[Line, ...]]:
        """The lines of each of the first messages that stand for a history which the client has left out."""
        return [said.summary_lines for said in self.messages[:_MOST_BEFORE_SUMMARY]]

    @property
    def goes_on(self) -> bool:
        """Whether the request shows that there was an earlier turn."""
        return not self.is_opening or any(self.summaries)

    @property
    def first_answer(self) -> int:
        """The number of messages up to the first of the assistant's; beyond all where there is none."""
        return 2 if self.messages and not self.messages[0].assistant else 1

    @property
    def opening(self) -> bytes:
        """The key of the first message, where that is the user's."""
        return self.openings[0].key if self.openings else b""

    def chain(self, base: bytes) -> list[bytes]:
        """Return the keys of the first 0, 1, 2, … messages.

        Args:
            base: The key of what stands before them.
        """
        return chain_of(base, self.messages)

    def answered_keys(self, chain: Sequence[bytes]) -> list[bytes]:
        """Return the keys of all messages with each of the answers."""
        ends_in_answer = bool(self.messages) and self.messages[-1].assistant
        before = chain[-2] if ends_in_answer else chain[-1]
        return [_next(before, answer.whole, assistant=True) for answer in self.answers]

    def keys(self, chain: Sequence[bytes], known_to: int) -> Iterator[tuple[bytes, Kind]]:
        """Yield the keys by which this turn is found again.

        Args:
            chain: From `chain`.
            known_to: How many of the first messages are known from an earlier turn.
        """
        yield chain[-1], Kind.REQUESTED
        for key in self.answered_keys(chain):
            yield key, Kind.ANSWERED
        first_seen = max(known_to + 1, self.first_answer, len(self.messages) - _MOST_SEEN)
        for count in range(first_seen, len(self.messages)):
            yield chain[count], Kind.SEEN
        for named in self.answer_ids:
            yield named.key, Kind.ID
        for answer, _ in self.answers:
            if self.messages and not self.messages[-1].assistant:
                yield exchange_key(self.messages[-1], answer), Kind.EXCHANGE
            yield answer_key(answer), Kind.ANSWER
            if (head := head_key(chain[-1], answer)) is not None:
                yield head, Kind.HEAD
            for line in answer.opening_lines:
                yield line_key(line), Kind.LINE


def exchange_key(last: Said, answer: Said) -> bytes:
    """Return the key of a user's message and its answer, wherever they stand."""
    return key_of(b"exchange", last.digest, answer.digest)


def answer_key(answer: Said) -> bytes:
    """Return the key of an answer, wherever it stands."""
    return key_of(b"answer", answer.digest)


def head_key(before: bytes, answer: Said) -> bytes | None:
    """Return the key of how an answer begins; None where it is too short to tell it from others.

    Args:
        before: The key of the messages that it answers.
        answer: It, or what a client has made of it.
    """
    head = answer.told.head
    return key_of(b"head", before, head) if head else None


def line_key(line: Line) -> bytes:
    """Return the key of a line, wherever it stands."""
    return key_of(b"line", line.digest)


def read_exchange(record: TurnRecord, scope: bytes) -> Exchange:
    """Read a turn's request and answers.

    Args:
        record: The turn.
        scope: What all that is kept of it depends on.
    """
    request = record.client_request
    previous = request.get("previous_response_id") if isinstance(request, dict) else None
    history = read_history(request)
    answers = find_answers(
        Side(record.client_response, None if record.client_events.left_out else record.client_events.events),
        Side(record.upstream_response, None if record.upstream_events.left_out else record.upstream_events.events),
        record.stream_summary,
        record.error,
    )
    logged = (
        record.client_response,
        record.upstream_response,
        record.client_events.events,
        record.upstream_events.events,
    )
    failed = record.error is not None or not (answers.complete if answers.messages else any(logged))
    return _exchange(
        history, scope, previous if isinstance(previous, str) and previous else None, answers, failed=failed
    )


def _exchange(history: History, scope: bytes, previous: str | None, answers: Answers, *, failed: bool) -> Exchange:
    messages: list[Message] = []
    said: list[bytes] = []
    ids: list[tuple[int, str]] = []
    seams = list(history.seams)
    for message in history.messages:
        if what := essence(message):
            if messages and messages[-1].assistant is message.assistant:  # what stood between them says nothing
                if len(messages) == 1:
                    seams.append(len(messages[0].parts))
                messages[-1] = Message(message.assistant, messages[-1].parts)
                messages[-1].parts += [SEAM, *message.parts]
                said[-1] = b""
            else:
                messages.append(message)
                said.append(what)
        elif not messages:  # the first message is another one
            seams.clear()
        if message.ids:
            ids += [(len(messages), generated) for generated in message.ids]
    all_said = tuple(
        said_of(message, what or essence(message), scope) for message, what in zip(messages, said, strict=True)
    )
    whole_chain = chain_of(key_of(b"start", scope), all_said)
    answered = tuple(_answers(answers, messages[-1] if messages else None, scope))
    return Exchange(
        messages=all_said,
        whole_chain=whole_chain,
        openings=tuple(_openings(all_said, messages[0].parts if messages else [], seams, whole_chain)),
        system=key_of(scope + "\n".join(history.system).encode("utf-8", "surrogatepass"))[:8]
        if history.system
        else b"",
        generated_ids=tuple((at, _id(scope, generated).key) for at, generated in _last_generated(ids)),
        previous=_id(scope, previous) if previous is not None else None,
        answers=answered,
        answered=answers.complete and bool(answered),
        failed=failed,
        shows_answer=any(
            message.assistant or any(kind == RESULT for kind, _ in message.parts) for message in history.messages
        ),
        answer_ids=tuple(_id(scope, generated) for generated in _answer_ids(answers)),
    )


def _openings(
    messages: tuple[Said, ...], parts: list[Part], seams: list[int], whole_chain: list[bytes]
) -> Iterator[Opening]:
    if not messages or messages[0].assistant:
        return
    for seam in seams[: _MOST_OPENINGS - 1]:
        if what := essence(Message(assistant=False, parts=parts[:seam])):
            yield Opening(_next(whole_chain[0], digest_of(messages[0].scope, what), assistant=False), len(what))
    yield Opening(whole_chain[1], messages[0].size)


def _answers(answers: Answers, last: Message | None, scope: bytes) -> Iterator[Answer]:
    begun = last.parts if last is not None and last.assistant else []
    for message in answers.messages:
        if what := essence(message):
            said = said_of(message, what, scope)
            yield Answer(
                said, digest_of(scope, essence(Message(True, begun + message.parts))) if begun else said.digest
            )


def chain_of(key: bytes, messages: Iterable[Said]) -> list[bytes]:
    """Return the keys of what has a key, and of it with the first 1, 2, … messages behind it."""
    keys = [key]
    for said in messages:  # hundreds of them, so without another call for each
        key = sha256(key + _SIDES[said.assistant] + said.digest).digest()[:KEY_BYTES]
        keys.append(key)
    return keys


def _next(key: bytes, digest: bytes, *, assistant: bool) -> bytes:
    """Return the key of what has a key and of the message behind it."""
    return sha256(key + _SIDES[assistant] + digest).digest()[:KEY_BYTES]


def _id(scope: bytes, text: str) -> NamedId:
    return NamedId(key_of(b"id", scope, text.encode("utf-8", "surrogatepass")), is_generated(text))


def _last_generated(ids: list[tuple[int, str]]) -> list[tuple[int, str]]:
    found: dict[str, tuple[int, str]] = {}
    for position, generated in reversed(ids):
        if generated not in found and is_generated(generated):
            found[generated] = (position, generated)
            if len(found) == _MOST_IDS:
                break
    return list(found.values())[::-1]


def _answer_ids(answers: Answers) -> tuple[str, ...]:
    found = [generated for message in answers.messages for generated in message.ids if is_generated(generated)]
    return tuple(dict.fromkeys([*answers.response_ids, *found[-_MOST_IDS:]]))
