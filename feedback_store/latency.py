"""Turns durations into histograms that can be added up, and histograms into quantiles. Pure.

Buckets grow by a quarter of an octave (19 %), so that a quantile, taken inside its bucket as if
durations lay evenly there, is a few per cent off at most. Knows nothing of what took so long.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import floor, log2
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedback_store.intervals import Estimate, ratio, wilson

WHOLE = "engine_ms"
STAGES = ("queue_ms", "prompt_ms", "prefill_ms", "decode_ms", WHOLE)
_PER_OCTAVE = 4
_SMALLEST_MS = 0.01


class Histogram(NamedTuple):
    """How many durations fell into `first` and each bucket after it; as JSON a list of the two."""

    first: int = 0
    counts: Sequence[int] = ()


def bucket_of(duration_ms: float) -> int:
    """Return the bucket of a duration; all up to 10 microseconds share the first."""
    return floor(_place_of(max(duration_ms, _SMALLEST_MS)))


def histogram_of(counted: Mapping[int, int]) -> Histogram:
    """Return the histogram of how many durations fell into which bucket."""
    if not counted:
        return Histogram()
    first, last = min(counted), max(counted)
    return Histogram(first, [counted.get(bucket, 0) for bucket in range(first, last + 1)])


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """Add histograms up."""
    first, table = _table([one for one in histograms if one.counts])
    return Histogram(first, table.sum(axis=0).tolist())


def quantile_ms(histogram: Histogram, share: float) -> float | None:
    """Return the duration that `share` of all stay below, None without any."""
    total = sum(histogram.counts)
    if not total:
        return None
    wanted, below = share * total, 0
    for bucket, count in enumerate(histogram.counts, histogram.first):
        if count and below + count >= wanted:
            return float(_SMALLEST_MS * 2 ** ((bucket + (wanted - below) / count) / _PER_OCTAVE))
        below += count
    raise AssertionError("a share is at most 1")


def quantiles_by_day(days: Sequence[Histogram], shares: Sequence[float]) -> list[Estimate]:
    """Return quantiles over days with 95 % intervals, days as clusters; none without durations.

    The interval is that of the share that stays below, turned into durations (Woodruff 1952,
    Confidence Intervals for Medians and Other Position Measures).
    """
    first, table = _table([one for one in days if one.counts])
    whole = Histogram(first, table.sum(axis=0).tolist())
    sums = np.pad(table.cumsum(axis=1), ((0, 0), (1, 0)))
    found = []
    for share in shares:
        value = quantile_ms(whole, share)
        if value is None:
            return []
        below = _below(sums, _place_of(value) - first)
        clusters = zip(below.tolist(), sums[:, -1].tolist(), strict=True)
        found.append(_turned(whole, value, ratio(list(clusters))))
    return found


def quantiles_alone(histogram: Histogram, shares: Sequence[float]) -> list[Estimate]:
    """Return quantiles with 95 % intervals as if durations were independent (Wilson)."""
    total = sum(histogram.counts)
    return [
        _turned(histogram, value, wilson(round(share * total), total))
        for share in shares
        if (value := quantile_ms(histogram, share)) is not None
    ]


def _table(histograms: Sequence[Histogram]) -> tuple[int, NDArray[np.int64]]:
    """Return the first bucket of any, and counts from there on: (histograms, buckets)."""
    if not histograms:
        return 0, np.zeros((0, 0), np.int64)
    firsts = np.array([one.first for one in histograms])
    lengths = np.array([len(one.counts) for one in histograms])
    first = int(firsts.min())
    table = np.zeros((len(histograms), int((firsts + lengths).max()) - first), np.int64)
    rows = np.repeat(np.arange(len(histograms)), lengths)
    # What lies before a histogram in the row of all counts, to number its buckets from its first.
    before = np.cumsum(lengths) - lengths
    columns = np.arange(len(rows)) + np.repeat(firsts - first - before, lengths)
    counts = chain.from_iterable(one.counts for one in histograms)
    table[rows, columns] = np.fromiter(counts, np.int64, len(rows))
    return first, table


def _below(sums: NDArray[np.int64], place: float) -> NDArray[np.float64]:
    """Return how many of each histogram lie below a place, given sums of its counts, from 0 on."""
    last = sums.shape[1] - 2
    bucket = min(max(floor(place), 0), last)
    share = min(max(place - bucket, 0.0), 1.0)
    below: NDArray[np.float64] = sums[:, bucket] + share * (sums[:, bucket + 1] - sums[:, bucket])
    return below


def _turned(histogram: Histogram, value: float, below: Estimate | None) -> Estimate:
    if below is None or below.low is None or below.high is None:
        return Estimate(value)
    low = quantile_ms(histogram, max(0.0, below.low))
    high = quantile_ms(histogram, min(1.0, below.high))
    return Estimate(value, low, high)


def _place_of(duration_ms: float) -> float:
    return log2(duration_ms / _SMALLEST_MS) * _PER_OCTAVE
