"""What README and docs say is so."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from conversation_log import Log, read_document
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import otel_convlog
from otel_convlog.assembly import content_capture
from otel_convlog.capture import ConvlogMiddleware, uninstrument_httpx
from otel_convlog.capture.routes import Routes
from otel_convlog.identity import clients
from otel_convlog.readers import gen_ai, openinference
from otel_convlog.redaction.headers import SECRET_HEADERS, SECRET_PARTS
from otel_convlog.settings import PREFIX, Settings
from otel_convlog.store import read_document as read_stored

_ROOT = Path(__file__).parents[1]
_README = (_ROOT / "README.md").read_text("utf-8")
_RECORDING = (_ROOT / "docs" / "recording.md").read_text("utf-8")
_DURABILITY = (_ROOT / "docs" / "durability.md").read_text("utf-8")
_DELIVERY = (_ROOT / "docs" / "delivery.md").read_text("utf-8")
_FORMAT = (_ROOT / "docs" / "format.md").read_text("utf-8")
_CAPTURE = (_ROOT / "docs" / "capture.md").read_text("utf-8")
_IDENTITY = (_ROOT / "docs" / "identity.md").read_text("utf-8")
_SOURCES = (_ROOT / "docs" / "sources.md").read_text("utf-8")


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_quick_start_is_two_commands_that_ci_runs() -> None:
    commands = _blocks(_README, "sh")[0].splitlines()
    assert commands == [
        "python3 -m venv .venv && .venv/bin/pip install -q -e '.[examples]' && .venv/bin/python examples/demo.py",
        "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/pytest -n 2 --dist loadfile",
    ]


def test_the_readme_s_proxy_logs_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_sdk: None) -> None:  # noqa: ARG001
    monkeypatch.chdir(tmp_path)
    handler, set_up = _blocks(_README, "python")

    def rewrite(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        return {**body, "model": "gpt-5-2026"}, {"x-api-key": "sk-1234567890"}

    def forward(body: dict[str, Any], _headers: dict[str, str]) -> dict[str, Any]:
        assert body["model"] == "gpt-5-2026"
        return {"id": "r1", "usage": {"total_tokens": 3}}

    namespace: dict[str, Any] = {"rewrite": rewrite, "forward": forward}
    exec(compile(set_up, "README.md", "exec"), namespace)  # noqa: S102  the example is what is tested
    exec(compile(handler, "README.md", "exec"), namespace)  # noqa: S102
    namespace["handle"]({"model": "gpt-5", "messages": []})
    namespace["provider"].shutdown()
    (path,) = (tmp_path / "data" / "conversations").glob("*/*.json")
    (turn,) = read_document(path)["turns"]
    assert turn["upstream_request"]["headers"] == {"x-api-key": "sk-1***7890"}
    assert turn["client_response"] == {"id": "r1", "usage": {"total_tokens": 3}}
    assert turn["usage"] == {"total_tokens": 3}


def test_the_package_s_own_example_writes_the_file_that_it_names(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_sdk: None,  # noqa: ARG001
) -> None:
    monkeypatch.chdir(tmp_path)
    text = otel_convlog.__doc__ or ""
    example = re.sub(r"^    ", "", text.partition("::\n")[2], flags=re.MULTILINE)
    exec(compile(example, "otel_convlog", "exec"), {})  # noqa: S102  the example is what is tested
    (path,) = (tmp_path / "data" / "conversations").glob("*/*.json")
    assert path.name in text


def test_the_table_of_variables_is_the_settings() -> None:
    documented = set(re.findall(rf"^\| `({PREFIX}\w+)`", _README, re.MULTILINE))
    options = {option.metadata.get("option", option.name) for option in fields(Settings) if option.metadata}
    beside = {"disabled", "capture_paths", "capture_bytes"}  # of what records, not of the exporter
    assert documented == {PREFIX + option.upper() for option in options | beside}


def test_the_documented_way_to_read_reads_a_file(log: Log) -> None:
    otel_convlog.finalize_turn(
        otel_convlog.start_turn(route="chat", client_model="m", backend="b", stream=False, client_request={})
    )
    (path,) = log.files()
    namespace: dict[str, Any] = {"path": path}
    exec(compile(_blocks(_FORMAT, "python")[0], "format.md", "exec"), namespace)  # noqa: S102
    assert namespace["document"]["turn_count"] == 1


def test_the_format_s_tables_name_every_key(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    exporter = otel_convlog.ConversationSpanExporter(directory=tmp_path, stream_events=1)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    with otel_convlog.Turn(route="chat", client_model="m", backend="b", stream=True, client_request={}) as turn:
        for number in range(3):
            turn.append_upstream_event(number)
            turn.append_client_event(number)
        turn.finalize(usage={"total_tokens": 1})
    (path,) = tmp_path.glob("*/*.json")
    document = read_document(path)
    (written,) = document["turns"]
    tables = _FORMAT.partition("## Values")[0]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*)\|", tables, re.MULTILINE))))
    assert named == {
        *document,
        *written,
        *written["otel"],
        "lost",
        "thread",
        "scope",
        "content",
        "redacted",
        "redaction_failed",
        "evidence_read",
        "spans",
        "attempts",
        "moved_from",
        "continued",
        "mended",
        "client_status_code",
        "upstream_status_code",
    }


def test_the_documented_capture_is_two_lines_that_run() -> None:
    namespace: dict[str, Any] = {}
    try:
        exec(compile(_blocks(_CAPTURE, "python")[0], "capture.md", "exec"), namespace)  # noqa: S102
    finally:
        uninstrument_httpx()
    assert [entry.cls for entry in namespace["app"].user_middleware] == [ConvlogMiddleware]


def test_the_table_of_captured_paths_is_the_routes() -> None:
    rows = re.findall(r"^\| (`[/…].*?) \| `(\w+)` \|$", _CAPTURE, re.MULTILINE)
    assert len(rows) == 4
    for paths, route in rows:
        for path in re.findall(r"`([^`]+)`", paths):
            matched = Routes().match("/prefix" + path.replace("…", "/models/m"))
            assert matched is not None
            assert matched.route.name == route


def test_the_table_of_token_counts_is_the_readers() -> None:
    table = _SOURCES.partition("### Usage")[2].partition("## One call")[0]
    documented = {
        attribute: name
        for name, attributes in re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE)
        for attribute in re.findall(r"`([^`]+)`", attributes)
    }
    assert documented == {**gen_ai.USAGE, **openinference.USAGE}


def test_the_table_of_content_switches_has_every_instrumentation_that_is_warned_of() -> None:
    table = _SOURCES.partition("## Which packages")[2].partition("## Field by field")[0]
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", table, re.MULTILINE)
    documented = {scope: switch for scopes, switch in rows for scope in re.findall(r"`([^`]+)`", scopes)}
    for prefix, advice in content_capture._SWITCHES:
        if prefix:
            for variable in re.findall(r"\b([A-Z_]{8,})=", advice):
                assert variable in documented[prefix]


def test_the_table_of_ids_on_spans_is_the_order_in_which_they_are_looked_for() -> None:
    table = _IDENTITY.partition("| any, by the span (in this order) |")[2].partition("Never taken")[0]
    rows = ["| |" + table.partition("\n")[0], *table.partition("\n")[2].splitlines()]
    documented = [name for row in rows if row.startswith("|") for name in re.findall(r"`([^`]+)`", row.split("|")[2])]
    assert tuple(documented) == clients._ATTRIBUTES


def test_the_documented_settings_for_instrumentations_are_those_of_the_example() -> None:
    block = _blocks(_SOURCES, "sh")[0]
    example = (_ROOT / "examples" / "existing_tracing" / "app.py").read_text()
    for line in block.splitlines()[1:3]:
        assert line in example
    assert "examples/existing_tracing/app.py" in block


@pytest.mark.parametrize("value", [float("nan"), 2**70, "\ud800", {1}])
def test_the_format_s_rules_for_values_hold(value: object, log: Log) -> None:
    request = {"conversation_id": "c", "v": value}
    otel_convlog.finalize_turn(
        otel_convlog.start_turn(route="chat", client_model="m", backend="b", stream=False, client_request=request)
    )
    expected = {"nan": None, "{1}": "{1}"}.get(str(value), value)
    assert log.document()["turns"][0]["client_request"]["v"] == expected


def test_the_documented_stream_is_logged_also_when_its_client_hangs_up(log: Log) -> None:
    events = [{"text": "a"}, {"text": "b", "usage": {"total_tokens": 2}}, {"text": "c"}]
    namespace: dict[str, Any] = {"open_stream": lambda _body: iter(events)}
    exec(compile(_blocks(_RECORDING, "python")[0], "recording.md", "exec"), namespace)  # noqa: S102
    body = {"model": "gpt-5", "conversation_id": "c"}
    assert list(namespace["handle_stream"](body)) == events
    stream = namespace["handle_stream"](body)
    next(stream)
    stream.close()
    whole, hung_up = log.document()["turns"]
    assert whole["stream_trace"] == {"upstream_events": events, "client_events": events, "summary": {"text": "abc"}}
    assert (whole["usage"], whole["error"]) == ({"total_tokens": 2}, None)
    assert hung_up["error"] == {"type": "GeneratorExit", "message": ""}
    assert hung_up["stream_trace"]["upstream_events"] == events[:1]


def test_the_documented_calls_are_all_there_are() -> None:
    documented = set(re.findall(r"^\| `(\w+)\(", _RECORDING, re.MULTILINE))
    assert documented == {name for name in otel_convlog.__all__ if name[0].islower()} - {
        "attributes",
        "fit_for_turns",
        "without_turn_content",
    }


def test_the_documented_secrets_are_the_masked_ones() -> None:
    specified, others = re.findall(
        r"^- (`.*?(?:;|\.)\n)", _RECORDING.partition("## Secrets")[2], re.MULTILINE | re.DOTALL
    )[:2]
    names, parts = others.split("every name that contains")
    assert set(re.findall(r"`([\w-]+)`", specified.partition(":")[0] + names)) == SECRET_HEADERS
    assert tuple(re.findall(r"`([\w-]+)`", parts.partition(", and those")[0])) == SECRET_PARTS


def test_the_documented_way_to_list_lists(log: Log, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    request = {"conversation_id": "c", "messages": [{"role": "user", "content": "hello"}]}
    otel_convlog.finalize_turn(
        otel_convlog.start_turn(route="chat", client_model="m", backend="b", stream=False, client_request=request)
    )
    monkeypatch.chdir(log.directory.parent)
    log.directory.rename(log.directory.with_name("conversations"))
    Path("data").mkdir()
    Path("conversations").rename("data/conversations")
    exec(compile(_blocks(_DURABILITY, "python")[0], "durability.md", "exec"), {})  # noqa: S102
    printed = capsys.readouterr().out
    assert "c 1 hello" in printed
    assert "turn_" in printed


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in (_ROOT / "README.md", *(_ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), (page.name, target)


def _delivery(part: str) -> str:
    (block,) = (block for block in _blocks(_DELIVERY, "python") if part in block)
    return block


def test_the_delivery_in_code_keeps_the_turn_and_not_the_trace(tmp_path: Path) -> None:
    script = _delivery("TraceIdRatioBased(0.1)") + (
        "import otel_convlog\n"
        "for number in range(100):\n"
        "    request = {'session_id': 's', 'text': f'SECRET {number}'}\n"
        "    turn = otel_convlog.Turn(\n"
        "        route='chat', client_model='m', backend='b', stream=False, client_request=request\n"
        "    )\n"
        "    turn.finalize()\n"
    )
    command = [sys.executable, "-c", script]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout
    assert _turns_of(tmp_path, "s") == 100
    assert 1 <= shown.count('"name": "convlog.turn"') < 50
    assert "SECRET" not in shown


def test_the_delivery_of_a_short_process_is_written_when_it_returns(tmp_path: Path, no_sdk: None) -> None:  # noqa: ARG001
    provider = TracerProvider()
    provider.add_span_processor(otel_convlog.ConversationSpanProcessor(directory=tmp_path))
    trace.set_tracer_provider(provider)
    namespace: dict[str, Any] = {}
    exec(compile(_delivery("def handler(event"), "delivery.md", "exec"), namespace)  # noqa: S102
    assert namespace["handler"]({"session_id": "s"}, None) == {"statusCode": 200}
    (path,) = tmp_path.glob("*/s.json")
    assert read_document(path)["turn_count"] == 1
    provider.shutdown()


def test_the_delivery_s_fixture_works(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(_delivery("@pytest.fixture"))
    (tmp_path / "test_it.py").write_text(
        "from otel_convlog import Turn\n"
        "def test_it(conversations):\n"
        "    with Turn(route='chat', client_model='m', backend='b', stream=False, client_request={}): pass\n"
        "    assert len(conversations()) == 1\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


def test_celery_s_workers_write_their_turns_also_when_they_are_recycled(tmp_path: Path) -> None:
    folders = {f"data_folder_{way}": str(tmp_path / "queue") for way in ("in", "out")}
    (tmp_path / "queue").mkdir()
    options = {**folders, "control_folder": str(tmp_path / "control")}
    (tmp_path / "tasks.py").write_text(
        _delivery("from celery import Celery")
        + f"\napp.conf.update(broker_url='filesystem://', broker_transport_options={options!r})\n"
    )
    worker = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-c", "2", "--max-tasks-per-child", "3"]
    with subprocess.Popen(worker, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            ask = "from tasks import ask\nfor number in range(20): ask.delay(number)"
            subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, check=True, timeout=60)
            deadline = time.monotonic() + 60
            while _turns_of(tmp_path, "nightly") < 20 and time.monotonic() < deadline:
                time.sleep(0.1)
        finally:
            process.terminate()
            process.wait(60)
    assert _turns_of(tmp_path, "nightly") == 20


def _turns_of(directory: Path, conversation_id: str) -> int:
    paths = directory.glob(f"data/conversations/*/{conversation_id}.json")
    turns: list[Any] = [read_stored(path)["turns"] for path in paths]
    return sum(map(len, turns))


def test_the_delivery_s_variables_are_the_configurator_s() -> None:
    documented = set(re.findall(rf"^\| `{PREFIX}(\w+)`", _DELIVERY, re.MULTILINE))
    source = (_ROOT / "otel_convlog" / "configurator.py").read_text()
    assert documented == {name.upper() for name in re.findall(r'switch\("(\w+)"', source)}
