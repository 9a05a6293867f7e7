"""Conversations are found from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cli_helpers import DAY_NS, answered, asked, objects, run, write
from store_helpers import _START_NS, make_turn

from otel_convlog.cli import progress
from otel_convlog.store.catalog_database import FILE_NAME

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three conversations; the one written last crosses midnight."""
    write(
        tmp_path,
        make_turn(1, asked("hello 100%"), conversation_id="a", usage={"input_tokens": 5, "output_tokens": 5}),
        make_turn(
            2, asked("bonjour"), conversation_id="b", error={"type": "x"}, client_model="claude", route="messages"
        ),
        make_turn(3, asked("first"), conversation_id="night", usage={"input_tokens": 100}, duration_ms=5000),
        make_turn(
            4,
            asked("first", "yes", "second"),
            conversation_id="night",
            start_ns=_START_NS + DAY_NS,
            client_response=answered("good night"),
            trace={"complete": False},
        ),
    )
    return tmp_path


def _ids(log: Path, *arguments: str) -> list[str]:
    return [found["conversation_id"] for found in objects(log, "list", *arguments)]


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ((), ["night", "b", "a"]),
        (("--limit", "1"), ["night"]),
        (("--all",), ["night", "b", "a"]),
        (("--day", "2026-11-24"), ["night"]),
        (("--day", "2026-11-23"), ["night", "b", "a"]),
        (("--since", "2026-11-24"), ["night"]),
        (("--until", "2026-11-23T08:06:10.126"), ["a"]),
        (("--model", "CLAU"), ["b"]),
        (("--backend", "openai"), ["night", "b", "a"]),
        (("--route", "messages"), ["b"]),
        (("--text", "0%"), ["a"]),
        (("--text", "good n"), ["night"]),
        (("--error",), ["b"]),
        (("--no-error",), ["night", "a"]),
        (("--incomplete",), ["night"]),
        (("--complete",), ["b", "a"]),
        (("--grouped-by", "explicit"), ["night", "b", "a"]),
        (("--grouped-by", "seed"), []),
        (("--min-tokens", "10"), ["night", "a"]),
        (("--min-tokens", "1", "--max-tokens", "10"), ["a"]),
        (("--min-duration", "1000"), ["night"]),
        (("--max-duration", "1000"), ["b", "a"]),
        (("--sort", "tokens"), ["night", "a", "b"]),
        (("--sort", "turns", "--limit", "1"), ["night"]),
        (("--sort", "created", "--reverse"), ["a", "b", "night"]),
    ],
)
def test_conversations_are_chosen_and_sorted(log: Path, arguments: tuple[str, ...], ids: list[str]) -> None:
    assert _ids(log, *arguments) == ids


def test_a_conversation_that_crosses_midnight_is_listed_once(log: Path) -> None:
    found = objects(log, "list")[0]
    assert (found["turn_count"], found["input_tokens"], found["complete"]) == (2, 100, False)
    assert (found["first_user_text"], found["last_reply"]) == ("first", "good night")
    assert [path[-21:] for path in found["files"]] == ["2026-11-23/night.json", "2026-11-24/night.json"]


def test_a_pipe_gets_plain_lines_with_tabs(log: Path) -> None:
    header, first, *_ = run(log, "list").stdout.splitlines()
    assert header.split("\t")[:3] == ["id", "updated", "turns"]
    assert first.split("\t")[:3] == ["night", "2026-11-24 08:06:10", "2"]


def test_a_log_whose_catalog_is_gone_is_read_first(log: Path) -> None:
    for path in log.glob(f"{FILE_NAME}*"):
        path.unlink()
    assert _ids(log) == ["night", "b", "a"]


def test_a_directory_that_is_not_there_is_a_wrong_use(tmp_path: Path) -> None:
    assert "there is no log" in run(tmp_path / "none", "list", status=2).stderr


def test_the_directory_is_the_environment_s(log: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "otel_convlog.cli", "list"],
        env={**os.environ, "OTEL_EXPORTER_CONVLOG_DIRECTORY": str(log)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("\n") == 4


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_its_extra_the_command_says_how_to_install_it(missing: str) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None; from otel_convlog.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'otel-convlog[cli]'" in done.stderr


def test_reindex_reads_what_others_have_changed(log: Path) -> None:
    path = next(log.glob("*/a.json"))
    path.write_bytes(path.read_bytes().replace(b"gpt-5", b"gpt-6"))
    assert objects(log, "reindex") == [{"files_read": 1}]
    assert objects(log, "list", "--model", "gpt-6")[0]["conversation_id"] == "a"
    assert "4 files" in run(log, "reindex", "--everything").stdout


def test_prune_applies_the_bounds_that_it_is_given(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--max-age-days" in run(log, "prune", status=2).stderr
    assert objects(log, "prune", "--max-bytes", "0") == [{"conversations_removed": 2}]
    assert _ids(log) == ["night"]
    monkeypatch.setenv("OTEL_EXPORTER_CONVLOG_MAX_AGE_DAYS", "1")
    assert "0 conversations" in run(log, "prune").stdout


def test_a_list_is_watched(log: Path) -> None:
    arguments = [
        sys.executable,
        "-m",
        "otel_convlog.cli",
        "list",
        "--watch",
        "--json",
        "-n",
        "1",
        "--directory",
        str(log),
    ]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["conversation_id"] == "night"
        write(log, make_turn(9, asked("new"), conversation_id="new", start_ns=_START_NS + 2 * DAY_NS))
        assert json.loads(process.stdout.readline())["conversation_id"] == "new"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0


@pytest.mark.parametrize(("patience_s", "is_shown"), [(0.0, True), (60.0, False)])
def test_what_takes_long_shows_its_progress_on_a_terminal(
    patience_s: float, is_shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # to rich, that is a terminal
    monkeypatch.setattr(progress, "_PATIENCE_S", patience_s)
    with progress.progress("reading files") as tell:
        tell(3, 10)
        tell(4, 10)
    assert ("reading files" in capsys.readouterr().err) is is_shown


def test_a_terminal_gets_two_lines_a_conversation(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    lines = run(log, "list").stdout.splitlines()
    assert len(lines) == 6
    assert "first ⇒ good night" in lines[1]
    assert "cut off" in lines[0]
    assert "1 errors" in lines[2]
