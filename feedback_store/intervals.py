"""Turns counts into shares and ratios with 95 % intervals. Pure.

A share of independent trials gets Wilson's interval. What one day brings is alike (the same people
at the same work), so a ratio over many days gets a t interval with days as clusters. Knows nothing
of what is counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

_Z = 1.959964  # two-sided 95 %
MIN_CLUSTERS = 3


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; both bounds are None where there are too few days."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def is_sure(self) -> bool:
        """Whether the interval is known and leaves zero out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def wilson(successes: int, trials: int) -> Estimate | None:
    """Return the share of successes with Wilson's interval (1927), None without trials."""
    if not trials:
        return None
    share = successes / trials
    scale = 1 + _Z**2 / trials
    middle = (share + _Z**2 / (2 * trials)) / scale
    half = _Z * sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2)) / scale
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half))


def ratio(clusters: Sequence[tuple[float, float]]) -> Estimate | None:
    """Return sum(a) / sum(b) over (a, b) by cluster, by linearisation; None when sum(b) is 0."""
    found = _ratio(clusters)
    if found is None:
        return None
    value, error, freedom = found
    if error is None:
        return Estimate(value)
    half = t_quantile(freedom) * error
    return Estimate(value, value - half, value + half)


def difference(
    after: Sequence[tuple[float, float]], before: Sequence[tuple[float, float]]
) -> Estimate | None:
    """Return how much larger the ratio of `after` is than that of `before` (Welch's interval)."""
    new, old = _ratio(after), _ratio(before)
    if new is None or old is None:
        return None
    value = new[0] - old[0]
    if new[1] is None or old[1] is None:
        return Estimate(value)
    variances = new[1] ** 2, old[1] ** 2
    error = sqrt(sum(variances))
    parts = sum(v**2 / f for v, f in zip(variances, (new[2], old[2]), strict=True))
    freedom = sum(variances) ** 2 / parts if parts else new[2] + old[2]
    half = t_quantile(freedom) * error
    return Estimate(value, value - half, value + half)


def t_quantile(freedom: float) -> float:
    """Return Student's two-sided 95 % quantile, to 3 % from 2 degrees on (Cornish and Fisher)."""
    if freedom < 2:
        return 12.706
    z, f = _Z, freedom
    return (
        z
        + (z**3 + z) / (4 * f)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * f**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * f**3)
    )


def _ratio(clusters: Sequence[tuple[float, float]]) -> tuple[float, float | None, float] | None:
    """Return value, standard error (None with too few clusters) and degrees of freedom."""
    total = sum(b for _, b in clusters)
    if not total:
        return None
    value = sum(a for a, _ in clusters) / total
    used = [(a, b) for a, b in clusters if b]
    if len(used) < MIN_CLUSTERS:
        return value, None, 0.0
    squares = sum((a - value * b) ** 2 for a, b in used)
    count = len(used)
    return value, sqrt(squares * count / (count - 1)) / total, count - 1.0
