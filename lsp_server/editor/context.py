"""Turns a snapshot and a cursor into a Context: what is asked, and how much of an answer.

The prefix starts at a quantised place, so that typing changes only its end and the host's cache of
it stays good. This module knows nothing of LSP types, secrets, prompts or models.
"""

import re
from dataclasses import dataclass

from feedback_store.schemas import MAX_PREFIX_CHARACTERS, MAX_SUFFIX_CHARACTERS, Mode
from lsp_server.editor.document import Snapshot
from lsp_server.editor.syntax import MAX_LINE_CHARACTERS, expects_block, leading_space

PREFIX_STEP = 4_096  # the prefix start moves by so much at once, hence rarely

_UNSENDABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Selected:
    """The highlighted item of an open pop-up list: it would put `text` at `start` to `end`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Context:
    """What a request is about. Offsets are code points into the snapshot it was built from.

    `prefix` ends where the answer begins: with a selected pop-up item it holds that item's text,
    which a suggestion then has to repeat (`selected_text`), because it is inserted at `anchor`.
    """

    prefix: str
    suffix: str
    mode: Mode
    language: str
    path: str
    line: int  # of the caret, zero-based
    anchor: int  # where the suggestion is inserted
    replace_end: int  # what it replaces at least: from the anchor to here
    mid_identifier: bool  # identifier characters on both sides of the caret
    popup_open: bool
    indent: str  # leading white space of the caret's line, left of the caret
    selected_text: str = ""


def build(
    snapshot: Snapshot, offset: int, *, path: str, selected: Selected | None = None
) -> Context:
    """Build the context of a caret at `offset` (clamped); `path` is passed through.

    A `selected` that does not surround the caret, or is absurdly long, only counts as a pop-up.
    """
    text = snapshot.text
    line = snapshot.line_at(min(max(0, offset), len(text)))
    line_start, line_end = snapshot.line_starts[line], snapshot.line_end(line)
    offset = min(max(0, offset), line_end)
    chosen = Selected(offset, offset, "")
    if selected and line_start <= selected.start <= offset <= selected.end <= line_end:
        chosen = selected if len(selected.text) <= PREFIX_STEP else chosen
    first = _prefix_start(snapshot, chosen.start + len(chosen.text))
    left = text[max(line_start, first) : chosen.start] + chosen.text
    right = text[chosen.end : min(line_end, chosen.end + MAX_LINE_CHARACTERS + 1)]
    return Context(
        prefix=_encodable(text[first : chosen.start] + chosen.text),
        suffix=_encodable(text[chosen.end : _suffix_end(text, chosen.end)]),
        mode=Mode.BLOCK if expects_block(snapshot, line, left, right) else Mode.LINE,
        language=snapshot.language,
        path=path,
        line=line,
        anchor=chosen.start,
        replace_end=chosen.end,
        mid_identifier=_is_word(text, offset - 1) and _is_word(text, offset),
        popup_open=selected is not None,
        indent=leading_space(left),
        selected_text=_encodable(chosen.text),
    )


def _prefix_start(snapshot: Snapshot, end: int) -> int:
    """Return a start that stays put while text is typed at `end`, at a line's start if one is near.

    Rounding up to whole steps keeps the length within the contract's limit.
    """
    excess = end - MAX_PREFIX_CHARACTERS
    if excess <= 0:
        return 0
    start = -(-excess // PREFIX_STEP) * PREFIX_STEP
    following = snapshot.line_at(start - 1) + 1
    if following < len(snapshot.line_starts):
        line_start = snapshot.line_starts[following]
        if line_start <= start + PREFIX_STEP:
            return line_start
    return start


def _suffix_end(text: str, start: int) -> int:
    """Return an end at a line's end if one is near: half a line would mislead a model."""
    end = start + MAX_SUFFIX_CHARACTERS
    if end >= len(text):
        return len(text)
    line_end = text.rfind("\n", start + MAX_SUFFIX_CHARACTERS // 2, end) + 1
    return line_end or end


def _encodable(text: str) -> str:
    """Put a replacement character for each lone surrogate, which cannot travel as UTF-8, and for
    each NUL, which not every database can hold.
    """
    return text if text.isascii() and "\0" not in text else _UNSENDABLE.sub("\ufffd", text)


def _is_word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and (text[at].isalnum() or text[at] == "_")
