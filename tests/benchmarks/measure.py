"""How the benchmarks measure: alternatives in turn within one run, because the machine's speed drifts."""

from __future__ import annotations

import gc
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def medians_us(alternatives: dict[str, Callable[[], object]], rounds: int, repeat: int = 1) -> dict[str, float]:
    """Run the alternatives in turn, round by round, and return each one's median in microseconds.

    Args:
        alternatives: What to run, by name.
        rounds: How often each is measured.
        repeat: How many runs one measurement takes together.
    """
    samples: dict[str, list[float]] = {name: [] for name in alternatives}
    for run in alternatives.values():
        run()
    gc.collect()
    for _ in range(rounds):
        for name, run in alternatives.items():
            started = perf_counter_ns()
            for _ in range(repeat):
                run()
            samples[name].append((perf_counter_ns() - started) / repeat / 1e3)
    return {name: median(values) for name, values in samples.items()}
