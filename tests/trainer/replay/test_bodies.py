"""Bodies: what is taken out of a file, and that it can be typed again."""

import ast
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.replay import bodies, days, git_history, plant, work
from trainer.replay.bodies import pieces_of, sitting
from trainer.replay.python_text import parsed

OUR_OWN = [module.__file__ or "" for module in (bodies, days, git_history, plant, work)]


def bodies_of(text: str, max_lines: int = 20) -> list[str]:
    return [piece.text for piece in pieces_of(text, max_lines)]


def blocks(depth: int) -> st.SearchStrategy[list[str]]:
    """Statements as lines, nested, with comments and blank lines between them."""
    simple = st.sampled_from(
        [["pass"], ["x = 'é'"], ["y = [", "    1,", "", "]"], ['"""text', 'more"""'],
         ["# a comment", "z = 1; w = 2"], ["", "return"], ["a = 1; b = [", "]"]]
    )  # fmt: skip
    if not depth:
        return simple

    def nested(heads: list[str], body: list[list[str]]) -> list[str]:
        inside = [f"    {line}" if line else "" for part in body for line in part]
        return [*heads, *inside]

    heads = st.sampled_from(
        [["if x:"], ["def f(a,", "      b=1):  # why"], ["class C:"], ["@d", "async def g():"],
         ["while x:", "    # first"], ["def h():", '    """doc"""']]
    )  # fmt: skip
    return st.one_of(
        simple, st.builds(nested, heads, st.lists(blocks(depth - 1), min_size=1, max_size=4))
    )


PROGRAMS = st.lists(blocks(3), min_size=1, max_size=5).map(
    lambda parts: "\n".join(line for part in parts for line in part) + "\n"
)


@given(PROGRAMS, st.integers(min_value=2, max_value=6), st.randoms(use_true_random=False))
def test_what_is_taken_out_can_be_typed_again(
    text: str, max_lines: int, rng: random.Random
) -> None:
    assert parsed(text) is not None
    pieces = pieces_of(text, max_lines)
    absent = set(pieces)
    order = list(pieces)
    rng.shuffle(order)
    done = sitting("a.py", "a.py", text, absent, [])
    for piece in order:
        typed = sitting("a.py", "a.py", text, absent, [piece])
        assert typed.before == done.after
        assert typed.num_lines == piece.num_lines
        absent.remove(piece)
        done = typed
    assert done.after == text
    at_once = sitting("a.py", "a.py", text, pieces, pieces)
    assert at_once.after == text
    for piece in pieces:
        assert piece.text.startswith("\n")
        assert not piece.text.endswith("\n")
        assert piece.num_lines <= max(1.5 * max_lines, 3)


@given(PROGRAMS, st.integers(min_value=2, max_value=6))
def test_a_piece_ends_between_statements(text: str, max_lines: int) -> None:
    """A statement of its own fits in before every piece."""
    for piece in pieces_of(text, max_lines):
        if piece.text.lstrip("\n ").startswith(("#", "@")) or not piece.text.strip():
            continue
        line = piece.text.lstrip("\n").split("\n")[0]
        filler = "\n" + line[: len(line) - len(line.lstrip())] + "pass"
        assert parsed(text[: piece.start] + filler + piece.text + text[piece.end :]) is not None


def test_our_own_code_can_be_typed() -> None:
    for path in OUR_OWN:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        pieces = pieces_of(text, 20)
        assert sitting("a", "a", text, pieces, pieces).after == text
        total = sum(isinstance(n, ast.FunctionDef) for n in ast.walk(ast.parse(text)))
        assert len({piece.body for piece in pieces}) > total / 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f():\n    a\n    b\n", ["\n    a\n    b"]),
        ('def f():\n    """Doc\n    more."""\n\n    a\n    b\n', ["\n\n    a\n    b"]),
        ("def f():  # why\n    # first\n    a\n\n    b", ["\n    # first\n    a\n\n    b"]),
        ("def f(\n    a=1,\n) -> int:\n    a\n    b\n", ["\n    a\n    b"]),
        ("def f():\n  @d\n  def g():\n    pass\n", ["\n  @d\n  def g():\n    pass"]),
        ("class C:\n\tasync def f():\n\t\ta\n\t\tb\n", ["\n\t\ta\n\t\tb"]),
        ("if x:\n    def f():\n        a\n        b\n", ["\n        a\n        b"]),
        ("def f():\n    return 1\n", []),
        ("def f(): a; b\n", []),
        ("def f(): \\\n    a\n", []),
        ('def f():\n    """Only words."""\n', []),
        ('def f():\n    """Doc."""; a\n    b\n', []),
        ("def f(:\n    a\n    b\n", []),
        ("a\nb\n", []),
    ],
)
def test_what_is_a_body(text: str, expected: list[str]) -> None:
    assert bodies_of(text) == expected


def test_a_long_body_is_cut_between_statements() -> None:
    loop = "    for x in y:\n        a\n        b\n        c\n"
    text = "def f():\n" + 4 * loop
    assert bodies_of(text, 8) == [("\n" + 2 * loop).rstrip("\n")] * 2


def test_a_huge_literal_stays_in_place() -> None:
    literal = "    t = [\n" + "        1,\n" * 50 + "    ]\n"
    text = "def f():\n    a\n    b\n" + literal + "    return t\n"
    assert bodies_of(text) == ["\n    a\n    b", "\n    return t"]


def test_bodies_are_found_in_their_order_however_many_branches_there_are() -> None:
    one = "    def f():\n        x\n        {}\n"
    branches = "".join(f"elif x == {i}:\n{one.format(i)}" for i in range(1, 2000))
    text = f"if x == 0:\n{one.format(0)}{branches}else:\n{one.format(2000)}"
    assert bodies_of(text) == [f"\n        x\n        {i}" for i in range(2001)]
