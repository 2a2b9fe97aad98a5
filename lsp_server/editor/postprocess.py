"""Turns raw generated text into a Suggestion that fits where the caret is, or into nothing.

Nothing is better than a suggestion that doubles what stands there, leaks a control token or is
blank. This module knows nothing of models, requests or clients; it reads a Context only.
"""

import re
from dataclasses import dataclass
from itertools import takewhile

from feedback_store.schemas import Mode
from lsp_server.editor.context import Context
from lsp_server.editor.overlap import Fitted, fit, is_in_string, repeats, without_surplus
from lsp_server.editor.syntax import (
    CLOSERS_ONLY,
    COMMENT,
    TAB_COLUMNS,
    is_opener,
    leading_space,
    num_to_close,
    width,
)

MAX_BLOCK_LINES = 24
MAX_LOOK_CHARACTERS = 4_000  # how much of prefix and suffix is compared with

# Every family's control tokens (FIM, file separators, end of text), and what no one types: control
# characters, the replacement character of a token cut in half, our own placeholders of secrets.
_CONTROL = re.compile(
    r"<\|[\w:./-]{1,40}\|>|<\uff5c[^\uff5c\n]{1,40}\uff5c>|</?s>\s*\Z|<(?:PRE|SUF|MID|EOT)>"
    r"|<\[?fim[-_](?:prefix|suffix|middle|pad)\]?>|<(?:file_sep|repo_name|endoftext)>"
    r"|\[(?:PREFIX|SUFFIX|MIDDLE)\]|[\x00-\x08\x0b\x0e-\x1f\x7f\ufffd]|<redacted:"
)
_HALF_CONTROL = re.compile(r"<(?:\||\uff5c|\[?fim)[\w\u2581:-]{2,40}\|?\Z|<\uff5c\Z")
_BREAK = re.compile(r"\r\n?|\n")
_TRIPLE = re.compile(r'"""|\'\'\'')


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`text` goes to the context's anchor and replaces `replace_length` characters after it."""

    text: str
    replace_length: int
    candidate_index: int


@dataclass(frozen=True, slots=True)
class _Place:
    r"""What stands around the caret, with \n as the only line break."""

    left: str  # the caret's line before the caret
    rest: str  # and behind it
    above: str  # the nearest line above that is not blank
    code_above: str  # and the nearest that is no comment either
    below: tuple[str, ...]  # the lines below that are not blank
    header_width: int  # how deep the statement that `above` or `left` ends is indented
    language: str

    @property
    def header(self) -> str:
        """The line that a block at the caret would belong to, if it opens one."""
        return self.left if self.left.strip() else self.above


def suggest(context: Context, raw: str, candidate_index: int) -> Suggestion | None:
    """Return what to offer of `raw`, which continues `context.prefix`, or None."""
    text = _cleaned(raw)
    if not text.strip():
        return None
    place = _place_of(context)
    text = _block(text, place, context.indent) if context.mode is Mode.BLOCK else _line(text, place)
    fitted = _fitted(text, place, may_replace=not context.selected_text)
    text = _without_lines_below(fitted.text, place)
    text = _stripped(_closing(text, place, context), keep_end=bool(place.rest.strip()))
    if not text.strip() or _is_repetition(text, place):
        return None
    text = context.selected_text + text.replace("\n", _line_break(context))
    replaced = context.replace_end - context.anchor + fitted.num_replaced
    return Suggestion(text, replaced, candidate_index)


def _cleaned(raw: str) -> str:
    """Cut at the first control token, whole or half, and unify line breaks."""
    found = _CONTROL.search(raw) or _HALF_CONTROL.search(raw)
    return _unified(raw[: found.start()] if found else raw)


def _unified(text: str) -> str:
    return _BREAK.sub("\n", text)


def _line_break(context: Context) -> str:
    above = _BREAK.findall(context.prefix[-MAX_LOOK_CHARACTERS:])
    nearest = above[-1:] or _BREAK.findall(context.suffix[:MAX_LOOK_CHARACTERS])[:1]
    return nearest[0] if nearest else "\n"


def _place_of(context: Context) -> _Place:
    *before, left = _unified(context.prefix[-MAX_LOOK_CHARACTERS:]).split("\n")
    rest, *after = _unified(context.suffix[:MAX_LOOK_CHARACTERS]).split("\n")
    lines = [line for line in before if line.strip()]
    code = [line for line in lines if not COMMENT.match(line)]
    return _Place(
        left=left,
        rest=rest,
        above=lines[-1].rstrip() if lines else "",
        code_above=code[-1].rstrip() if code else "",
        below=tuple(line.rstrip() for line in after if line.strip())[: MAX_BLOCK_LINES * 2],
        header_width=_statement_width([*code, left] if left.strip() else code),
        language=context.language,
    )


def _statement_width(lines: list[str]) -> int:
    """Return how deep the statement is indented that ends with the last of `lines`.

    Its first line may be further up: the closers of its last line say so.
    """
    depth = 0
    for line in reversed(lines):
        depth += sum(line.count(closer) for closer in ")]}")
        depth -= sum(line.count(opener) for opener in "([" + ("{" if depth > 0 else ""))
        if depth <= 0:
            return width(line)
    return width(lines[-1]) if lines else 0


def _line(text: str, place: _Place) -> str:
    line = text.split("\n", 1)[0]
    if place.left[-1:].isspace() and place.left.strip():
        return line.lstrip(" ")
    return _indented([line], place)[0] if not place.left.strip() else line


def _block(text: str, place: _Place, indent: str) -> str:
    """Return the first lines of `text` that belong to the block at the caret."""
    lines = text.split("\n")
    opens = is_opener(place.header, place.language) or _is_begun_body(place)
    if place.left.strip():
        if lines[0].strip() and not lines[0].lstrip().startswith(("#", "//")):
            return lines[0]
        lines = [lines[0].rstrip(), *_indented(lines[1:], place)]
        floor = place.header_width + 1
    else:
        lines = _indented(_without_leading_blanks(lines, indent), place)
        below_header = is_opener(place.above, place.language)
        below_header = below_header and width(indent) <= place.header_width
        floor = place.header_width + 1 if below_header else width(indent)
        if width(indent + lines[0]) < floor:
            return ""
    kept = _belonging(lines, floor, is_paragraph=floor == 0 or not opens)
    if opens and len(kept) < len(lines) and _closes(lines[len(kept)], place):
        kept.append(lines[len(kept)])
    return "\n".join(kept)


def _is_begun_body(place: _Place) -> bool:
    """Below a docstring, or a comment right below a header, the whole body is still to come."""
    if place.left.strip() or width(place.above) != width(place.left):
        return False
    is_docstring = place.language == "python" and place.above.endswith(('"""', "'''"))
    return is_docstring or is_opener(place.code_above, place.language)


def _without_leading_blanks(lines: list[str], indent: str) -> list[str]:
    """The caret's line is blank already: a further break, with the indent again, adds nothing."""
    num_blank = len(list(takewhile(lambda line: not line.strip(), lines[:-1])))
    if not num_blank:
        return lines
    return [lines[num_blank].removeprefix(indent), *lines[num_blank + 1 :]]


def _belonging(lines: list[str], floor: int, *, is_paragraph: bool) -> list[str]:
    """Return the lines down to the first that is indented less than `floor`.

    A paragraph also ends at a blank line before its own level. Strings may reach further left.
    """
    kept = [lines[0]]
    num_blank = num_quotes = 0
    for line in lines[1:MAX_BLOCK_LINES]:
        num_quotes += len(_TRIPLE.findall(kept[-1]))
        if num_quotes % 2 == 0 and line.strip():
            ends = num_blank > 1 or (is_paragraph and num_blank and width(line) <= floor)
            if ends or width(line) < floor:
                break
        num_blank = 0 if line.strip() else num_blank + 1
        kept.append(line)
    while len(kept) > 1 and not kept[-1].strip():
        kept.pop()
    return kept


def _closes(line: str, place: _Place) -> bool:
    """Whether `line` is the closer of the block, and it does not stand there already."""
    closer = line.strip()
    standing = place.below[0].strip() if place.below else ""
    return (
        closer[:1] in tuple(")]}")
        and CLOSERS_ONLY.match(closer) is not None
        and width(line) == place.header_width
        and not (standing == closer and not place.rest.strip())
    )


def _indented(lines: list[str], place: _Place) -> list[str]:
    """Indent as the document does: its tabs or spaces, and no deeper than Python allows."""
    around = [line for line in (place.left, place.above, *place.below) if leading_space(line)]
    if around and around[0][0] == "\t":
        lines = [_with_tabs(line) for line in lines]
    elif around:
        lines = [leading_space(line).expandtabs(TAB_COLUMNS) + line.lstrip(" \t") for line in lines]
    if place.left.strip() or place.language != "python" or not lines or not lines[0].strip():
        return lines
    extra = leading_space(lines[0])
    if not extra or not _is_deep_enough(place):
        return lines
    rest = lines[1:]
    if all(line.startswith(place.left + extra) for line in rest if line.strip()):
        rest = [line.replace(extra, "", 1) if line.strip() else line for line in rest]
    return [lines[0].removeprefix(extra), *rest]


def _is_deep_enough(place: _Place) -> bool:
    """Whether the caret already stands where the next Python statement has to begin."""
    own = width(place.left)
    if is_opener(place.above, "python"):
        return own > place.header_width and own % TAB_COLUMNS == 0
    ends_open = place.above.rstrip().endswith(("(", "[", "{", ",", "\\"))
    return own == width(place.above) and not ends_open


def _with_tabs(line: str) -> str:
    space = leading_space(line)
    tabs, blanks = divmod(len(space.expandtabs(TAB_COLUMNS)), TAB_COLUMNS)
    return "\t" * tabs + " " * blanks + line[len(space) :] if "  " in space else line


def _fitted(text: str, place: _Place, *, may_replace: bool) -> Fitted:
    """Fit `text` before the rest of the caret's line."""
    rest = place.rest.rstrip(" \t")
    if not rest.strip():
        return Fitted(text)
    first, *more = text.split("\n")
    if not more or not may_replace or not CLOSERS_ONLY.match(rest):
        return fit(first, place.left, place.rest, may_replace=may_replace)
    if repeats(text.rstrip(), rest.strip(" \t")):
        return Fitted(text.rstrip(), len(rest))
    return Fitted(f"{text.rstrip()}\n{leading_space(place.left)}")


def _without_lines_below(text: str, place: _Place) -> str:
    """Drop from the end of `text` the lines that stand below the caret already."""
    if place.rest.strip():
        return text
    lines = (place.left + text).split("\n")
    filled = [n for n, line in enumerate(lines) if line.strip()]
    for length in range(min(len(filled), len(place.below)), 0, -1):
        first = filled[-length]
        own = [lines[n].rstrip() for n in filled[-length:]]
        standing = list(place.below[:length])
        if own[:-1] == standing[:-1] and _is_begun(own[-1], standing[-1], length):
            return "\n".join(lines[:first])[len(place.left) :]
    return text


def _closing(text: str, place: _Place, context: Context) -> str:
    """Cut before a bracket that would close nothing, or what is closed below already."""
    is_code = place.language == "python" and not is_in_string(place.left)
    if place.rest.strip() or not is_code or without_surplus(text, 0) == text:
        return text
    num_open = num_to_close(context.prefix, context.suffix)
    return text if num_open is None else without_surplus(text, num_open)


def _is_begun(own: str, standing: str, length: int) -> bool:
    """The last of several lines may have been cut by the token budget; a lone one must be whole."""
    return own == standing or (length > 1 and standing.startswith(own))


def _stripped(text: str, *, keep_end: bool) -> str:
    *lines, last = text.split("\n")
    return "\n".join([*(line.rstrip() for line in lines), last if keep_end else last.rstrip()])


def _is_repetition(text: str, place: _Place) -> bool:
    """Whether a new line would just be the line above once more; closers may."""
    line = text.split("\n", 1)[0].strip()
    return not place.left.strip() and line == place.above.strip() and any(map(str.isalnum, line))
