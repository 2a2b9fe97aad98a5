"""Turns the edits of a document into how ranges of text move through them.

Two kinds of range: a place where something was offered grows with what is typed at either end; a
taken suggestion keeps what is typed at its ends outside, except where it replaces text that was
just deleted there. This module knows nothing of suggestions, events or time, and never looks at a
whole document.
"""

import re
from collections.abc import Iterator, Sequence

from lsp_server.editor.document import Edit
from lsp_server.editor.line_diff import shared_ends

MAX_SPLIT_CHARACTERS = 20_000  # a larger replacement is not searched for white-space changes

_IGNORABLE = re.compile(r"""[\s'"]+""")
_TRAILING_COMMA = re.compile(r",(?=[)\]}]|$)")


class Place:
    """Where something was offered: start sticks left, end sticks right."""

    __slots__ = ("end", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end = start, end

    def move(self, offset: int, end: int, size: int) -> None:
        """Follow the replacement of `offset` to `end` by `size` characters."""
        delta = size - (end - offset)
        if offset == end:  # an insertion; at either end of the place it is inside
            if offset < self.start:
                self.start += size
            if offset <= self.end:
                self.end += size
            return
        if end <= self.start:
            self.start += delta
        elif offset < self.start:
            self.start = offset
        if end <= self.end:
            self.end += delta
        elif offset <= self.end:
            self.end = offset + size
        if self.end < self.start:
            self.end = self.start


class Taken:
    """The text of a taken suggestion. `pristine` until something inside it changes."""

    __slots__ = ("_frayed", "end", "pristine", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end = start, end
        self.pristine = True
        self._frayed: int | None = None  # an end of the range, where text was just deleted

    def move(self, offset: int, end: int, inserted: str) -> None:
        """Follow the replacement of `offset` to `end` by `inserted`."""
        size = len(inserted)
        if offset == end and offset in (self.start, self.end):
            self._insert_at_end(offset, inserted)
        elif offset >= self.end:
            self._frayed = None
        elif end <= self.start:
            self._frayed = None
            self.start += size - (end - offset)
            self.end += size - (end - offset)
        else:
            self._replace(offset, end, size)

    def _insert_at_end(self, offset: int, inserted: str) -> None:
        """Retyping what was deleted at an end replaces it; a new line ends that."""
        size = len(inserted)
        if self._frayed == offset and inserted[0] not in "\r\n":
            self.end += size
            goes_on = offset + size if offset + size == self.end else offset
            self._frayed = None if "\n" in inserted or "\r" in inserted else goes_on
            return
        self._frayed = None
        if offset == self.start:
            self.start += size
            self.end += size

    def _replace(self, offset: int, end: int, size: int) -> None:
        self.pristine = False
        reaches_start, reaches_end = offset <= self.start, end >= self.end
        self.start = min(self.start, offset)
        self.end = offset + size if reaches_end else self.end + size - (end - offset)
        if reaches_end:
            self._frayed = self.end
        else:
            self._frayed = self.start if reaches_start else None


def hunks_of(edits: Sequence[Edit]) -> list[Edit]:
    """Return `edits` as few and as small replacements: keys typed in a row become one hunk.

    As before, each hunk sees the text that the one before it left.
    """
    hunks: list[Edit] = []
    for edit in edits:
        joined = _joined(hunks[-1], edit) if hunks else None
        if joined is not None:
            hunks[-1] = joined
        else:
            hunks.append(edit)
    return [small for hunk in hunks for small in _split(hunk)]


def significant(text: str) -> str:
    """Return what a formatter leaves alone: no white space, quotes or trailing commas."""
    return _TRAILING_COMMA.sub("", _IGNORABLE.sub("", text))


def is_formatting(edit: Edit) -> bool:
    """Tell whether an edit changes only what formatters change; plain typing never does."""
    return bool(edit.deleted) and significant(edit.deleted) == significant(edit.inserted)


def is_multi_cursor(hunks: Sequence[Edit]) -> bool:
    """Tell whether the same was typed at several places at once."""
    first = hunks[0]
    if len(hunks) < 2 or not significant(first.inserted):
        return False
    size = len(first.deleted)
    return all(h.inserted == first.inserted and len(h.deleted) == size for h in hunks)


def _joined(first: Edit, second: Edit) -> Edit | None:
    """Join two edits when the second goes on where the first ended, as keys in a row do."""
    end = first.offset + len(first.inserted)
    if second.offset == end and not second.deleted:
        return Edit(first.offset, first.deleted, first.inserted + second.inserted)
    if second.offset >= first.offset and second.offset + len(second.deleted) == end:
        kept = first.inserted[: second.offset - first.offset]
        return Edit(first.offset, first.deleted, kept + second.inserted)
    return None


def _split(edit: Edit) -> Iterator[Edit]:
    """Yield the parts of `edit` that really change something."""
    if not edit.deleted or not edit.inserted:
        if edit.deleted or edit.inserted:
            yield edit
        return
    head, tail = shared_ends(edit.deleted, edit.inserted)
    deleted = edit.deleted[head : len(edit.deleted) - tail]
    inserted = edit.inserted[head : len(edit.inserted) - tail]
    small = Edit(edit.offset + head, deleted, inserted)
    short = max(len(deleted), len(inserted)) <= MAX_SPLIT_CHARACTERS
    if short and (kept := _IGNORABLE.sub("", deleted)) and kept == _IGNORABLE.sub("", inserted):
        yield from _blank_changes(small)
    elif deleted or inserted:
        yield small


def _blank_changes(edit: Edit) -> Iterator[Edit]:
    """Split an edit whose visible characters stay into changes of white space and quotes."""
    gaps = zip(_gaps(edit.deleted), _gaps(edit.inserted), strict=True)
    offset = edit.offset
    for old, new in gaps:
        if old != new:
            yield Edit(offset, old, new)
        offset += len(new) + 1  # one character that stays follows every gap


def _gaps(text: str) -> list[str]:
    """Return the ignorable text before each visible character, and after the last."""
    gaps, last = [], 0
    for found in re.finditer(r"""[^\s'"]""", text):
        gaps.append(text[last : found.start()])
        last = found.end()
    return [*gaps, text[last:]]
