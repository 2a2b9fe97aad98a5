"""Turns edits into where every completion under way in one document lies now.

Also keeps where suggestions were asked for, because an answer comes for the text of its request.
This module knows nothing of what an edit means for a suggestion, of events or of time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from lsp_server.editor.document import Edit
from lsp_server.editor.regions import Place, significant
from lsp_server.editor.tracked import Answered, Tracked

MAX_MARKS = 16  # requests of a document whose answers may still come
MAX_LOGGED_EDITS = 1_000
MAX_COMPARED_REGION = 20_000


@dataclass
class OpenDocument:
    """One open document: its text, what is under way in it, and where answers are due."""

    text: str
    tracked: dict[UUID, Tracked] = field(default_factory=dict)
    marks: list[tuple[int, int]] = field(default_factory=list)  # offset, edits logged by then
    log: list[tuple[int, int, int]] = field(default_factory=list)  # offset, end, size

    def note(self, hunks: Iterable[Edit]) -> None:
        """Remember edits for as long as an answer may come for the text before them."""
        if not self.marks:
            return
        if len(self.log) > MAX_LOGGED_EDITS:
            self.marks, self.log = [], []
            return
        self.log += [(h.offset, h.offset + len(h.deleted), len(h.inserted)) for h in hunks]

    def mark(self, offset: int) -> None:
        """Remember where a request was made."""
        self.marks = [*self.marks[1 - MAX_MARKS :], (offset, len(self.log))]
        num_old = self.marks[0][1]
        if num_old:
            self.log = self.log[num_old:]
            self.marks = [(at, num - num_old) for at, num in self.marks]

    def place_of(self, answered: Answered) -> Place:
        """Return where an answer belongs now, although text may have changed since its request."""
        start = answered.anchor
        end = start + answered.typed_length + max(0, answered.replace_length)
        place = Place(start, end)
        since = next((num for at, num in reversed(self.marks) if start <= at <= end), len(self.log))
        for edit in self.log[since:]:
            place.move(*edit)
        size = len(self.text)
        return Place(min(max(0, place.start), size), min(max(0, place.end), size))


def move_all(all_tracked: Iterable[Tracked], hunk: Edit) -> tuple[list[Tracked], list[Tracked]]:
    """Move every range through `hunk`; return what it touched and what it did not.

    This runs for every key and every completion under way, hence the plain comparisons.
    """
    offset, size = hunk.offset, len(hunk.inserted)
    end = offset + len(hunk.deleted)
    delta = size - (end - offset)
    touched: list[Tracked] = []
    untouched: list[Tracked] = []
    for tracked in all_tracked:
        place = tracked.place
        if offset > place.end:
            untouched.append(tracked)
        elif end < place.start:
            untouched.append(tracked)
            place.start += delta
            place.end += delta
        else:
            touched.append(tracked)
            place.move(offset, end, size)
        if tracked.taken is not None:
            tracked.taken.move(offset, end, hunk.inserted)
    return touched, untouched


def touch(tracked: Tracked, now_ms: int) -> None:
    """Something changed at its place: it settles later, even if it had settled by itself."""
    tracked.quiet_from_ms = now_ms
    if tracked.is_dormant:
        tracked.is_dormant = tracked.is_settled = False


def is_reformatted(tracked: Tracked, before: str, text: str) -> bool:
    """Tell whether only white space, quotes and the like changed at its place."""
    after = text[tracked.place.start : tracked.place.end]
    if max(len(before), len(after)) > MAX_COMPARED_REGION:
        return False
    return significant(before) == significant(after)
