"""Distances: the textbook's, only faster."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_store.edit_distance import COMPARED_CHARACTERS, edit_distance

TEXTS = st.text(alphabet="ab \n√😀", max_size=40)


def textbook(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, one in enumerate(a, 1):
        left = [i]
        for j, other in enumerate(b, 1):
            left.append(min(row[j] + 1, left[-1] + 1, row[j - 1] + (one != other)))
        row = left
    return row[-1]


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        ("", "", 0.0),
        ("same", "same", 0.0),
        ("kitten", "sitting", 3 / 7),
        ("", "abcd", 1.0),
        ("abcd", "", 1.0),
        ("return x  ", "return x", 0.0),
        ("a  \nb\n\n", "a\nb", 0.0),
        ("a\r\nb", "a\nb", 0.0),
        ("  a", "a", 2 / 3),
        ("abc", "xyz", 1.0),
    ],
)
def test_examples(a: str, b: str, distance: float) -> None:
    assert edit_distance(a, b) == pytest.approx(distance)


@given(TEXTS, TEXTS)
def test_it_is_levenshtein_over_the_longer_length(a: str, b: str) -> None:
    trimmed = ["\n".join(line.rstrip() for line in t.splitlines()).rstrip() for t in (a, b)]
    longer = max(map(len, trimmed))
    expected = textbook(*trimmed) / longer if longer else 0.0
    assert edit_distance(a, b) == pytest.approx(expected)
    assert edit_distance(a, b) == edit_distance(b, a)


def test_of_long_texts_the_beginning_is_compared() -> None:
    a = "x" * COMPARED_CHARACTERS
    assert edit_distance(a + "y" * 5000, a + "z" * 9000) == 0.0
    assert edit_distance("ab" * 4000, "ba" * 4000) == pytest.approx(2 / COMPARED_CHARACTERS)
