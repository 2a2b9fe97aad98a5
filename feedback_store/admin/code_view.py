"""Turns code around a cursor into lines of HTML: highlighted, numbered, differences marked.

Colours are classes (the style sheet has them); every character of the code is escaped. Knows
nothing of what the code is.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Name, Number, Operator, String, _TokenType
from pygments.util import ClassNotFound

from feedback_store.code_diff import Ranges

LINES_ABOVE, LINES_BELOW = 8, 3
_CONTEXT_CHARACTERS = 6000  # highlighted before and after; the rest is left out
# What editors call a language, where Pygments has another name for it.
_ALIASES = {
    "typescriptreact": "tsx",
    "javascriptreact": "jsx",
    "shellscript": "bash",
    "objective-c": "objc",
    "jsonc": "json",
    "plaintext": "text",
}
_CLASSES: tuple[tuple[_TokenType, str], ...] = (
    (Comment, "c"),
    (Keyword, "k"),
    (String, "s"),
    (Number, "m"),
    (Operator.Word, "k"),
    (Operator, "o"),
    (Name.Function, "nf"),
    (Name.Class, "nc"),
    (Name.Decorator, "nd"),
    (Name.Builtin, "nb"),
    (Name.Tag, "k"),
)


_CARET = Markup('<span class="caret" role="img" aria-label="cursor"></span>')


@dataclass(frozen=True)
class Line:
    """One line of HTML; `number` is one-based."""

    number: int
    html: Markup


@dataclass(frozen=True)
class Place:
    """Where code stands: text before and after it, the language, the line (zero-based)."""

    prefix: str
    suffix: str
    language: str
    line: int


def show_prompt(place: Place) -> tuple[Line, ...]:
    """Return the lines around the cursor, with a caret in the place of it."""
    prefix = _last_lines(place.prefix, LINES_ABOVE)
    suffix = _first_lines(place.suffix, LINES_BELOW)
    first = place.line - prefix.count("\n")
    code = prefix + suffix
    cut = _Cut(0, len(code), len(prefix), _indents(code, _shared_indent(code, len(prefix))))
    html = _rendered(code, _pieces(place.language, code), {}, cut)
    return tuple(Line(first + 1 + number, line) for number, line in enumerate(html))


def show_side(place: Place, text: str, changed: Ranges) -> tuple[Line, ...]:
    """Return the lines that `text` makes at the cursor; what was there before it is quiet.

    `changed` are the ranges of `text` that the other side does not have.
    """
    before = place.prefix[-_CONTEXT_CHARACTERS:]
    head = before.rsplit("\n", 1)[-1]
    start = len(before) - len(head)
    tail = place.suffix.split("\n", 1)[0].rstrip("\r")
    code = before + text + place.suffix[:_CONTEXT_CHARACTERS]
    after = len(before) + len(text)
    marks: dict[str, Ranges] = {
        "quiet": ((start, len(before)), (after, after + len(tail))),
        "changed": tuple((a + len(before), b + len(before)) for a, b in changed),
    }
    pieces = _pieces(place.language, code)
    shown = code[start : after + len(tail)]
    indent = len(head) - len(head.lstrip())
    indents = tuple((a + start, b + start) for a, b in _indents(shown, indent))
    html = _rendered(code, pieces, marks, _Cut(start, after + len(tail), None, indents))
    return tuple(Line(place.line + 1 + number, line) for number, line in enumerate(html))


def _pieces(language: str, code: str) -> list[tuple[int, str]]:
    """Return where each token begins, with its class ("" for plain text)."""
    found = [(0, "")]
    for start, kind, _ in _lexer(language).get_tokens_unprocessed(code):
        found.append((start, _class_of(kind)))
    return found


def _lexer(language: str) -> Lexer:
    name = _ALIASES.get(language.lower(), language.lower())
    try:
        return get_lexer_by_name(name)
    except ClassNotFound:
        return get_lexer_by_name("text")


def _class_of(kind: _TokenType) -> str:
    # A token type is a tuple of names; `in` on it asks for a subtype, which its stubs do not know.
    return next((name for parent, name in _CLASSES if kind in parent), "")  # type: ignore[comparison-overlap]


@dataclass(frozen=True)
class _Cut:
    """Which part of the code is shown, where the caret is, and which ranges are left out."""

    start: int
    end: int
    caret: int | None
    left_out: Ranges


def _rendered(
    code: str, pieces: list[tuple[int, str]], marks: dict[str, Ranges], cut: _Cut
) -> list[Markup]:
    """Return a part of the code as HTML, line by line."""
    lines = [Markup("")]
    for left, right, classes in _runs(pieces, marks, cut):
        if left == cut.caret:
            lines[-1] += _CARET
        if _is_in(left, cut.left_out):
            continue
        for number, part in enumerate(code[left:right].split("\n")):
            if number:
                lines.append(Markup(""))
            lines[-1] += _span(part.rstrip("\r"), classes)
    if cut.caret == cut.end:
        lines[-1] += _CARET
    return lines


def _runs(
    pieces: list[tuple[int, str]], marks: dict[str, Ranges], cut: _Cut
) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, classes) of runs that look alike, in order."""
    places = [place for place, _ in pieces]
    edges = {cut.start, cut.end, *places, *((cut.caret,) if cut.caret is not None else ())}
    edges |= {
        edge for ranges in (*marks.values(), cut.left_out) for span in ranges for edge in span
    }
    inside = sorted(edge for edge in edges if cut.start <= edge <= cut.end)
    for left, right in pairwise(inside):
        token = pieces[bisect_right(places, left) - 1][1]
        marked = [name for name, ranges in marks.items() if _is_in(left, ranges)]
        yield left, right, " ".join(filter(None, [token, *marked]))


def _is_in(place: int, ranges: Ranges) -> bool:
    return any(start <= place < end for start, end in ranges)


def _shared_indent(code: str, caret: int) -> int:
    """Return how far all lines are indented; the caret stays where it is."""
    widths, start = [], 0
    for line in code.split("\n"):
        width = len(line) - len(line.lstrip())
        if start <= caret <= start + len(line):
            widths.append(min(width, caret - start))
        elif line.strip():
            widths.append(width)
        start += len(line) + 1
    return min(widths)


def _indents(code: str, width: int) -> Ranges:
    """Return the ranges of the first `width` characters of each line, as far as they are blank."""
    found, start = [], 0
    for line in code.split("\n"):
        blank = min(width, len(line) - len(line.lstrip()))
        if blank:
            found.append((start, start + blank))
        start += len(line) + 1
    return tuple(found)


def _span(text: str, classes: str) -> Markup:
    if not text:
        return Markup("")
    if not classes:
        return escape(text)
    if classes.split()[-1] == "changed":
        return Markup('<mark class="{}">{}</mark>').format(classes, text)
    return Markup('<span class="{}">{}</span>').format(classes, text)


def _last_lines(text: str, count: int) -> str:
    lines = text[-_CONTEXT_CHARACTERS:].split("\n")
    return "\n".join(lines[-1 - count :])


def _first_lines(text: str, count: int) -> str:
    lines = text[:_CONTEXT_CHARACTERS].split("\n")
    return "\n".join(lines[: 1 + count])
