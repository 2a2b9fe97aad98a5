"""Turns durations into histograms that can be added up, and histograms into quantiles. Pure.

Buckets grow by a quarter of an octave (19 %), so that a quantile, taken inside its bucket as if
durations lay evenly there, is a few per cent off at most. Knows nothing of what took so long.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, zip_longest
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


def quantiles_by_day(days: Sequence[Histogram], shares: Sequence[float]) -> list[Estimate]:
    """Return quantiles over days with 95 % intervals, days as clusters; none without durations.

    The interval is that of the share that stays below, turned into durations (Woodruff 1952,
    Confidence Intervals for Medians and Other Position Measures).
    """
    whole = merged(days)
    sums = [(day.first, list(accumulate(day.counts, initial=0))) for day in days]
    found = []
    for share in shares:
        value = quantile_ms(whole, share)
        if value is None:
            return []
        place = _place_of(value)
        below = ratio([(_below(one, place - first), one[-1]) for first, one in sums])
        found.append(_turned(whole, value, below))
    return found


def quantiles_alone(histogram: Histogram, shares: Sequence[float]) -> list[Estimate]:
    """Return quantiles with 95 % intervals as if durations were independent (Wilson)."""
    total = sum(histogram.counts)
    return [
        _turned(histogram, value, wilson(round(share * total), total))
        for share in shares
        if (value := quantile_ms(histogram, share)) is not None
    ]


def _below(sums: Sequence[int], place: float) -> float:
    """Return how many lie below a place in a histogram, given sums of its counts, from 0 on."""
    if place <= 0:
        return 0.0
    if place >= len(sums) - 1:
        return sums[-1]
    bucket = floor(place)
    return sums[bucket] + (place - bucket) * (sums[bucket + 1] - sums[bucket])


def _turned(histogram: Histogram, value: float, below: Estimate | None) -> Estimate:
    if below is None or below.low is None or below.high is None:
        return Estimate(value)
    low = quantile_ms(histogram, max(0.0, below.low))
    high = quantile_ms(histogram, min(1.0, below.high))
    return Estimate(value, low, high)


def _place_of(duration_ms: float) -> float:
    return log2(duration_ms / _SMALLEST_MS) * _PER_OCTAVE
