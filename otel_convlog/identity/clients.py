"""Where clients write the id of a conversation, besides the fields of docs/format.md. The sources: docs/identity.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_convlog.jsontext import json_or_none
from otel_convlog.request_fields import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# One name of a header each, in small letters, the most certain first.
_HEADERS = (
    "x-claude-code-session-id",
    "x-opencode-session",
    "session-id",
    "session_id",
    "conversation-id",
    "conversation_id",
    "thread-id",
    "thread_id",
    "x-task-id",
    "x-roo-task-id",
    "x-kilocode-taskid",
    "x-client-session-id",
    "x-openwebui-chat-id",
    "x-litellm-session-id",
    "x-litellm-trace-id",
    "helicone-session-id",
    "x-conversation-id",
)
_KNOWN_HEADERS = frozenset(_HEADERS)
_AFFINITY = "x-session-affinity"
_PARENT_SESSION = "x-parent-session-id"

# Names of the agent, or the agent's own session, within the conversation.
_THREAD_HEADERS = ("x-claude-code-agent-id", "thread-id", "thread_id")

_ANY_SESSION = re.compile(r"x-(?:.+-)?session-id")
_SHORTEST_SESSION = 8  # characters: a shorter value of a header that is not known may be anything

_CLAUDE_CODE_USER = re.compile(
    r"user_[^_]*_account_.*_session_([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})", re.IGNORECASE
)

_LONGEST_USER_ID = 4096

# Attributes of spans: those that mean one dialogue before those that may mean a session with several.
_ATTRIBUTES = (
    "gen_ai.conversation.id",
    "traceloop.association.properties.conversation_id",
    "traceloop.association.properties.thread_id",
    "traceloop.association.properties.chat_id",
    "langsmith.metadata.thread_id",
    "langsmith.metadata.conversation_id",
    "langsmith.metadata.session_id",
    "gen_ai.thread.id",
    "gcp.vertex.agent.session_id",
    "wandb.thread_id",
    "ai.telemetry.metadata.conversationId",
    "ai.telemetry.metadata.chatId",
    "ai.telemetry.metadata.threadId",
    "ai.telemetry.metadata.sessionId",
    "session.id",
    "langfuse.session.id",
    "traceloop.association.properties.session_id",
    "metadata.thread_id",
    "metadata.conversation_id",
    "metadata.session_id",
)


@dataclass(frozen=True)
class Named:
    """What a request says of its conversation: the id, and the thread within it where it names one."""

    conversation_id: str
    thread: str | None = None


def named_by_client(request: object, headers: Mapping[str, object]) -> Named | None:
    """Return the conversation that a client of a known kind names.

    Args:
        request: The request's body.
        headers: Its headers, names in small letters.
    """
    body = request if isinstance(request, dict) else {}
    for candidate in _candidates(body, headers):
        if candidate is not None:
            return Named(candidate, _thread(candidate, headers))
    return None


def _candidates(body: Mapping[str, object], headers: Mapping[str, object]) -> Iterator[str | None]:
    conversation = body.get("conversation")  # OpenAI responses
    yield text_of(conversation.get("id") if isinstance(conversation, dict) else conversation)
    metadata = body.get("metadata")
    if isinstance(metadata, dict):
        yield _claude_code_session(metadata.get("user_id"))
        yield text_of(metadata.get("cursorConversationId"))
    # A session that another one has started belongs to that one's conversation.
    if _AFFINITY in headers:
        yield (
            text_of(headers.get(_PARENT_SESSION)) or text_of(headers.get("x-session-id")) or text_of(headers[_AFFINITY])
        )
    if not _KNOWN_HEADERS.isdisjoint(headers):
        for name in _HEADERS:
            if name in headers:
                yield text_of(headers[name])
    if _is_codex(headers):
        yield text_of(body.get("prompt_cache_key"))
    yield text_of(body.get("litellm_session_id"))
    yield text_of(body.get("litellm_trace_id"))
    for name, value in headers.items():
        if name.endswith("session-id") and _ANY_SESSION.fullmatch(name):  # the first is cheap, and rarely so
            text = text_of(value)
            yield text if text is not None and len(text) >= _SHORTEST_SESSION else None


def named_by_span(attributes: Mapping[str, str]) -> str | None:
    """Return the conversation that a span's attributes name."""
    for name in _ATTRIBUTES:
        if name in attributes and (text := text_of(attributes[name])):
            return text
    return None


def _thread(conversation_id: str, headers: Mapping[str, object]) -> str | None:
    for name in _THREAD_HEADERS:
        thread = text_of(headers.get(name)) if name in headers else None
        if thread is not None and thread != conversation_id:
            return thread
    if _AFFINITY in headers and _PARENT_SESSION in headers:
        return text_of(headers.get("x-session-id")) or text_of(headers[_AFFINITY])
    return None


def _is_codex(headers: Mapping[str, object]) -> bool:
    return _begins_with_codex(headers.get("originator")) or _begins_with_codex(headers.get("user-agent"))


def _begins_with_codex(value: object) -> bool:
    return isinstance(value, str) and value[:5].lower() == "codex"


def _claude_code_session(user_id: object) -> str | None:
    if isinstance(user_id, str) and user_id[:1] == "{" and len(user_id) <= _LONGEST_USER_ID:
        user_id = json_or_none(user_id)
    if isinstance(user_id, dict):
        return text_of(user_id.get("session_id"))
    if not isinstance(user_id, str):
        return None
    match = _CLAUDE_CODE_USER.fullmatch(user_id)
    return match[1] if match else None
