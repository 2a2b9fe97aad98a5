"""Which pair is worth a person's time, and the words that say why."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from store_material import event, served, shown, wire

from feedback_store import runs
from feedback_store.completions import ServedCandidate, record_completions
from feedback_store.database import Database
from feedback_store.events import append
from feedback_store.interest import Signals, interest_of
from feedback_store.models import PairRow
from feedback_store.reviews import Seen, judge
from feedback_store.schemas import OutcomeKind
from feedback_store.verdicts import Verdict

PLAIN = Signals(
    weight=0.6,
    chosen="sorted(names)",
    rejected="os.getcwd()",
    kind=OutcomeKind.DIVERGED,
    visible_ms=2000,
    kept=False,
    gone=False,
    rating=None,
    log_probs=(-0.5, -0.5),
)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rating": "up"}, "rated the suggestion up"),
        ({"rating": "down", "kind": OutcomeKind.ACCEPTED}, "rated the suggestion down"),
        ({"kind": OutcomeKind.ACCEPTED, "gone": True}, "taken out again"),
        ({"visible_ms": 450}, "on screen for 0.5 s only"),
        ({"log_probs": (-0.01, -0.01)}, r"sure of the rejected side \(99%"),
        ({"log_probs": (-3.0, -2.0)}, "undecided"),
        ({"chosen": "os.getcwdb()"}, "differ by little"),
    ],
)
def test_what_is_odd_comes_before_what_is_plain(changes: dict[str, Any], says: str) -> None:
    plain, _ = interest_of(PLAIN)
    odd, why = interest_of(replace(PLAIN, **changes))
    assert odd > plain
    assert re.search(says, why)


def test_a_heavy_rule_comes_before_a_light_one() -> None:
    heavy, why = interest_of(replace(PLAIN, weight=1.0))
    assert heavy > interest_of(PLAIN)[0]
    assert why == "nothing odd, it weighs 1 in training"


def test_one_side_alone_is_asked_about_only_where_signals_contradict() -> None:
    alone = replace(PLAIN, rejected=None, kind=OutcomeKind.TYPED_THROUGH, kept=True)
    assert interest_of(alone) == (0.0, "")
    assert interest_of(replace(alone, rating="down"))[0] > 2


@given(
    st.floats(0, 2),
    st.lists(st.floats(-30, 0), max_size=5),
    st.sampled_from(OutcomeKind),
    st.one_of(st.none(), st.text(max_size=20)),
    st.one_of(st.none(), st.text(max_size=20)),
)
def test_interest_is_a_number_with_a_reason(
    weight: float, log_probs: list[float], kind: OutcomeKind, left: str | None, right: str | None
) -> None:
    signals = replace(
        PLAIN, weight=weight, log_probs=log_probs, kind=kind, chosen=left, rejected=right
    )
    score, why = interest_of(signals)
    assert 0 <= score < 6
    assert bool(why) == (score > 0 or (left is not None and right is not None))


def test_a_night_stores_its_pairs_with_their_interest(database: Database) -> None:
    candidate = ServedCandidate(0, "42", (7,), (-0.01,), "stop")
    plain, sure, judged, seen = (served(candidates=(candidate,)) for _ in range(4))
    unsure = served(candidates=())
    everything = (plain, sure, judged, seen, unsure)
    record_completions(database, everything)
    for one in everything:
        key = one.request.completion_id
        append(database, [wire(shown(key)), wire(event(key, "diverged", 2, visible_ms=2000))])
    judge(database, judged.request.completion_id, "ada", Verdict.SWAP, seen=Seen("R2", "1", "2"))
    judge(database, seen.request.completion_id, "ada", Verdict.SKIP, seen=Seen("R2", "1", "2"))
    runs.start(database, "night-1", {}, "log")
    row = {"weight": 0.6, "held_out": False, "split": "train", "rule": "R2"}
    pairs = [
        {**row, "completion_id": one.request.completion_id, "chosen": "sorted(x)", "rejected": "42"}
        for one in everything
    ]
    runs.store_pairs(database, "night-1", [*pairs, {**pairs[0], "chosen": None}])
    with database.reading() as session:
        kept = session.execute(
            select(PairRow.interest, PairRow.why).order_by(PairRow.pair_id)
        ).all()
    model, nothing = "the model was sure", "nothing odd, it weighs"
    expected = [model, model, "somebody judged it", model, nothing, ""]
    assert all(why.startswith(words) for (_, why), words in zip(kept, expected, strict=True))
    assert [round(interest, 2) for interest, _ in kept] == [1.3, 1.3, 0.3, 1.3, 0.3, 0.0]
