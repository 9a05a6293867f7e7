"""Processes of the package's own, beside a proxy's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Where the proxy was started, there may be a json.py of its own; that place stands first in the path, as "".
_RUN = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "import json, importlib; module, path, settings = map(json.loads, sys.argv[1:]); sys.path[:] = path; "
    "importlib.import_module(module).main(settings)"
)


def start(
    module: str,
    settings: Mapping[str, object],
    *,
    stdout: int,
    new_session: bool,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process that runs a module's ``main(settings)``, with a pipe to it.

    Args:
        module: The module, of those that this process can import.
        settings: They can be seen by everybody on the machine.
        stdout: As for `subprocess.Popen`.
        new_session: Whether a terminal's signals do not reach it.
        environment: Variables that it has besides those of this process.

    Raises:
        OSError: It cannot be started.
        RuntimeError: There is no interpreter: what runs is the program itself, which would be started once more.
        ValueError, TypeError: The settings cannot be passed.
    """
    if getattr(sys, "frozen", False):
        raise RuntimeError("the program brings its interpreter in itself")
    places: list[object] = [*sys.path]
    path = [place for place in places if isinstance(place, str)]  # programs put other things there, which Python skips
    return subprocess.Popen(  # noqa: S603  this package's own module
        [sys.executable, "-c", _RUN, json.dumps(module), json.dumps(path), json.dumps(settings)],
        stdin=subprocess.PIPE,
        stdout=stdout,
        bufsize=0,
        start_new_session=new_session,
        env={**os.environ, **environment} if environment else None,
    )
