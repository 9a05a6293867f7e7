"""Real clients that talk to the example proxies, and a reader for what those write."""

from __future__ import annotations

import fcntl
import json
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import anthropic
import openai
import pytest

if TYPE_CHECKING:
    from typing_extensions import Self

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PROXIES = ["proxy", "wsgi_proxy"]
OPENAI_KEY = "sk-proj-THE-SECRET-OF-OPENAI-0123456789"
ANTHROPIC_KEY = "sk-ant-THE-SECRET-OF-ANTHROPIC-0123456789"
CLIENT_TIMEOUT_S = 20.0
FILE_DEADLINE_S = 20.0
CITY_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@dataclass(frozen=True)
class Log:
    """A directory of conversations."""

    directory: Path

    def document(self, conversation_id: str, turns: int) -> dict[str, Any]:
        """A conversation as soon as it has so many turns; its bytes are those that the format demands."""
        deadline = time.monotonic() + FILE_DEADLINE_S
        while time.monotonic() < deadline:
            content = self._read(conversation_id)
            if content is not None:
                document: dict[str, Any] = json.loads(content)
                assert content == json.dumps(document, ensure_ascii=False, indent=2).encode()
                assert document["conversation_id"] == conversation_id
                assert document["turn_count"] == len(document["turns"]) <= turns
                if len(document["turns"]) == turns:
                    return document
            time.sleep(0.01)
        pytest.fail(f"{conversation_id} has not got its {turns} turns within {FILE_DEADLINE_S} s")

    def turn(self, conversation_id: str) -> dict[str, Any]:
        """The only turn of a conversation."""
        (turn,) = self.document(conversation_id, turns=1)["turns"]
        return dict(turn)

    def _read(self, conversation_id: str) -> bytes | None:
        paths = list(self.directory.glob(f"????-??-??/{conversation_id}.json"))
        if not paths:
            return None
        with paths[0].open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)  # a turn is appended under an exclusive lock
            return file.read() or None


@dataclass(frozen=True)
class Server:
    """A proxy that runs, and where it logs."""

    url: str
    log: Log


class Client(ABC):
    """Holds one conversation in one protocol, with the protocol's real SDK.

    Args:
        url: The proxy.
        conversation_id: What the client calls the conversation.
    """

    backend: ClassVar[str]

    def __init__(self, url: str, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self.history: list[Any] = []
        self.tools: list[Any] = []
        self.sdk = self._connect(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.sdk.close()

    def ask(self, text: str, *, model: str = "gpt-5", stream: bool = False, tools: bool = False) -> str:
        """Say something, perhaps with a tool on offer; the answer's text, or the name of the tool that is called."""
        if tools:
            self.tools = [self._tool()]
        self.history.append({"role": "user", "content": text})
        return self._turn(model, stream=stream)

    def give_tool_result(self, result: str, *, stream: bool = False) -> str:
        """Answer the tool call that came last; the answer's text."""
        self.history.append(self._tool_result(result))
        return self._turn("gpt-5", stream=stream)

    def open_stream(self, text: str, model: str) -> Any:
        """Say something and give the SDK's stream of events, which can be closed."""
        self.history.append({"role": "user", "content": text})
        return self._create(stream=True, **self._request(model))

    @abstractmethod
    def _connect(self, url: str) -> Any: ...

    @abstractmethod
    def _create(self, **request: Any) -> Any: ...

    @abstractmethod
    def _request(self, model: str) -> dict[str, Any]: ...

    @abstractmethod
    def _turn(self, model: str, *, stream: bool) -> str: ...

    @abstractmethod
    def _tool(self) -> dict[str, Any]: ...

    @abstractmethod
    def _tool_result(self, result: str) -> dict[str, Any]: ...


class OpenAIClient(Client):
    """What the two protocols of OpenAI have in common."""

    backend = "openai"

    def _connect(self, url: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{url}/v1", api_key=OPENAI_KEY, max_retries=0, timeout=CLIENT_TIMEOUT_S)


class ChatClient(OpenAIClient):
    """OpenAI chat completions."""

    def _create(self, **request: Any) -> Any:
        return self.sdk.chat.completions.create(**request)

    def _request(self, model: str) -> dict[str, Any]:
        request = {"model": model, "messages": [{"role": "system", "content": "You are terse."}, *self.history]}
        tools = {"tools": self.tools} if self.tools else {}
        return {**request, **tools, "extra_body": {"conversation_id": self.conversation_id}}

    def _turn(self, model: str, *, stream: bool) -> str:
        if stream:
            usage = {"include_usage": True}
            with self.sdk.chat.completions.stream(stream_options=usage, **self._request(model)) as events:
                message = events.get_final_completion().choices[0].message
        else:
            message = self._create(**self._request(model)).choices[0].message
        if message.tool_calls:
            call = message.tool_calls[0]
            function = {"name": call.function.name, "arguments": call.function.arguments}
            calls = [{"id": call.id, "type": "function", "function": function}]
            self.history.append({"role": "assistant", "content": None, "tool_calls": calls})
            return str(call.function.name)
        self.history.append({"role": "assistant", "content": message.content})
        return str(message.content)

    def _tool(self) -> dict[str, Any]:
        return {"type": "function", "function": {"name": "get_weather", "parameters": CITY_SCHEMA}}

    def _tool_result(self, result: str) -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": self.history[-1]["tool_calls"][0]["id"], "content": result}


class ResponsesClient(OpenAIClient):
    """OpenAI responses."""

    def _create(self, **request: Any) -> Any:
        return self.sdk.responses.create(**request)

    def _request(self, model: str) -> dict[str, Any]:
        request = {"model": model, "instructions": "You are terse.", "input": self.history}
        tools = {"tools": self.tools} if self.tools else {}
        return {**request, **tools, "extra_body": {"session_id": self.conversation_id}}

    def _turn(self, model: str, *, stream: bool) -> str:
        if stream:
            with self.sdk.responses.stream(**self._request(model)) as events:
                response = events.get_final_response()
        else:
            response = self._create(**self._request(model))
        item = response.output[0]
        if item.type == "function_call":
            call = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
            self.history.append({"type": "function_call", **call})
            return str(item.name)
        self.history.append({"role": "assistant", "content": response.output_text})
        return str(response.output_text)

    def _tool(self) -> dict[str, Any]:
        return {"type": "function", "name": "get_weather", "parameters": CITY_SCHEMA}

    def _tool_result(self, result: str) -> dict[str, Any]:
        return {"type": "function_call_output", "call_id": self.history[-1]["call_id"], "output": result}


class MessagesClient(Client):
    """Anthropic messages."""

    backend = "anthropic"

    def _connect(self, url: str) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=url, api_key=ANTHROPIC_KEY, max_retries=0, timeout=CLIENT_TIMEOUT_S)

    def _create(self, **request: Any) -> Any:
        return self.sdk.messages.create(**request)

    def _request(self, model: str) -> dict[str, Any]:
        request = {"model": model, "max_tokens": 100, "system": "You are terse.", "messages": self.history}
        tools = {"tools": self.tools} if self.tools else {}
        return {**request, **tools, "extra_body": {"metadata": {"session_id": self.conversation_id}}}

    def _turn(self, model: str, *, stream: bool) -> str:
        if stream:
            with self.sdk.messages.stream(**self._request(model)) as events:
                block = events.get_final_message().content[0]
        else:
            block = self._create(**self._request(model)).content[0]
        if block.type == "tool_use":
            use = {"type": "tool_use", "id": block.id, "name": block.name, "input": block.input}
            self.history.append({"role": "assistant", "content": [use]})
            return str(block.name)
        self.history.append({"role": "assistant", "content": block.text})
        return str(block.text)

    def _tool(self) -> dict[str, Any]:
        return {"name": "get_weather", "input_schema": CITY_SCHEMA}

    def _tool_result(self, result: str) -> dict[str, Any]:
        block = {"type": "tool_result", "tool_use_id": self.history[-1]["content"][0]["id"], "content": result}
        return {"role": "user", "content": [block]}


CLIENTS: dict[str, type[Client]] = {
    "chat": ChatClient,
    "responses": ResponsesClient,
    "messages": MessagesClient,
}
