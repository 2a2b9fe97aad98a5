"""Each row of the design's rule table, and what drops a pair."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_store.schemas import Mode, OutcomeKind, Rule
from feedback_store.visits import Visit
from trainer import pairs
from trainer.pairs import PreferencePair
from trainer.sides import first_difference

VisitMaker = Callable[..., Visit]
ACCEPTED = {"kind": OutcomeKind.ACCEPTED}
PARTLY = {"kind": OutcomeKind.PARTIALLY_ACCEPTED}
THROUGH = {"kind": OutcomeKind.TYPED_THROUGH}
DISMISSED = {"kind": OutcomeKind.DISMISSED}


def one(visits: list[Visit]) -> PreferencePair | None:
    rows = pairs.build(visits)
    assert len(rows) <= 1
    return rows[0] if rows else None


@pytest.mark.parametrize(
    ("suggestion", "outcome", "expected"),
    [
        (
            "os.getcwd()",
            {**ACCEPTED, "settled_text": "os.getcwdb()", "edit_distance": 0.08},
            (Rule.ACCEPTED_THEN_EDITED, "os.getcwdb()", "os.getcwd()", 1.0),
        ),
        ("os.getcwd()", {"settled_text": "1"}, (Rule.TYPED_INSTEAD, "1", "os.getcwd()", 0.6)),
        (
            "os.getcwd()",
            {**PARTLY, "accepted_length": 3, "settled_text": "os.environ"},
            (Rule.PARTIAL_THEN_DIVERGED, "os.environ", "os.getcwd()", 0.8),
        ),
        (
            "os.getcwd()",
            {**ACCEPTED, "kept": True, "settled_text": "os.getcwd()", "edit_distance": 0.0},
            (Rule.KEPT, "os.getcwd()", None, 1.0),
        ),
        ("'a'", {**THROUGH, "settled_text": "'a'"}, (Rule.KEPT, "'a'", None, 0.5)),
        (
            "os.getcwd()",
            {**ACCEPTED, "deleted": True, "replaced_text": "7", "settled_text": "7"},
            (Rule.ACCEPTED_THEN_DELETED, "7", "os.getcwd()", 1.0),
        ),
        (
            "os.getcwd()",
            {**ACCEPTED, "deleted": True},
            (Rule.ACCEPTED_THEN_DELETED, None, "os.getcwd()", 1.0),
        ),
        (
            "os.getcwd()",
            {**ACCEPTED, "undone": True, "deleted": True, "replaced_text": "7"},
            (Rule.ACCEPTED_THEN_DELETED, "7", "os.getcwd()", 1.0),
        ),
        (
            "os.getcwd()",
            {**ACCEPTED, "undone": True, "deleted": True, "settled_text": ""},
            (Rule.DISMISSED_OR_UNDONE, None, "os.getcwd()", 0.4),
        ),
        (
            "os.getcwd()",
            {**DISMISSED, "settled_text": ""},
            (Rule.DISMISSED_OR_UNDONE, None, "os.getcwd()", 0.4),
        ),
        (
            "os.getcwd()",
            {**DISMISSED, "settled_text": "7"},
            (Rule.TYPED_INSTEAD, "7", "os.getcwd()", 0.6),
        ),
        (
            "os.getcwd()",
            {"kind": OutcomeKind.IGNORED},
            (Rule.IGNORED, None, "os.getcwd()", 0.0),
        ),
        (
            "os.getcwd()",
            {**DISMISSED, "rating": "down", "correction": "os.curdir"},
            (Rule.HUMAN, "os.curdir", "os.getcwd()", 2.0),
        ),
        ("os.getcwd()", {**DISMISSED, "rating": "down"}, (Rule.HUMAN, None, "os.getcwd()", 2.0)),
        ("os.getcwd()", {**ACCEPTED, "rating": "up"}, (Rule.HUMAN, "os.getcwd()", None, 2.0)),
    ],
)
def test_outcomes_become_rows_by_rule(
    visit: VisitMaker, suggestion: str, outcome: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    row = one([visit(1, answers=(suggestion,), **outcome)])
    assert row is not None
    assert (row.rule, row.chosen, row.rejected, row.weight) == expected


@pytest.mark.parametrize(
    "outcome",
    [
        {"settled_text": "1", "visible_ms": 399},  # not seen is not rejected
        {"settled_text": "1", "prefix_intact": False},
        {"settled_text": "   "},
        {"settled_text": None},
        {"settled_text": "os.getcwd()"},  # a correct suggestion that was typed after all
        {"settled_text": "key = '<redacted:aws-key>'"},
        {"settled_text": "1", "kind": OutcomeKind.UNSEEN},
        {**ACCEPTED, "settled_text": "x", "edit_distance": 0.9},
        {**ACCEPTED, "settled_text": "os.getcwd( )", "edit_distance": 0.1, "reformatted": True},
        {**ACCEPTED, "settled_text": "os.getcwd()", "edit_distance": 0.0},  # not yet kept
        {**THROUGH, "settled_text": "os.getcwd()", "prefix_intact": False},
        {"settled_text": "os.get", "reaches_suffix": False},  # nothing after the common start
    ],
)
def test_what_teaches_nothing_gives_no_row(visit: VisitMaker, outcome: dict[str, Any]) -> None:
    assert one([visit(1, **outcome)]) is None


def test_a_barred_visit_gives_no_row(visit: VisitMaker) -> None:
    assert one([visit(1, settled_text="1", barred=True)]) is None


def test_the_candidate_taken_is_preferred_to_the_first_one_shown(visit: VisitMaker) -> None:
    taken = visit(
        1, answers=("one()", "two()"), **ACCEPTED, candidate_index=1, suggestion="two()",
        settled_text="two()", edit_distance=0.0,
    )  # fmt: skip
    row = one([taken])
    assert row is not None
    assert (row.rule, row.chosen, row.rejected) == (Rule.CHOSE_ANOTHER, "two()", "one()")
    assert not pairs.is_trained(row)


@pytest.mark.parametrize(
    ("mode", "prefix", "settled", "expected"),
    [
        (Mode.LINE, "x = ", "1\ny = 2", ("1", False)),  # cut, so it does not reach the suffix
        (Mode.LINE, "x = ", "1  ", ("1", True)),
        (Mode.LINE, "x = ", "1\r\ny", ("1", False)),
        (Mode.BLOCK, "def f():\n    ", "a = 1\n    return a\n", ("a = 1\n    return a", True)),
        (
            Mode.BLOCK,
            "def f():\n    ",
            "a = 1\n    return a\n\nf()",
            ("a = 1\n    return a", False),
        ),
        (Mode.BLOCK, "def f():", "\n    return 1\nf()\n", ("\n    return 1", False)),
    ],
)
def test_both_sides_are_cut_to_the_same_unit(
    visit: VisitMaker, mode: Mode, prefix: str, settled: str, expected: tuple[str, bool]
) -> None:
    made = visit(
        1, prefix, answers=("pass  # as is\n\n\nfoo()",), request={"mode": mode},
        settled_text=settled,
    )  # fmt: skip
    row = one([made])
    assert row is not None
    assert (row.chosen, row.complete_chosen) == expected
    assert row.rejected == "pass  # as is"
    assert not row.complete_rejected


def test_a_side_keeps_its_end_only_where_it_really_ended(visit: VisitMaker) -> None:
    made = visit(1, settled_text="1")
    ended = replace(made.completion.candidates[0], finish_reason="end")
    ended_visit = replace(made, completion=replace(made.completion, candidates=(ended,)))
    row = one([ended_visit])
    assert row is not None
    assert row.complete_chosen
    assert row.complete_rejected
    open_ended = replace(ended_visit, outcome=replace(made.outcome, reaches_suffix=False))
    row = one([open_ended])
    assert row is not None
    assert not row.complete_chosen
    assert not row.complete_rejected  # both sides lose it


def test_a_shorter_text_still_teaches_where_to_end(visit: VisitMaker) -> None:
    row = one([visit(1, settled_text="os.get", reaches_suffix=True)])
    assert row is not None
    assert row.focus == len("os.get")


def test_a_text_mostly_from_another_accepted_suggestion_was_not_typed(visit: VisitMaker) -> None:
    refused = visit(1, settled_text="os.path.join(a, b)")
    accepted = visit(
        2, "import os\n\nx = os.", answers=("path.join(a, b)",), **ACCEPTED, edit_distance=0.0
    )
    assert pairs.build([refused, accepted]) == []
    elsewhere = replace(
        accepted,
        completion=replace(
            accepted.completion,
            request=accepted.completion.request.model_copy(update={"path": "b.py"}),
        ),
    )
    assert [row.rule for row in pairs.build([refused, elsewhere])] == [Rule.TYPED_INSTEAD]


def test_one_pair_per_line_the_weightiest_then_the_earliest(visit: VisitMaker) -> None:
    lines = [
        visit(1, "a\nb\nx = ", answers=("foo()",), settled_text="1 + 1"),
        visit(2, "a\nb\nx = 1", answers=("0",), settled_text=" + 1"),
        visit(
            3, "a\nb\nx = 1 ", answers=("- 1",), settled_text="+ 1", **ACCEPTED, edit_distance=0.3
        ),
        visit(4, "a\nb\nx = 1 +", answers=(" 1",), settled_text=" 1", **THROUGH),
        visit(5, "b\nc\nx = ", answers=("foo()",), settled_text="1"),
    ]
    kept = [row.completion_id.int - 1 for row in pairs.build(lines)]
    assert kept == [3, 4, 5]  # the kept row of the line stands beside its pair
    assert [row.completion_id.int - 1 for row in pairs.build(lines[:2])] == [1]


@pytest.mark.parametrize(
    ("suggestion", "settled", "expected"),
    [
        ("path.join(a)", "path.exists(a)", (".exists(a)", ".join(a)")),
        ("path.join(a)", "parse(a)", None),  # the item was not taken: the prompt is not the text
        (".join(a)", ".exists(a)", (".exists(a)", ".join(a)")),  # no list was open
    ],
)
def test_an_item_of_a_popup_that_the_prompt_holds_is_not_learned_twice(
    visit: VisitMaker, suggestion: str, settled: str, expected: tuple[str, str] | None
) -> None:
    """The prompt was built as if `path` had been taken; what is inserted repeats it."""
    made = visit(
        1, "x = os.path", answers=(".join(a)",), suggestion=suggestion, settled_text=settled,
        **ACCEPTED, edit_distance=0.3,
    )  # fmt: skip
    row = one([made])
    assert (row and (row.chosen, row.rejected)) == expected


@given(st.text(max_size=12), st.text(max_size=12))
def test_the_focus_is_the_first_character_that_differs(left: str, right: str) -> None:
    index = first_difference(left, right)
    assert left[:index] == right[:index]
    assert left == right or left[index : index + 1] != right[index : index + 1]
