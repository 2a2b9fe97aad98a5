"""Static and closed-loop measures against cases worked out by hand, and by simulation."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_replay import loop_run, request, score, scores, without_likelihood

from trainer.bounds import student_t_quantile
from trainer.replay.loop_measures import (
    is_rejection,
    keystrokes_saved,
    loop_metrics,
    loop_tallies,
    num_shown,
    paired_loop,
    paired_loop_tallies,
    retention_curve,
    surest,
)
from trainer.replay.measures import LoopRun, by_stratum, paired_static, static_metrics
from trainer.replay.tallies import averaged, metrics_of, sums_of, tally

A, B = "a.py", "b.py"


def shown(file_id: str, confidence: float | None, retained: int, **fields: object):  # type: ignore[no-untyped-def]
    """A suggestion that was shown, read for one key gap, and kept to `retained` characters."""
    known = {"action": "accepted" if retained else "typed_on", "read_ms": 170.0}
    return request(
        file_id, shown=True, confidence=confidence, accepted=retained, retained=retained,
        **{**known, **fields},
    )  # fmt: skip


RUN = LoopRun(
    (shown(A, -0.1, 10), shown(A, -0.9, 0), shown(B, -0.5, 30, deleted=2), request(B)),
    {A: 100, B: 400, "never asked.py": 500},
)


def check(metrics: dict, **expected: float) -> None:  # type: ignore[type-arg]
    for name, value in expected.items():
        assert metrics[name].value == pytest.approx(value), name


def test_static_metrics_are_means_over_positions_and_characters() -> None:
    luck = random.Random(0)
    one, other = score(0, A, 0.0, luck), score(1, B, 0.0, luck)
    found = static_metrics(
        [
            replace(one, log_prob=-1.0, exact=True, matched=5, num_characters=10),
            replace(other, log_prob=-3.0, exact=False, matched=0, num_characters=30),
        ]
    )
    check(found, log_prob=-2.0, exact_match=0.5, matched_characters_per_1000=125)
    assert (found["log_prob"].num_items, found["log_prob"].num_files) == (2, 2)


def test_pairs_are_the_positions_both_arms_have() -> None:
    frozen = scores("x", 0.0, num_files=5, per_file=4)
    better = [replace(s, log_prob=(s.log_prob or 0) + 0.25) for s in frozen][2:]
    metric = paired_static(better, frozen)["delta_log_prob"]
    assert metric.num_items == 18
    assert (metric.value, metric.low, metric.high) == pytest.approx((0.25, 0.25, 0.25), abs=1e-6)


def test_a_baseline_without_likelihood_has_every_other_metric() -> None:
    frozen = scores("x", 0.0)
    found = static_metrics(without_likelihood(frozen)) | paired_static(
        without_likelihood(frozen), frozen
    )
    assert not any("log_prob" in name for name in found)
    check(found, delta_exact_match=0.0)


def test_nothing_measured_is_left_out() -> None:
    assert static_metrics([]) == {}
    assert paired_static([], scores("x", 0.0)) == {}
    assert loop_metrics(LoopRun((), {}), shown_limit=3) == {}


def test_a_log_probability_that_is_no_number_counts_nowhere() -> None:
    luck = random.Random(0)
    known = [replace(score(i, f"{i}.py", 0.0, luck), log_prob=-1.0) for i in range(3)]
    broken = [replace(known[0], log_prob=-math.inf), *known[1:]]
    assert static_metrics(broken)["log_prob"].num_items == 2


def test_a_position_measured_twice_is_refused() -> None:
    frozen = scores("x", 0.0, num_files=2)
    with pytest.raises(ValueError, match="twice"):
        paired_static([*frozen, frozen[0]], frozen)
    again = [replace(s, strata=("sister",)) for s in frozen]  # another question at the same place
    assert paired_static([*frozen, *again], frozen)["delta_log_prob"].num_items == len(frozen)


def test_strata_hold_their_own_and_all_holds_everything() -> None:
    strata = by_stratum(scores("x", 0.0, num_files=1, per_file=9))
    assert {name: len(part) for name, part in strata.items()} == {
        "all": 9, "seen_in_training": 3, "unseen": 6,
    }  # fmt: skip


def test_one_file_has_a_value_and_no_interval() -> None:
    metric = static_metrics(scores("x", 0.0, num_files=1))["log_prob"]
    assert (metric.low, metric.high, metric.num_files) == (None, None, 1)


def test_closed_loop_metrics_by_hand() -> None:
    check(
        loop_metrics(RUN, shown_limit=None),
        retained_per_1000=40,
        shown_rate=0.75,
        acceptance_rate=2 / 3,
        keystrokes_saved_per_1000=(10 - 2) + (0 - 1) + (30 - 4),
        kept_share=1.0,
        correct_rejection_rate=0.0,
    )
    assert loop_metrics(RUN, shown_limit=None)["retained_per_1000"].num_files == 3


def test_only_the_surest_are_kept_and_the_others_retain_nothing() -> None:
    check(loop_metrics(RUN, shown_limit=1), retained_per_1000=10, shown_rate=0.25)
    check(loop_metrics(RUN, shown_limit=2), retained_per_1000=40, acceptance_rate=1.0)
    assert surest(RUN, 3) is RUN
    assert surest(RUN, 99) is RUN
    assert num_shown(surest(RUN, 0)) == 0


def test_nothing_shown_leaves_acceptance_out_and_retains_nothing() -> None:
    found = loop_metrics(surest(RUN, 0), shown_limit=None)
    check(found, retained_per_1000=0, shown_rate=0)
    assert "acceptance_rate" not in found
    assert not {"kept_share", "correct_rejection_rate"} & found.keys()


def test_unknown_confidence_is_dropped_first_and_ties_keep_their_order() -> None:
    run = LoopRun((shown(A, None, 1), shown(A, -9.0, 2), shown(A, -9.0, 4)), {A: 1000})
    assert loop_metrics(run, shown_limit=1)["retained_per_1000"].value == 2
    assert loop_metrics(run, shown_limit=2)["retained_per_1000"].value == 6


def test_a_rejection_was_read_and_nothing_of_it_was_taken() -> None:
    assert is_rejection(shown(A, -1.0, 0))
    assert is_rejection(shown(A, -1.0, 0, action="dismissed"))
    assert not is_rejection(shown(A, -1.0, 0, action="missed", read_ms=0.0))
    assert not is_rejection(shown(A, -1.0, 3, action="took_word"))
    assert not is_rejection(request(A))
    right = LoopRun((shown(A, 0.0, 0, was_right=True), shown(A, 0.0, 0)), {A: 10})
    check(loop_metrics(right, shown_limit=None), correct_rejection_rate=0.5)


def test_reading_in_vain_costs_keys() -> None:
    assert keystrokes_saved(shown(A, 0.0, 0, read_ms=1700.0)) == pytest.approx(-10)


def test_a_request_in_an_unknown_file_is_refused() -> None:
    with pytest.raises(ValueError, match=r"c\.py"):
        loop_metrics(LoopRun((shown("c.py", 0.0, 1),), {A: 10}), shown_limit=None)


def test_the_difference_is_taken_at_the_frozen_arm_s_number_of_suggestions() -> None:
    frozen = LoopRun((shown(A, -0.2, 4), request(A), request(B)), {A: 100, B: 400})
    arm = LoopRun((shown(A, -0.8, 50), shown(B, -0.1, 9), shown(B, -0.4, 7)), {A: 100, B: 400})
    check(paired_loop(arm, frozen), delta_retained_per_1000=1000 * (9 - 4) / 500)
    # The frozen arm shows more here, so the other arm keeps all of its own.
    check(paired_loop(frozen, arm), delta_retained_per_1000=1000 * (4 - 66) / 500)


def test_acceptance_with_fewer_suggestions_by_hand() -> None:
    frozen = LoopRun(tuple(shown(A, -i, 1 if i < 4 else 0) for i in range(10)), {A: 100})
    arm = LoopRun(tuple(shown(A, -i, 1 if i < 6 else 0) for i in range(10)), {A: 100})
    check(
        paired_loop(arm, frozen),  # 8 of 10 remain
        acceptance_rate_at_79=6 / 8,
        relative_acceptance_at_79=(6 / 8) / (4 / 10) - 1,
        relative_acceptance_both_at_79=(6 / 8) / (4 / 8) - 1,
    )


def test_a_show_filter_chooses_by_its_own_chance() -> None:
    frozen = LoopRun(tuple(shown(A, -i, 1 if i < 4 else 0) for i in range(10)), {A: 100})
    chances = [replace(r, chance=float(i)) for i, r in enumerate(frozen.requests)]
    arm = replace(frozen, requests=tuple(chances))  # it hides the first two, which were taken
    check(
        paired_loop(arm, frozen),
        relative_acceptance_filtered_at_79=(2 / 8) / (4 / 10) - 1,
        retained_share_filtered_at_79=2 / 4,
    )
    assert "retained_share_filtered_at_79" not in paired_loop(frozen, frozen)


def test_an_arm_against_itself_gains_nothing() -> None:
    run = loop_run("x", 0.0)
    metric = paired_loop(run, run)["delta_retained_per_1000"]
    assert (metric.value, metric.low, metric.high) == (0, 0, 0)


def test_seeds_of_one_file_are_averaged_before_files_are_compared() -> None:
    one = {"m": tally([(A, (2, 10)), (B, (0, 10))])}
    other = {"m": tally([(A, (4, 10)), (B, (2, 10))])}
    metric = metrics_of(averaged([one, other]))["m"]
    assert (metric.value, metric.num_files, metric.num_items) == (0.2, 2, 2)
    assert metric == metrics_of(averaged([one, other] * 5))["m"]  # more seeds are no more files


def test_a_file_counts_as_often_as_seeds_have_it() -> None:
    one = {"m": tally([(A, (1, 1)), (B, (0, 10))])}
    other = {"m": tally([(B, (0, 10))])}
    metric = metrics_of(averaged([one, other, {}]))["m"]
    assert metric.value == pytest.approx(1 / 21)
    assert (metric.num_files, metric.num_items) == (2, 2)  # 1.5 a seed that has the metric


def test_files_that_say_nothing_are_no_evidence() -> None:
    assert sums_of(tally([(A, (0, 0)), (B, (1, 2))])).num_clusters == 1


def test_the_headline_s_interval_covers_the_truth() -> None:
    """Two arms over 20 files of uneven length; the truth is known from how they are made."""
    covered, truth = 0, 1000 * 0.4 * (0.30 - 0.25) * 12 / 40  # per 1,000 of 40 characters a request
    for seed in range(400):
        luck = random.Random(seed)
        sizes = {f"f{i}": luck.choice((5, 10, 20, 40)) for i in range(20)}
        characters = {f: 40 * n for f, n in sizes.items()}
        frozen, arm = (
            LoopRun(
                tuple(
                    shown(f, luck.uniform(-2, 0), 12 if luck.random() < rate else 0)
                    if i < 0.4 * n else request(f)
                    for f, n in sizes.items() for i in range(n)
                ),
                characters,
            )
            for rate in (0.25, 0.30)
        )  # fmt: skip
        one = sums_of(paired_loop_tallies(arm, frozen)["delta_retained_per_1000"]).ratio()
        assert one is not None
        reach = student_t_quantile(0.975, round(one.degrees, 1)) * one.standard_error
        covered += abs(one.mean - truth) <= reach
    assert 0.92 <= covered / 400 <= 0.98


requests = st.builds(
    lambda file_id, confidence, retained: shown(file_id, confidence, retained),
    st.sampled_from([A, B]),
    st.one_of(st.none(), st.floats(-5, 0)),
    st.integers(0, 40),
)
runs = st.builds(
    lambda found: LoopRun(tuple(found), {A: 300, B: 700}),
    st.lists(st.one_of(requests, st.just(request(A))), max_size=40),
)


@given(runs)
def test_the_curve_ends_at_what_was_played(run: LoopRun) -> None:
    curve = retention_curve(run)
    assert (curve[0].num_shown, curve[0].retained_per_1000) == (0, 0)
    assert curve[-1].num_shown == num_shown(run)
    retained = sum(tally.parts[0] for tally in loop_tallies(run)["retained_per_1000"].values())
    assert curve[-1].retained_per_1000 == pytest.approx(retained / 1000)
    assert [p.num_shown for p in curve] == sorted({p.num_shown for p in curve})
    known = [p.threshold for p in curve if p.threshold is not None]
    assert known == sorted(known, reverse=True)


@given(runs, st.integers(0, 45))
def test_a_limit_is_kept_and_the_curve_agrees_with_it(run: LoopRun, limit: int) -> None:
    limited = surest(run, limit)
    assert num_shown(limited) == min(limit, num_shown(run))
    point = next((p for p in retention_curve(run) if p.num_shown == num_shown(limited)), None)
    assert point is not None
    found = loop_metrics(limited, shown_limit=None)["retained_per_1000"].value
    assert found == pytest.approx(point.retained_per_1000)


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    run = loop_run("x", 0.0, per_file=50)
    curve = retention_curve(run, max_points=20)
    assert len(curve) == 20
    assert curve[-1].num_shown == num_shown(run)
