"""Turns values per file into metrics, and several seeds of the same files into one.

A tally is one metric before any statistics: per file, what is summed for a ratio of sums (two
parts), or for a relative change of two such ratios (four parts). Pure; it knows no metric by name.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trainer.bounds import ClusterSums, Estimate
from trainer.replay.records import Metric

_MAX_EXPONENT = 20.0  # a relative change beyond this factor has no upper end


@dataclass(frozen=True)
class Cell:
    """One file's part in a metric: (numerator, denominator), or twice that."""

    num_items: float  # may be a mean over seeds
    parts: tuple[float, ...]


Tally = Mapping[str, Cell]  # by file
Tallies = Mapping[str, Tally]  # by metric


def tally(items: Iterable[tuple[str, Sequence[float]]]) -> Tally:
    """Return the sums per file of (file, parts) items; those with a part that is no number go."""
    sums: dict[str, list[float]] = {}
    counts: dict[str, int] = defaultdict(int)
    for file_id, parts in items:
        if not all(map(math.isfinite, parts)):
            continue
        counts[file_id] += 1
        known = sums.setdefault(file_id, [0.0] * len(parts))
        sums[file_id] = [a + b for a, b in zip(known, parts, strict=True)]
    return {file_id: Cell(counts[file_id], tuple(parts)) for file_id, parts in sums.items()}


def averaged(seeds: Sequence[Tallies]) -> Tallies:
    """Return each file's mean over the seeds, so that more seeds are no more files.

    A seed that has a metric has it for every file: where it lacks one, nothing was counted there.
    """
    names = dict.fromkeys(name for tallies in seeds for name in tallies)
    return {name: _averaged([t[name] for t in seeds if name in t]) for name in names}


def metrics_of(tallies: Tallies) -> dict[str, Metric]:
    """Return the metrics that have data; a metric without any is left out."""
    found = {name: metric_of(sums_of(one)) for name, one in tallies.items()}
    return {name: metric for name, metric in found.items() if metric is not None}


def sums_of(one: Tally) -> ClusterSums:
    """Return a tally's sums over files. Files that say nothing (no denominator) do not count."""
    cells = [cell for cell in one.values() if any(cell.parts[1::2])]
    num_items = round(sum(cell.num_items for cell in cells))
    return ClusterSums.of([cell.parts for cell in cells], num_items)


def metric_of(sums: ClusterSums) -> Metric | None:
    """Return the ratio, or the relative change (0.28 = 28 % more) where there are four parts."""
    if len(sums.totals) == 4:
        estimate = sums.log_ratio()
        return None if estimate is None else _relative(estimate, sums)
    estimate = sums.ratio()
    if estimate is None:
        return None
    low, high = (_finite(end) for end in estimate.interval())
    return Metric(estimate.mean, low, high, estimate.num_items, estimate.num_clusters, sums)


def plain(value: float, num_items: int = 1) -> Metric:
    """Return a value that was counted or timed once, without an interval."""
    return Metric(value, None, None, num_items, 0)


def _averaged(tallies: Sequence[Tally]) -> Tally:
    files = dict.fromkeys(file_id for one in tallies for file_id in one)
    return {
        file_id: _mean([t[file_id] for t in tallies if file_id in t], len(tallies))
        for file_id in files
    }


def _mean(cells: Sequence[Cell], num_seeds: int) -> Cell:
    parts = tuple(sum(column) / num_seeds for column in zip(*(c.parts for c in cells), strict=True))
    return Cell(sum(cell.num_items for cell in cells) / num_seeds, parts)


def _relative(estimate: Estimate, sums: ClusterSums) -> Metric:
    low, high = (_expm1(end) for end in estimate.interval())
    value = math.expm1(estimate.mean)
    return Metric(value, low, high, estimate.num_items, estimate.num_clusters, sums)


def _expm1(exponent: float) -> float | None:
    return math.expm1(exponent) if abs(exponent) < _MAX_EXPONENT else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
