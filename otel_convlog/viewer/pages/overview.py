"""The overview: how many turns, tokens and errors there were, and how long they took, over time and by model."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from starlette.routing import Route

from otel_convlog.reading.statistics import Percentiles, Statistics, TurnFilters, counted_turns
from otel_convlog.reading.units import milliseconds
from otel_convlog.viewer.plots import Series, bar_plot, line_plot
from otel_convlog.viewer.templates import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from otel_convlog.viewer.plots import Plot

# How far back, and whether by hour or by day: of each no more than two hundred places on the axis.
RANGES = {
    "24h": ("24 hours", timedelta(days=1), "hour"),
    "7d": ("7 days", timedelta(days=7), "hour"),
    "30d": ("30 days", timedelta(days=30), "day"),
    "all": ("all", None, "day"),
}
_DEFAULT_RANGE = "7d"
_MOST_PLACES = 400  # of the time axis; before that, days are left out
_MOST_MODELS = 50
_LONGEST_MODEL = 300
_FORMATS = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d"}
_STEPS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}


def _overview(request: Request) -> Response:
    chosen = request.query_params.get("range", _DEFAULT_RANGE)
    chosen = chosen if chosen in RANGES else _DEFAULT_RANGE
    _, length, by = RANGES[chosen]
    model = request.query_params.get("model", "").strip()[:_LONGEST_MODEL]
    since = None if length is None else (datetime.now(timezone.utc) - length).strftime(_FORMATS[by])
    every = counted_turns(request.app.state.directory, (by, "model"), TurnFilters(since=since))
    models = sorted(every.by("model"), key=lambda one: -one.turns)
    shown = every.only("model", model) if model else every
    times, total = shown.by(by), shown.by()
    return page(
        request,
        "overview.html",
        ranges={name: label for name, (label, _, _) in RANGES.items()},
        chosen=chosen,
        model=model,
        by=by,
        total=total[0] if total else None,
        times=times,
        plots=_plots(_filled(times, by), by) if times else [],
        models=models[:_MOST_MODELS],
        hidden_models=max(0, len(models) - _MOST_MODELS),
    )


def _filled(times: list[Statistics], by: str) -> list[Statistics]:
    """Return one entry for each hour or day from the first to the last, also where there were no turns."""
    known = {one.group[by]: one for one in times}
    try:
        last = datetime.strptime(times[-1].group[by], _FORMATS[by])  # noqa: DTZ007  all of them are UTC
        first = datetime.strptime(times[0].group[by], _FORMATS[by])  # noqa: DTZ007  as above
    except ValueError:  # files of others have other times
        return times[-_MOST_PLACES:]
    step = _STEPS[by]
    count = min(_MOST_PLACES, (last - first) // step + 1)
    names = [(last - step * back).strftime(_FORMATS[by]) for back in range(count - 1, -1, -1)]
    return [known.get(name) or _nothing({by: name}) for name in names]


def _nothing(group: dict[str, str]) -> Statistics:
    return Statistics(group, 0, 0, 0, 0, Percentiles(), Percentiles())


def _plots(times: list[Statistics], by: str) -> list[Plot]:
    labels = [one.group[by].replace("T", " ") + (":00" if by == "hour" else "") for one in times]
    short = [label[5:] for label in labels]
    plots = [
        bar_plot(
            "Turns",
            short,
            [
                Series("answered", "main", [one.turns - one.errors for one in times]),
                Series("with an error", "bad", [one.errors for one in times]),
            ],
            _count,
        ),
        bar_plot(
            "Tokens",
            short,
            [
                Series("in", "main", [one.input_tokens for one in times]),
                Series("out", "second", [one.output_tokens for one in times]),
            ],
            _count,
        ),
        line_plot("Duration", short, _percentiles([one.duration_ms for one in times]), milliseconds),
        line_plot("Time to first token", short, _percentiles([one.first_token_ms for one in times]), milliseconds),
    ]
    return [plot for plot in plots if plot.bars or any(line.dots for line in plot.lines)]


def _percentiles(values: list[Percentiles]) -> list[Series]:
    return [
        Series("99 %", "third", [one.p99 for one in values]),
        Series("90 %", "second", [one.p90 for one in values]),
        Series("half", "main", [one.p50 for one in values]),
    ]


def _count(value: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 10 * size:
            return f"{value / size:.0f} {unit}"
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.3g}"


routes = [Route("/overview", _overview)]
