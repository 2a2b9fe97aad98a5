"""The t quantile against printed tables; the clustered mean against hand-made cases."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.bounds import clustered_mean, student_t_quantile


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
