"""Progress, shown on a terminal once something takes longer than a second."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Timer
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE_S = 1.0


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function to be told how much is done, of how much.

    Args:
        what: What is being done.
    """
    console = Console(stderr=True)
    shown = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console, transient=True
    )
    task = shown.add_task(what)
    started, is_shown = monotonic(), False

    def tell(done: int, total: int) -> None:
        nonlocal is_shown
        if not is_shown and console.is_terminal and monotonic() - started > _PATIENCE_S:
            shown.start()
            is_shown = True
        if is_shown:
            shown.update(task, completed=done, total=total)

    try:
        yield tell
    finally:
        if is_shown:
            shown.stop()


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show that something goes on of which nobody knows how much is done.

    Args:
        what: What is being done.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    status = console.status(what)
    timer = Timer(_PATIENCE_S, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        status.stop()
