"""Turns a cursor's place into whether a block of lines is expected there, or one line.

Python is asked of its grammar, other languages of indentation and what ends the line before. The
grammar is loaded on the first question, not at import, and parses a bounded window. This module
knows nothing of requests, prefixes or suggestions.
"""

import re
from functools import cache
from typing import TYPE_CHECKING

from lsp_server.editor.document import Snapshot

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_WINDOW_CHARACTERS = 6_000  # parsed in about 1 ms; a whole file would not be
MAX_LINE_CHARACTERS = 1_000  # a longer line is data or minified; it is never looked at
MAX_LINES_APART = 40  # how far a line may be from its neighbour across blank lines
TAB_COLUMNS = 4

CLOSERS_ONLY = re.compile(r"""[)\]}>"'`;:,\s]*\Z""")
COMMENT = re.compile(r"\s*(?:#(?!include|define|if|else|endif|pragma)|//|--\s|/\*|\*(?:/|\s)|;;)")
_OPENER = re.compile(r"(?:[{(\[:]|=>|->|\b(?:then|do|begin|else))\s*\Z")
_BODY_MAY_FOLLOW = re.compile(r"(?::|\"|')\s*(?:#.*)?\Z|\s*#")
_PROSE = frozenset({"", "plaintext", "markdown", "restructuredtext", "latex", "log", "git-commit"})
_DEFINITION = re.compile(r"^[ \t]*(?:async def|def|class)\b", re.M)
_DICT_KEY = re.compile(r"""\s*[rbfu]?(["'])(?:(?!\1).)*\1\s*:\s*\Z""")
_PROBE = "pass"
_TOKEN = re.compile(r"#[^\n]*|\"{3}|'{3}|[\"'()\[\]{}]")
_STRING_ENDS = {
    '"""': re.compile(r'(?s:\\.|[^\\])*?"""'),
    "'''": re.compile(r"(?s:\\.|[^\\])*?'''"),
    '"': re.compile(r'(?s:\\.|[^"\\\n])*+(?:"|\n|\Z)'),
    "'": re.compile(r"(?s:\\.|[^'\\\n])*+(?:'|\n|\Z)"),
}


def expects_block(snapshot: Snapshot, line: int, left: str, right: str) -> bool:
    """Return whether a block belongs at a caret on `line`, between `left` and `right` of it.

    So it is in an empty body, behind or below its header, and below a comment or docstring that
    no code follows yet.
    """
    if snapshot.language in _PROSE or max(len(left), len(right)) > MAX_LINE_CHARACTERS:
        return False
    if right.strip():
        opened = left.rstrip().endswith("{") and right.lstrip().startswith("}")
        return opened and snapshot.language != "python"
    if left.strip():
        return is_opener(left, snapshot.language) and _opens_body(snapshot, line, left, left)
    above = _neighbour(snapshot, line, -1)
    if COMMENT.match(_line(snapshot, line - 1)) and _follows_comment(snapshot, line, left):
        return True
    return _opens_body(snapshot, line, left, above)


def leading_space(line: str) -> str:
    """Return the blanks and tabs that `line` starts with."""
    return line[: len(line) - len(line.lstrip(" \t"))]


def width(line: str) -> int:
    """Return how deep `line` is indented, in columns."""
    return len(leading_space(line).expandtabs(TAB_COLUMNS))


def is_opener(line: str, language: str) -> bool:
    """Return whether `line` ends in what opens a block in most languages."""
    if language == "python":
        return line.rstrip().endswith(":")
    return language not in _PROSE and _OPENER.search(line) is not None


def _opens_body(snapshot: Snapshot, line: int, left: str, header: str) -> bool:
    """Whether the caret is where the body of `header` begins, and that body is still missing."""
    below = _neighbour(snapshot, line, 1)
    floor = width(left) if not left.strip() and width(left) else width(header) + 1
    if below.strip() and width(below) >= floor:
        return False
    if snapshot.language != "python":
        return is_opener(header, snapshot.language)
    if not _BODY_MAY_FOLLOW.search(header) or _DICT_KEY.match(header):
        return False
    above = _text_above(snapshot, line) + (f"{left}\n" if left.strip() else "")
    deeper = not left.strip() and (width(left) > width(header) or not is_opener(header, "python"))
    return _opens_python_body(above, left if deeper else leading_space(header) + " " * TAB_COLUMNS)


def _follows_comment(snapshot: Snapshot, line: int, left: str) -> bool:
    """Code after a comment is a block, unless it stands there already or a string holds both."""
    below = _line(snapshot, line + 1)
    if width(_line(snapshot, line - 1)) != width(left):
        return False
    if below.strip() and width(below) >= width(left):
        return False
    return snapshot.language != "python" or not _is_open(_window(_text_above(snapshot, line)))


def _line(snapshot: Snapshot, line: int) -> str:
    """Return a line's text; an overlong one is opaque, one outside the document is empty."""
    if not 0 <= line < len(snapshot.line_starts):
        return ""
    start, end = snapshot.line_starts[line], snapshot.line_end(line)
    return snapshot.text[start:end] if end - start <= MAX_LINE_CHARACTERS else "..."


def _neighbour(snapshot: Snapshot, line: int, step: int) -> str:
    """Return the nearest line above (step -1) or below (1) that is not blank, or ''."""
    for number in range(line + step, line + step * MAX_LINES_APART, step):
        if (text := _line(snapshot, number)).strip():
            return text
    return ""


def _text_above(snapshot: Snapshot, line: int) -> str:
    end = snapshot.line_starts[line]
    text = snapshot.text[max(0, end - MAX_WINDOW_CHARACTERS - 1) : end]
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _opens_python_body(above: str, indent: str) -> bool:
    """Put a statement at the cursor and see whether it comes first in a body.

    A docstring may stand before it. `above` ends with a line break.
    """
    window = _window(above)
    if _is_open(window):
        return False
    source = window.encode("utf-8", "replace") + f"{indent}{_PROBE}\n".encode()
    start, end = len(source) - len(_PROBE) - 1, len(source) - 1
    node = _parser().parse(source).root_node.descendant_for_byte_range(start, end)
    while node is not None and node.type != "pass_statement" and node.start_byte == start:
        node = node.parent
    if node is None or node.parent is None or node.parent.type != "block":
        return False
    statements = [child for child in node.parent.named_children if child.type != "comment"]
    before = statements[: statements.index(node)]
    return not before or (len(before) == 1 and _is_docstring(before[0]))


def _window(above: str) -> str:
    """Cut a long `above` at its outermost definition that is nearest, or else at its least indent.

    Definitions hardly ever stand inside strings, so the cut is in none. Indented code gets one
    enclosing header, because the parser takes a leading indent for an error.
    """
    if len(above) <= MAX_WINDOW_CHARACTERS:
        return above
    text = above[-MAX_WINDOW_CHARACTERS:]
    text = text[text.find("\n") + 1 :]
    found = [(width(match[0]), -match.start()) for match in _DEFINITION.finditer(text)]
    if not found:
        lines = text.split("\n")
        widths = [(width(line), n) for n, line in enumerate(lines) if line.strip()]
        return "if 1:\n" + "\n".join(lines[min(widths)[1] :]) if widths else ""
    depth, begin = min(found)
    return ("if 1:\n" if depth else "") + text[-begin:]


def _is_open(text: str) -> bool:
    """Scan for a string or bracket that is still open at the end.

    The parser cannot tell: it recovers from the open end by taking what follows for statements.
    """
    found = _brackets(text)
    return found is None or found[1] > 0


def num_to_close(prefix: str, suffix: str) -> int | None:
    """Return how many brackets of Python code are open at a caret and not closed behind it.

    None inside a string of several lines, where brackets mean nothing.
    """
    before, after = _brackets(_window(prefix)), _brackets(suffix[:MAX_WINDOW_CHARACTERS])
    return None if before is None or after is None else max(0, before[1] - after[0])


def _brackets(text: str) -> tuple[int, int] | None:
    """Return how many brackets `text` closes without having opened them, and how many it leaves
    open; None when it ends inside a string.
    """
    num_closed, depth, at = 0, 0, 0
    while found := _TOKEN.search(text, at):
        token, at = found[0], found.end()
        if token[0] == "#":
            continue
        if token in "([{":
            depth += 1
        elif token in ")]}":
            num_closed += not depth
            depth = max(0, depth - 1)
        elif end := _STRING_ENDS[token].match(text, at):
            at = end.end()  # a string in single quotes ends with its line at the latest
        else:
            return None
    return num_closed, depth


def _is_docstring(node: "Node") -> bool:
    return (
        node.type == "expression_statement"
        and node.named_child_count == 1
        and node.named_children[0].type == "string"
    )


@cache
def _parser() -> "Parser":
    import tree_sitter_python
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_python.language()))
