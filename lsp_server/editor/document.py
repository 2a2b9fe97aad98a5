r"""Turns the changes of an editor into a text of our own, its line index, and small edits.

Positions come in the encoding agreed with the client and are clamped, never refused. Line breaks
are \n, \r\n and \r only: a form feed or U+2028 is a character like any other. This module knows
nothing of LSP types, files or suggestions.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import overload

from lsp_server.editor.line_diff import LINE_BREAK, text_hunks

ASTRAL = re.compile("[\U00010000-\U0010ffff]")  # two code units each in UTF-16
CHUNK_CHARACTERS = 4096  # how much of a long line is measured at once


class PositionEncoding(StrEnum):
    """What one unit of `Position.character` is."""

    UTF8 = "utf-8"
    UTF16 = "utf-16"
    UTF32 = "utf-32"


@dataclass(frozen=True, slots=True)
class Position:
    """Zero-based line, and units of the agreed encoding from the start of that line."""

    line: int
    character: int


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` up to `end`, which is not part of it."""

    start: Position
    end: Position


@dataclass(frozen=True, slots=True)
class Change:
    """One content change: replace `span` by `text`, or everything where `span` is None."""

    span: Span | None
    text: str


@dataclass(frozen=True, slots=True)
class Edit:
    """`deleted` gave way to `inserted` at `offset`, in code points of the text before this edit."""

    offset: int
    deleted: str
    inserted: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What one batch of changes did. Edits are in order; each sees the text the last one left.

    `whole_document`: some change replaced all of the text. `share_changed`: changed characters
    over the length of the longer text, 0 to 1.
    """

    edits: tuple[Edit, ...]
    whole_document: bool
    share_changed: float


class LineStarts(Sequence[int]):
    """Immutable offsets of line starts; those from `pivot` on are stored without `shift`.

    The pending shift spares a keystroke the rewriting of every later line start.
    """

    __slots__ = ("_pivot", "_shift", "_values")

    def __init__(self, values: list[int], pivot: int = 0, shift: int = 0) -> None:
        self._values, self._pivot, self._shift = values, pivot, shift

    @classmethod
    def of(cls, text: str) -> "LineStarts":
        """Index the lines of `text`."""
        return cls([0, *(found.end() for found in LINE_BREAK.finditer(text))])

    def __len__(self) -> int:
        return len(self._values)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self._values)
        value = self._values[index]
        return value + self._shift if index >= self._pivot else value

    def spliced(self, first: int, last: int, inserted: list[int], shift: int) -> "LineStarts":
        """Replace starts `first` to `last` by `inserted` and move all later ones by `shift`."""
        values = self._values.copy()
        if last > self._pivot:
            values[self._pivot : last] = [v + self._shift for v in values[self._pivot : last]]
        else:
            values[last : self._pivot] = [v - self._shift for v in values[last : self._pivot]]
        values[first:last] = inserted
        return LineStarts(values, first + len(inserted), self._shift + shift)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a document; never changes, shares its text with the document."""

    uri: str
    language: str
    version: int
    text: str
    line_starts: Sequence[int]

    @classmethod
    def of(cls, text: str, *, uri: str = "", language: str = "", version: int = 0) -> "Snapshot":
        """Build a snapshot of a text that no editor holds open."""
        return cls(uri, language, version, text, LineStarts.of(text))

    def line_at(self, offset: int) -> int:
        """Return the line that holds `offset` (clamped)."""
        return bisect_right(self.line_starts, max(0, offset)) - 1

    def line_end(self, line: int) -> int:
        """Return where the text of `line` ends, before its line break."""
        if line + 1 >= len(self.line_starts):
            return len(self.text)
        end = self.line_starts[line + 1] - 1
        crlf = self.text[end] == "\n" and end > 0 and self.text[end - 1] == "\r"
        return end - 1 if crlf else end

    def line_text(self, line: int) -> str:
        """Return `line` without its line break."""
        return self.text[self.line_starts[line] : self.line_end(line)]

    def offset_at(self, position: Position, encoding: PositionEncoding) -> int:
        """Return the offset of `position`, clamped to its line, or to the text past either end.

        A position inside a character (half of a surrogate pair, a UTF-8 tail) is that character's.
        """
        if position.line < 0:
            return 0
        if position.line >= len(self.line_starts):
            return len(self.text)
        start, end = self.line_starts[position.line], self.line_end(position.line)
        units = max(0, position.character)
        if encoding is PositionEncoding.UTF32 or self.text.isascii():
            return min(start + units, end)
        return _walk(self.text, start, end, units, encoding)

    def position_at(self, offset: int, encoding: PositionEncoding) -> Position:
        r"""Return the position of `offset` (clamped); one between \r and \n is before both."""
        offset = min(max(0, offset), len(self.text))
        line = self.line_at(offset)
        start = self.line_starts[line]
        offset = min(offset, self.line_end(line))
        if encoding is PositionEncoding.UTF32 or self.text.isascii():
            return Position(line, offset - start)
        return Position(line, _num_units(self.text[start:offset], encoding))


class Document:
    """One open document: takes changes in order, hands out snapshots."""

    def __init__(
        self, uri: str, language: str, version: int, text: str, encoding: PositionEncoding
    ) -> None:
        self.encoding = encoding
        self._snapshot = Snapshot(uri, language, version, text, LineStarts.of(text))

    @property
    def uri(self) -> str:
        """The document's URI, as the client spells it."""
        return self._snapshot.uri

    @property
    def language(self) -> str:
        """The client's language id."""
        return self._snapshot.language

    @property
    def version(self) -> int:
        """The version the last change named."""
        return self._snapshot.version

    @property
    def text(self) -> str:
        """The text as it is now."""
        return self._snapshot.text

    def snapshot(self) -> Snapshot:
        """Return this moment's version; costs nothing and never changes."""
        return self._snapshot

    def apply(self, changes: Iterable[Change], version: int) -> Applied:
        """Apply `changes` one after another, each on the text that the last one left."""
        before = len(self.text)
        edits: list[Edit] = []
        whole = False
        for change in changes:
            start, end = self._bounds(change.span)
            whole = whole or change.span is None or self._is_all(start, end)
            edits += self._replace(start, end, change.text)
        self._snapshot = replace(self._snapshot, version=version)
        longest = max(before, len(self.text), 1)
        changed = sum(max(len(edit.deleted), len(edit.inserted)) for edit in edits)
        return Applied(tuple(edits), whole, min(1.0, changed / longest))

    def _bounds(self, span: Span | None) -> tuple[int, int]:
        if span is None:
            return 0, len(self.text)
        start = self._snapshot.offset_at(span.start, self.encoding)
        end = self._snapshot.offset_at(span.end, self.encoding)
        return min(start, end), max(start, end)

    def _is_all(self, start: int, end: int) -> bool:
        """Some clients spell a whole-document change as a range; one line of text is no such."""
        return start == 0 and end == len(self.text) and len(self._snapshot.line_starts) > 1

    def _replace(self, start: int, end: int, inserted: str) -> list[Edit]:
        old = self._snapshot
        deleted = old.text[start:end]
        text = old.text[:start] + inserted + old.text[end:]
        starts = _respliced(old.line_starts, text, (start, end), start + len(inserted))
        self._snapshot = replace(old, text=text, line_starts=starts)
        whole = start == 0 and end == len(old.text)
        several_lines = LINE_BREAK.search(deleted) and LINE_BREAK.search(inserted)
        if not deleted or not (whole or several_lines):
            return [Edit(start, deleted, inserted)] if deleted or inserted else []
        return _refined(start, deleted, inserted)


def _refined(offset: int, deleted: str, inserted: str) -> list[Edit]:
    """Split one large replacement into its hunks, so that what stayed is not taken for deleted."""
    edits, shift = [], offset
    for a, b, c, d in text_hunks(deleted, inserted):
        edits.append(Edit(a + shift, deleted[a:b], inserted[c:d]))
        shift += (d - c) - (b - a)
    return edits


def _respliced(
    starts: Sequence[int], text: str, replaced: tuple[int, int], inserted_end: int
) -> LineStarts:
    """Re-index only where line starts can have changed.

    Whether a line starts at p depends on the two characters around p alone, so the starts from
    `replaced[0]` to `replaced[1]` are looked for anew in `text` and all later ones just move.
    """
    start, end = replaced
    first = max(1, bisect_left(starts, start))
    last = max(first, bisect_right(starts, end))
    window = LINE_BREAK.finditer(text, max(0, start - 1), inserted_end + 1)
    found = [at for at in (match.end() for match in window) if start <= at <= inserted_end]
    known = starts if isinstance(starts, LineStarts) else LineStarts(list(starts))
    return known.spliced(first, last, found, inserted_end - end)


def _num_units(text: str, encoding: PositionEncoding) -> int:
    """Return the length of `text` in code units; a lone surrogate counts like any character."""
    if encoding is PositionEncoding.UTF8:
        return len(text.encode("utf-8", "surrogatepass"))
    try:
        return len(text.encode("utf-16-le")) // 2
    except UnicodeEncodeError:  # "surrogatepass" walks through them one by one, slowly
        return len(text) + len(ASTRAL.findall(text))


def _walk(text: str, start: int, end: int, units: int, encoding: PositionEncoding) -> int:
    """Return the offset that lies `units` code units after `start`, at most `end`."""
    while start < end:
        chunk = text[start : min(end, start + min(units, CHUNK_CHARACTERS))]
        size = _num_units(chunk, encoding)
        if size > units:
            inside = range(len(chunk) + 1)
            return (
                start
                + bisect_right(inside, units, key=lambda n: _num_units(chunk[:n], encoding))
                - 1
            )
        start, units = start + len(chunk), units - size
        if not units:
            break
    return start
