"""Every command of docs/cli.md prints what stands there, against a log that was made through the real proxy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cli_docs import DOCUMENT, environment_for, run
from cli_log import commands_of, make_log

from otel_convlog.cli.app import commands
from otel_convlog.integrity import KINDS

if TYPE_CHECKING:
    from pathlib import Path

    import click

_DOCUMENT = DOCUMENT.read_text("utf-8")


def _lasting(output: str) -> str:
    """Output without what differs from run to run: numbers, ids, times, durations."""
    return re.sub(r"(?<![0-9a-z])[0-9a-f]{6,}(?![0-9a-z])|[-+]?\d+(?:[.,:-]\d+)*(?: ms| s\b)?", "#", output)


def test_every_command_prints_what_the_page_says(tmp_path: Path, upstream: str) -> None:
    make_log(tmp_path / "log", upstream)
    environment = environment_for(tmp_path / "log", upstream)
    for command, output in commands_of(_DOCUMENT):
        assert _lasting(run(command, environment, tmp_path)) == _lasting(output.rstrip()), command


def test_every_command_and_option_stands_on_the_page() -> None:
    shown = [command for command, _ in commands_of(_DOCUMENT)]
    for name, command in _commands():
        assert any(re.match(rf"(?:\w+=\S+ |timeout \d+ )?otel-convlog {name}\b", line) for line in shown), name
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                if option.startswith("--"):
                    assert f"`{option}" in _DOCUMENT or any(option in line for line in shown), f"{name} {option}"


def test_every_kind_of_problem_stands_on_the_page() -> None:
    assert dict(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", _DOCUMENT, re.MULTILINE)).items() >= KINDS.items()


def _commands() -> list[tuple[str, click.Command]]:
    context = commands.make_context("otel-convlog", ["list"], resilient_parsing=True)
    found = [(name, commands.get_command(context, name)) for name in commands.list_commands(context)]
    return [(name, command) for name, command in found if command is not None]
