"""A turn as the rules of evidence see it: digests of its messages and answers, and the ids in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from otel_convlog.identity.answers import Side, find_answers
from otel_convlog.identity.canonical import RESULT, TEXT, Message, digest, joined, read_history
from otel_convlog.identity.evidence import Kind, key_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_convlog.identity.answers import Answers
    from otel_convlog.identity.canonical import History
    from otel_convlog.record import TurnRecord

_MOST_IDS = 16
_MOST_SEEN = 64  # first messages of a request of which no turn is known
_HEAD = 48  # bytes of an answer's beginning
_MOST_LINES = 3  # at the beginning of an answer
_SHORTEST_LINE = 40  # bytes
_SHORTEST_SUMMARY = 400  # bytes of an answer that may be the summary of a dialogue

# An id says something only where it cannot be the same by chance: call_0 and get_weather:1 can.
_GENERATED = re.compile(r"(?=[^\W_]*\d)(?=[^\W_]*[A-Za-z])[^\W_]{12}|[0-9a-f]{8}-[0-9a-f]{4}-", re.IGNORECASE)


class Said(NamedTuple):
    """A message: its digest, its size in bytes, and whose it is."""

    digest: bytes
    size: int
    assistant: bool


@dataclass(frozen=True)
class Answer:
    """An answer to the request.

    Attributes:
        digest: Its own.
        whole: That of the message which it becomes in the history: it includes the words of the assistant with which
            the request ended, if it did.
    """

    message: Message
    digest: bytes
    size: int
    whole: bytes


@dataclass(frozen=True)
class Exchange:
    """One turn's request and its answers.

    Attributes:
        scope: What keeps tenants apart; part of every key.
        messages: The request's, without those that say nothing.
        texts: The same, to be read.
        system: A digest of its system prompt.
        generated_ids: The ids in the history that somebody has generated, each with the number of the message (from 1)
            that it stands in; the last ones last.
        previous_response_id: The answer that the request names as the one it continues.
        answers: What the turn was answered: several where the request asked for several.
        answered: Whether that is the whole answer.
        answer_ids: The ids by which a later request may name, or give back, something of the answers.
    """

    scope: bytes
    messages: tuple[Said, ...]
    texts: tuple[Message, ...]
    system: bytes
    generated_ids: tuple[tuple[int, str], ...]
    previous_response_id: str | None
    answers: tuple[Answer, ...]
    answered: bool
    answer_ids: tuple[str, ...]

    @property
    def is_opening(self) -> bool:
        """Whether the request shows nothing of an earlier turn: no answer, no tool's result, no answer's id."""
        if self.previous_response_id is not None or len(self.messages) > 1:
            return False
        return not any(said.assistant for said in self.messages) and not any(
            kind == RESULT for text in self.texts for kind, _ in text.parts
        )

    @property
    def base(self) -> bytes:
        """The key of what stands before the first message of a whole history."""
        return key_of(b"start", self.scope)

    def chain(self, base: bytes) -> list[bytes]:
        """Return the keys of the first 0, 1, 2, … messages.

        Args:
            base: The key of what stands before them.
        """
        keys = [base]
        for message_digest, _, assistant in self.messages:
            base = key_of(base, message_digest, _side(assistant))
            keys.append(base)
        return keys

    def answered_keys(self, chain: Sequence[bytes]) -> list[bytes]:
        """Return the keys of all messages with each of the answers."""
        ends_in_answer = bool(self.messages) and self.messages[-1].assistant
        before = chain[-2] if ends_in_answer else chain[-1]
        return [key_of(before, answer.whole, _side(assistant=True)) for answer in self.answers]

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
        seen = [chain[count] for count in range(known_to + 1, len(self.messages)) if self.messages[count - 1].assistant]
        for key in seen[-_MOST_SEEN:]:
            yield key, Kind.SEEN
        for generated in self.answer_ids:
            yield self.id_key(generated), Kind.ID
        for answer in self.answers:
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
    return _exchange(history, scope, previous if isinstance(previous, str) and previous else None, answers)


def _exchange(history: History, scope: bytes, previous: str | None, answers: Answers) -> Exchange:
    said: list[Said] = []
    texts: list[Message] = []
    ids: list[tuple[int, str]] = []
    for message in history.messages:
        message_digest, size = digest(message)
        if size and texts and texts[-1].assistant is message.assistant:  # what stood between them says nothing
            message = Message(message.assistant, texts.pop().parts + message.parts)  # noqa: PLW2901  both in one
            said.pop()
            message_digest, size = digest(message)
        if size:
            said.append(Said(message_digest, size, message.assistant))
            texts.append(message)
        if message.ids:
            ids += [(len(said), generated) for generated in message.ids]
    return Exchange(
        scope=scope,
        messages=tuple(said),
        texts=tuple(texts),
        system=key_of("\n".join(history.system).encode("utf-8", "surrogatepass"))[:8] if history.system else b"",
        generated_ids=tuple(_last_generated(ids)),
        previous_response_id=previous,
        answers=tuple(_answers(answers, texts[-1] if texts else None)),
        answered=answers.complete and bool(answers.messages),
        answer_ids=_answer_ids(answers),
    )


def _answers(answers: Answers, last: Message | None) -> Iterator[Answer]:
    for message in answers.messages:
        message_digest, size = digest(message)
        if size:
            whole = message_digest
            if last is not None and last.assistant:
                whole, _ = digest(Message(assistant=True, parts=last.parts + message.parts))
            yield Answer(message, message_digest, size, whole)


def _side(assistant: bool) -> bytes:
    return b"\1" if assistant else b"\0"


def _last_generated(ids: list[tuple[int, str]]) -> list[tuple[int, str]]:
    found: dict[str, tuple[int, str]] = {}
    for position, generated in reversed(ids):
        if generated not in found and _GENERATED.search(generated):
            found[generated] = (position, generated)
            if len(found) == _MOST_IDS:
                break
    return list(found.values())[::-1]


def _answer_ids(answers: Answers) -> tuple[str, ...]:
    found = [generated for message in answers.messages for generated in message.ids if _GENERATED.search(generated)]
    return tuple({*answers.response_ids, *found[-_MOST_IDS:]})


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
