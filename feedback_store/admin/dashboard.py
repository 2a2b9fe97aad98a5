"""Turns daily figures into the dashboard: one sentence, five figures, three charts, two tables.

Knows nothing of how figures are counted or charts are laid out.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from feedback_store.admin import plots, progress
from feedback_store.admin.completion_lists import BASE
from feedback_store.admin.desk import Desk
from feedback_store.admin.figures import (
    Counts,
    Day,
    Dimension,
    Figures,
    Span,
    read_figures,
    summed,
)
from feedback_store.admin.plots import Axes, Chart, Mark, Point, Series
from feedback_store.admin.rendering import short
from feedback_store.intervals import Estimate

RANGES = (7, 30, 90, 365)
_FIRST_DAY = date(2000, 1, 1)
_SMOOTH_DAYS = 7
_MAX_LINES = 4  # slices drawn; the table has all


def routes(desk: Desk) -> APIRouter:
    """Return `GET /admin`."""
    router = desk.router()

    @router.get("")
    def dashboard(
        request: Request,
        days: str = "30",
        by: str = "language",
        until: str = "",
        of: str = "",
    ) -> HTMLResponse:
        """Show the figures of a range of days, of one slice only where `of` names one.

        What cannot be understood means the default.
        """
        num_days = next((n for n in RANGES if str(n) == days), 30)
        dimension: Dimension = next((d for d in get_args(Dimension) if d == by), "language")
        today = datetime.now(UTC).date()
        last = min(_day(until) or today, today)
        only = of.replace("\0", "").strip() or None
        name = "" if (dimension, only) == ("adapter", BASE) else only
        figures = read_figures(desk.database, until=last, num_days=num_days, by=dimension, of=name)
        facts = _facts(figures, num_days) | {
            "status": desk.status(),
            "by": dimension,
            "of": only,
            "num_days": num_days,
            "ranges": RANGES,
            "until": last,
            "step": timedelta(days=num_days),
            "today": today,
        }
        return desk.pages.answer(request, "dashboard.html", facts)

    return router


def _facts(figures: Figures, num_days: int) -> dict[str, Any]:
    earlier = summed(day.counts for day in figures.earlier)
    return {
        "figures": figures,
        "total": figures.total,
        "counts": figures.total.counts,
        "earlier": earlier,
        "progress": progress.tell(figures.days, figures.earlier, figures.changes),
        "retained_chart": _retained_chart(figures),
        "rates_chart": _rates_chart(figures),
        "wait_chart": _wait_chart(figures),
        "slices_chart": _slices_chart(figures),
        "slice_names": [_name(one.name) for one in figures.slices[:_MAX_LINES]],
    }


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return max(day, _FIRST_DAY)


def _retained_chart(figures: Figures) -> Chart | None:
    found = [
        Point(_x(span), value, f"{_told(span, figures)}: {value:,.0f} retained per 1,000 "
              f"completions, of {span.counts.served:,}")
        for span in figures.spans
        if (value := span.counts.retained) is not None
    ]  # fmt: skip
    series = [Series("one by one", found)]
    if figures.span_days == 1:
        smooth = _smooth(figures.days, "mean of 7 days")
        series = [Series("one day", found, line=False), Series("7 days", smooth, dots=False)]
    return plots.chart(
        "Retained characters per 1,000 completions",
        series,
        Axes(_short, lambda value: f"{value:,.0f}", width=plots.WIDE),
        _marks(figures),
    )


def _rates_chart(figures: Figures) -> Chart | None:
    return plots.chart(
        "Acceptance rate and shown rate, with 95 % Wilson intervals",
        [
            Series("acceptance rate", _rate(figures, "accepted", lambda c: c.acceptance_rate)),
            Series("shown rate", _rate(figures, "shown", lambda c: c.shown_rate)),
        ],
        Axes(_short, lambda value: f"{value:.0%}"),
        _marks(figures),
    )


def _rate(figures: Figures, name: str, of: Callable[[Counts], Estimate | None]) -> list[Point]:
    return [
        Point(_x(span), rate.value, f"{_told(span, figures)}: {rate.value:.1%} {name} "
              f"({rate.low:.1%} to {rate.high:.1%})", rate.low, rate.high)
        for span in figures.spans
        if (rate := of(span.counts)) is not None
    ]  # fmt: skip


def _wait_chart(figures: Figures) -> Chart | None:
    waits = [(span, span.wait) for span in figures.spans if span.wait is not None]
    return plots.chart(
        "Milliseconds in the engine: median and 95th percentile, with 95 % Wilson intervals",
        [
            Series("median", [_wait_point(span, wait.p50_ms, f"{_told(span, figures)}: median")
                              for span, wait in waits]),
            Series("95th percentile", [_wait_point(span, wait.p95_ms, "95th percentile")
                                       for span, wait in waits]),
        ],
        Axes(_short, lambda value: f"{value:g}"),
        _marks(figures),
    )  # fmt: skip


def _wait_point(span: Span, wait: Estimate, name: str) -> Point:
    told = f"{name} {wait.value:.0f} ms"
    if wait.low is not None and wait.high is not None:
        told += f" ({wait.low:.0f} to {wait.high:.0f})"
    return Point(_x(span), wait.value, told, wait.low, wait.high)


def _slices_chart(figures: Figures) -> Chart | None:
    return plots.chart(
        "Retained characters per 1,000 completions, mean of 7 days",
        [
            Series(_name(one.name), _smooth(one.days, _name(one.name), figures.span_days),
                   dots=False)
            for one in figures.slices[:_MAX_LINES]
        ],
        Axes(_short, lambda value: f"{value:,.0f}", width=plots.WIDE),
    )  # fmt: skip


def _smooth(days: Sequence[Day], name: str, step: int = 1) -> list[Point]:
    """Return the ratio over a day and the six before it, for every `step`-th day to the last."""
    points = []
    for n in range((len(days) - 1) % step, len(days), step):
        one = days[n]
        week = [
            other.counts
            for other in days[max(0, n - _SMOOTH_DAYS + 1) : n + 1]
            if (one.day - other.day).days < _SMOOTH_DAYS
        ]
        value = summed(week).retained
        if value is not None:
            told = f"{name}: {value:,.0f} on {_long(one.day)}"
            points.append(Point(one.day.toordinal(), value, told))
    return points


def _marks(figures: Figures) -> list[Mark]:
    """Number the changes of adapter as the list under the charts does."""
    return [
        Mark(change.day.toordinal(), str(number),
             f"{_long(change.day)}: {short(change.adapter)} {change.action} by {change.by}")
        for number, change in enumerate(figures.changes, 1)
    ]  # fmt: skip


def _name(name: str) -> str:
    """Return a slice's name; adapters are long, and the base has none."""
    return short(name or None) if len(name) in (0, 64) else name


def _x(span: Span) -> float:
    return span.day.toordinal()


def _told(span: Span, figures: Figures) -> str:
    return _long(span.day) if figures.span_days == 1 else f"Week from {_long(span.day)}"


def _short(x: float) -> str:
    day = date.fromordinal(int(x))
    return f"{day.day} {day:%b}"


def _long(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b %Y}"
