"""Sees to it that somebody delivers the turns of a spool: starts a process for that where there is none."""

from __future__ import annotations

import logging
import subprocess
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics

from otel_convlog import own_process
from otel_convlog._version import __version__
from otel_convlog.forks import after_fork_in_child, held_off
from otel_convlog.shared.health import read_health
from otel_convlog.shared.only_one import only_one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from opentelemetry.metrics import CallbackOptions, Observation

_LOOK_S = 1.0
_END_S = 15.0
_LONGEST_PAUSE_S = 60.0  # between two starts of a process that ends at once

_logger = logging.getLogger(__name__)


class Launcher:
    """Looks now and then whether somebody delivers, beside an exporter, and starts a process where nobody does.

    It is a process of its own so that a proxy shares neither its interpreter nor its memory with what talks to the
    database and the store, and so that a fork finds no connection of them.

    Args:
        directory: The spool.
        keywords: The arguments of the exporter.
        environment: The variables that it needs besides.
    """

    def __init__(self, directory: Path, keywords: Mapping[str, object], environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._keywords = keywords
        self._environment = environment
        self._reset()
        _observe(self, directory)
        after_fork_in_child(self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()

    def begin(self) -> None:
        """See to it from now on, in this process; cheap where it does already."""
        if self._thread is not None:
            return
        with self._lock:
            if not self._stop.is_set():
                thread = threading.Thread(target=self._watch, args=(self._stop,), name="convlog-launcher", daemon=True)
                with suppress(RuntimeError):  # no more threads, or the interpreter is ending
                    thread.start()
                    self._thread = thread

    def end(self) -> None:
        """Have what is in the spool delivered, as far as that goes quickly, where this has started who does it."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_END_S)  # it may be just starting the process
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                _logger.warning("turns wait in %s for the next start", self._directory)

    def _watch(self, stop: threading.Event) -> None:
        pause = _LOOK_S
        while True:  # once at least: a process that ends soon has turns to deliver, too
            process = self._process
            if process is not None and process.poll() is None:
                pause = _LOOK_S
            elif self._start_if_nobody_delivers():
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            if stop.wait(pause if self._process is not process else _LOOK_S):
                return

    def _start_if_nobody_delivers(self) -> bool:
        try:
            with only_one(self._directory) as nobody_else:
                pass
            if nobody_else:
                with held_off():  # a child must know of the pipe, to close it
                    self._process = self._start()
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            _logger.warning("turns wait in %s: %s", self._directory, error)
            return False
        return nobody_else

    def _start(self) -> subprocess.Popen[bytes]:
        return own_process.start(
            "otel_convlog.shared.delivering",
            self._keywords,
            stdout=subprocess.DEVNULL,
            new_session=True,  # signals are for the proxy: this ends when the proxy has
            environment={**self._environment, "OTEL_SDK_DISABLED": "true"},
        )


def _observe(launcher: Launcher, directory: Path) -> None:
    """Show how the delivery is doing as metrics, for as long as the launcher lives."""
    meter = metrics.get_meter("otel_convlog", __version__)
    alive = weakref.ref(launcher)

    def gauge(name: str, unit: str, description: str, value: Callable[[Any], float]) -> None:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            return [metrics.Observation(value(read_health(directory)))] if alive() is not None else []

        meter.create_observable_gauge(name, [observe], unit, description)

    gauge("convlog.delivery.ready", "1", "1 where the database and the store take turns", lambda it: int(it.ready))
    gauge("convlog.delivery.lag", "s", "how long the oldest turn in the spool has waited", lambda it: it.lag_s)
    gauge("convlog.delivery.waiting", "By", "bytes of turns in the spool", lambda it: it.waiting_bytes)
