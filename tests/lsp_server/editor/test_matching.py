"""What stands at a place, compared with a suggestion."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_store import edit_distance as store
from lsp_server.editor.matching import (
    Fit,
    continues_identifier,
    edit_distance,
    match,
    num_shared,
    retained_characters,
    utf16_length,
    utf16_prefix,
)


@pytest.mark.parametrize(
    ("found", "suggestion", "fit", "num_typed"),
    [
        ("", "foo(x)", Fit.ALONG, 0),
        ("foo", "foo(x)", Fit.ALONG, 3),
        ("foo(x)", "foo(x)", Fit.FULL, 6),
        ("foo(x)y", "foo(x)", Fit.BEYOND, 6),
        ("fob", "foo(x)", Fit.OTHER, 2),
        ("foo()", "foo(x)", Fit.ALONG, 4),
        ("foo({})", "foo({1})", Fit.ALONG, 5),
        ("foo('')", "foo('x')", Fit.ALONG, 5),
        ("foo(x)", "foo(x", Fit.FULL, 5),
        ("{\n}", "{\n    1\n}", Fit.ALONG, 2),
        ("foo)", "foo(x)", Fit.OTHER, 3),
        ("foo''", "foo(x)", Fit.OTHER, 3),
        ("(]", "(x)", Fit.OTHER, 1),
        ("", "", Fit.FULL, 0),
    ],
)
def test_match(found: str, suggestion: str, fit: Fit, num_typed: int) -> None:
    got = match(found, suggestion, "")
    assert (got.fit, got.num_typed) == (fit, num_typed)


@pytest.mark.parametrize(
    ("found", "fit"),
    [
        (")", Fit.ALONG),
        ("x)", Fit.FULL),
        ("y)", Fit.OTHER),
        ("x))", Fit.FULL),
        ("x)y)", Fit.BEYOND),
    ],
)
def test_match_beside_what_would_be_replaced(found: str, fit: Fit) -> None:
    assert match(found, "x)", ")").fit is fit


@pytest.mark.parametrize(
    ("accepted", "now", "kept"),
    [
        ("foo(1)", "foo(1)", 6),
        ("foo(1)  \n", "foo(1)", 6),
        ("foo(1)", "", 0),
        ("foo(a, 'b')", 'foo(\n    a,\n    "b",\n)', 11),
        ("return self.value", "raise ValueError(x)", 0),
        ("a = 1\nb = 2", "a = 1\nb = 3", 9),
        ("a b", "a", 1),
        ("   ", "x", 0),
    ],
)
def test_retained_characters(accepted: str, now: str, kept: int) -> None:
    assert retained_characters(accepted, now) == kept


@given(st.text("ab (,)\n"), st.text("ab (,)\n"))
def test_never_more_is_retained_than_there_was(accepted: str, now: str) -> None:
    assert 0 <= retained_characters(accepted, now) <= len(accepted.rstrip())


@given(st.text("abc \n"), st.text("abc \n"))
def test_the_edit_distance_is_the_stores(a: str, b: str) -> None:
    assert edit_distance(a, b) == store.edit_distance(a, b)


def test_the_edit_distance() -> None:
    assert edit_distance("kitten", "sitting") == pytest.approx(3 / 7)
    assert edit_distance("a  \nb", "a\nb\n") == 0.0
    assert edit_distance("", "") == 0.0


def test_long_texts_are_compared_quickly(processor_s: Callable[..., float]) -> None:
    a, b = "abc def " * 2_000, "xbc dxf " * 2_000
    assert 0 < edit_distance(a, b) < 1
    assert retained_characters(a, b) < len(a)
    assert processor_s(lambda: (edit_distance(a, b), retained_characters(a, b))) < 2.0


def test_utf16() -> None:
    text = "a\U0001f600b"
    assert utf16_length(text) == 4
    assert [utf16_prefix(text, n) for n in range(6)] == ["", "a", "a", "a\U0001f600", text, text]
    assert utf16_prefix("abc", 2) == "ab"


def test_words_that_go_on() -> None:
    assert continues_identifier("foo", "bar")
    assert not continues_identifier("foo", ".bar")
    assert not continues_identifier("foo(", "bar")
    assert not continues_identifier("foo", "")
    assert num_shared("abc", "abd") == 2
