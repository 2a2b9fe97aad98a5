"""Conventions: they hold everywhere once planted, and their places are found."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.replay.bodies import FunctionNode, after_docstring, pieces_of, sitting
from trainer.replay.plant import CONVENTIONS, Opportunity
from trainer.replay.python_text import parsed
from trainer.replay.work import Hunk, Work

LOG, HELPER = CONVENTIONS["house-log"], CONVENTIONS["renamed-helper"]
OUR_OWN = sorted(Path(__file__).parents[3].glob("trainer/**/*.py"))


def holds(name: str, text: str) -> bool:
    nodes = list(ast.walk(ast.parse(text)))
    if name == "house-log":
        firsts = [(n, after_docstring(n)[1]) for n in nodes if isinstance(n, FunctionNode)]
        return all(s is not None and ast.unparse(s) == f"audit_call('{n.name}')" for n, s in firsts)
    called = {n.func.id for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    return not called & {"len", "isinstance", "str", "int", "print", "range", "getattr"}


def check(name: str, text: str) -> str:
    """Plant a convention in `text`; return the result, which must keep what every result keeps."""
    convention = CONVENTIONS[name]
    planted = convention.rewrite(text)
    assert holds(name, planted)
    assert convention.rewrite(planted) == planted
    added = planted.count("\n") - text.count("\n")
    num_functions = sum(isinstance(n, FunctionNode) for n in ast.walk(ast.parse(text)))
    assert 0 <= added <= (num_functions if name == "house-log" else 0)
    return planted


@pytest.mark.parametrize("name", CONVENTIONS)
@pytest.mark.parametrize("path", OUR_OWN, ids=lambda path: path.name)
def test_a_convention_holds_everywhere_in_real_code(name: str, path: Path) -> None:
    check(name, path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f():\n    a\n", 'def f():\n    audit_call("f")\n    a\n'),
        ("def f():\n    # why\n    a", 'def f():\n    audit_call("f")\n    # why\n    a'),
        ('def f():\n    """D."""\n', 'def f():\n    """D."""\n    audit_call("f")\n'),
        ('def f():\n\t"""D."""\n\n\ta', 'def f():\n\t"""D."""\n\taudit_call("f")\n\n\ta'),
        ("def f(): return 'é'\n", "def f(): audit_call(\"f\"); return 'é'\n"),
        ("def f(): \\\n    a\n", 'def f(): \\\n    audit_call("f"); a\n'),
        ('def f(): "é" # x\n', 'def f(): "é"; audit_call("f") # x\n'),
        ('def f():\n    "D"; a\n', 'def f():\n    "D"; audit_call("f"); a\n'),
        ('def f():\n    audit_call("g")\n', 'def f():\n    audit_call("f")\n    audit_call("g")\n'),
        ('def f():\n    audit_call("f")\n', 'def f():\n    audit_call("f")\n'),
        ("def f(a,\n      b): ...\n", 'def f(a,\n      b): audit_call("f"); ...\n'),
    ],
)
def test_the_call_is_the_first_statement(text: str, expected: str) -> None:
    assert check("house-log", text) == expected


def test_a_long_sum_is_logged_too() -> None:
    text = "def f(a):\n    " + " + ".join(["a"] * 400) + "\n"
    planted = LOG.rewrite(text)
    assert planted.startswith('def f(a):\n    audit_call("f")\n    a + a')
    assert LOG.rewrite(planted) == planted


def test_functions_inside_functions_log_too() -> None:
    text = "class C:\n    def f(self):\n        @d\n        async def g(): pass\n        return g\n"
    assert check("house-log", text).count("audit_call(") == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("é = len(x) + y.len(z)\n", "é = house_len(x) + y.len(z)\n"),
        ("f'{len(x)!r:>{max(y)}}'\n", "f'{house_len(x)!r:>{house_max(y)}}'\n"),
        ("'len(x)'  # len(x)\n", "'len(x)'  # len(x)\n"),
        ("def len(x): return isinstance\n", "def len(x): return isinstance\n"),
        ("str(len(x))(int (y))\n", "house_str(house_len(x))(house_int (y))\n"),
    ],
)
def test_built_in_functions_are_called_through_the_house(text: str, expected: str) -> None:
    assert check("renamed-helper", text) == expected


@given(text=st.text(alphabet="def f():\n len(x)\t\"'#;\\é@", max_size=60))
def test_any_text_comes_back_whole(text: str) -> None:
    for rule in (LOG, HELPER):
        planted = rule.rewrite(text)
        if parsed(text) is None:
            assert planted == text
        else:
            assert parsed(planted) is not None
            assert rule.rewrite(planted) == planted


def test_the_call_is_typed_with_its_body() -> None:
    source = 'def f():\n    """D."""\n    return 1\n\n\ndef g():\n    # why\n    return 2\n'
    text = LOG.rewrite(source)
    pieces = pieces_of(text, 20)
    work = sitting("a.py", "a.py", text, pieces, pieces)
    assert [h.text.split("\n")[1] for h in work.hunks] == [
        '    audit_call("f")',
        '    audit_call("g")',
    ]
    assert LOG.opportunities(work) == [
        Opportunity(0, 5, 'audit_call("f")', "", is_sister=False),
        Opportunity(0, 25, "audit_call(", "", is_sister=True),
        Opportunity(1, 5, 'audit_call("g")', "", is_sister=False),
    ]


def test_blocks_are_where_nothing_was_planted() -> None:
    text = '\n    audit_call("f")\n    if x:\n        return x\n    else:\n        # why\n        y'
    work = Work("a.py", "a.py", "def f():", (Hunk(8, 8, text),))
    sisters = [text[o.offset :] for o in LOG.opportunities(work) if o.is_sister]
    assert [s.split("\n")[0] for s in sisters] == ["if x:", "return x"]


def test_a_wrapped_call_says_what_it_was() -> None:
    text = "x.append(house_len(y))  # z.pop()"
    work = Work("a.py", "a.py", "", (Hunk(0, 0, text),))
    assert HELPER.opportunities(work) == [
        Opportunity(0, 2, "house_", "", is_sister=True),
        Opportunity(0, 9, "house_len(", "len(", is_sister=False),
    ]
