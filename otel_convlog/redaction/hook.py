"""Running what a user has given to find more secrets, for a bounded time."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

TIMEOUT_S = 1.0
_MOST_STUCK = 4


class HookError(Exception):
    """A hook has failed: it has raised, taken too long, or returned what is no text."""


class BoundedCaller:
    """Runs functions in a thread of its own, and gives up those that take too long.

    A thread cannot be stopped: one that hangs is left alone, and another takes its place. When several hang, nothing is
    run until one of them comes back.

    Args:
        timeout_s: How long a function may take.
    """

    def __init__(self, timeout_s: float | None = None) -> None:
        self._timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
        self.reset()

    def reset(self) -> None:
        """Begin anew, as in a forked child, which has none of its parent's threads."""
        self._lock = threading.Lock()
        self._stuck: set[threading.Thread] = set()

    def call(self, function: Callable[[], _T]) -> _T:
        """Run a function and return what it returns.

        Raises:
            HookError: It takes too long, or too many others do.
            Exception: Whatever it raises.
        """
        with self._lock:
            self._stuck = {thread for thread in self._stuck if thread.is_alive()}
            if len(self._stuck) >= _MOST_STUCK:
                raise HookError(f"{_MOST_STUCK} earlier calls of it still hang")
        answers: queue.SimpleQueue[tuple[_T | None, BaseException | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                answers.put((function(), None))
            except BaseException as error:  # noqa: BLE001  it is raised again where it is waited for
                answers.put((None, error))

        thread = threading.Thread(target=run, name="convlog-redactor", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            raise HookError(f"no thread to run it in ({error})") from error
        try:
            answer, raised = answers.get(timeout=self._timeout_s)
        except queue.Empty:
            with self._lock:
                self._stuck.add(thread)
            raise HookError(f"no answer within {self._timeout_s} s") from None
        if raised is not None:
            raise raised
        return answer  # type: ignore[return-value]  # without an error it is the function's
