"""The t quantile against printed tables; the clustered mean against hand-made cases."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.bounds import (
    ClusterSums,
    Estimate,
    clustered_mean,
    clustered_ratio,
    student_t_quantile,
)


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    [
        (0.99, 1, 31.8205),
        (0.99, 7, 2.99795),
        (0.95, 10, 1.81246),
        (0.90, 30, 1.31042),
        (0.975, 120, 1.97993),
        (0.99, 1000, 2.33008),
        (0.05, 10, -1.81246),
        (0.5, 3, 0.0),
    ],
)
def test_quantiles_agree_with_the_tables(
    probability: float, degrees: float, expected: float
) -> None:
    assert student_t_quantile(probability, degrees) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("probability", "degrees"), [(0.0, 3), (1.0, 3), (0.9, 0)])
def test_impossible_quantiles_are_refused(probability: float, degrees: float) -> None:
    with pytest.raises(ValueError, match="no t quantile"):
        student_t_quantile(probability, degrees)


def test_clusters_of_one_give_the_plain_standard_error() -> None:
    estimate = clustered_mean((str(i), value) for i, value in enumerate([1.0, 2.0, 3.0, 4.0]))
    assert estimate.mean == 2.5
    assert estimate.standard_error == pytest.approx(math.sqrt(5 / 3 / 4))
    assert estimate.degrees == 3


def test_repeating_a_cluster_s_values_adds_no_evidence() -> None:
    once = clustered_mean((str(i), v) for i, v in enumerate([0.1, 0.3, 0.2]))
    often = clustered_mean((str(i), v) for i, v in enumerate([0.1, 0.3, 0.2]) for _ in range(50))
    assert often.standard_error == pytest.approx(once.standard_error)
    assert often.lower(0.99) == pytest.approx(once.lower(0.99))


def test_one_file_proves_nothing() -> None:
    estimate = clustered_mean(("a", 1.0) for _ in range(500))
    assert estimate.lower(0.9) == -math.inf
    assert estimate.items_for(0.0, 0.9) is None


def test_one_large_file_among_many_costs_degrees_of_freedom() -> None:
    even = clustered_mean((f"f{i % 10}", float(i % 3)) for i in range(200))
    skewed = clustered_mean((f"f{max(0, i - 190)}", float(i % 3)) for i in range(200))
    assert skewed.degrees < 1.5 < 8 < even.degrees


def test_the_items_needed_are_those_that_lift_the_bound() -> None:
    values = [0.05 + 0.2 * random.Random(i).gauss(0, 1) for i in range(100)]
    estimate = clustered_mean((str(i), value) for i, value in enumerate(values))
    needed = estimate.items_for(0.0, 0.99)
    assert needed is not None
    error = estimate.standard_error * math.sqrt(estimate.num_items / needed)
    reach = student_t_quantile(0.99, estimate.degrees) * error
    assert estimate.mean - reach == pytest.approx(0.0, abs=1e-3)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(-5, 5)), max_size=30))
def test_a_higher_confidence_never_raises_the_bound(values: list[tuple[str, float]]) -> None:
    estimate = clustered_mean(values)
    assert estimate.lower(0.99) <= estimate.lower(0.90) <= estimate.mean + 1e-9


def test_a_ratio_with_equal_denominators_is_the_clustered_mean() -> None:
    values = [(f"f{i % 7}", float(i % 5)) for i in range(70)]
    mean = clustered_mean(values)
    ratio = clustered_ratio((cluster, value, 1.0) for cluster, value in values)
    assert ratio is not None
    assert ratio.mean == pytest.approx(mean.mean)
    assert ratio.standard_error == pytest.approx(mean.standard_error)
    assert ratio.degrees == pytest.approx(mean.degrees)
    assert (ratio.num_items, ratio.num_clusters) == (70, 7)


def test_a_ratio_over_nothing_is_none_and_over_one_file_has_no_interval() -> None:
    assert clustered_ratio([]) is None
    assert clustered_ratio([("a", 1.0, 0.0)]) is None
    alone = clustered_ratio([("a", 1.0, 4.0)])
    assert alone is not None
    assert (alone.mean, alone.interval()) == (0.25, (-math.inf, math.inf))


def test_a_two_sided_interval_is_a_one_sided_bound_on_each_side() -> None:
    estimate = clustered_mean((str(i), float(i % 3)) for i in range(12))
    low, high = estimate.interval(0.95)
    assert low == pytest.approx(estimate.lower(0.975))
    assert high - estimate.mean == pytest.approx(estimate.mean - low)


def uneven_files(seed: int, num_files: int) -> list[tuple[str, float, float]]:
    """Files of very different length whose true ratio is 0.01, with an effect of the file."""
    luck = random.Random(seed)
    sizes = [1000 * math.exp(luck.gauss(0, 0.8)) for _ in range(num_files)]
    return [
        (str(i), size * luck.gauss(0.01, 0.015) + math.sqrt(size) * luck.gauss(0, 0.5), size)
        for i, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("num_files", [12, 20])
def test_the_interval_of_a_ratio_covers_what_it_promises(num_files: int) -> None:
    covered = 0
    for seed in range(600):
        estimate = clustered_ratio(uneven_files(seed, num_files))
        assert estimate is not None
        # Degrees to one decimal keep the quantile's cache warm; this changes nothing that counts.
        degrees = round(estimate.degrees, 1)
        reach = student_t_quantile(0.975, degrees) * estimate.standard_error
        covered += abs(estimate.mean - 0.01) <= reach
    assert 0.92 <= covered / 600 <= 0.98


def test_the_interval_of_a_relative_rate_covers_what_it_promises() -> None:
    covered = 0
    for seed in range(400):
        luck = random.Random(seed)
        vectors = []
        for _ in range(20):
            shown, base = luck.randint(5, 60), luck.uniform(0.1, 0.4)
            hits = sum(luck.random() < 1.28 * base for _ in range(shown))
            vectors.append((hits, shown, sum(luck.random() < base for _ in range(shown)), shown))
        estimate = ClusterSums.of(vectors, 20).log_ratio()
        assert estimate is not None
        reach = student_t_quantile(0.975, round(estimate.degrees, 1)) * estimate.standard_error
        covered += abs(estimate.mean - math.log(1.28)) <= reach
    assert 0.92 <= covered / 400 <= 0.98


def test_no_relative_rate_without_a_single_success() -> None:
    assert ClusterSums.of([(0.0, 3.0, 1.0, 3.0)], 1).log_ratio() is None
    assert ClusterSums.of([], 0).log_ratio() is None


vectors = st.lists(st.tuples(st.floats(-9, 9), st.floats(0.1, 9)), min_size=1, max_size=8)


@given(vectors, vectors)
def test_sums_add_up_as_if_measured_together(
    one: list[tuple[float, float]], other: list[tuple[float, float]]
) -> None:
    apart = (ClusterSums.of(one, len(one)) + ClusterSums.of(other, len(other))).ratio()
    together = clustered_ratio((str(i), n, d) for i, (n, d) in enumerate([*one, *other]))
    assert isinstance(apart, Estimate)
    assert together is not None
    assert apart.mean == pytest.approx(together.mean, abs=1e-9)
    assert apart.standard_error == pytest.approx(together.standard_error, abs=1e-6)


def test_a_number_of_items_that_nobody_has_is_none() -> None:
    assert Estimate(0.02 + 1e-12, 0.01, 20.0, 180, 20).items_for(0.02, 0.99) is None
    assert Estimate(1e-200, 1.0, 5.0, 100, 8).items_for(0.0, 0.9) is None
