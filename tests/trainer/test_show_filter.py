"""What people read and left becomes a filter, where it holds on files it has not seen."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from feedback_store.schemas import OutcomeKind
from feedback_store.visits import Visit
from lsp_server.engine.show_filter import Offer, ShowFilter
from trainer.dataset import split_of
from trainer.show_filter import MAX_HIDDEN, MAX_LOST, SeenOffer, fit, seen_offers

VisitMaker = Callable[..., Visit]


def offers(count: int, *, learnable: bool, seed: int = 1, num_files: int = 30) -> list[SeenOffer]:
    """Offers that are taken where the model is sure; unless `learnable`, by chance alone."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        log_prob = -draw.expovariate(1.0)
        taken = draw.random() < ((0.5 if log_prob > -0.5 else 0.02) if learnable else 0.2)
        made.append(
            SeenOffer(
                file_key=f"r:{number % num_files}.py",
                offer=Offer("x = ", "\n", "call(one)", (log_prob,), "stop"),
                useful=taken,
                taken=taken,
                retained=9 if taken else 0,
                weight=1.0,
            )
        )
    return made


def test_what_nobody_takes_is_hidden_and_little_is_lost() -> None:
    shown = offers(900, learnable=True)
    found, verdict = fit(shown)
    assert found is not None
    assert verdict.passed
    hidden = [one for one in shown if found.chance(one.offer) < found.threshold]
    assert 0.05 <= len(hidden) / len(shown) <= MAX_HIDDEN + 0.05
    assert max(one.offer.log_probs[0] for one in hidden) < -0.5
    assert verdict.retained_lost is not None
    assert verdict.retained_lost <= MAX_LOST
    assert (verdict.taken_rate_shown or 0) > (verdict.taken_rate or 1)
    assert "of the suggestions" in verdict.reason


def test_chance_is_not_learned() -> None:
    passed = [fit(offers(600, learnable=False, seed=seed))[1].passed for seed in range(20)]
    assert sum(passed) <= 2


def test_too_little_says_how_much_is_needed() -> None:
    found, verdict = fit(offers(120, learnable=True))
    assert found is None
    assert not verdict.passed
    assert "it needs 300" in verdict.reason


def test_few_files_are_no_evidence() -> None:
    assert fit(offers(900, learnable=True, num_files=5))[0] is None


def test_held_out_files_are_judged_but_never_fitted() -> None:
    shown = offers(900, learnable=True)
    held_out = [one for one in shown if split_of(one.file_key) == "held_out"]
    assert held_out
    turned = [
        replace(one, useful=not one.useful) if split_of(one.file_key) == "held_out" else one
        for one in shown
    ]
    ours, theirs = fit(shown)[0], fit(turned)[0]
    assert ours is not None
    assert theirs is not None
    assert ours.weights == theirs.weights


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_night_hides_a_fifth_of_what_the_last_one_left(seed: int) -> None:
    """Every window is a fresh one, of which the last filter has hidden what it would."""
    draw = random.Random(seed)
    serves: ShowFilter | None = None
    shares = []
    for night in range(6):
        answered = offers(1500, learnable=True, seed=100 * seed + night)
        seen = []
        for one in answered:
            key = UUID(int=draw.getrandbits(128))
            show, propensity = serves.decide(one.offer, key) if serves else (True, 1.0)
            if show:
                seen.append(replace(one, weight=1 / propensity))
        found, verdict = fit(seen)
        if verdict.passed:
            serves = found
        assert serves is not None
        hidden = [one for one in answered if serves.chance(one.offer) < serves.threshold]
        kept = sum(one.retained for one in answered)
        assert sum(one.retained for one in hidden) / kept <= MAX_LOST
        shares.append(len(hidden) / len(answered))
    assert max(shares) <= MAX_HIDDEN + 0.06  # of what is explored there are a dozen or two
    assert sum(shares) / len(shares) >= 0.1


def test_what_was_shown_against_the_odds_counts_more() -> None:
    """Offers of low confidence that were explored, and taken, must lift the chance of others."""
    shown = offers(900, learnable=True)
    odd = [
        replace(one, useful=True, taken=True, weight=weight)
        for one in offers(60, learnable=True, seed=2)
        if one.offer.log_probs[0] < -1.0
        for weight in (10.0,)
    ]
    unsure = Offer("x = ", "\n", "call(one)", (-2.0,), "stop")
    light, heavy = (
        fit([*shown, *(replace(one, weight=weight) for one in odd)])[0] for weight in (0.1, 10.0)
    )
    assert light is not None
    assert heavy is not None
    assert heavy.chance(unsure) > 2 * light.chance(unsure)


@pytest.mark.parametrize(
    ("facts", "useful"),
    [
        ({"kind": OutcomeKind.ACCEPTED, "retained_characters": 7}, True),
        ({"kind": OutcomeKind.TYPED_THROUGH}, True),
        ({"kind": OutcomeKind.DIVERGED}, False),
        ({"kind": OutcomeKind.IGNORED}, False),
        ({"kind": OutcomeKind.UNSEEN}, None),
        ({"kind": OutcomeKind.DIVERGED, "served": {"show": False}}, None),
        ({"kind": OutcomeKind.DIVERGED, "answers": ()}, None),
    ],
)
def test_only_what_was_on_a_screen_teaches(
    visit: VisitMaker, facts: dict[str, Any], useful: bool | None
) -> None:
    expected = [] if useful is None else [useful]
    assert [one.useful for one in seen_offers([visit(1, **facts)])] == expected


def test_an_explored_offer_weighs_what_it_stands_for(visit: VisitMaker) -> None:
    for propensity, weight in ((0.2, 5), (0.05, 20), (0.001, 20)):
        explored = visit(1, kind=OutcomeKind.DIVERGED, served={"propensity": propensity})
        assert seen_offers([explored])[0].weight == pytest.approx(weight)
