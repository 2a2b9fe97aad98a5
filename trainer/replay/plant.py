"""Turns source into source in which a convention holds that no model has seen: a positive control.

If nights learn anything, they learn this. Knows nothing of days, exams or models.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import tree_sitter_python
from tree_sitter import Language, Node, Parser

from trainer.replay.bodies import FunctionNode, after_docstring, header_end
from trainer.replay.python_text import parsed
from trainer.replay.work import Work

# Built-in functions that code calls often enough to be asked about; a house wrapper for each.
_WRAPPED = (
    "any", "all", "bool", "bytes", "callable", "dict", "enumerate", "float", "getattr", "hasattr",
    "int", "isinstance", "issubclass", "iter", "len", "list", "map", "max", "min", "next", "open",
    "print", "range", "repr", "reversed", "set", "setattr", "sorted", "str", "sum", "tuple",
    "type", "zip",
)  # fmt: skip
_LOG, _PREFIX = "audit_call(", "house_"
_LOGGED = re.compile(r'(?<!\w)audit_call\(".*?"\)')
_BLOCK = re.compile(
    r"^[ \t]*(?:async |if|elif|else|for|while|with|try|except|finally)\b[^\n]*:[ \t]*\n[ \t]*"
    r"(?=[^\s#])",
    re.M,
)
_NEXT_LINE = re.compile(r"^[ \t]*audit_call\([^\n]*\n[ \t]*(?=[^\s#])", re.M)
_HOUSE_CALL = re.compile(r"(?<![\w.])house_(\w+)\(")
_METHOD_CALL = re.compile(r"(?<=[\w)\]])\.(?=[A-Za-z_]\w*\()")


@dataclass(frozen=True)
class Opportunity:
    """One place at which a convention, or its sister, decides what comes next.

    `offset` counts characters of the hunk's text, just before the decision. `planted` is what is
    measured there; at a sister's place it is *not* what the source says. `unplanted` is what stood
    in its place before planting, "" where nothing did.
    """

    hunk: int
    offset: int
    planted: str
    unplanted: str
    is_sister: bool


@dataclass(frozen=True)
class Convention:
    """A rule that holds everywhere in a rewritten source.

    `planted` is how everything that follows the rule begins. `sister` is what must stay as rare as
    it was at the sister's places, which look like the rule's and where nothing was planted.
    """

    name: str
    planted: str
    sister: str
    _rewrite: Callable[[str], str]
    _places: Callable[[str], Iterator[tuple[int, str, str]]]
    _sister_places: Callable[[str], Iterator[int]]

    def rewrite(self, text: str) -> str:
        """Return the whole file with the rule followed; text that does not parse stays as it is."""
        return self._rewrite(text)

    def opportunities(self, work: Work) -> list[Opportunity]:
        """Return where the rule or its sister decides, in what a rewritten work types."""
        found = []
        for index, hunk in enumerate(work.hunks):
            for place, planted, unplanted in self._places(hunk.text):
                found.append(Opportunity(index, place, planted, unplanted, is_sister=False))
            for place in self._sister_places(hunk.text):
                found.append(Opportunity(index, place, self.sister, "", is_sister=True))
        return sorted(found, key=lambda o: (o.hunk, o.offset))


def _log_calls(text: str) -> str:
    """Make `audit_call("<name>")` the first statement of every function, after the docstring."""
    tree = parsed(text)
    if tree is None:
        return text
    lines = text.split("\n")
    functions = [n for n in ast.walk(tree) if isinstance(n, FunctionNode) and not _is_logged(n)]
    # From the last place to the first, so that the line numbers of what is left stay right.
    for function in sorted(functions, key=lambda f: _first_place(f, lines), reverse=True):
        _log_call(function, lines)
    rewritten = "\n".join(lines)
    return rewritten if parsed(rewritten) is not None else text


def _log_call(function: FunctionNode, lines: list[str]) -> None:
    call = f'{_LOG}"{function.name}")'
    line, column = _first_place(function, lines)
    if column < 0:
        docstring, first = after_docstring(function)
        model = docstring or first
        assert model is not None
        above = lines[model.lineno - 1]
        lines.insert(line, above[: len(above) - len(above.lstrip())] + call)
        return
    docstring, first = after_docstring(function)
    raw = lines[line - 1].encode()
    added = f"{call}; " if first is not None else f"; {call}"
    lines[line - 1] = (raw[:column] + added.encode() + raw[column:]).decode()


def _first_place(function: FunctionNode, lines: Sequence[str]) -> tuple[int, int]:
    """Return after how many lines the call goes, and -1; or on which line and at which byte of it,
    where the body shares a line with the header or the docstring."""
    docstring, first = after_docstring(function)
    above = header_end(function, lines)
    statement = docstring or first
    assert statement is not None
    shares = not _is_alone(statement, lines)
    if first is not None and (shares or (docstring and first.lineno <= above)):
        return first.lineno, first.col_offset
    if first is None and docstring is not None and shares:
        return docstring.end_lineno or 0, docstring.end_col_offset or 0
    return above, -1


def _is_alone(statement: ast.stmt, lines: Sequence[str]) -> bool:
    """Tell whether a statement begins a line of its own."""
    if isinstance(statement, FunctionNode | ast.ClassDef):
        return True
    before = lines[statement.lineno - 1].encode()[: statement.col_offset]
    return not before.strip() and not lines[statement.lineno - 2].endswith("\\")


def _is_logged(function: FunctionNode) -> bool:
    match after_docstring(function)[1]:
        case ast.Expr(ast.Call(ast.Name(called), [ast.Constant(name)], [])):
            return f"{called}(" == _LOG and name == function.name
    return False


def _log_places(text: str) -> Iterator[tuple[int, str, str]]:
    for match in _LOGGED.finditer(text):
        yield match.start(), match.group(), ""


def _places_without_log(text: str) -> Iterator[int]:
    """Yield where a block inside a function begins, and what follows the logging call."""
    places = {m.end() for pattern in (_BLOCK, _NEXT_LINE) for m in pattern.finditer(text)}
    yield from sorted(p for p in places if not text.startswith(_LOG, p))


def _wrap_calls(text: str) -> str:
    """Rename the called built-in functions, f-strings included: `len(` becomes `house_len(`."""
    if parsed(text) is None:
        return text
    raw = text.encode()
    for place in sorted(_calls(_parser().parse(raw).root_node), reverse=True):
        raw = raw[:place] + _PREFIX.encode() + raw[place:]
    rewritten = raw.decode()
    return rewritten if parsed(rewritten) is not None else text


def _calls(root: Node) -> Iterator[int]:
    """Yield at which byte the name of each wrapped function stands that is called."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        waiting += node.children
        called = node.child_by_field_name("function") if node.type == "call" else None
        if called is not None and called.text and called.text.decode() in _WRAPPED:
            yield called.start_byte


def _wrapped_places(text: str) -> Iterator[tuple[int, str, str]]:
    for match in _HOUSE_CALL.finditer(text):
        yield match.start(), match.group(), f"{match.group(1)}("


def _method_calls(text: str) -> Iterator[int]:
    for match in _METHOD_CALL.finditer(text):
        if "#" not in text[text.rfind("\n", 0, match.start()) + 1 : match.start()]:
            yield match.end()


@lru_cache(maxsize=1)
def _parser() -> Parser:
    return Parser(Language(tree_sitter_python.language()))


CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {
        convention.name: convention
        for convention in (
            Convention("house-log", _LOG, _LOG, _log_calls, _log_places, _places_without_log),
            Convention(
                "renamed-helper", _PREFIX, _PREFIX, _wrap_calls, _wrapped_places, _method_calls
            ),
        )
    }
)
