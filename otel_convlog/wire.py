"""Bodies as they pass on the wire: kept as they are, at the cost of a list's entry a piece; read when all is over."""

from __future__ import annotations

from time import perf_counter_ns
from typing import NamedTuple

from otel_convlog.encodings import decoder_of

MOST_BYTES = 16 << 20  # of a body, unless a setting says otherwise; what models take and give is far below

# Streams of items that are no server-sent events.
_STREAM_TYPES = frozenset(
    {
        "text/event-stream",
        "application/x-ndjson",
        "application/jsonl",
        "application/stream+json",
        "application/json-seq",
    }
)


class BodyText(NamedTuple):
    """What a body held.

    Attributes:
        text: Its text, without its encoding.
        lengths: Of each piece in which it came, the bytes of its text.
        whole: False where it was longer than what is kept, or could not be read.
    """

    text: str
    lengths: list[int]
    whole: bool


class Body:
    """A body of which pieces pass.

    Args:
        encoding: Its ``Content-Encoding``.
        most_bytes: How much of it is kept.
    """

    __slots__ = ("_most_bytes", "_pieces", "_size", "_text", "_times_ns", "encoding")

    def __init__(self, encoding: str = "", most_bytes: int = MOST_BYTES) -> None:
        self.encoding = encoding
        self._most_bytes = most_bytes
        self._pieces: list[bytes] = []
        self._times_ns: list[int] = []
        self._size = 0
        self._text: BodyText | None = None

    def add(self, piece: bytes) -> None:
        """Keep the next bytes."""
        if not piece:
            return
        self._size = size = self._size + len(piece)
        if size > self._most_bytes:
            piece = piece[: max(0, len(piece) - (size - self._most_bytes))]
            if not piece:
                return
        self._pieces.append(piece if type(piece) is bytes else bytes(piece))
        self._times_ns.append(perf_counter_ns())

    @property
    def size(self) -> int:
        """How many bytes have passed."""
        return self._size

    @property
    def times_ns(self) -> list[int]:
        """When each piece that is kept passed, by `time.perf_counter_ns`."""
        return self._times_ns

    def first(self, count: int) -> bytes:
        """Return the first bytes, as they are on the wire."""
        return b"".join(self._pieces[:count])[:count]

    def read(self) -> BodyText:
        """Return what the body held, when all of it has passed.

        Where it cannot be read here, or is no text, a text says so.
        """
        if self._text is None:
            self._text = self._read()
        return self._text

    def _read(self) -> BodyText:
        pieces, whole = self._decoded()
        plain = b"".join(pieces)
        lengths = [len(piece) for piece in pieces]
        try:
            return BodyText(plain.decode(), lengths, whole)
        except UnicodeDecodeError:
            if b"\0" not in plain:
                return BodyText(plain.decode("utf-8", "replace"), lengths, whole)
        return BodyText(f"[convlog: {self._size} bytes that are no text]", [], whole=False)

    def _decoded(self) -> tuple[list[bytes], bool]:
        """Return what comes of each piece, and whether that is all of the body."""
        whole = self._size <= self._most_bytes
        if self.encoding.strip().lower() in ("", "identity"):
            return self._pieces, whole
        decoder = decoder_of(self.encoding)
        readable = decoder is not None
        plain: list[bytes] = []
        left = self._most_bytes
        if decoder is not None:
            try:
                for piece in self._pieces:
                    plain.append(decoder.decode(piece, left) if left > 0 else b"")
                    left -= len(plain[-1])
            except Exception:  # noqa: BLE001  each library has an error of its own
                readable = whole = False
        if self._pieces and not readable and not any(plain):
            return [f"[convlog: {self._size} bytes of {self.encoding}, which cannot be read here]".encode()], False
        return plain, whole and left > 0


class Answer(Body):
    """The body of an answer.

    Args:
        content_type: Its ``Content-Type``.
        encoding: Its ``Content-Encoding``.
        asked_for_stream: Whether its request asked for a stream.
        event_type: The type of its streamed events that name none.
        most_bytes: How much of it is kept.
    """

    __slots__ = ("_asked_for_stream", "_media_type", "event_type")

    def __init__(
        self,
        content_type: str,
        encoding: str,
        *,
        asked_for_stream: bool,
        event_type: str,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        super().__init__(encoding, most_bytes)
        self._media_type = content_type.partition(";")[0].strip().lower()
        self._asked_for_stream = asked_for_stream
        self.event_type = event_type

    @property
    def streams(self) -> bool:
        """Whether the answer is a stream of events; to be asked when its first bytes have passed."""
        if self._media_type in _STREAM_TYPES:
            return True
        if not self._asked_for_stream:
            return False
        # Gemini streams an array where nobody asks for events; some servers forget to say what they send.
        begin = self.first(64).lstrip()
        return begin.startswith((b"[", b"data:", b"event:"))
