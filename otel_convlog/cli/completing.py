"""``completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, options and conversations' ids.

    For bash: eval "$(otel-convlog completion bash)"
    """
    made = get_completion_class(shell)
    if made is not None:
        root = ctx.find_root()
        click.echo(made(root.command, {}, "otel-convlog", "_OTEL_CONVLOG_COMPLETE").source())
