"""Is it getting better: intervals that hold what they say, and a sentence that says no more."""

import random
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feedback_store import intervals
from feedback_store.admin import plots, progress
from feedback_store.admin.figures import Change, Counts, Day
from feedback_store.admin.plots import Axes, Mark, Point, Series

MONDAY = date(2026, 11, 2)
AXES = Axes(lambda x: f"{x:g}", lambda y: f"{y:g}")


def days(*retained: int, start: date = MONDAY, accepted: int = 30) -> list[Day]:
    """Days of 100 completions each that retained so many characters."""
    return [
        Day(start + timedelta(days=n), Counts(100, 80, accepted, 20, value))
        for n, value in enumerate(retained)
    ]


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_wilsons_interval_is_right(hits: int, of: int, low: float, high: float) -> None:
    found = intervals.wilson(hits, of)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=2e-4)


def test_a_share_of_nothing_is_none() -> None:
    assert intervals.wilson(0, 0) is None
    assert intervals.ratio([(0, 0)]) is None


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(2, 4.303), (5, 2.571), (29, 2.045), (1000, 1.962)]
)
def test_students_quantile_is_that_of_the_tables(freedom: int, quantile: float) -> None:
    assert intervals.t_quantile(freedom) == pytest.approx(quantile, rel=0.031)


def test_the_clustered_interval_covers_the_truth_as_often_as_it_says() -> None:
    chance = random.Random(5)
    covered = 0
    for _ in range(600):
        clusters = []
        for _ in range(20):
            level, size = chance.gauss(0.3, 0.1), chance.randint(50, 150)
            clusters.append((level * size, size))
        found = intervals.ratio(clusters)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.3 <= found.high
    assert 0.92 <= covered / 600 <= 0.98


def test_two_days_have_no_interval() -> None:
    found = intervals.ratio([(1, 2), (3, 4)])
    assert found is not None
    assert (found.value, found.low, found.is_sure) == (pytest.approx(4 / 6), None, False)


def test_a_clear_gain_is_told_with_its_reason() -> None:
    before = days(500, 520, 510, 505)
    after = days(790, 800, 805, 795, start=MONDAY + timedelta(days=5), accepted=45)
    change = Change(MONDAY + timedelta(days=4), "f" * 64, "promoted", "gate")
    told = progress.tell([*before, *after], (), [change])
    assert told.tone == "better"
    for words in ("Getting better: since adapter ffffffffffff went live on 6 November", "+2,888",
                  "more of what was shown was accepted (37.5% to 56.2%)"):  # fmt: skip
        assert words in told.sentence, told.sentence
    after = days(500, 520, 510, 505, start=MONDAY + timedelta(days=5), accepted=20)
    worse = progress.tell([*days(790, 800, 805, 795), *after], (), [change])
    assert worse.tone == "worse"
    assert "fewer of what was shown was accepted" in worse.sentence


def test_what_may_be_chance_is_said_to_be() -> None:
    told = progress.tell(days(500, 800, 400, 700, 600, 650, 480, 720), (), [])
    assert told.tone == "unsure"
    assert told.sentence.startswith("Not proven: since 6 November")
    assert told.sentence.endswith("The interval includes zero.")


@pytest.mark.parametrize("some", [[], days(5), days(5, 6, 7, 8, 9)])
def test_few_days_tell_nothing(some: list[Day]) -> None:
    assert progress.tell(some, (), []).tone == "unknown"


def test_nothing_retained_is_no_crash() -> None:
    assert progress.tell(days(*[0] * 8), (), []).tone == "unsure"


@example([(0.0, 0.0), (1.0, 5e-324)])  # a span that vanishes when it is divided
@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e9, 1e9)), min_size=1, max_size=60))
def test_a_chart_holds_every_point(points: list[tuple[float, float]]) -> None:
    series = Series("any", [Point(x, y, "here") for x, y in sorted(points)])
    drawn = plots.chart("any", [series], Axes(AXES.x_label, AXES.y_label, from_zero=False))
    assert drawn is not None
    for x, y in drawn.series[0].dots:
        assert drawn.left <= x <= drawn.right
        assert drawn.top - 0.2 <= y <= drawn.bottom + 0.2
    for one, following in pairwise(drawn.columns):
        assert following.x == pytest.approx(one.x + one.width, abs=0.11)
    assert len(drawn.x_ticks) <= 7


def test_marks_outside_the_range_are_left_out() -> None:
    series = Series("any", [Point(1, 1, ""), Point(5, 2, "")])
    drawn = plots.chart("any", [series], AXES, [Mark(0, "1", ""), Mark(3, "2", "")])
    assert drawn is not None
    assert [label for _, label, _ in drawn.marks] == ["2"]
    assert plots.chart("any", [Series("none", [])], AXES) is None
