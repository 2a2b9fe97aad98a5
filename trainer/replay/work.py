"""Turns an edit of one file into hunks to type, and a hunk into its text before and after.

Knows nothing of Python, of files on disk or of who types.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher


@dataclass(frozen=True)
class Hunk:
    """What is typed at one place: characters [start, end) of `Work.before` go, then `text` comes.

    Places are code points into the text before any hunk of the same work. Whole lines start with a
    newline (one stands at the end of the line above) and end without one, except at a file's start.
    """

    start: int
    end: int
    text: str

    @property
    def num_lines(self) -> int:
        """How many lines are typed that are not blank."""
        return num_typed_lines(self.text)


@dataclass(frozen=True)
class Work:
    """One sitting in one file. Hunks are in order of place and do not overlap.

    `path` is relative to the workspace, with forward slashes; `file_id` outlives renames.
    """

    path: str
    file_id: str
    before: str
    hunks: tuple[Hunk, ...]

    @property
    def after(self) -> str:
        """The text once all hunks are typed."""
        parts, end = [], 0
        for hunk in self.hunks:
            parts += [self.before[end : hunk.start], hunk.text]
            end = hunk.end
        return "".join([*parts, self.before[end:]])

    @property
    def num_lines(self) -> int:
        """How many lines are typed that are not blank."""
        return sum(hunk.num_lines for hunk in self.hunks)


def num_typed_lines(text: str) -> int:
    """Return how many lines of `text` are not blank."""
    return sum(1 for line in text.split("\n") if line.strip())


def hunks_between(before: str, after: str) -> tuple[Hunk, ...]:
    """Return what is typed to make `after` of `before`; ends of lines are newlines in both."""
    old, new = before.split("\n"), after.split("\n")
    starts = [0]
    for line in old:
        starts.append(starts[-1] + len(line) + 1)
    found = []
    for tag, i, i_end, j, j_end in _changes(old, new):
        text = "\n".join(new[j:j_end])
        if tag == "replace":
            hunk = Hunk(starts[i], starts[i_end] - 1, text)
            found.append(_trimmed(before[hunk.start : hunk.end], hunk))
        elif i:
            found.append(Hunk(starts[i] - 1, starts[i_end] - 1, "\n" + text if j < j_end else ""))
        else:
            found.append(Hunk(0, starts[i_end], text + "\n" if j < j_end else ""))
    return tuple(found)


def cut(work: Work, max_lines: int) -> Iterator[Work]:
    """Yield the same typing in sittings of at most `max_lines` lines that are not blank."""
    waiting = [part for hunk in work.hunks for part in _parts(hunk, max_lines)]
    before, shift = work.before, 0
    while waiting:
        size = num_lines = 0
        while size < len(waiting):
            num_lines += waiting[size].num_lines
            if size and num_lines > max_lines:
                break
            size += 1
        taken = [replace(h, start=h.start + shift, end=h.end + shift) for h in waiting[:size]]
        sitting = replace(work, before=before, hunks=tuple(_joined(taken)))
        if any(hunk.text for hunk in taken):
            yield sitting
        before = sitting.after
        shift += sum(len(h.text) - (h.end - h.start) for h in taken)
        waiting = waiting[size:]


def best_cut(lines: Sequence[str], allowed: Sequence[int], max_lines: int) -> int | None:
    """Return after how many of `lines` to pause: at most `max_lines` that are not blank, and where
    the next line is indented least, the later the better; None if nothing in `allowed` will do."""
    counts = [0]
    for line in lines:
        counts.append(counts[-1] + bool(line.strip()))
    fitting = [place for place in allowed if 0 < counts[place] <= max_lines]
    late = [place for place in fitting if counts[place] > max_lines / 2]
    return min(late or fitting, key=lambda place: (_depth(lines[place:]), -place), default=None)


def _changes(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield the opcodes that are not "equal". The common ends are cut off first: that is fast."""
    head = _num_same(old, new)
    tail = _num_same(old[head:][::-1], new[head:][::-1])
    middle = SequenceMatcher(
        None, old[head : len(old) - tail], new[head : len(new) - tail], autojunk=False
    )
    for tag, i, i_end, j, j_end in middle.get_opcodes():
        if tag != "equal":
            yield tag, head + i, head + i_end, head + j, head + j_end


def _trimmed(gone: str, hunk: Hunk) -> Hunk:
    """Leave out what stays at both ends of a changed passage, words kept whole."""
    text = hunk.text
    head = _num_same(gone, text)
    while head and _is_in_word(gone[head - 1]):
        head -= 1
    tail = _num_same(gone[head:][::-1], text[head:][::-1])
    while tail and _is_in_word(gone[-tail]):
        tail -= 1
    return Hunk(hunk.start + head, hunk.end - tail, text[head : len(text) - tail])


def _is_in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _num_same(one: Sequence[str], other: Sequence[str]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _parts(hunk: Hunk, max_lines: int) -> Iterator[Hunk]:
    """Yield a long hunk as several at the same place, the first of which does the deleting."""
    lines = hunk.text.split("\n")
    opens = hunk.text.endswith("\n")  # whole lines at the start of a file
    start = hunk.start
    while num_typed_lines("\n".join(lines)) > max_lines:
        place = best_cut(lines, range(1, len(lines)), max_lines)
        if place is None:
            break
        # The newline between two parts is typed with the second, unless a line below must be
        # kept apart from the first.
        yield Hunk(start, hunk.end, "\n".join(lines[:place]) + "\n" * opens)
        lines = lines[place:] if opens else ["", *lines[place:]]
        start = hunk.end
    yield Hunk(start, hunk.end, "\n".join(lines))


def _joined(hunks: Sequence[Hunk]) -> Iterator[Hunk]:
    """Join hunks that touch, so that one place is one hunk."""
    last: Hunk | None = None
    for hunk in hunks:
        if last is None:
            last = hunk
        elif last.end == hunk.start:
            last = Hunk(last.start, hunk.end, last.text + hunk.text)
        else:
            yield last
            last = hunk
    if last is not None:
        yield last


def _depth(lines: Sequence[str]) -> int:
    line = next((line for line in lines if line.strip()), "")
    return len(line) - len(line.lstrip())
