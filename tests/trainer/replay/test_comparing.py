"""A suggestion is compared with what is meant: what is right, and how the rest is mended."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.replay.comparing import Part, is_right, mending, num_shared, right_part

TEXTS = st.text(alphabet="ab1_.(), \n", max_size=40)


def mended(offered: str, truth: str) -> str:
    """Carry a mending out as the typist does: front to back."""
    text, shift = offered, 0
    for edit in mending(offered, truth).edits:
        text = text[: edit.start + shift] + edit.text + text[edit.end + shift :]
        shift += len(edit.text) - (edit.end - edit.start)
    return text


@given(TEXTS, TEXTS, TEXTS)
def test_mending_leaves_the_truth(shared: str, offered: str, truth: str) -> None:
    plan = mending(shared + offered, shared + truth)
    assert mended(shared + offered, shared + truth) == (shared + truth)[: plan.length]
    assert 0 <= plan.num_retained + plan.num_deleted <= len(shared + offered)


@given(TEXTS, TEXTS)
def test_what_is_right_needs_no_mending(offered: str, more: str) -> None:
    plan = mending(offered, offered + more)
    assert (plan.edits, plan.length, plan.num_deleted) == ((), len(offered), 0)


def test_mending_goes_word_by_word() -> None:
    plan = mending("return foo(bar, 2)", "return foo(baz, 2)\n    x = 1")
    assert [(edit.start, edit.end, edit.text) for edit in plan.edits] == [(11, 14, "baz")]
    assert (plan.length, plan.num_retained, plan.num_deleted) == (18, 15, 3)


def test_what_is_missing_at_the_end_is_left_to_be_typed() -> None:
    plan = mending("foo(a) or", "foo(a).bar(b)\n")
    assert mended("foo(a) or", "foo(a).bar(b)\n") == "foo(a)"
    assert plan.length == 6


@pytest.mark.parametrize(
    ("offered", "truth", "right"),
    [
        ("foo", "foo(1)", True),
        ("foo  \n", "foo(1)", True),
        ("foo()", "foo(1)", False),
        ("foo()\nbar", "foo()", False),
        ("  ", "  x", False),
    ],
)
def test_right_is_a_beginning(offered: str, truth: str, right: bool) -> None:
    assert is_right(offered, truth) is right


@pytest.mark.parametrize(
    ("offered", "truth", "part"),
    [
        ("self.table[key]", "self.table.get(key)", Part("took_word", 10)),
        ("self.tables[key]", "self.table.get(key)", Part("took_word", 5)),
        ("xyz", "abc", None),
        ("a = 1\n    b = 2", "a = 1\n    c = 3", Part("took_line", 5)),
        ("a = 1\nb = 2\nc = 3", "a = 1\nb = 2\nd = 4", Part("took_line", 11)),
        ("a = 1\nb = 2\nc", "a = 1\nb = 2 + d\nc", Part("took_line", 5)),
        ("a = 1\nb = 2", "a = 1", Part("took_line", 5)),
        ("a = 1\nb", "a = 1 + 2", Part("took_word", 5)),
    ],
)
def test_the_right_lines_or_words_are_found(offered: str, truth: str, part: Part | None) -> None:
    assert right_part(offered, truth) == part


@given(TEXTS, TEXTS, TEXTS)
def test_a_part_is_right(shared: str, offered: str, truth: str) -> None:
    part = right_part(shared + offered, shared + truth)
    length = part.length if part else 0
    assert (shared + offered)[:length] == (shared + truth)[:length]
    assert length <= num_shared(shared + offered, shared + truth)
