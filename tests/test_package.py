"""What the installed package is from outside."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest

import otel_convlog

_ROOT = Path(__file__).parents[1]


def test_the_core_install_needs_three_packages_and_on_windows_a_fourth() -> None:
    requirements = [requirement for requirement in requires("otel-convlog") or [] if "extra ==" not in requirement]
    anywhere = {requirement.split(">")[0] for requirement in requirements if ";" not in requirement}
    assert anywhere == {"opentelemetry-api", "opentelemetry-sdk", "orjson"}
    (elsewhere,) = (requirement for requirement in requirements if ";" in requirement)
    assert elsewhere.replace('"', "'") == "filelock>=3.30; sys_platform == 'win32'"
    assert metadata("otel-convlog")["License-Expression"] == "Apache-2.0"
    assert (_ROOT / "otel_convlog" / "py.typed").is_file()


def test_the_import_brings_in_nothing_but_the_core() -> None:
    script = """
import sys
import opentelemetry.sdk.trace.export
before = set(sys.modules)
import otel_convlog
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))
"""
    imported = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert set(imported.split()) <= {"otel_convlog", "orjson", "opentelemetry"}


def test_instrumented_code_does_not_load_the_store() -> None:
    script = "import sys, otel_convlog; print('otel_convlog.store' in sys.modules, 'sqlite3' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == ["False", "False"]


@pytest.mark.skipif(sys.platform == "win32", reason="it is what locks files there")
def test_the_store_does_without_the_package_that_windows_needs() -> None:
    script = """
import sys
sys.modules["filelock"] = None
from otel_convlog import ConversationSpanExporter
ConversationSpanExporter()
print("otel_convlog.store.windows_files" in sys.modules)
"""
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == ["False"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'unknown'"):
        getattr(otel_convlog, "unknown")  # noqa: B009  mypy knows that it is not there


def test_everything_public_is_there_and_sorted() -> None:
    assert otel_convlog.__all__ == sorted(otel_convlog.__all__)
    for name in otel_convlog.__all__:
        assert getattr(otel_convlog, name) is not None
    assert set(otel_convlog.__all__) >= {
        "start_turn",
        "attach_upstream_request",
        "attach_upstream_response",
        "attach_client_response",
        "append_upstream_event",
        "append_client_event",
        "set_stream_summary",
        "attach_error",
        "finalize_turn",
        "sanitize_headers",
        "get_conversation_id",
    }


def test_the_top_level_holds_what_it_should() -> None:
    made_by_tools = {"data", "build", "dist"}
    entries = {entry.name for entry in _ROOT.iterdir() if not entry.name.startswith(".")} - made_by_tools
    assert entries == {"pyproject.toml", "README.md", "otel_convlog", "tests", "examples", "docs"}
