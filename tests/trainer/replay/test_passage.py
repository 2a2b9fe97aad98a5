"""A text becomes keys; the editor's indentation comes along and counts as nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.replay.passage import Passage, num_characters

TEXTS = st.text(alphabet="ab_.( \t\n\r", max_size=40)


def keys_of(text: str, *, begins_line: bool = False) -> list[str]:
    passage, offset, keys = Passage(text, begins_line=begins_line), 0, []
    while offset < len(text):
        keys.append(passage.key(offset))
        offset += len(keys[-1])
    return keys


@given(TEXTS, st.booleans())
def test_keys_type_just_the_text(text: str, begins_line: bool) -> None:
    keys = keys_of(text, begins_line=begins_line)
    assert "".join(keys) == text
    assert all(keys)


@pytest.mark.parametrize(
    ("text", "begins_line", "keys"),
    [
        ("a b", False, ["a", " ", "b"]),
        ("a\n    b", False, ["a", "\n    ", "b"]),
        ("\n\n\tb", False, ["\n", "\n\t", "b"]),
        ("a\r\n  b", False, ["a", "\r\n  ", "b"]),
        ("    b", True, ["    ", "b"]),
        ("  b", False, [" ", " ", "b"]),
    ],
)
def test_a_break_brings_the_indentation(text: str, begins_line: bool, keys: list[str]) -> None:
    assert keys_of(text, begins_line=begins_line) == keys


def test_what_is_left_of_an_indentation_is_one_key() -> None:
    passage = Passage("a\n        b")
    assert passage.key(4) == "      "
    assert passage.begins(4) == "line"


@pytest.mark.parametrize(
    ("text", "num"),
    [("", 0), ("a b", 3), ("a\n    b", 3), ("\r\n\r\n  b", 3), ("  b", 3), ("a  \n  b", 5)],
)
def test_indentation_is_no_character(text: str, num: int) -> None:
    assert num_characters(text) == num


@given(TEXTS, st.integers(0, 40), st.integers(0, 40))
def test_counts_of_parts_add_up(text: str, one: int, other: int) -> None:
    passage = Passage(text)
    start, end = sorted((min(one, len(text)), min(other, len(text))))
    parts = (passage.num_characters(0, start), passage.num_characters(start, end))
    assert sum(parts) + passage.num_characters(end) == passage.num_characters()


@pytest.mark.parametrize(
    ("marked", "begins"),
    [
        ("a\n  <|>b", "line"),
        ("a<|>\n  b", None),
        ("a <|>bc", "word"),
        ("a b<|>c", None),
        ("<|>bc", "word"),
        ("a<|>(b", None),
    ],
)
def test_lines_and_words_begin(marked: str, begins: str | None) -> None:
    offset = marked.index("<|>")
    assert Passage(marked.replace("<|>", "")).begins(offset) == begins
