"""An application that is instrumented by one family of packages; it runs in an environment of its own.

``application.py FAMILY UPSTREAM``. Its dialogues begin with the name of their scenario.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import sys
from contextlib import suppress
from typing import Any

TOOL = {"city": {"type": "string"}}
SCHEMA = {"type": "object", "properties": TOOL, "required": ["city"]}


def growing(ask: Any, scenario: str, *, turns: int = 3) -> None:
    history: list[dict[str, Any]] = []
    for number in range(turns):
        history.append({"role": "user", "content": f"{scenario}: question {number}"})
        history.append({"role": "assistant", "content": ask(list(history))})


def openai_scenarios(base_url: str) -> None:
    import openai

    client = openai.OpenAI(base_url=f"{base_url}/v1", api_key="sk-test", max_retries=0)
    system: Any = {"role": "system", "content": "You are terse."}

    def chat(history: list[Any]) -> str:
        answer = client.chat.completions.create(model="gpt-5", messages=[system, *history], temperature=0.5)
        return answer.choices[0].message.content or ""

    def chat_stream(history: list[Any]) -> str:
        chunks = client.chat.completions.create(
            model="gpt-5", messages=[system, *history], stream=True, stream_options={"include_usage": True}
        )
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    growing(chat, "chat")
    growing(chat_stream, "chat_stream")

    tools: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
    history: list[Any] = [{"role": "user", "content": "chat_tools: What is the weather in Oslo?"}]
    message = client.chat.completions.create(model="gpt-5", messages=history, tools=tools).choices[0].message
    call = (message.tool_calls or [])[0]
    history += [message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "21 C"}]
    client.chat.completions.create(model="gpt-5", messages=history, tools=tools)

    previous = None
    for number in range(2):
        response = client.responses.create(
            model="gpt-5", instructions="Be brief.", input=f"responses: step {number}", previous_response_id=previous
        )
        previous = response.id

    for model in ("error-500", "error-429"):
        with suppress(openai.APIStatusError):
            client.chat.completions.create(model=model, messages=[{"role": "user", "content": "errors: fail"}])

    async def at_once() -> None:
        several = openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="sk-test", max_retries=0)
        await asyncio.gather(
            *(
                several.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "at_once: same"}])
                for _ in range(4)
            )
        )

    asyncio.run(at_once())


def proxied_scenarios(base_url: str) -> None:
    """Be a proxy that records its turns, and calls its upstream with the instrumented client library."""
    import openai

    import otel_convlog

    client = openai.OpenAI(base_url=f"{base_url}/v1", api_key="sk-test", max_retries=0)
    for kind, model, stream in (
        ("proxied_plain", "gpt-5", False),
        ("proxied_stream", "gpt-5", True),
        ("proxied_error", "error-429", False),
    ):
        request: Any = {"model": model, "messages": [{"role": "user", "content": f"{kind}: hello"}], "stream": stream}
        turn = otel_convlog.start_turn(
            route="chat", client_model=model, backend="openai", stream=stream, client_request=request
        )
        try:
            answer: Any = client.chat.completions.create(**request)
            if stream:
                for chunk in answer:
                    otel_convlog.append_upstream_event(turn, chunk.model_dump())
                    otel_convlog.append_client_event(turn, chunk.model_dump())
            else:
                otel_convlog.attach_upstream_response(turn, answer.model_dump())
                otel_convlog.attach_client_response(turn, answer.model_dump())
        except openai.APIStatusError as error:
            otel_convlog.attach_error(turn, {"type": "upstream_status", "status_code": error.status_code})
        finally:
            otel_convlog.finalize_turn(turn)


def anthropic_scenarios(base_url: str) -> None:
    import anthropic

    client = anthropic.Anthropic(base_url=base_url, api_key="sk-test", max_retries=0)
    fixed: dict[str, Any] = {"model": "claude-5", "max_tokens": 99, "system": "You are kind."}

    def messages(history: list[Any]) -> str:
        answer = client.messages.create(messages=history, **fixed)
        return "".join(block.text for block in answer.content if block.type == "text")

    def messages_stream(history: list[Any]) -> str:
        text = ""
        for event in client.messages.create(messages=history, stream=True, **fixed):
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                text += event.delta.text
        return text

    growing(messages, "messages")
    growing(messages_stream, "messages_stream")


def litellm_scenarios(base_url: str) -> None:
    import litellm

    litellm.callbacks = ["otel"]

    def chat(history: list[Any]) -> str:
        answer = litellm.completion(
            model="openai/gpt-5", messages=history, api_base=f"{base_url}/v1", api_key="sk-test", num_retries=0
        )
        return str(answer.choices[0].message.content)

    growing(chat, "chat")


def langchain_scenarios(base_url: str) -> None:
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="gpt-5", base_url=f"{base_url}/v1", api_key="sk-test", max_retries=0)
    chain = ChatPromptTemplate.from_messages([("system", "You are terse."), ("placeholder", "{history}")]) | model

    def chat(history: list[Any]) -> str:
        return str(chain.invoke({"history": [(message["role"], message["content"]) for message in history]}).content)

    growing(chat, "chat")


def set_up_logfire() -> None:
    import logfire
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    (found,) = importlib.metadata.entry_points(group="opentelemetry_traces_exporter", name="convlog")
    logfire.configure(
        send_to_logfire=False, console=False, additional_span_processors=[BatchSpanProcessor(found.load()())]
    )
    logfire.instrument_openai()
    logfire.instrument_anthropic()


def main(family: str, base_url: str) -> None:
    if family == "logfire":
        set_up_logfire()
    if family == "litellm":
        litellm_scenarios(base_url)
    elif family == "langchain":
        langchain_scenarios(base_url)
    else:
        openai_scenarios(base_url)
        proxied_scenarios(base_url)
        anthropic_scenarios(base_url)


if __name__ == "__main__":
    main(*sys.argv[1:])
