"""Code as HTML: every character is there and escaped, and what differs is marked."""

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback_store.admin.code_view import Line, Place, show_prompt, show_side
from feedback_store.code_diff import Ranges, differences

CODE = st.text(alphabet=st.sampled_from("ab_1 .(\"'\\<>&\n#é\U0001f600"), max_size=60)
CARET = '<span class="caret" role="img" aria-label="cursor"></span>'


def text_of(lines: tuple[Line, ...]) -> str:
    markup = "\n".join(str(line.html) for line in lines)
    return html.unescape(re.sub(r"<[^>]+>", "", markup.replace(CARET, "\N{HEAVY VERTICAL BAR}")))


def marked(text: str, ranges: Ranges) -> list[str]:
    return [text[start:end] for start, end in ranges]


@pytest.mark.parametrize(
    ("left", "right", "only_left", "only_right"),
    [
        ("a.join(b)", "a.exists(b)", ["join"], ["exists"]),
        ("f(a)", "f(a, b)", [], [", b"]),
        ("x", "y", ["x"], ["y"]),
        ("same", "same", [], []),
        ("", "new", [], ["new"]),
    ],
)
def test_words_that_differ_are_found(
    left: str, right: str, only_left: list[str], only_right: list[str]
) -> None:
    found = differences(left, right)
    assert (marked(left, found[0]), marked(right, found[1])) == (only_left, only_right)


@given(CODE, CODE)
def test_what_is_not_marked_is_the_same_on_both_sides(left: str, right: str) -> None:
    sides = []
    for text, ranges in zip((left, right), differences(left, right), strict=True):
        inside = {place for start, end in ranges for place in range(start, end)}
        assert all(0 <= start < end <= len(text) for start, end in ranges)
        sides.append("".join(c for place, c in enumerate(text) if place not in inside))
    assert sides[0] == sides[1]


def test_long_texts_are_compared_at_their_ends() -> None:
    left, right = "a b " * 2000 + "old" + " z" * 2000, "a b " * 2000 + "new" + " z" * 2000
    found = differences(left, right)
    assert (marked(left, found[0]), marked(right, found[1])) == (["old"], ["new"])


def test_the_prompt_shows_the_cursor_and_a_few_lines() -> None:
    before = "\n".join(f"line_{n} = {n}" for n in range(40)) + "\nx = "
    lines = show_prompt(Place(before, "\nlast = 1\n", "python", 40))
    assert [line.number for line in lines] == list(range(33, 44))
    assert text_of(lines).split("\n")[8] == "x = \N{HEAVY VERTICAL BAR}"
    assert text_of(lines).startswith("line_32 = 32\n")
    assert 'class="m"' in lines[0].html


def test_indentation_that_all_lines_share_is_left_out() -> None:
    place = Place("    if x:\n        y = ", "\n    z()\n", "python", 7)
    assert text_of(show_prompt(place)) == "if x:\n    y = \N{HEAVY VERTICAL BAR}\nz()\n"
    assert text_of(show_side(place, "f(\n            1)", ())) == "y = f(\n    1)"
    inside = Place("    if x:\n  ", "", "python", 7)  # the cursor stands left of the code
    assert text_of(show_prompt(inside)) == "  if x:\n\N{HEAVY VERTICAL BAR}"


def test_a_side_marks_what_the_other_one_lacks() -> None:
    place = Place("x = ", ")  # end\nmore", "python", 0)
    (line,) = show_side(place, "f(a, b", ((3, 6),))
    assert re.findall(r'<mark class="[^"]*changed">([^<]*)</mark>', line.html) == [",", " ", "b"]
    assert text_of((line,)) == "x = f(a, b)  # end"
    assert '<span class="c quiet">' in line.html


@settings(max_examples=60, deadline=None)
@given(CODE, CODE, CODE, st.sampled_from(["python", "html", "no such language", "rust", ""]))
def test_no_character_is_lost_or_trusted(
    prefix: str, text: str, suffix: str, language: str
) -> None:
    place = Place(prefix, suffix, language, 3)
    ranges, _ = differences(text, "a")
    head = prefix.rsplit("\n", 1)[-1]
    shown = head + text + suffix.split("\n", 1)[0]
    found = text_of(show_side(place, text, ranges))
    bare = [line.lstrip() for line in shown.split("\n")]
    assert [line.lstrip() for line in found.split("\n")] == bare
    everything = "".join(
        str(line.html) for line in (*show_prompt(place), *show_side(place, text, ()))
    )
    allowed = r'</?(?:span|mark)(?: class="[a-z ]+")?(?: role="img" aria-label="cursor")?>'
    assert "<" not in re.sub(allowed, "", everything)


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_code_that_looks_like_html_stays_text(evil: str) -> None:
    place = Place(evil + "\n" + evil, evil, evil, 1)
    for lines in (show_prompt(place), show_side(place, evil, ((0, 5),))):
        markup = "".join(str(line.html) for line in lines)
        assert "<script" not in markup
        assert "<img" not in markup
        assert evil in text_of(lines)
