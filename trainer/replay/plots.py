"""Turns a report into plots: SVG text that takes its colours from the page it stands in.

An arm has one colour and one mark in every plot, chosen to be told apart by the colour-blind. The
only module that knows matplotlib; it knows nothing of HTML.
"""

import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.replay.cells import ordered, short
from trainer.replay.config import FROZEN, LOOP
from trainer.replay.headline import HEADLINE, MAX_GOLDEN_LOSS
from trainer.replay.records import POOLED, Curve, Metric, Record, ReplayReport

INK, FAINT = "#010101", "#020202"  # stand for colours of the page, and are replaced by them
MARKS = {
    "frozen": "s", "loop": "o", "code_sft": "D", "sft_chosen": "^", "sft_accepted": "v",
    "flipped": "X", "mispaired": "P", "ngram": "*", "context_only": "h",
    "ungated": "p",
}  # fmt: skip
_STAND_INS = {arm: f"#0000{number:02x}" for number, arm in enumerate(MARKS, start=0xA0)}
_PAGE_COLOURS = {INK: "--ink", FAINT: "--line"} | {c: f"--{a}" for a, c in _STAND_INS.items()}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "hone", "font.size": 10, "font.family": "sans-serif",
    "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK,
    "ytick.color": INK, "grid.color": FAINT, "axes.grid": True, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10,
    "axes.titlelocation": "left", "text.parse_math": False,  # a name may hold dollars
}  # fmt: skip
_End = tuple[str, str, float, float]  # arm, label, and where its line ends
_WIDTH, _HEIGHT = 7.6, 3.3  # inches, of which the page shows as much as it has room for


@dataclass(frozen=True)
class Plot:
    """One drawing of the figures in the table `key`. `title` says what is on the axes."""

    key: str
    title: str
    svg: str


@dataclass
class _Series:
    """One line or set of points with intervals, under one name."""

    arm: str
    label: str
    points: list[tuple[float, Metric]] = field(default_factory=list)
    dashes: str = "-"
    scale: float = 1.0


def plots(report: ReplayReport) -> list[Plot]:
    """Return every plot that the report has figures for."""
    with rc_context(_STYLE):
        return _plots(report)


def _plots(report: ReplayReport) -> list[Plot]:
    made = (
        ("by_seed", "Retained characters per 1,000, loop minus frozen, with 95 % intervals",
         _headlines(report)),
        ("closed_loop", "Retained characters per 1,000 by share of requests with a suggestion "
         "shown, surest first, last night", _curves(report)),
        ("closed_loop", "Acceptance and shown rate as played, per cent, by night",
         _rates(report.find("exam_loop"), "night")),
        ("static_nights", "Nats per token to frozen by night, with 95 % intervals",
         _over_nights(report, "exam_static")),
        ("prequential", "Nats per token to frozen on each day's lines, before its night",
         _over_nights(report, "prequential")),
        ("prequential", "Acceptance and shown rate as lived, per cent, by day (each other text)",
         _rates(report.find("prequential", LOOP), "day")),
        ("plant", "How often the planted convention and its sister are written, per cent",
         _plant(report)),
        ("golden", "Golden set: exact matches to frozen, points, and the limit", _golden(report)),
    )  # fmt: skip
    return [
        Plot(key, title, _svg(figure, f"plot{number}", title))
        for number, (key, title, figure) in enumerate(made)
        if figure is not None
    ]


def _headlines(report: ReplayReport) -> Figure | None:
    """Return the difference of every code base and seed, those of all seeds and the pool bold."""
    rows = [
        (record, record.metrics[HEADLINE])
        for record in report.records
        if (record.split, record.arm) == ("exam_loop", LOOP) and HEADLINE in record.metrics
        and not (record.seed is None and record.num_seeds == 1 and record.codebase != POOLED)
    ]  # fmt: skip
    names = [_row_name(record) for record, _ in rows]
    bold = [record.seed is None for record, _ in rows]
    return _forest(names, [LOOP] * len(rows), [metric for _, metric in rows], bold)


def _golden(report: ReplayReport) -> Figure | None:
    records = [r for r in report.find("golden") if "delta_exact_match" in r.metrics]
    records = ordered(list({r.arm: r for r in records}.values()))
    points = [_scaled(r.metrics["delta_exact_match"], 100) for r in records]
    figure = _forest([r.arm for r in records], [r.arm for r in records], points)
    if figure is not None:
        axes = figure.axes[0]
        axes.axvline(-100 * MAX_GOLDEN_LOSS, color=INK, linestyle=":", linewidth=1)
        axes.annotate(
            "limit", (-100 * MAX_GOLDEN_LOSS, 1), xycoords=("data", "axes fraction"), fontsize=9,
            xytext=(3, -9), textcoords="offset points",
        )  # fmt: skip
    return figure


def _forest(
    names: Sequence[str], arms: Sequence[str], metrics: Sequence[Metric], bold: Sequence[bool] = ()
) -> Figure | None:
    """Draw one interval a row, the first on top."""
    if not metrics:
        return None
    figure, axes = _figure(height=0.8 + 0.27 * len(metrics))
    for row, (arm, metric) in enumerate(zip(arms, metrics, strict=True)):
        size = 7 if bold and bold[row] else 4.5
        axes.errorbar(
            metric.value, -row, xerr=_reach([metric]), fmt=MARKS.get(arm, "o"), color=_colour(arm),
            markersize=size, elinewidth=size / 3, capsize=2,
        )  # fmt: skip
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks([-row for row in range(len(names))], names)
    axes.grid(axis="y", visible=False)
    axes.set_ylim(-len(names) + 0.4, 0.6)
    return figure


def _curves(report: ReplayReport) -> Figure | None:
    """Draw a panel per code base, a line per arm and seed, at the last night of each arm."""
    panels = {
        name: [c for c in report.curves if c.codebase == name and len(c.points) > 1]
        for name in dict.fromkeys(curve.codebase for curve in report.curves)
    }
    panels = {name: curves for name, curves in panels.items() if curves}
    if not panels:
        return None
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(_WIDTH, _HEIGHT * rows), layout="constrained")
    every = figure.subplots(rows, columns, squeeze=False, sharey=True)
    ends = [_panel(axes, curves) for axes, curves in zip(every.flat, panels.values(), strict=False)]
    for axes, name, names in zip(every.flat, panels, ends, strict=False):
        axes.set_title(short(name))
        axes.set_ylim(bottom=0)
        _label_ends(axes, names)
    for axes in every.flat[len(panels) :]:
        axes.set_visible(False)
    return figure


def _panel(axes: Axes, curves: Sequence[Curve]) -> list[_End]:
    """Draw one code base; return where the lines end, to be named once all panels are drawn."""
    last = {arm: max(c.night for c in curves if c.arm == arm) for arm in {c.arm for c in curves}}
    ends: dict[str, tuple[float, float]] = {}
    for curve in curves:
        if curve.night < last[curve.arm]:
            continue
        shown = [100 * point.shown_rate for point in curve.points]
        kept = [point.retained_per_1000 for point in curve.points]
        axes.plot(shown, kept, color=_colour(curve.arm), linewidth=1.6)
        axes.plot(shown[-1], kept[-1], MARKS.get(curve.arm, "o"), color=_colour(curve.arm))
        if curve.arm not in ends or kept[-1] > ends[curve.arm][1]:
            ends[curve.arm] = (shown[-1], kept[-1])
    rates = [c.points[-1].shown_rate for c in curves if c.arm == FROZEN]
    if rates:
        mean = 100 * sum(rates) / len(rates)
        axes.axvline(mean, color=_colour(FROZEN), linestyle=":", linewidth=1)
    axes.set_xlabel("shown, % of requests")
    axes.margins(x=0.04)
    return [(arm, arm, x, y) for arm, (x, y) in ends.items()]


def _rates(records: Sequence[Record], when: str) -> Figure | None:
    if not any("acceptance_rate" in record.metrics for record in records):
        return None
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    panels = (("acceptance_rate", "accepted, % of shown"), ("shown_rate", "shown, % of requests"))
    for axes, (name, title) in zip(figure.subplots(1, 2), panels, strict=True):
        _draw(axes, _by_arm(records, name, 100, starts_frozen=True), limits=(0, None), most=104)
        axes.set_title(title)
        axes.set_xlabel(when)
    return figure


def _over_nights(report: ReplayReport, split: Any) -> Figure | None:
    series = _by_arm(report.find(split), "delta_log_prob")
    if not series:
        return None
    is_exam = split == "exam_static"
    start = (
        0.0 if is_exam else min(one.points[0][0] for one in series),
        Metric(0, None, None, 0, 0),
    )
    for one in series:
        if is_exam and one.arm == LOOP:
            one.points.insert(0, start)  # before its first night the loop is the frozen arm
    figure, axes = _figure()
    _draw(axes, [_Series(FROZEN, FROZEN, [start]), *series])
    axes.set_xlabel("night" if is_exam else "day")
    return figure


def _plant(report: ReplayReport) -> Figure | None:
    series = []
    for stratum, dashes in (("planted", "-"), ("sister", "--")):
        found = _by_arm(
            report.find("plant", stratum=stratum), "exact_match", 100, starts_frozen=True
        )
        series += [
            replace(one, label=f"{one.label}, {stratum}", dashes=dashes)
            for one in found
            if one.arm != FROZEN
        ]
    if not series:
        return None
    figure, axes = _figure()
    _draw(axes, series, limits=(0, 100))
    axes.set_xlabel("night")
    return figure


def _by_arm(
    records: Iterable[Record], name: str, scale: float = 1.0, *, starts_frozen: bool = False
) -> list[_Series]:
    """Return a metric by night, a series per arm; the loop's may start where frozen was."""
    found: dict[str, _Series] = {}
    told = [record for record in ordered(list(records)) if name in record.metrics]
    for record in told:
        one = found.setdefault(record.arm, _Series(record.arm, record.arm, scale=scale))
        one.points.append((float(record.night), _scaled(record.metrics[name], scale)))
    if starts_frozen and FROZEN in found and LOOP in found:
        start = found[FROZEN].points[0]
        if start[0] < found[LOOP].points[0][0]:
            found[LOOP].points.insert(0, start)
    return list(found.values())


def _draw(
    axes: Axes,
    series: Sequence[_Series],
    limits: tuple[float | None, float | None] = (None, None),
    most: float = math.inf,
) -> None:
    """Draw lines with intervals; arms of one point only stand beside each other, not in a heap.

    The frozen arm never changes: where it was measured once, a line carries it along.
    """
    single = [one for one in series if len(one.points) == 1 and one.arm != FROZEN]
    ends = []
    for one in series:
        aside = 0.12 * (single.index(one) + 1) if one in single else 0.0
        nights = [night + aside for night, _ in one.points]
        values = [metric.value for _, metric in one.points]
        axes.errorbar(
            nights, values, yerr=_reach([metric for _, metric in one.points]),
            color=_colour(one.arm), marker=MARKS.get(one.arm, "o"), markersize=5, linewidth=1.8,
            elinewidth=1, capsize=2, linestyle=one.dashes,
        )  # fmt: skip
        ends.append((one.arm, one.label, nights[-1], values[-1]))
        if one.arm == FROZEN and len(values) == 1:
            axes.axhline(values[0], color=_colour(FROZEN), linestyle=":", linewidth=1)
    axes.set_xticks(sorted({int(night) for one in series for night, _ in one.points}))
    axes.margins(y=0.12)
    axes.set_ylim(*limits)
    axes.set_ylim(top=min(axes.get_ylim()[1], most))  # an interval may leave what there can be
    _label_ends(axes, ends)


def _label_ends(axes: Axes, ends: Sequence[_End]) -> None:
    """Write names right of the plot at the height of the last points, none over another."""
    low, high = axes.get_ylim()
    height = float(axes.get_figure().get_size_inches()[1])  # type: ignore[union-attr]
    gap = (high - low) * 0.2 / height
    floor = -math.inf
    for arm, label, x, y in sorted(ends, key=lambda end: end[3]):
        floor = max(y, floor + gap)
        axes.annotate(
            label, (x, y), xytext=(1.02, floor), textcoords=("axes fraction", "data"),
            color=_colour(arm), va="center", fontsize=9, annotation_clip=False,
        )  # fmt: skip


def _figure(height: float = _HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def _reach(metrics: Sequence[Metric]) -> list[list[float]]:
    """Return how far intervals reach to either side, 0 where there is none."""
    return [
        [0.0 if m.low is None else max(0.0, m.value - m.low) for m in metrics],
        [0.0 if m.high is None else max(0.0, m.high - m.value) for m in metrics],
    ]


def _scaled(metric: Metric, scale: float) -> Metric:
    low, high = (None if end is None else end * scale for end in (metric.low, metric.high))
    return replace(metric, value=metric.value * scale, low=low, high=high)


def _row_name(record: Record) -> str:
    if record.seed is None:
        return f"{short(record.codebase)}, all seeds"
    return f"{short(record.codebase)}, seed {record.seed}"


def _colour(arm: str) -> str:
    return _STAND_INS.get(arm, INK)


def _svg(figure: Figure, prefix: str, title: str) -> str:
    """Return a figure as an element for a page: no prolog, ids of its own, the page's colours."""
    out = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href=", "href=")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r" font-family: [^;]*;", "", svg)  # the page's own
    size = re.search(r'width="([\d.]+)pt" height="[\d.]+pt"', svg)
    if size:  # points are a third larger than the page's pixels; let the page decide
        svg = svg.replace(size[0], f'role="img" aria-label="{title}"', 1)
    for stand_in, variable in _PAGE_COLOURS.items():
        svg = svg.replace(stand_in, f"var({variable})")
    return svg
