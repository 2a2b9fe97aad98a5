"""Edits as hunks: what is typed, in order, makes the text that was wanted."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.replay.work import Hunk, Work, cut, hunks_between

LINES = st.lists(
    st.sampled_from(["", "a = 1", "a = 12", "    b(c)", "    b(d)", "été", "x" * 9]), max_size=12
)
TEXTS = st.builds(lambda lines, end: "\n".join(lines) + end, LINES, st.sampled_from(["", "\n"]))


def work(before: str, after: str) -> Work:
    return Work("a.py", "a.py", before, hunks_between(before, after))


@given(TEXTS, TEXTS)
def test_hunks_make_the_text_that_was_wanted(before: str, after: str) -> None:
    made = work(before, after)
    assert made.after == after
    assert all(one.end <= other.start for one, other in pairwise(made.hunks))
    assert all(0 <= h.start <= h.end <= len(before) for h in made.hunks)


@given(TEXTS, TEXTS, st.integers(min_value=1, max_value=4))
def test_sittings_type_the_same_in_order(before: str, after: str, max_lines: int) -> None:
    made, text = work(before, after), before
    for sitting in cut(made, max_lines):
        assert sitting.num_lines <= max_lines
        text = sitting.after
    # What only deletes is no sitting; it is done before the next one that types.
    assert text == after or not made.hunks[-1].text
    assert sum(s.num_lines for s in cut(made, max_lines)) == made.num_lines


@pytest.mark.parametrize(
    ("before", "after", "hunk"),
    [
        ("a\nc\n", "a\nb\nc\n", Hunk(1, 1, "\nb")),
        ("c\n", "b\nc\n", Hunk(0, 0, "b\n")),
        ("a\n", "a\nb\n", Hunk(1, 1, "\nb")),
        ("a\nb\nc", "a\nc", Hunk(1, 3, "")),
        ("", "a\nb\n", Hunk(0, 0, "a\nb\n")),
        ("x = call(one, two)\n", "x = call(one, three)\n", Hunk(14, 17, "three")),
    ],
)
def test_a_hunk_is_where_a_person_would_type(before: str, after: str, hunk: Hunk) -> None:
    assert work(before, after).hunks == (hunk,)


def test_a_long_edit_is_cut_where_lines_are_indented_least() -> None:
    after = "def f():\n    a\n    b\ndef g():\n    c\n    d\n"
    assert [w.hunks[0].text for w in cut(work("", after), 4)] == [
        "def f():\n    a\n    b\n",
        "def g():\n    c\n    d\n",
    ]


def test_blank_lines_are_not_counted() -> None:
    assert Hunk(0, 0, "\n    a\n\n    b").num_lines == 2
