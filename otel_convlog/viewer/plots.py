"""Plots as shapes with places and sizes, for templates that write them as SVG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WIDTH, HEIGHT = 640, 190  # in the picture's own units, which are about pixels
_LEFT, _TOP, _BOTTOM = 62, 10, 24
_STEPS = (1, 2, 5)
_MOST_LABELS = 8  # on the time axis


@dataclass(frozen=True)
class Series:
    """Values of one kind, one for each place on the time axis; None where there is none.

    Attributes:
        key: By which the style sheet colours it.
    """

    name: str
    key: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Bar:
    """A part of a bar."""

    x: float
    y: float
    width: float
    height: float
    key: str
    title: str


@dataclass(frozen=True)
class Line:
    """A line through a series' values, in pieces where values are missing.

    Attributes:
        pieces: Points as an SVG polyline has them.
        dots: Of each value, where it stands and what it says when it is pointed at.
    """

    key: str
    pieces: list[str]
    dots: list[tuple[float, float, str]]


@dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        names: Of its series, with their keys, for the legend.
        steps: Of the axis of values: where, and what stands there; likewise `labels` of the time axis.
    """

    title: str
    names: list[tuple[str, str]]
    bars: list[Bar]
    lines: list[Line]
    steps: list[tuple[float, str]]
    labels: list[tuple[float, str]]


def bar_plot(title: str, labels: Sequence[str], series: Sequence[Series], form: Callable[[float], str]) -> Plot:
    """Draw values as bars, those of one time on top of one another.

    Args:
        title: What is shown.
        labels: Of the time axis.
        series: The values; missing ones count nothing.
        form: Says a value as people do.
    """
    most = max([sum(values) for values in zip(*(_numbers(one) for one in series), strict=True)], default=0.0)
    top, steps = _scale(most, form)
    width = (WIDTH - _LEFT) / max(1, len(labels))
    bars: list[Bar] = []
    for index, label in enumerate(labels):
        said = ", ".join(f"{one.name} {form(one.values[index] or 0.0)}" for one in series)
        bottom = float(HEIGHT - _BOTTOM)
        for one in series:
            height = (one.values[index] or 0.0) / top * (HEIGHT - _TOP - _BOTTOM)
            if height:
                bottom -= height
                x = _LEFT + index * width + width * 0.1
                bars.append(
                    Bar(
                        round(x, 1),
                        round(bottom, 1),
                        round(width * 0.8, 1),
                        round(height, 1),
                        one.key,
                        f"{label}: {said}",
                    )
                )
    return Plot(title, _legend(series), bars, [], steps, _labels(labels))


def line_plot(title: str, labels: Sequence[str], series: Sequence[Series], form: Callable[[float], str]) -> Plot:
    """Draw values as lines; where one is missing, its line is broken. The arguments are those of `bar_plot`."""
    most = max([value for one in series for value in _numbers(one)], default=0.0)
    top, steps = _scale(most, form)
    width = (WIDTH - _LEFT) / max(1, len(labels))
    lines: list[Line] = []
    for one in series:
        pieces: list[list[str]] = [[]]
        dots: list[tuple[float, float, str]] = []
        for index, value in enumerate(one.values):
            if value is None:
                pieces.append([])
                continue
            x, y = round(_LEFT + (index + 0.5) * width, 1), round(_y(value, top), 1)
            pieces[-1].append(f"{x},{y}")
            dots.append((x, y, f"{labels[index]}: {one.name} {form(value)}"))
        lines.append(Line(one.key, [" ".join(piece) for piece in pieces if len(piece) > 1], dots))
    return Plot(title, _legend(series), [], lines, steps, _labels(labels))


def round_steps(whole: float, most: int = 10) -> list[float]:
    """Return round numbers from 0 up to a number: one, two or five of some power of ten, and their multiples.

    Args:
        whole: The number, more than 0.
        most: How many at most, besides 0.
    """
    unit = 10.0**-12
    while True:
        for step in _STEPS:
            if whole / (step * unit) <= most:
                return [step * unit * number for number in range(int(whole / (step * unit)) + 1)]
        unit *= 10


def _scale(most: float, form: Callable[[float], str]) -> tuple[float, list[tuple[float, str]]]:
    """Return the value at the plot's top, and the steps of its axis."""
    top = most or 1.0
    return top, [(round(_y(step, top), 1), form(step)) for step in round_steps(top, 4)]


def _y(value: float, top: float) -> float:
    return HEIGHT - _BOTTOM - value / top * (HEIGHT - _TOP - _BOTTOM)


def _numbers(series: Series) -> list[float]:
    return [value or 0.0 for value in series.values]


def _legend(series: Sequence[Series]) -> list[tuple[str, str]]:
    return [(one.name, one.key) for one in series]


def _labels(labels: Sequence[str]) -> list[tuple[float, str]]:
    width = (WIDTH - _LEFT) / max(1, len(labels))
    step = -(-len(labels) // _MOST_LABELS)
    return [(round(_LEFT + (index + 0.5) * width, 1), labels[index]) for index in range(0, len(labels), step or 1)]
