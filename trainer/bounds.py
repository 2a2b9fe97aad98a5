"""Turns values measured in clusters (files) into an estimate with t bounds and intervals.

Completions of one file resemble each other, so the file is the unit of evidence: the standard
error is cluster-robust and the degrees of freedom come from the effective number of clusters.
Pure arithmetic without scipy; it knows nothing of adapters or gates.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

MAX_RATIO = 100.0  # ten thousand times as many items


@dataclass(frozen=True)
class Estimate:
    """A clustered mean. `degrees` is of Student's t; infinite error below two clusters."""

    mean: float
    standard_error: float
    degrees: float
    num_items: int
    num_clusters: int

    def lower(self, confidence: float) -> float:
        """Return the one-sided lower bound at `confidence` (0.5 to 1)."""
        if math.isinf(self.standard_error):
            return -math.inf
        return self.mean - student_t_quantile(confidence, self.degrees) * self.standard_error

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the two-sided interval; infinite below two clusters."""
        if math.isinf(self.standard_error):
            return -math.inf, math.inf
        reach = student_t_quantile((1 + confidence) / 2, self.degrees) * self.standard_error
        return self.mean - reach, self.mean + reach

    def items_for(self, target: float, confidence: float) -> int | None:
        """Return how many items in all would lift the lower bound to `target`.

        Assumes that the mean stays and the error falls with the root of the count; None when the
        mean itself does not exceed the target, or so little that no number of items that anybody
        has would do.
        """
        if self.mean <= target or math.isinf(self.standard_error):
            return None
        reach = student_t_quantile(confidence, self.degrees) * self.standard_error
        ratio = reach / (self.mean - target)
        return math.ceil(self.num_items * ratio**2) if ratio < MAX_RATIO else None


def clustered_mean(values: Iterable[tuple[str, float]]) -> Estimate:
    """Return the mean of (cluster, value) items with its cluster-robust standard error.

    The variance is G/(G-1) times the sum of squared cluster residuals over N squared (Liang and
    Zeger 1986); the degrees of freedom are those of the effective number of clusters,
    (sum n)^2 / sum n^2, which guards against one large file (Carter, Schnepel, Steigerwald 2017).
    """
    clusters: dict[str, list[float]] = defaultdict(list)
    for cluster, value in values:
        clusters[cluster].append(value)
    count, num_clusters = sum(map(len, clusters.values())), len(clusters)
    if count == 0:
        return Estimate(0.0, math.inf, 1.0, 0, 0)
    mean = math.fsum(value for group in clusters.values() for value in group) / count
    if num_clusters < 2:
        return Estimate(mean, math.inf, 1.0, count, num_clusters)
    residuals = (math.fsum(group) - mean * len(group) for group in clusters.values())
    spread = math.fsum(residual**2 for residual in residuals)
    error = math.sqrt(num_clusters / (num_clusters - 1) * spread) / count
    effective = count**2 / sum(len(group) ** 2 for group in clusters.values())
    return Estimate(mean, error, max(1.0, effective - 1), count, num_clusters)


def clustered_ratio(values: Iterable[tuple[str, float, float]]) -> Estimate | None:
    """Return sum(numerator) / sum(denominator) of (cluster, numerator, denominator) items.

    None where the denominators add up to nothing.
    """
    clusters: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    num_items = 0
    for cluster, numerator, denominator in values:
        clusters[cluster][0] += numerator
        clusters[cluster][1] += denominator
        num_items += 1
    return ClusterSums.of(list(clusters.values()), num_items).ratio()


@dataclass(frozen=True)
class ClusterSums:
    """Sums over clusters of a vector and of its products: all that a ratio's error needs.

    They add up over data sets with different clusters, so ratios can be pooled without the
    clusters themselves. `products` is the upper triangle of the sum of outer products, by rows.
    """

    num_items: int
    num_clusters: int
    totals: tuple[float, ...]
    products: tuple[float, ...]

    @classmethod
    def of(cls, vectors: Sequence[Sequence[float]], num_items: int) -> "ClusterSums":
        """Return the sums of one vector per cluster, all of the same length."""
        size = len(vectors[0]) if vectors else 0
        totals = (math.fsum(v[i] for v in vectors) for i in range(size))
        products = (
            math.fsum(v[i] * v[j] for v in vectors) for i in range(size) for j in range(i, size)
        )
        return cls(num_items, len(vectors), tuple(totals), tuple(products))

    def __add__(self, other: "ClusterSums") -> "ClusterSums":
        """Return the sums over both data sets. They must share no cluster."""
        return ClusterSums(
            self.num_items + other.num_items,
            self.num_clusters + other.num_clusters,
            tuple(a + b for a, b in zip(self.totals, other.totals, strict=True)),
            tuple(a + b for a, b in zip(self.products, other.products, strict=True)),
        )

    def ratio(self) -> Estimate | None:
        """Estimate totals[0] / totals[1]; None where the denominator is nothing.

        The variance is G/(G-1) times the sum of squared linearised residuals (Cochran 1977, 6.4).
        The degrees of freedom are those of the effective number of clusters, weighted by the
        denominator: with uneven files G - 1 covers 89 to 93 % where 95 % is promised.
        """
        if not self.totals or self.totals[1] <= 0:
            return None
        numerator, denominator = self.totals
        slope = (1 / denominator, -numerator / denominator**2)
        return self._estimate(numerator / denominator, slope, (1,))

    def log_ratio(self) -> Estimate | None:
        """Estimate log((totals[0] / totals[1]) / (totals[2] / totals[3])), as `ratio` does.

        None unless all four are above 0.
        """
        if not self.totals or min(self.totals) <= 0:
            return None
        a, b, c, d = self.totals
        return self._estimate(math.log(a / b * d / c), (1 / a, -1 / b, -1 / c, 1 / d), (1, 3))

    def _estimate(
        self, value: float, slope: tuple[float, ...], weights: tuple[int, ...]
    ) -> Estimate:
        """Return the delta method's estimate; `weights` are the parts that weigh the clusters."""
        effective = min(self.totals[i] ** 2 / self._product(i, i) for i in weights)
        degrees = max(1.0, effective - 1)
        if self.num_clusters < 2:
            return Estimate(value, math.inf, 1.0, self.num_items, self.num_clusters)
        size = range(len(slope))
        spread = math.fsum(slope[i] * slope[j] * self._product(i, j) for i in size for j in size)
        error = math.sqrt(max(0.0, self.num_clusters / (self.num_clusters - 1) * spread))
        return Estimate(value, error, degrees, self.num_items, self.num_clusters)

    def _product(self, row: int, column: int) -> float:
        low, high = sorted((row, column))
        return self.products[low * len(self.totals) - low * (low - 1) // 2 + high - low]


@lru_cache(maxsize=4096)
def student_t_quantile(probability: float, degrees: float) -> float:
    """Return the quantile of Student's t distribution, by Newton's method on its upper tail.

    Raises ValueError outside 0 < probability < 1 or for degrees <= 0.
    """
    if not 0 < probability < 1 or degrees <= 0:
        raise ValueError(f"no t quantile at probability {probability} with {degrees} degrees")
    if probability == 0.5:
        return 0.0
    if probability < 0.5:
        return -student_t_quantile(1 - probability, degrees)
    # The normal quantile lies below, and the tail is convex: no step leads beyond the goal.
    t = NormalDist().inv_cdf(probability)
    for _ in range(100):
        step = (_upper_tail(t, degrees) - (1 - probability)) / _density(t, degrees)
        t += step
        if abs(step) <= 1e-13 * t:
            break
    return t


def _density(t: float, degrees: float) -> float:
    """Return the density of Student's t distribution."""
    log_norm = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)
    log_norm -= 0.5 * math.log(degrees * math.pi)
    return math.exp(log_norm - (degrees + 1) / 2 * math.log1p(t * t / degrees))


def _upper_tail(t: float, degrees: float) -> float:
    """P(T > t) for t >= 0: half the regularised incomplete beta at v / (v + t^2)."""
    return 0.5 * _incomplete_beta(degrees / (degrees + t * t), degrees / 2, 0.5)


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b) (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return min(1.0, max(0.0, x))
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly, use the symmetry
        return 1 - _incomplete_beta(1 - x, b, a)
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta)
    return front * _beta_fraction(x, a, b) / a


def _beta_fraction(x: float, a: float, b: float) -> float:
    """Evaluate the continued fraction of the incomplete beta by Lentz's method."""
    tiny = 1e-300
    numerator, denominator = 1.0, 1 - (a + b) * x / (a + 1)
    denominator = 1 / (denominator or tiny)
    value = denominator
    for step in range(1, 500):
        for term in (
            step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step)),
            -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1)),
        ):
            denominator = 1 / ((1 + term * denominator) or tiny)
            numerator = (1 + term / numerator) or tiny
            change = numerator * denominator
            value *= change
        if abs(change - 1) < 1e-14:
            break
    return value
