"""What the gate lets through and what it keeps out; how chance fares: test_gate_by_chance.py."""

import math
import random
from dataclasses import replace

import pytest

from trainer.gate import Control, Decision, LiveArm, Verdict, decide
from trainer.report import ArmScore, PositionScore, Report

LIVE = ArmScore(-2.0, expected_matched=8.0, matched=10, engine_ms=20.0, parses=True)
Scores = tuple[PositionScore, ...]


def score(file: int, delta: float, candidate: ArmScore = LIVE) -> PositionScore:
    return PositionScore(f"f{file}", 20, 6, replace(candidate, log_prob=-2.0 + delta), LIVE)


def spread(num: int, files: int, mean: float, noise: float = 0.05, **trait: object) -> Scores:
    """Positions with a fixed mean difference and alternating noise."""
    candidate = replace(LIVE, **trait)  # type: ignore[arg-type]
    rounds = (i // files for i in range(num))
    deltas = [mean + noise * (1 if (i + r) % 2 else -1) for i, r in enumerate(rounds)]
    return tuple(score(i % files, delta, candidate) for i, delta in enumerate(deltas))


def judge(positions: Scores, live: LiveArm = LiveArm(), **more: object) -> Decision:  # noqa: B008
    return decide(Report(positions, golden=()), live, recipe="r", **more)  # type: ignore[arg-type]


def test_a_clear_gain_is_promoted() -> None:
    decision = judge(spread(200, 10, 0.1))
    assert decision.promote
    assert decision.verdict is Verdict.PROMOTE
    assert decision.numbers["positions"] == 200
    assert "+0.100 nats" in decision.reasons[0]


def test_a_bound_at_the_limit_is_told_from_it() -> None:
    rng = random.Random(3)
    noise = [(i % 20, rng.gauss(0, 0.2)) for i in range(200)]

    def shifted(mean: float) -> Decision:
        return judge(tuple(score(file, mean + delta) for file, delta in noise))

    bound = shifted(0.0).numbers["gain_bound_nats"]
    assert bound is not None
    above, below = (shifted(0.02 - bound + off) for off in (0.0001, -0.0001))
    assert above.promote
    assert above.reasons[0].endswith("bound +0.0201 > +0.020.")
    assert below.verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert "bound +0.0199." in " ".join(below.reasons)


@pytest.mark.parametrize(
    ("positions", "files", "needed"),
    [(149, 10, (1, 0)), (60, 3, (90, 5)), (400, 7, (0, 1)), (0, 0, (150, 8))],
)
def test_below_the_floor_the_gate_says_what_is_missing(
    positions: int, files: int, needed: tuple[int, int]
) -> None:
    decision = judge(spread(positions, max(1, files), 0.5))
    assert decision.verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert (decision.positions_still_needed, decision.files_still_needed) == needed
    assert decision.reasons[0].startswith("Not enough evidence, keep what is live: ")
    if all(needed):
        assert f"{needed[0]} more positions in {needed[1]} more files needed" in decision.reasons[0]


def test_a_promising_but_noisy_gain_names_the_positions_still_needed() -> None:
    rng = random.Random(3)
    noisy = tuple(score(i % 20, 0.12 + rng.gauss(0, 0.6)) for i in range(200))
    decision = judge(noisy)
    assert decision.verdict is Verdict.NOT_ENOUGH_EVIDENCE
    assert decision.positions_still_needed > 0


def test_a_position_weighs_as_many_tokens_as_it_has_up_to_a_line_or_two() -> None:
    def mean(short: float, num_short: int, long: float, num_long: int) -> float | None:
        positions = [
            replace(
                score(i % 10, short if i % 2 else long), num_tokens=num_short if i % 2 else num_long
            )
            for i in range(200)
        ]
        return judge(tuple(positions)).numbers["gain_nats"]

    assert mean(-0.1, 2, 0.1, 6) == pytest.approx(0.05)
    assert mean(-0.1, 16, 0.1, 500) == pytest.approx(0.0)


@pytest.mark.parametrize("mean", [0.019, 0.0, -0.5])
def test_no_gain_keeps_what_is_live(mean: float) -> None:
    decision = judge(spread(200, 10, mean))
    assert decision.verdict is Verdict.NOT_BETTER
    assert not decision.promote


@pytest.mark.parametrize(
    ("mean", "recipe", "share_new", "verdict"),
    [
        (0.01, "r", 0.05, Verdict.REFRESH),
        (0.01, "r", 0.04, Verdict.NOT_BETTER),
        (0.01, "r", 0.0, Verdict.NOT_BETTER),  # A/A: the same data, another seed
        (0.01, "another", 1.0, Verdict.NOT_BETTER),
        (0.01, None, 1.0, Verdict.NOT_BETTER),
        (-0.01, "r", 1.0, Verdict.NOT_BETTER),
        (0.1, "r", 0.0, Verdict.PROMOTE),
    ],
)
def test_the_same_recipe_may_refresh_what_is_live_after_learning_something_new(
    mean: float, recipe: str | None, share_new: float, verdict: Verdict
) -> None:
    live = LiveArm("ab" * 32, recipe, share_new)
    decision = judge(spread(200, 10, mean, 0.02), live)
    assert decision.verdict is verdict
    assert decision.numbers["share_new"] == share_new


@pytest.mark.parametrize(
    ("trait", "says"),
    [
        ({"matched": 9}, "the answers given is -0.50 characters"),
        ({"expected_matched": 7.5}, "expected margin is -0.10 characters."),
        ({"matched": None}, "nothing was generated"),
        ({"ran_on": True}, "run-on rate rose by 100.0% points"),
        ({"stopped_early": True}, "early-stop rate rose"),
        ({"parses": False}, "syntax errors rose by 100.0% points"),
        ({"engine_ms": 40.0}, "latency is 2.00 x"),
    ],
)
def test_every_guardrail_can_stop_a_gain(trait: dict[str, object], says: str) -> None:
    decision = judge(spread(200, 10, 0.1, **trait))
    assert decision.verdict is Verdict.GUARDRAIL
    assert says in decision.reasons[0]


@pytest.mark.parametrize("value", [math.nan, -math.inf, math.inf])
@pytest.mark.parametrize("arm", ["candidate", "live"])
@pytest.mark.parametrize("part", ["positions", "golden"])
@pytest.mark.parametrize("name", ["log_prob", "expected_matched"])
def test_a_score_that_is_no_number_stops_a_gain(
    value: float, arm: str, part: str, name: str
) -> None:
    scores = {"positions": spread(200, 10, 0.1), "golden": spread(40, 20, 0.0)}
    first, *rest = scores[part]
    broken = replace(getattr(first, arm), **{name: value})
    scores[part] = (replace(first, **{arm: broken}), *rest)
    decision = decide(Report(**scores), LiveArm())
    assert decision.verdict is Verdict.GUARDRAIL
    assert decision.reasons[0].startswith("1 of 240 of the ")
    assert arm in decision.reasons[0]


def test_a_rate_that_rose_by_chance_stops_nothing() -> None:
    calm = spread(200, 10, 0.1)
    runs_on = replace(calm[0].candidate, ran_on=True)
    one_file = tuple(replace(p, candidate=runs_on) if p.file_key == "f0" else p for p in calm)
    assert judge(one_file).promote  # 10 % of the positions, but all of one file
    everywhere = tuple(
        replace(p, candidate=runs_on) if i % 7 == 0 else p for i, p in enumerate(calm)
    )
    assert judge(everywhere).verdict is Verdict.GUARDRAIL


def test_forgetting_stops_a_gain() -> None:
    report = Report(spread(200, 10, 0.1), golden=spread(40, 20, -0.4))
    decision = decide(report, LiveArm())
    assert decision.verdict is Verdict.GUARDRAIL
    assert decision.reasons[0].startswith("Golden set: -0.400")
    kept = Report(spread(200, 10, 0.1), golden=spread(40, 20, -0.02))
    assert decide(kept, LiveArm()).promote


def test_a_control_that_passes_discredits_the_night() -> None:
    good = Report(spread(200, 10, 0.1), golden=())
    bad = Report(spread(200, 10, -0.5), golden=())
    assert decide(good, LiveArm(), [Control("mispaired", bad)]).promote
    decision = decide(good, LiveArm(), [Control("mispaired", good)])
    assert decision.verdict is Verdict.GUARDRAIL
    assert "'mispaired'" in decision.reasons[0]


def test_no_match_on_either_side_is_no_loss() -> None:
    none = {"matched": 0, "expected_matched": 0.0}
    nothing = replace(LIVE, **none)
    positions = tuple(replace(p, live=nothing) for p in spread(200, 10, 0.1, **none))
    assert judge(positions).promote


def test_matches_that_may_have_fallen_name_the_positions_still_needed() -> None:
    rng = random.Random(5)
    noisy = tuple(
        replace(p, candidate=replace(p.candidate, expected_matched=8.0 + rng.gauss(0, 9)))
        for p in spread(200, 10, 0.1)
    )
    decision = judge(noisy)
    assert decision.verdict is Verdict.GUARDRAIL
    assert "more positions needed" in decision.reasons[0]


def test_preference_accuracy_decides_nothing() -> None:
    for accuracy in (0.0, 1.0):
        report = Report(spread(200, 10, 0.1), golden=(), preference_accuracy=accuracy)
        assert decide(report, LiveArm()).promote
