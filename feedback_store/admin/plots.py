"""Turns series of numbers into the geometry of a chart: paths, ticks, what a pointer reads. Pure.

The template `plots.html` writes it down as SVG; colours are classes of the style sheet, so light
and dark come by themselves. Knows nothing of what is drawn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor, log10

NARROW, WIDE, HEIGHT = 640.0, 1200.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 10.0, 18.0, 28.0
_SMALLEST_SPAN = 1e-9
_NUM_TICKS = 5
_MAX_DOTS = 130


@dataclass(frozen=True)
class Point:
    """One value; `title` is read by whoever points at its place."""

    x: float
    y: float
    title: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """Points in order of x, drawn as a line, as dots, or as both."""

    name: str
    points: Sequence[Point]
    line: bool = True
    dots: bool = True


@dataclass(frozen=True)
class Mark:
    """A vertical line at x, with a short label and a longer title."""

    x: float
    label: str
    title: str


@dataclass(frozen=True)
class Axes:
    """How numbers are written beside the axes, and how large the picture is."""

    x_label: Callable[[float], str]
    y_label: Callable[[float], str]
    from_zero: bool = True
    width: float = NARROW


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in pixels, with its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Drawn:
    """One series in pixels. `band` is the closed path of its interval, "" without one."""

    name: str
    line: str
    band: str
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Column:
    """A strip that shows `title` to a pointer."""

    x: float
    width: float
    title: str


@dataclass(frozen=True)
class Chart:
    """A chart ready to be written down; every number is in pixels of a width x HEIGHT picture."""

    label: str
    width: float
    series: tuple[Drawn, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    columns: tuple[Column, ...]
    marks: tuple[tuple[float, str, str], ...]

    height, left, top, bottom = HEIGHT, LEFT, TOP, HEIGHT - BOTTOM

    @property
    def right(self) -> float:
        """Where the plot ends."""
        return self.width - RIGHT


def chart(
    label: str,
    series: Sequence[Series],
    axes: Axes,
    marks: Sequence[Mark] = (),
) -> Chart | None:
    """Lay out a chart; None when no series has a point."""
    points = [point for one in series for point in one.points]
    if not points:
        return None
    first, last = min(p.x for p in points), max(p.x for p in points)
    if first == last:
        first, last = first - 0.5, last + 0.5
    values = [v for p in points for v in (p.y, p.low, p.high) if v is not None]
    steps = _steps(0.0 if axes.from_zero else min(values), max(values))
    width = axes.width
    bottom, top = steps[0], steps[-1]

    def x_of(x: float) -> float:
        return round(LEFT + (x - first) / (last - first) * (width - LEFT - RIGHT), 1)

    def y_of(y: float) -> float:
        share = (y - bottom) / (top - bottom)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    return Chart(
        label=label,
        width=width,
        series=tuple(_drawn(one, x_of, y_of) for one in series),
        x_ticks=_x_ticks(sorted({p.x for p in points}), x_of, axes.x_label),
        y_ticks=tuple(Tick(y_of(value), axes.y_label(value)) for value in steps),
        columns=_columns(points, x_of, width - RIGHT),
        marks=tuple((x_of(m.x), m.label, m.title) for m in marks if first <= m.x <= last),
    )


def _drawn(one: Series, x_of: Callable[[float], float], y_of: Callable[[float], float]) -> Drawn:
    places = [(x_of(p.x), y_of(p.y)) for p in one.points]
    upper = [(x_of(p.x), y_of(p.high)) for p in one.points if p.high is not None]
    lower = [(x_of(p.x), y_of(p.low)) for p in one.points if p.low is not None]
    return Drawn(
        name=one.name,
        line=_path(places) if one.line and len(places) > 1 else "",
        band=f"{_path(upper + lower[::-1])}Z" if len(upper) > 1 else "",
        dots=tuple(places) if len(places) == 1 or (one.dots and len(places) <= _MAX_DOTS) else (),
    )


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in places)


def _steps(low: float, high: float) -> list[float]:
    """Return about five round numbers from below `low` to above `high`."""
    # Differences that no axis can show count as none.
    span = next(s for s in (high - low, abs(high), 1.0) if s > _SMALLEST_SPAN)
    rough = span / (_NUM_TICKS - 1)
    power = 10.0 ** floor(log10(rough))
    step = next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= rough * 0.999)
    first = floor(low / step + 1e-9)
    steps = [first * step]
    while steps[-1] < high - 1e-9 * span or len(steps) < 2:
        steps.append((first + len(steps)) * step)
    return steps


def _x_ticks(
    places: Sequence[float], x_of: Callable[[float], float], label: Callable[[float], str]
) -> tuple[Tick, ...]:
    """Label at most seven of the places, evenly, without two labels on top of each other."""
    every = -(-len(places) // 7)
    return tuple(Tick(x_of(x), label(x)) for x in places[::every])


def _columns(
    points: Sequence[Point], x_of: Callable[[float], float], right: float
) -> tuple[Column, ...]:
    """Cut the width between neighbouring places; a strip shows all that lies in it."""
    titles: dict[float, list[str]] = {}
    for point in points:
        titles.setdefault(point.x, []).append(point.title)
    places = sorted(titles)
    at = [x_of(x) for x in places]
    edges = [LEFT, *((a + b) / 2 for a, b in pairwise(at)), right]
    return tuple(
        Column(round(edges[n], 1), round(edges[n + 1] - edges[n], 1), "\n".join(titles[x]))
        for n, x in enumerate(places)
    )
