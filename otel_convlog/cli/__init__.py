"""The command ``otel-convlog`` (docs/cli.md): thin commands over `otel_convlog.reading` and `otel_convlog.store`."""

from __future__ import annotations

import sys
from importlib import import_module

_NEEDS = ("click", "rich")


def main() -> None:
    """Run the command line; without the extra ``cli``, say how to install it."""
    try:
        for name in _NEEDS:
            import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in _NEEDS:
            raise
        sys.stderr.write("otel-convlog needs its extra: pip install 'otel-convlog[cli]'\n")
        sys.exit(2)
    from otel_convlog.cli.app import run  # noqa: PLC0415  what it needs is there

    run()
