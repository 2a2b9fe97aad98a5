"""What is worth showing: features, chances, and the share that is shown all the same."""

import math
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.engine.show_filter import EXPLORED, FEATURES, Offer, ShowFilter, features

SURE = Offer("x = os.", "\n", "getcwd()", (-0.1, -0.2), "stop")
UNSURE = Offer("x = os.", "\n", "getcwd()", (-3.0, -2.0), "stop")
NAMESPACE = UUID(int=7)


def by_confidence(threshold: float) -> ShowFilter:
    return ShowFilter(("mean_log_prob",), (-1.0,), (1.0,), (2.0,), 0.0, threshold)


def test_a_chance_follows_the_weights() -> None:
    found = by_confidence(0.5)
    assert found.chance(SURE) == pytest.approx(1 / (1 + math.exp(-2 * (-0.15 + 1))))
    assert found.chance(UNSURE) == pytest.approx(1 / (1 + math.exp(-2 * (-2.5 + 1))))


def test_what_is_good_enough_is_shown_for_certain() -> None:
    assert by_confidence(0.5).decide(SURE, UUID(int=1)) == (True, 1.0)


def test_a_fixed_share_of_what_is_hidden_is_shown_and_says_so() -> None:
    found = by_confidence(0.5)
    decided = [found.decide(UNSURE, uuid5(NAMESPACE, str(n))) for n in range(2000)]
    assert set(decided) == {(True, EXPLORED), (False, 1 - EXPLORED)}
    shown = sum(show for show, _ in decided)
    assert 60 < shown < 140, "5 % of 2,000, by more than four standard deviations"
    assert decided == [found.decide(UNSURE, uuid5(NAMESPACE, str(n))) for n in range(2000)]


@pytest.mark.parametrize(
    ("offer", "name", "value"),
    [
        (Offer("a\nif x.", "", "y", (), "stop"), "after_opener", 1.0),
        (Offer("a\nif x", "", "y", (), "stop"), "inside_word", 1.0),
        (Offer("a\n    ", "", "y", (), "stop"), "line_is_blank", 1.0),
        (Offer("a = go(b)\nc = ", "", "go(b)\nd", (), "stop"), "line_is_near", 1.0),
        (Offer("alpha\n", "", "alpha beta", (), "stop"), "share_of_words_near", 0.5),
        (Offer("", "", "y", (-0.5, -2.0, -4.0), "length"), "share_unsure", 2 / 3),
        (Offer("", "", "y", (-0.5, -2.0, -4.0), "length"), "lowest_log_prob", -4.0),
        (Offer("", "", "y", (), "length"), "cut_by_length", 1.0),
        (Offer("", ")\nmore", "y", (), "stop"), "characters_right", math.log1p(1)),
    ],
)
def test_features_say_what_they_are_named_after(offer: Offer, name: str, value: float) -> None:
    assert features(offer)[name] == pytest.approx(value)


@given(
    st.builds(
        Offer,
        prefix=st.text(),
        suffix=st.text(),
        text=st.text(),
        log_probs=st.lists(st.floats(-1e3, 0)),
        finish_reason=st.sampled_from(["stop", "length"]),
    )
)
def test_every_answer_has_the_same_finite_features(offer: Offer) -> None:
    found = features(offer)
    assert tuple(found) == FEATURES
    assert all(map(math.isfinite, found.values()))
    weights = (9.0,) * len(FEATURES)
    extreme = ShowFilter(FEATURES, (0.0,) * len(weights), (1e-3,) * len(weights), weights, 0.0, 0.1)
    assert 0 <= extreme.chance(offer) <= 1


def test_a_filter_survives_the_store() -> None:
    found = by_confidence(0.25)
    assert ShowFilter.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{}", "not a show filter"),
        ("[]", "not a show filter"),
        ("{", "Expecting"),
        (by_confidence(0.5).to_json().replace("mean_log_prob", "mood"), "unknown features: mood"),
        (by_confidence(0.5).to_json().replace("[2.0]", "[2.0, 1.0]"), "differ in length"),
    ],
)
def test_what_is_no_filter_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ShowFilter.from_json(text)
