"""A turn as the rules of evidence see it: digests of its messages and answers, and the ids in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.identity.answers import Side, find_answers
from otel_convlog.identity.canonical import RESULT, SEAM, TEXT, Message, essence, joined, read_history
from otel_convlog.identity.evidence import KEY_BYTES, Kind, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from otel_convlog.identity.answers import Answers
    from otel_convlog.identity.canonical import History
    from otel_convlog.record import TurnRecord

_MOST_IDS = 16
_MOST_OPENINGS = 8
_MOST_SEEN = 128  # first messages of a request of which no turn is known
_HEAD = 48  # bytes of an answer's beginning
_MOST_LINES = 3  # at the beginning of an answer
_SHORTEST_LINE = 40  # bytes
_SHORTEST_SUMMARY = 400  # bytes of an answer that may be the summary of a dialogue

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


class Said(NamedTuple):
    """A message that says something, and what it says, as bytes that compare."""

    message: Message
    essence: bytes

    @property
    def assistant(self) -> bool:
        """Whether the model said it."""
        return self.message.assistant

    @property
    def digest(self) -> bytes:
        """A digest of what it says."""
        return sha256(self.essence).digest()

    @property
    def size(self) -> int:
        """About how many bytes it says."""
        return len(self.essence)


class Opening(NamedTuple):
    """What the user says first: the key of it, and about how many bytes it says."""

    key: bytes
    size: int


class Answer(NamedTuple):
    """An answer to the request.

    Attributes:
        said: It.
        whole: What the message says that it becomes in the history: with the words of the assistant's that the request
            ended with, if it did.
    """

    said: Said
    whole: bytes


@dataclass(frozen=True)
class Exchange:
    """One turn's request and its answers.

    Attributes:
        scope: What keeps tenants apart; part of every key.
        messages: The request's, without those that say nothing.
        whole_chain: The keys of the first 0, 1, 2, … of them, where they are a whole history.
        openings: Where the user speaks first: the first 1, 2, … messages as the client has them, up to an answer that
            says something. All of them are the first of `messages`.
        first_answer: The number of messages up to the first of the assistant's; beyond all where there is none.
        system: A digest of its system prompt.
        generated_ids: The ids in the history that somebody has generated, each with the number of the message (from 1)
            that it stands in; the last ones last.
        previous_response_id: The answer that the request names as the one it continues.
        answers: What the turn was answered: several where the request asked for several.
        answered: Whether that is the whole answer.
        failed: Whether there was none at all, one that broke off, or an error.
        shows_answer: Whether the history shows anything of the assistant's or a tool's, also where it says nothing.
        answer_ids: The ids by which a later request may name, or give back, something of the answers; the answers' own
            first.
    """

    scope: bytes
    messages: tuple[Said, ...]
    whole_chain: list[bytes]
    openings: tuple[Opening, ...]
    first_answer: int
    system: bytes
    generated_ids: tuple[tuple[int, str], ...]
    previous_response_id: str | None
    answers: tuple[Answer, ...]
    answered: bool
    failed: bool
    shows_answer: bool
    answer_ids: tuple[str, ...]

    @property
    def is_opening(self) -> bool:
        """Whether the request shows nothing of an earlier turn: no answer, no tool's result, no answer's id."""
        return self.previous_response_id is None and not self.shows_answer

    @property
    def opening(self) -> bytes:
        """The key of the first message, where that is the user's."""
        return self.openings[0].key if self.openings else b""

    def chain(self, base: bytes) -> list[bytes]:
        """Return the keys of the first 0, 1, 2, … messages.

        Args:
            base: The key of what stands before them.
        """
        return _chain(base, self.messages)

    def answered_keys(self, chain: Sequence[bytes]) -> list[bytes]:
        """Return the keys of all messages with each of the answers."""
        ends_in_answer = bool(self.messages) and self.messages[-1].assistant
        before = chain[-2] if ends_in_answer else chain[-1]
        return [_next(before, answer.whole, assistant=True) for answer in self.answers]

    def id_key(self, generated: str) -> bytes:
        """Return the key of an id."""
        return key_of(b"id", self.scope, generated.encode("utf-8", "surrogatepass"))

    def exchange_key(self, last: bytes, answer: bytes) -> bytes:
        """Return the key of a user's message and its answer, wherever they stand."""
        return key_of(b"exchange", self.scope, last, answer)

    def answer_key(self, answer: bytes) -> bytes:
        """Return the key of an answer, wherever it stands."""
        return key_of(b"answer", self.scope, answer)

    def head_key(self, before: bytes, answer: Message) -> bytes | None:
        """Return the key of how an answer begins; None where it is too short to tell it from others.

        Args:
            before: The key of the messages that it answers.
            answer: It, or what a client has made of it.
        """
        for kind, text in joined(answer):
            words = b" ".join(text[: 2 * _HEAD].split()) if kind == TEXT else b""
            return key_of(b"head", before, words[:_HEAD]) if len(words) >= _HEAD else None
        return None

    def line_key(self, line: bytes) -> bytes:
        """Return the key of a line."""
        return key_of(b"line", self.scope, line)

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
        for generated in self.answer_ids:
            yield self.id_key(generated), Kind.ID
        for answer, _ in self.answers:
            if self.messages and not self.messages[-1].assistant:
                yield self.exchange_key(self.messages[-1].digest, answer.digest), Kind.EXCHANGE
            yield self.answer_key(answer.digest), Kind.ANSWER
            if (head := self.head_key(chain[-1], answer.message)) is not None:
                yield head, Kind.HEAD
            if answer.size >= _SHORTEST_SUMMARY:
                for line in _opening_lines(answer.message):
                    yield self.line_key(line), Kind.LINE


def read_exchange(record: TurnRecord, scope: bytes) -> Exchange:
    """Read a turn's request and answers."""
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
    all_said = tuple(Said(message, what or essence(message)) for message, what in zip(messages, said, strict=True))
    whole_chain = _chain(key_of(b"start", scope), all_said)
    answered = tuple(_answers(answers, messages[-1] if messages else None))
    return Exchange(
        scope=scope,
        messages=all_said,
        whole_chain=whole_chain,
        openings=tuple(_openings(all_said, seams, whole_chain)),
        first_answer=next((at for at, message in enumerate(messages, 1) if message.assistant), len(messages) + 1),
        system=key_of(scope + "\n".join(history.system).encode("utf-8", "surrogatepass"))[:8]
        if history.system
        else b"",
        generated_ids=tuple(_last_generated(ids)),
        previous_response_id=previous,
        answers=answered,
        answered=answers.complete and bool(answered),
        failed=failed,
        shows_answer=any(
            message.assistant or any(kind == RESULT for kind, _ in message.parts) for message in history.messages
        ),
        answer_ids=_answer_ids(answers),
    )


def _openings(messages: tuple[Said, ...], seams: list[int], whole_chain: list[bytes]) -> Iterator[Opening]:
    if not messages or messages[0].assistant:
        return
    for seam in seams[: _MOST_OPENINGS - 1]:
        if what := essence(Message(assistant=False, parts=messages[0].message.parts[:seam])):
            yield Opening(_next(whole_chain[0], what, assistant=False), len(what))
    yield Opening(whole_chain[1], messages[0].size)


def _answers(answers: Answers, last: Message | None) -> Iterator[Answer]:
    for message in answers.messages:
        if said := essence(message):
            begun = last.parts if last is not None and last.assistant else []
            yield Answer(Said(message, said), essence(Message(True, begun + message.parts)) if begun else said)


def _chain(key: bytes, messages: Iterable[Said]) -> list[bytes]:
    keys = [key]
    for message, said in messages:
        key = _next(key, said, assistant=message.assistant)
        keys.append(key)
    return keys


def _next(key: bytes, said: bytes, *, assistant: bool) -> bytes:
    """Return the key of what has a key and of the message behind it."""
    digest = sha256(key + (b"\1" if assistant else b"\0"))
    digest.update(said)  # not joined before: that would copy the whole history
    return digest.digest()[:KEY_BYTES]


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


def _opening_lines(answer: Message) -> list[bytes]:
    """Return the first lines of an answer, and of the summary in it: clients leave out what was thought before that."""
    text = "".join(value for _, value in answer.parts if isinstance(value, str))
    summary = text.partition("<summary>")[2]
    lines = long_lines(answer, _MOST_LINES)
    return lines + long_lines(Message(assistant=True, parts=[(TEXT, summary)]), _MOST_LINES) if summary else lines


def long_lines(message: Message, most: int) -> list[bytes]:
    """Return the first lines of a message's text that are long enough to tell it from others."""
    found: list[bytes] = []
    for kind, text in joined(message):
        for line in text.split(b"\n") if kind == TEXT else ():
            if len(stripped := line.strip()) >= _SHORTEST_LINE:
                found.append(stripped)
                if len(found) == most:
                    return found
    return found
