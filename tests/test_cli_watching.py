"""Turns are followed and counted from the command line."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cli_helpers import DAY_NS, answered, asked, objects, run, write
from store_helpers import _START_NS, make_turn

from otel_convlog.reading.recent import Follower
from otel_convlog.reading.statistics import Percentiles
from otel_convlog.record import StreamEvents

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    chunk: Any = {"choices": [{"delta": {"content": "a"}}]}
    for number in range(1, 11):
        turn = make_turn(
            number,
            asked(f"question {number}"),
            conversation_id=f"c{number % 3}",
            client_response=answered(f"answer {number}"),
            duration_ms=number * 100,
            start_ns=_START_NS + (DAY_NS if number > 6 else 0),
            client_model="claude" if number == 10 else "gpt-5",
            backend="anthropic" if number == 10 else "openai",
            error={"type": "x", "message": "broken"} if number == 5 else None,
            usage={"input_tokens": 10, "output_tokens": 1},
            client_events=StreamEvents([chunk], [number * 10.0]),
        )
        write(tmp_path, turn)
    return tmp_path


def test_the_last_turns_are_shown_the_newest_last(log: Path) -> None:
    lines = run(log, "tail", "-n", "3").stdout.splitlines()
    assert [line.partition(" ⇒ ")[2] for line in lines] == ["answer 8", "answer 9", "answer 10"]
    assert "question 10" in lines[-1]
    assert len(objects(log, "tail")) == 10
    assert run(log, "tail", "-n", "0").stdout == ""
    assert "ERROR x broken" in run(log, "tail").stdout


def test_turns_of_other_processes_are_followed(log: Path) -> None:
    arguments = [sys.executable, "-m", "otel_convlog.cli", "tail", "-n", "1", "-f", "--json", "--directory", str(log)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["asked"] == "question 10"
        later = _START_NS + 2 * DAY_NS
        write(log, make_turn(11, asked("new one"), conversation_id="new", start_ns=later))
        assert json.loads(process.stdout.readline())["asked"] == "new one"
        write(log, make_turn(12, asked("new two"), conversation_id="c1", start_ns=later))
        assert json.loads(process.stdout.readline())["asked"] == "new two"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0


def test_each_turn_is_told_once_also_where_one_is_late(log: Path) -> None:
    follower = Follower(log)
    assert len(follower.last(2)) == 2
    assert follower.new() == []
    write(log, make_turn(14, asked("x"), conversation_id="late", start_ns=_START_NS + DAY_NS))
    assert [turn.conversation_id for turn in follower.new()] == ["late"]
    write(log, make_turn(13, asked("x"), conversation_id="later", start_ns=_START_NS + DAY_NS))
    assert [turn.conversation_id for turn in follower.new()] == ["later"]
    assert follower.new() == []
    follower.close()


def test_an_empty_log_is_followed_from_its_first_turn(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    assert follower.last(5) == []
    write(tmp_path, make_turn(1, asked("x")))
    assert [turn.conversation_id for turn in follower.new()] == ["c"]
    follower.close()


def test_turns_are_counted_by_day_model_and_backend(log: Path) -> None:
    first, second = objects(log, "stats")
    assert first["group"] == {"day": "2026-11-23"}
    assert (first["turns"], first["errors"], first["input_tokens"], first["output_tokens"]) == (6, 1, 60, 6)
    assert first["duration_ms"] == {"p50": 300.0, "p90": 600.0, "p99": 600.0}
    assert second["first_token_ms"] == {"p50": 80.0, "p90": 100.0, "p99": 100.0}
    by_both = objects(log, "stats", "--by", "model,backend")
    assert [(found["group"]["model"], found["turns"]) for found in by_both] == [("claude", 1), ("gpt-5", 9)]
    (all_together,) = objects(log, "stats", "--by", "")
    assert all_together["turns"] == 10


@pytest.mark.parametrize(
    ("arguments", "turns"),
    [
        (("--since", "2026-11-24"), 4),
        (("--until", "2026-11-24"), 6),
        (("--model", "claude"), 1),
        (("--backend", "openai"), 9),
        (("--route", "chat"), 10),
    ],
)
def test_turns_are_chosen(log: Path, arguments: tuple[str, str], turns: int) -> None:
    assert [found["turns"] for found in objects(log, "stats", "--by", "route", *arguments)] == [turns]


def test_figures_come_as_comma_separated_values(log: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run(log, "stats", "--csv").stdout)))
    assert [(row["day"], row["turns"], row["ms_p50"]) for row in rows] == [
        ("2026-11-23", "6", "300"),
        ("2026-11-24", "4", "800"),
    ]


def test_an_unknown_group_is_a_wrong_use(log: Path) -> None:
    assert "--by takes" in run(log, "stats", "--by", "weather", status=2).stderr


def test_percentiles_are_values_that_occurred() -> None:
    assert Percentiles.of([3, 1, 2]) == Percentiles(2, 3, 3)
    assert Percentiles.of(list(range(1, 201))) == Percentiles(100, 180, 198)
    assert Percentiles.of([]) == Percentiles(None, None, None)


@pytest.mark.parametrize(
    ("columns", "has_plots", "has_p99"), [("160", True, True), ("100", False, True), ("80", False, False)]
)
def test_a_terminal_gets_a_table_that_fits_and_plots_where_there_is_room(
    log: Path, monkeypatch: pytest.MonkeyPatch, columns: str, has_plots: bool, has_p99: bool
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # to rich, that is a terminal
    monkeypatch.setenv("COLUMNS", columns)
    shown = run(log, "stats", "--by", "model").stdout
    assert "claude" in shown
    assert ("█" in shown) is has_plots
    assert ("p99" in shown) is has_p99
