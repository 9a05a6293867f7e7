"""The commands by their names; the module of each is loaded when it is called."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from otel_convlog._version import __version__

_COMMANDS = {
    "list": "listing",
    "show": "showing",
    "diff": "comparing",
    "search": "searching",
    "tail": "tailing",
    "stats": "counting",
    "verify": "verifying",
    "repair": "repairing",
    "prune": "pruning",
    "forget": "forgetting",
    "scrub": "scrubbing",
    "reindex": "reindexing",
    "merge": "merging",
    "split": "splitting",
    "export": "exporting",
    "replay": "replaying",
    "view": "viewing",
    "collect": "collecting",
    "deliver": "delivering",
    "publish": "publishing",
    "copy": "copying",
    "status": "checking",
    "completion": "completing",
}


class _Commands(click.Group):
    """Loads a command's module when it is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  as above
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"otel_convlog.cli.{_COMMANDS[cmd_name]}").command
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def commands() -> None:
    """Find, read, compare, check and keep the conversations that otel-convlog has written."""


def run() -> None:
    """Run the command line.

    Exit status: 0 where all is well, 1 where something was found (damage, a difference), 2 where it was used wrongly.
    """
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show a character is no reason to stop
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    commands(prog_name="otel-convlog")
