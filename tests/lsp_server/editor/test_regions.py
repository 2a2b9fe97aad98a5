"""Ranges moved through edits: `[` and `]` mark a range, before and after."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.editor.document import Edit
from lsp_server.editor.regions import (
    Place,
    Taken,
    hunks_of,
    is_formatting,
    is_multi_cursor,
    significant,
)


def marked(text: str) -> tuple[str, int, int]:
    start = text.index("[")
    end = text.index("]") - 1
    return text.replace("[", "").replace("]", ""), start, end


def with_marks(text: str, start: int, end: int) -> str:
    return text[:start] + "[" + text[start:end] + "]" + text[end:]


def apply(text: str, edit: Edit) -> str:
    assert text[edit.offset : edit.offset + len(edit.deleted)] == edit.deleted
    return text[: edit.offset] + edit.inserted + text[edit.offset + len(edit.deleted) :]


def edit_of(text: str, old: str, new: str) -> Edit:
    """`old` may hold a caret `|` that says where to insert."""
    if "|" in old:
        return Edit(text.index(old.replace("|", "")) + old.index("|"), "", new)
    return Edit(text.index(old), old, new)


def check(
    kind: type[Place] | type[Taken], before: str, *swaps: tuple[str, str], after: str
) -> None:
    text, start, end = marked(before)
    moved = kind(start, end)
    for old, new in swaps:
        edit = edit_of(text, old, new)
        if isinstance(moved, Place):
            moved.move(edit.offset, edit.offset + len(edit.deleted), len(edit.inserted))
        else:
            moved.move(edit.offset, edit.offset + len(edit.deleted), edit.inserted)
        text = apply(text, edit)
    assert with_marks(text, moved.start, moved.end) == after


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        ("a[bc]d", "a|", "x", "a[xbc]d"),
        ("a[bc]d", "c|", "x", "a[bcx]d"),
        ("a[]d", "a|", "x", "a[x]d"),
        ("a[bc]d", "b|c", "x", "a[bxc]d"),
        ("aa[bc]d", "a|a", "x", "axa[bc]d"),
        ("a[bc]de", "d|e", "x", "a[bc]dxe"),
        ("a[bc]d", "a", "", "[bc]d"),
        ("a[bc]d", "d", "", "a[bc]"),
        ("a[bc]d", "bc", "", "a[]d"),
        ("a[bc]d", "ab", "x", "[xc]d"),
        ("a[bc]d", "cd", "x", "a[bx]"),
        ("a[bc]d", "abcd", "x", "[x]"),
        ("a[bc]d", "a", "xyz", "xyz[bc]d"),
    ],
)
def test_a_place_grows_at_both_ends(before: str, old: str, new: str, after: str) -> None:
    check(Place, before, (old, new), after=after)


@pytest.mark.parametrize(
    ("before", "swaps", "after"),
    [
        ("a[bc]d", [("a|", "x")], "ax[bc]d"),
        ("a[bc]d", [("c|", "x")], "a[bc]xd"),
        ("a[bc]d", [("b|c", "x")], "a[bxc]d"),
        ("a[bc]d", [("bc", "")], "a[]d"),
        ("a[bc]d", [("c", "x")], "a[bx]d"),
        ("a[bc]d", [("cd", "x")], "a[bx]"),
        ("a[bc]d", [("ab", "x")], "[xc]d"),
        ("a[bc]d", [("abcd", "x")], "[x]"),
        ("a[bc]d", [("d", "x")], "a[bc]x"),
        ("a[bc]d", [("c", ""), ("b|", "x"), ("x|", "y")], "a[bxy]d"),
        ("a[bc]d", [("c", ""), ("b|", "x\n"), ("\n|", "y")], "a[bx\n]yd"),
        ("a[bc]d", [("c", ""), ("b|", "\nx")], "a[b]\nxd"),
        ("a[bc]d", [("c", ""), ("|a", "z"), ("b|", "x")], "za[b]xd"),
        ("a[bc]d", [("bc", ""), ("a|", "new")], "a[new]d"),
        ("a[bc]d", [("b", ""), ("a|", "x")], "a[xc]d"),
        ("a[bc]d", [("c|", "x"), ("x", "")], "a[bc]d"),
    ],
)
def test_a_taken_text_keeps_insertions_at_its_ends_outside_unless_they_replace(
    before: str, swaps: list[tuple[str, str]], after: str
) -> None:
    check(Taken, before, *swaps, after=after)


@pytest.mark.parametrize(
    ("edits", "hunks"),
    [
        ([Edit(3, "", "a"), Edit(4, "", "b")], [Edit(3, "", "ab")]),
        ([Edit(3, "", "ab"), Edit(4, "b", "")], [Edit(3, "", "a")]),
        ([Edit(3, "", "a"), Edit(3, "a", "")], []),
        ([Edit(9, "", "a"), Edit(3, "", "a")], [Edit(9, "", "a"), Edit(3, "", "a")]),
        ([Edit(3, "abc", "abc")], []),
        ([Edit(3, "pri", "print")], [Edit(6, "", "nt")]),
        ([Edit(3, "f(a,b)", "f( a, b)")], [Edit(5, "", " "), Edit(8, "", " ")]),
        ([Edit(3, "'a'", '"a"')], [Edit(3, "'", '"'), Edit(5, "'", '"')]),
        ([Edit(3, "a b", "c d e")], [Edit(3, "a b", "c d e")]),
        ([], []),
    ],
)
def test_hunks(edits: list[Edit], hunks: list[Edit]) -> None:
    assert hunks_of(edits) == hunks


pieces = st.text(st.sampled_from("ab \n'\",)"), max_size=6)


@given(pieces, st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), pieces), max_size=5))
def test_hunks_do_what_the_edits_did_and_ranges_stay_inside(
    text: str, changes: list[tuple[float, float, str]]
) -> None:
    edits, changed = [], text
    for at, length, inserted in changes:
        start = round(at * len(changed))
        end = start + round(length * (len(changed) - start))
        edits.append(Edit(start, changed[start:end], inserted))
        changed = apply(changed, edits[-1])
    hunked, place, taken = text, Place(len(text) // 2, len(text)), Taken(0, len(text) // 2)
    for hunk in hunks_of(edits):
        hunked = apply(hunked, hunk)
        end = hunk.offset + len(hunk.deleted)
        place.move(hunk.offset, end, len(hunk.inserted))
        taken.move(hunk.offset, end, hunk.inserted)
        assert 0 <= place.start <= place.end <= len(hunked)
        assert 0 <= taken.start <= taken.end <= len(hunked)
    assert hunked == changed


def test_what_is_formatting_and_what_is_not() -> None:
    assert significant("f( 'a',\n)") == significant('f("a")')
    assert significant("a, b") != significant("a b")
    assert is_formatting(Edit(0, "'a'", '"a"'))
    assert is_formatting(Edit(0, "  \n", "\n"))
    assert not is_formatting(Edit(0, "", " "))  # somebody typed a blank
    assert not is_formatting(Edit(0, "a", "b"))


def test_several_cursors() -> None:
    assert is_multi_cursor([Edit(9, "", "ab"), Edit(3, "", "ab")])
    assert is_multi_cursor([Edit(9, "xy", "ab"), Edit(3, "zz", "ab")])
    assert not is_multi_cursor([Edit(9, "", "ab")])
    assert not is_multi_cursor([Edit(9, "", "ab"), Edit(3, "", "a")])
    assert not is_multi_cursor([Edit(9, "", "\n    "), Edit(3, "", "\n    ")])
