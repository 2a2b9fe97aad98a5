"""Turns daily figures into the dashboard: one sentence, five figures, three charts, two tables.

Knows nothing of how figures are counted or charts are laid out.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from feedback_store.admin import plots, progress
from feedback_store.admin.desk import Desk
from feedback_store.admin.figures import Counts, Day, Dimension, Figures, Slice, read_figures
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
        request: Request, days: str = "30", by: str = "language", until: str = ""
    ) -> HTMLResponse:
        """Show the figures of a range of days; what cannot be understood means the default."""
        num_days = next((n for n in RANGES if str(n) == days), 30)
        dimension: Dimension = next((d for d in get_args(Dimension) if d == by), "language")
        today = datetime.now(UTC).date()
        last = min(_day(until) or today, today)
        figures = read_figures(desk.database, until=last, num_days=num_days, by=dimension)
        facts = _facts(figures, num_days) | {
            "status": desk.status(),
            "by": dimension,
            "num_days": num_days,
            "ranges": RANGES,
            "until": last,
            "step": timedelta(days=num_days),
            "today": today,
        }
        return desk.pages.answer(request, "dashboard.html", facts)

    return router


def _facts(figures: Figures, num_days: int) -> dict[str, Any]:
    earlier = sum((day.counts for day in figures.earlier), Counts())
    return {
        "figures": figures,
        "total": figures.total,
        "counts": figures.total.counts,
        "earlier": earlier,
        "progress": progress.tell(figures.days, figures.earlier, figures.changes),
        "retained_chart": _retained_chart(figures),
        "rates_chart": _rates_chart(figures),
        "wait_chart": _wait_chart(figures),
        "slices_chart": _slices_chart(figures.slices),
        "slice_names": [_name(one.name) for one in figures.slices[:_MAX_LINES]],
    }


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return max(day, _FIRST_DAY)


def _retained_chart(figures: Figures) -> Chart | None:
    daily = [
        Point(_x(day), value, f"{_long(day.day)}: {value:,.0f} retained per 1,000 completions, "
              f"of {day.counts.served:,}")
        for day in figures.days
        if (value := day.counts.retained) is not None
    ]  # fmt: skip
    days = [(day.day, day.counts) for day in figures.days]
    series = [Series("one day", daily, line=False), Series("7-day mean", _smooth(days), dots=False)]
    return plots.chart(
        "Retained characters per 1,000 completions, by day",
        series,
        Axes(_short, lambda value: f"{value:,.0f}", width=plots.WIDE),
        _marks(figures),
    )


def _rates_chart(figures: Figures) -> Chart | None:
    return plots.chart(
        "Acceptance rate and shown rate by day, with 95 % Wilson intervals",
        [
            Series("acceptance rate", _rate(figures.days, "accepted", lambda c: c.acceptance_rate)),
            Series("shown rate", _rate(figures.days, "shown", lambda c: c.shown_rate)),
        ],
        Axes(_short, lambda value: f"{value:.0%}"),
        _marks(figures),
    )


def _rate(days: Sequence[Day], name: str, of: Callable[[Counts], Estimate | None]) -> list[Point]:
    return [
        Point(_x(day), rate.value, f"{_long(day.day)}: {rate.value:.1%} {name} "
              f"({rate.low:.1%} to {rate.high:.1%})", rate.low, rate.high)
        for day in days
        if (rate := of(day.counts)) is not None
    ]  # fmt: skip


def _wait_chart(figures: Figures) -> Chart | None:
    waits = [(day, day.wait) for day in figures.days if day.wait is not None]
    return plots.chart(
        "Milliseconds in the engine by day: median and 95th percentile",
        [
            Series("median", [Point(_x(day), wait.p50_ms, f"{_long(day.day)}: median "
                                    f"{wait.p50_ms:.0f} ms") for day, wait in waits]),
            Series("95th percentile", [Point(_x(day), wait.p95_ms, f"95th percentile "
                                             f"{wait.p95_ms:.0f} ms") for day, wait in waits]),
        ],
        Axes(_short, lambda value: f"{value:g}"),
        _marks(figures),
    )  # fmt: skip


def _slices_chart(slices: Sequence[Slice]) -> Chart | None:
    return plots.chart(
        "Retained characters per 1,000 completions, 7-day mean",
        [
            Series(_name(one.name), _smooth(one.days, _name(one.name)), dots=False)
            for one in slices[:_MAX_LINES]
        ],
        Axes(_short, lambda value: f"{value:,.0f}", width=plots.WIDE),
    )


def _smooth(days: Sequence[tuple[date, Counts]], name: str = "7-day mean") -> list[Point]:
    """Return the ratio over each day and the week before it."""
    points = []
    for n, (day, _) in enumerate(days):
        week = [counts for other, counts in days[max(0, n - _SMOOTH_DAYS + 1) : n + 1]
                if (day - other).days < _SMOOTH_DAYS]  # fmt: skip
        value = sum(week, Counts()).retained
        if value is not None:
            points.append(Point(day.toordinal(), value, f"{name}: {value:,.0f} on {_long(day)}"))
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


def _x(day: Day) -> float:
    return day.day.toordinal()


def _short(x: float) -> str:
    day = date.fromordinal(int(x))
    return f"{day.day} {day:%b}"


def _long(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b %Y}"
