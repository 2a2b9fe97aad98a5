"""A night obeys what people said of its pairs, and does not let them rule it or leak."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_store.schemas import OutcomeKind, Rule
from feedback_store.verdicts import Judgement, Verdict
from feedback_store.visits import Visit
from trainer import pairs
from trainer.dataset import (
    MAX_HUMAN_SHARE,
    Limits,
    TrainingRow,
    draw_weights,
    held_out_positions,
    measured_at,
    select,
    split_of,
)
from trainer.pairs import PreferencePair

VisitMaker = Callable[..., Visit]
TRAIN_PATHS = [f"t{i}.py" for i in range(99) if split_of(f"r:t{i}.py") == "train"]
HELD_PATH = next(f"h{i}.py" for i in range(99) if split_of(f"r:h{i}.py") == "held_out")
TYPED, OFFERED = "os.environ", "os.getcwd()"


def judged(visit: Visit, verdict: str, text: str | None = None, **sides: str | None) -> Visit:
    pair = {"chosen": TYPED, "rejected": OFFERED} | sides
    return replace(visit, judgement=Judgement(Verdict(verdict), text, **pair))  # type: ignore[arg-type]


def check(visits: list[Visit], *expected: tuple[Any, ...]) -> list[PreferencePair]:
    """Compare the rows as (chosen, rejected, whether it is trained)."""
    rows = pairs.build(visits)
    assert [(row.chosen, row.rejected, pairs.is_trained(row)) for row in rows] == list(expected)
    assert {row.rule for row in rows} <= {Rule.HUMAN}
    assert {row.weight for row in rows} <= {2.0}
    return rows


@pytest.mark.parametrize(
    ("verdict", "text", "expected"),
    [
        ("agree", None, (TYPED, OFFERED, True)),
        ("swap", None, (OFFERED, TYPED, True)),
        ("both_bad", None, (None, OFFERED, False)),  # counted, as a negative
        ("both_good", None, (TYPED, None, True)),
        ("edit", "os.curdir", ("os.curdir", OFFERED, True)),
        ("edit", "os.curdir\nprint(1)", ("os.curdir", OFFERED, True)),  # cut to what was asked
        ("edit", OFFERED, (OFFERED, None, True)),  # praise
    ],
)
def test_a_pair_becomes_what_was_said_of_it(
    visit: VisitMaker, verdict: str, text: str | None, expected: tuple[Any, ...]
) -> None:
    check([judged(visit(1, settled_text=TYPED), verdict, text)], expected)


@pytest.mark.parametrize(
    ("verdict", "sides", "expected"),
    [
        ("agree", {"rejected": None}, [(TYPED, None, True)]),
        ("swap", {"rejected": None}, [(None, TYPED, False)]),
        ("both_bad", {"rejected": None}, [(None, TYPED, False)]),
        ("agree", {"chosen": None}, [(None, OFFERED, False)]),
        ("swap", {"chosen": None}, [(OFFERED, None, True)]),
        ("both_good", {"chosen": None}, [(OFFERED, None, True)]),
        ("agree", {"chosen": "key = '<redacted:x>'"}, [(None, OFFERED, False)]),
        ("agree", {"chosen": None, "rejected": None}, []),
        ("swap", {"rejected": "os."}, [("os.", None, True)]),  # nothing after the common start
    ],
)
def test_one_side_may_be_missing(
    visit: VisitMaker, verdict: str, sides: dict[str, Any], expected: list[Any]
) -> None:
    check([judged(visit(1, settled_text=TYPED), verdict, **sides)], *expected)


@pytest.mark.parametrize(
    "outcome",
    [
        {"kind": OutcomeKind.UNSEEN},
        {"kind": OutcomeKind.ACCEPTED, "kept": True, "settled_text": OFFERED},
        {"kind": OutcomeKind.DISMISSED, "rating": "up", "correction": "os.sep"},
        {"settled_text": TYPED, "prefix_intact": False},
    ],
)
def test_what_people_say_overrides_what_happened(
    visit: VisitMaker, outcome: dict[str, Any]
) -> None:
    check([judged(visit(1, **outcome), "swap")], (OFFERED, TYPED, True))


def test_an_end_is_promised_only_where_the_text_ended(visit: VisitMaker) -> None:
    settled = visit(1, settled_text=TYPED)
    (agreed,) = pairs.build([judged(settled, "agree")])
    (edited,) = pairs.build([judged(settled, "edit", "os.sep")])
    (swapped,) = pairs.build([judged(settled, "swap")])
    assert agreed.complete_chosen
    assert not edited.complete_chosen
    assert not swapped.complete_chosen


def test_a_secret_stays_out_whatever_was_said(visit: VisitMaker) -> None:
    check([judged(visit(1, settled_text=TYPED, barred=True), "agree")])


def test_a_judged_pair_is_the_one_of_its_line(visit: VisitMaker) -> None:
    visits = [visit(n, settled_text=TYPED) for n in range(3)]
    visits[1] = judged(visits[1], "swap")
    check(visits, (OFFERED, TYPED, True))


def test_no_newer_row_and_no_cap_drops_what_was_said(visit: VisitMaker) -> None:
    request = {"path": TRAIN_PATHS[0]}
    old = visit(1, "a\n\nx = ", settled_text=TYPED, request={**request, "line": 3})
    new = visit(2, "b\n\nx = ", settled_text=TYPED, request={**request, "line": 90})
    made = pairs.build([judged(old, "edit", TYPED), new])
    kept = select(made, Limits(max_rows=1, max_rows_per_file=1), Counter())
    assert [row.rule for row in kept] == [Rule.HUMAN]


@pytest.mark.parametrize("verdict", ["agree", "swap", "both_good", "edit"])
def test_held_out_work_stays_held_out(visit: VisitMaker, verdict: str) -> None:
    held = visit(1, settled_text=TYPED, request={"path": HELD_PATH})
    said = judged(held, verdict, "os.curdir")
    counts: Counter[str] = Counter()
    assert select(pairs.build([said]), Limits(), counts) == []
    assert counts == {"held_out": 1}
    # It is measured as it was: a judgement changes nothing of what stands there.
    assert held_out_positions([said], Limits()) == held_out_positions([held], Limits())


@pytest.mark.parametrize("verdict", ["agree", "swap", "both_good", "edit"])
def test_a_held_out_line_does_not_leak_from_a_copy(visit: VisitMaker, verdict: str) -> None:
    """The same line in a file of another name; edited or swapped, it says something else there."""
    held = visit(1, settled_text=TYPED, request={"path": HELD_PATH})
    copy = visit(2, settled_text=TYPED, request={"path": TRAIN_PATHS[0]})
    measured = measured_at(held_out_positions([held], Limits()))
    counts: Counter[str] = Counter()
    made = pairs.build([judged(copy, verdict, "os.curdir")])
    assert select(made, Limits(), counts, measured) == []
    assert counts == {"held_out_under_another_name": 1}


def training_row(number: int, rule: Rule, weight: float, least: float = 0.0) -> TrainingRow:
    return TrainingRow(
        UUID(int=number), rule, weight, "f", (1,), (2,), 0, 0, least_weight=least
    )  # fmt: skip


@given(
    others=st.lists(st.sampled_from([0.4, 0.5, 0.6, 1.0]), min_size=1, max_size=60),
    num_said=st.integers(0, 30),
    least=st.sampled_from([0.0, 0.4, 0.6]),
)
def test_people_s_words_are_a_small_part_but_never_lighter_than_before(
    others: list[float], num_said: int, least: float
) -> None:
    said = [training_row(n, Rule.HUMAN, 2.0, least) for n in range(num_said)]
    rows = said + [training_row(99 + n, Rule.TYPED_INSTEAD, w) for n, w in enumerate(others)]
    weights = draw_weights(rows)
    assert weights[num_said:] == others
    assert all(least <= weight <= 2.0 for weight in weights[:num_said])
    share = sum(weights[:num_said]) / sum(weights)
    assert share <= MAX_HUMAN_SHARE + 1e-9 or max(weights[:num_said]) == least


def test_a_night_of_nothing_but_judgements_learns_from_them() -> None:
    rows = [training_row(n, Rule.HUMAN, 2.0) for n in range(3)]
    assert draw_weights(rows) == [2.0] * 3


def test_a_judgement_remembers_the_weight_of_what_happened(visit: VisitMaker) -> None:
    (typed,) = pairs.build([judged(visit(1, settled_text=TYPED), "swap")])
    (unseen,) = pairs.build([judged(visit(1, kind=OutcomeKind.UNSEEN), "swap")])
    assert (typed.least_weight, unseen.least_weight) == (0.6, 0.0)
