"""Without any code in them, events fold to the outcome that the code would have given."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from store_material import event

from feedback_store.edit_distance import edit_distance
from feedback_store.outcomes import Outcome, fold
from feedback_store.schemas import Event, OutcomeKind
from feedback_store.stand_ins import StandIns, stand_in, stand_in_beside

KEY = UUID(int=7)
CODE = st.text("abx= \n\U0001f600", max_size=25)


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


@given(suggestion=CODE, text=CODE)
@example(suggestion="return 42", text="return 4")
@example(suggestion="abc", text="bc")
@example(suggestion="a", text="")
@example(suggestion="", text="b")
@example(suggestion="ab", text="ba")
@example(suggestion="\U0001f600x", text="x\U0001f600")
def test_lengths_and_distances_stay(suggestion: str, text: str) -> None:
    offered, beside = stand_in(suggestion), stand_in_beside(text, suggestion)
    assert edit_distance(offered, beside) == pytest.approx(edit_distance(suggestion, text))
    assert bool(beside.strip()) == bool(text.strip())
    if "\n" not in suggestion:
        assert (len(offered), utf16(offered)) == (len(suggestion), utf16(suggestion))
        assert offered.startswith(beside.rstrip()) == suggestion.startswith(text.rstrip())
    assert not set(offered + beside) & set("b=")


def without_texts(outcome: Outcome) -> Outcome:
    told = replace(outcome, suggestion=None, settled_text=None, replaced_text=None, correction=None)
    return told


STORIES: dict[str, list[Event]] = {
    "kept": [
        event(KEY, "shown", text="return 42"),
        event(KEY, "accepted", 1, accepted_length=9),
        event(KEY, "settled", 15, text="return 42", reaches_suffix=True, prefix_intact=True),
        event(KEY, "persisted", 700, text="return 42", after_seconds=600, edit_distance=0.0,
              retained_characters=9),
    ],
    "edited": [
        event(KEY, "shown", text="return 42"),
        event(KEY, "accepted", 1),
        event(KEY, "settled", 15, text="return 4711", reaches_suffix=True, prefix_intact=True),
    ],
    "deleted": [
        event(KEY, "shown", text="return 42"),
        event(KEY, "accepted", 1),
        event(KEY, "persisted", 40, text="raise", after_seconds=30, edit_distance=0.9,
              retained_characters=1),
    ],
    "word by word": [
        event(KEY, "shown", text="a\U0001f600 b"),
        event(KEY, "partially_accepted", 1, accepted_length=5, unit="word"),
    ],
    "typed instead": [
        event(KEY, "shown", text="return 42", visible_ms=900),
        event(KEY, "settled", 15, text="yield 1", reaches_suffix=True, prefix_intact=True),
    ],
    "half typed": [
        event(KEY, "shown", text="return 42", visible_ms=900),
        event(KEY, "settled", 15, text="return", reaches_suffix=True, prefix_intact=True),
    ],
    "another candidate": [
        event(KEY, "shown", text="return 42"),
        event(KEY, "cycled", 1, candidate_index=1, text="yield 42"),
        event(KEY, "accepted", 2, candidate_index=1),
        event(KEY, "settled", 15, candidate_index=1, text="yield 43", reaches_suffix=True,
              prefix_intact=True),
    ],
    "rated": [
        event(KEY, "shown", text="return 42", visible_ms=900),
        event(KEY, "rated", 3, rating="down", comment="no!", correction="return 43"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize("batches", ["together", "one by one"])
def test_the_outcome_is_the_same(name: str, batches: str) -> None:
    story, stand_ins = STORIES[name], StandIns()
    if batches == "together":
        told = stand_ins.without_code(story)
    else:
        told = [stand_ins.without_code([one])[0] for one in story]
    assert without_texts(fold(KEY, told)) == without_texts(fold(KEY, story))
    for one in told:
        left = f"{one.data.text}{one.data.comment}{one.data.correction}"
        assert not any(word in left for word in ("return", "yield", "raise", "4", "no!"))


def test_what_is_forgotten_is_left_out_and_still_folds() -> None:
    story = STORIES["edited"]
    stand_ins = StandIns()
    (shown,) = stand_ins.without_code(story[:1])
    outcome = fold(KEY, [shown, *StandIns().without_code(story[1:])])  # after a restart
    assert outcome.kind is OutcomeKind.ACCEPTED
    assert outcome.edit_distance is None
    assert outcome.settled_text is None
