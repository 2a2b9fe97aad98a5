"""Turns durations into histograms that can be added up, and histograms into quantiles. Pure.

Buckets grow by a quarter of an octave (19 %), so that a quantile, taken inside its bucket as if
durations lay evenly there, is a few per cent off at most. Knows nothing of what took so long.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import floor, log2

WHOLE = "engine_ms"
STAGES = ("queue_ms", "prompt_ms", "prefill_ms", "decode_ms", WHOLE)
_PER_OCTAVE = 4
_SMALLEST_MS = 0.01

Histogram = dict[int, int]  # bucket -> how many durations fell into it


def bucket_of(duration_ms: float) -> int:
    """Return the bucket of a duration; all up to 10 microseconds share the first."""
    return floor(log2(max(duration_ms, _SMALLEST_MS) / _SMALLEST_MS) * _PER_OCTAVE)


def quantile_ms(histogram: Mapping[int, int], share: float) -> float | None:
    """Return the duration that `share` of all stay below, None without any."""
    total = sum(histogram.values())
    if not total:
        return None
    wanted, below = share * total, 0
    for bucket in sorted(histogram):
        count = histogram[bucket]
        if below + count >= wanted:
            return _SMALLEST_MS * 2 ** ((bucket + (wanted - below) / count) / _PER_OCTAVE)
        below += count
    raise AssertionError("a share is at most 1")


def merged(stored: Iterable[Mapping[str, int]]) -> Histogram:
    """Add up what `as_json` wrote of one stage."""
    total: defaultdict[str, int] = defaultdict(int)
    for buckets in stored:
        for bucket, count in buckets.items():
            total[bucket] += count
    return {int(bucket): count for bucket, count in total.items()}


def as_json(histograms: Mapping[str, Mapping[int, int]]) -> dict[str, dict[str, int]]:
    """Return histograms by stage as JSON can say them."""
    return {
        stage: {str(bucket): count for bucket, count in sorted(histogram.items())}
        for stage, histogram in histograms.items()
    }
