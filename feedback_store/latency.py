"""Turns durations into histograms that can be added up, and histograms into quantiles. Pure.

Buckets grow by a quarter of an octave (19 %), so that a quantile, taken inside its bucket as if
durations lay evenly there, is a few per cent off at most. Knows nothing of what took so long.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from math import floor, log2
from typing import NamedTuple

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
    some = [one for one in histograms if one.counts]
    first = min((one.first for one in some), default=0)
    aligned = ([0] * (one.first - first) + list(one.counts) for one in some)
    return Histogram(first, [sum(counts) for counts in zip_longest(*aligned, fillvalue=0)])


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


def num_below(histogram: Histogram, duration_ms: float) -> float:
    """Return how many stay below a duration: what `quantile_ms` turns round."""
    place = _place_of(duration_ms) - histogram.first
    if place <= 0:
        return 0.0
    whole = floor(place)
    partly = (place - whole) * histogram.counts[whole] if whole < len(histogram.counts) else 0.0
    return sum(histogram.counts[:whole]) + partly


def quantile_by_day(days: Sequence[Histogram], share: float) -> Estimate | None:
    """Return a quantile over days with its 95 % interval, days as clusters; None without any.

    The interval is that of the share that stays below, turned into durations (Woodruff 1952,
    Confidence Intervals for Medians and Other Position Measures).
    """
    whole = merged(days)
    value = quantile_ms(whole, share)
    if value is None:
        return None
    below = ratio([(num_below(day, value), float(sum(day.counts))) for day in days])
    return _turned(whole, value, below)


def quantile_alone(histogram: Histogram, share: float) -> Estimate | None:
    """Return a quantile with its 95 % interval, as if durations were independent (Wilson)."""
    value = quantile_ms(histogram, share)
    if value is None:
        return None
    total = sum(histogram.counts)
    return _turned(histogram, value, wilson(round(share * total), total))


def _turned(histogram: Histogram, value: float, below: Estimate | None) -> Estimate:
    if below is None or below.low is None or below.high is None:
        return Estimate(value)
    low = quantile_ms(histogram, max(0.0, below.low))
    high = quantile_ms(histogram, min(1.0, below.high))
    return Estimate(value, low, high)


def _place_of(duration_ms: float) -> float:
    return log2(duration_ms / _SMALLEST_MS) * _PER_OCTAVE
