"""Turns a Python file into the function bodies that can be taken out of it and typed again.

Bodies are cut into pieces between statements, so that a sitting stays short. This module knows
nothing of which pieces are typed when.
"""

import ast
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from trainer.replay.python_text import parsed
from trainer.replay.work import Hunk, Work, best_cut, num_typed_lines

MIN_BODY_LINES = 2
_SLACK = 1.25  # a body this much longer than a piece stays whole
_MAX_STATEMENT = 1.5  # a statement this much longer is never typed: a literal, most likely

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Piece:
    """Consecutive whole lines of one body: characters [start, end) of its file, newline first."""

    start: int
    end: int
    text: str
    body: int  # which body of the file, from 0

    @property
    def num_lines(self) -> int:
        """How many lines are not blank."""
        return num_typed_lines(self.text)


def pieces_of(text: str, max_lines: int) -> list[Piece]:
    """Return, in order of place, what can be typed of the function bodies of `text`.

    A body starts below the header, below the docstring where there is one, and needs two lines
    that are not blank. Functions inside a function belong to its body. [] for text that does not
    parse.
    """
    tree = parsed(text)
    if tree is None:
        return []
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    found: list[Piece] = []
    num_bodies = 0
    for function in _outermost(tree):
        first, last = _lines_of_body(function, lines)
        if num_typed_lines("\n".join(lines[first:last])) < MIN_BODY_LINES:
            continue
        for begin, end in _spans(function, lines, (first, last), max_lines):
            place = starts[begin] - 1, starts[end] - 1
            found.append(Piece(*place, text[place[0] : place[1]], num_bodies))
        num_bodies += 1
    return found


def sitting(
    path: str, file_id: str, text: str, absent: Collection[Piece], typed: Collection[Piece]
) -> Work:
    """Return the typing of the pieces `typed`, all of which are `absent` from the file so far."""
    kept: list[str] = []
    hunks: list[Hunk] = []
    length = end = 0
    for piece in sorted(absent, key=lambda p: p.start):
        kept.append(text[end : piece.start])
        length += piece.start - end
        end = piece.end
        if piece not in typed:
            continue
        if hunks and hunks[-1].start == length:
            hunks[-1] = Hunk(length, length, hunks[-1].text + piece.text)
        else:
            hunks.append(Hunk(length, length, piece.text))
    return Work(path, file_id, "".join([*kept, text[end:]]), tuple(hunks))


def after_docstring(function: FunctionNode) -> tuple[ast.stmt | None, ast.stmt | None]:
    """Return the docstring and the first statement after it, None for what is not there."""
    first = function.body[0]
    value = first.value if isinstance(first, ast.Expr) else None
    if not isinstance(value, ast.Constant) or not isinstance(value.value, str):
        return None, first
    return first, function.body[1] if len(function.body) > 1 else None


def header_end(function: FunctionNode, lines: Sequence[str]) -> int:
    """Return how many lines stand above the body: the header's and the docstring's last line."""
    docstring, first = after_docstring(function)
    if docstring is not None or first is None:
        return _end(docstring)
    if isinstance(first, FunctionNode | ast.ClassDef) and first.decorator_list:
        above = min(d.lineno for d in first.decorator_list) - 1
    else:
        above = first.lineno - 1
    # Comments and blank lines above the first statement belong to the body; the header's last
    # line is neither, and it does not stand above the header's last part.
    parts = [p for p in ast.iter_child_nodes(function) if p not in function.body]
    signature = [_end(n) for p in parts for n in ast.walk(p) if hasattr(n, "end_lineno")]
    lowest = max([function.lineno, *signature])
    while above > lowest and _is_empty(lines[above - 1]):
        above -= 1
    return above


def _outermost(tree: ast.Module) -> Iterator[FunctionNode]:
    """Yield the functions that stand in no other, in order of place, however deep they stand."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, FunctionNode):
            yield node
        elif isinstance(node, ast.Module | ast.stmt | ast.ExceptHandler | ast.match_case):
            waiting += reversed(list(ast.iter_child_nodes(node)))


def _lines_of_body(function: FunctionNode, lines: Sequence[str]) -> tuple[int, int]:
    """Return the lines [first, last) of the body; none where it shares a line with its header."""
    above = header_end(function, lines)
    _, first = after_docstring(function)
    if first is None or first.lineno <= above or lines[above - 1].endswith("\\"):
        return above, above
    return above, _end(function)


def _spans(
    function: FunctionNode, lines: Sequence[str], body: tuple[int, int], max_lines: int
) -> Iterator[tuple[int, int]]:
    """Yield the lines [begin, end) of each piece of a body."""
    begin, last = body
    boundaries = sorted(_boundaries(function, body))
    while begin < last:
        if num_typed_lines("\n".join(lines[begin:last])) <= _SLACK * max_lines:
            yield begin, last
            return
        allowed = [place - begin for place in boundaries if begin < place < last]
        place = best_cut(lines[begin:last], allowed, max_lines)
        if place is None:
            place = min(allowed, default=last - begin)
            statement = "\n".join(lines[begin : begin + place])
            if num_typed_lines(statement) > _MAX_STATEMENT * max_lines:
                begin += place
                continue
        yield begin, begin + place
        begin += place


def _boundaries(function: FunctionNode, body: tuple[int, int]) -> set[int]:
    """Return after which lines no statement is under way, except those it is nested in."""
    statements = [n for n in ast.walk(function) if isinstance(n, ast.stmt)]
    inside = [n for n in statements if n is not function and body[0] < n.lineno]
    ends = {_end(node) for node in inside}
    for node in inside:
        if not hasattr(node, "body"):
            ends -= set(range(node.lineno, _end(node)))
    return ends


def _is_empty(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _end(node: ast.AST | None) -> int:
    return int(getattr(node, "end_lineno", 0) or 0)
