"""What is to be done around a fork of the process: one hook of the system's for all, since none can be taken back."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from contextlib import contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_logger = logging.getLogger(__name__)

_numbers = count()
_in_child: dict[int, weakref.WeakMethod[Callable[[], object]]] = {}

_MOST_S = 5.0  # that a fork waits
_lock = threading.RLock()


@contextmanager
def held_off() -> Iterator[None]:
    """Have forks wait that other threads want: for what is open already, and would stay so in a child.

    One in a signal's handler that comes into this does not wait; nor does any for longer than a few seconds.
    """
    with _lock:
        yield


def after_fork_in_child(method: Callable[[], object]) -> None:
    """Have a method of an object called in every forked child, for as long as the object lives.

    Args:
        method: It finds the child's one thread alone; locks may be held by threads that the child lacks.
    """
    number = next(_numbers)
    _in_child[number] = weakref.WeakMethod(method, lambda _: _in_child.pop(number, None))


def _before() -> None:
    _lock.acquire(timeout=_MOST_S)


def _in_parent_after() -> None:
    with suppress(RuntimeError):  # it has not been had in time
        _lock.release()


def _in_child_after() -> None:
    global _lock  # noqa: PLW0603  a thread may hold it that is not there any more
    _lock = threading.RLock()
    for alive in list(_in_child.values()):
        method = alive()
        try:
            if method is not None:
                method()
        except Exception:
            _logger.exception("a forked process goes on with what is its parent's")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent_after, after_in_child=_in_child_after)
