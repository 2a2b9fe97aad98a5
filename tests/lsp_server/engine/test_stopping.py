"""Stop rules: one line, or the block of the cursor."""

import pytest

from feedback_store.schemas import Mode
from lsp_server.engine.stopping import MAX_BLOCK_LINES, stop_rule


def check(prefix: str, generated: str, expected: str | None, mode: Mode = Mode.BLOCK) -> None:
    """`expected` is the text kept, None where generation goes on."""
    end = stop_rule(prefix, mode).end_of(generated)
    assert (None if end is None else generated[:end]) == expected


@pytest.mark.parametrize(
    ("generated", "expected"),
    [("x + 1", None), ("x + 1\n", "x + 1"), ("\ny", ""), ("a\r\nb", "a"), ("a\x0cb", None)],
)
def test_a_line_ends_at_its_break(generated: str, expected: str | None) -> None:
    check("    return ", generated, expected, Mode.LINE)


def test_a_body_ends_before_a_shallower_line() -> None:
    check("def f():\n    ", "a = 1\n    return a\n\ndef g", "a = 1\n    return a")


def test_a_header_with_its_body_ends_at_its_own_depth() -> None:
    check("    if x:", "\n        y()\n    z", "\n        y()")


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_a_blocks_depth_is_that_of_the_cursors_own_line(line_break: str) -> None:
    prefix = line_break.join(["def f():", "    if a:", "        "])
    check(prefix, "b\n        c\n    d", "b\n        c")


def test_deeper_lines_and_one_blank_line_belong_to_the_block() -> None:
    check("def f():\n    ", "if a:\n        b\n\n    c", None)


def test_two_blank_lines_end_a_block() -> None:
    check("def f():\n    ", "a\n\n\n", "a")


def test_a_line_still_being_written_is_not_judged_by_its_white_space() -> None:
    check("def f():\n    ", "a\n  ", None)


def test_a_block_has_a_longest_length() -> None:
    generated = "a\n" + "    b\n" * (MAX_BLOCK_LINES + 3)
    end = stop_rule("def f():\n    ", Mode.BLOCK).end_of(generated)
    assert end is not None
    assert generated[:end].count("\n") == MAX_BLOCK_LINES
