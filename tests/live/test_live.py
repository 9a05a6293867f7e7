"""The real instrumentation packages with the real client libraries, each family in an environment of its own.

Slow, for it installs them; run with ``pytest -m live``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conversation_log import read_document
from environments import environment_with, run
from recorded_spans import SPANS

pytestmark = pytest.mark.live

_HERE = Path(__file__).resolve().parent
_PROJECT = _HERE.parents[1]
_APPLICATION = _HERE / "application.py"

_CONTENT = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "span_only"}
_FAMILIES: dict[str, tuple[list[str], dict[str, str]]] = {
    "genai": (["openai", "anthropic", "opentelemetry-instrumentation-genai-"], _CONTENT),
    "traceloop": (
        ["openai", "anthropic", "opentelemetry-instrumentation-openai", "opentelemetry-instrumentation-anthropic"],
        {},
    ),
    "openinference": (["openai", "anthropic", "openinference-instrumentation-"], {}),
    "logfire": (["openai", "anthropic", "logfire"], {}),
}
_OTHERS: dict[str, tuple[list[str], dict[str, str]]] = {
    "litellm": (["litellm", "openai"], _CONTENT),
    "langchain": (
        ["langchain-openai", "openinference-instrumentation-langchain", "openinference-instrumentation-openai"],
        {},
    ),
}


def _recorded_versions(family: str, packages: list[str]) -> list[str]:
    """Return the releases with which the spans in ``tests/spans`` were captured: they are known to fit each other."""
    lines = (SPANS / family / "VERSIONS.txt").read_text().split()
    return [line for line in lines if any(_is(line.partition("==")[0], package) for package in packages)]


def _is(name: str, package: str) -> bool:
    return name.startswith(package) if package.endswith("-") else name == package


def _documents(directory: Path) -> list[dict[str, Any]]:
    return [read_document(path) for path in sorted(directory.glob("*/*.json"))]


def _by_scenario(directory: Path) -> dict[str, list[list[dict[str, Any]]]]:
    """Return the conversations, as lists of turns, by the scenario that their first question names."""
    found: dict[str, list[list[dict[str, Any]]]] = {}
    for document in _documents(directory):
        asked = document["turns"][0]["client_request"]
        messages = asked.get("messages", asked.get("input"))
        first = (
            messages if isinstance(messages, str) else next(m["content"] for m in messages if m.get("role") == "user")
        )
        text = first if isinstance(first, str) else first[0]["text"]
        found.setdefault(text.partition(":")[0], []).append(document["turns"])
    return found


def _start(python: Path, family: str, url: str, directory: Path, variables: dict[str, str]) -> None:
    command = [str(python), str(_APPLICATION), family, url]
    if family != "logfire":  # which sets the SDK up itself
        command = [str(python.with_name("opentelemetry-instrument")), *command]
    run(
        *command,
        OTEL_TRACES_EXPORTER="convlog",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
        OTEL_EXPORTER_CONVLOG_DIRECTORY=str(directory),
        **variables,
    )


@pytest.mark.parametrize("family", _FAMILIES)
def test_real_packages_with_real_clients(family: str, upstream: str, wheel: Path, tmp_path: Path) -> None:
    packages, variables = _FAMILIES[family]
    distro = [] if family == "logfire" else ["opentelemetry-distro"]
    python = environment_with(tmp_path / "venv", [str(wheel), *_recorded_versions(family, packages), *distro])
    _start(python, family, upstream, tmp_path / "log", variables)
    found = _by_scenario(tmp_path / "log")
    for kind in ("proxied_plain", "proxied_stream", "proxied_error"):
        ((turn,),) = found.pop(kind)
        assert turn["otel"]["source"] == "turn"
        assert turn["otel"]["spans"]
    sizes = {scenario: sorted(map(len, found.get(scenario, []))) for scenario in found}
    linked = family == "openinference"  # the others record nothing that links a chain of responses
    assert sizes == {
        "chat": [3],
        "chat_stream": [3],
        "chat_tools": [2],
        "responses": [2] if linked else [1, 1],
        "errors": [2],
        "at_once": [4],
        "messages": [3],
        "messages_stream": [3],
    }
    for scenario, several in found.items():
        for turn in (turn for turns in several for turn in turns):
            assert turn["route"] == {"messages": "messages", "responses": "responses"}.get(
                scenario.partition("_")[0], "chat"
            )
            assert turn["stream"] is scenario.endswith("_stream")
            assert (turn["error"] is None) is (scenario != "errors")
            if scenario != "errors":
                assert (
                    "Answer" in str(turn["client_response"])
                    or "weather" in str(turn["client_response"])
                    or "tool" in str(turn["client_response"])
                )
                assert turn["usage"]["output_tokens"] > 0


@pytest.mark.parametrize("family", _OTHERS)
def test_what_stands_around_the_client_libraries(family: str, upstream: str, wheel: Path, tmp_path: Path) -> None:
    packages, variables = _OTHERS[family]
    python = environment_with(tmp_path / "venv", [str(wheel), *packages, "opentelemetry-distro"])
    _start(python, family, upstream, tmp_path / "log", variables)
    (turns,) = (document["turns"] for document in _documents(tmp_path / "log"))
    assert len(turns) == 3
    assert ["Answer" in str(turn["client_response"]) for turn in turns] == [True] * 3


def test_the_example_needs_not_a_line_of_code(upstream: str, wheel: Path, tmp_path: Path) -> None:
    packages, variables = _FAMILIES["genai"]
    example = _PROJECT / "examples" / "existing_tracing" / "app.py"
    assert "otel_convlog" not in example.read_text().partition('"""\n\n')[2]
    python = environment_with(
        tmp_path / "venv",
        [str(wheel), *_recorded_versions("genai", packages[:1] + packages[2:]), "opentelemetry-distro"],
    )
    output = run(
        str(python.with_name("opentelemetry-instrument")),
        str(python),
        str(example),
        "One?",
        "Two?",
        OTEL_TRACES_EXPORTER="convlog",
        OTEL_METRICS_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
        OTEL_EXPORTER_CONVLOG_DIRECTORY=str(tmp_path / "log"),
        OPENAI_BASE_URL=f"{upstream}/v1",
        OPENAI_API_KEY="sk-test",
        **variables,
    )
    (document,) = _documents(tmp_path / "log")
    assert document["turn_count"] == 2
    for turn in document["turns"]:
        assert turn["client_response"]["choices"][0]["message"]["content"] in output
