"""Turns two versions of a text into the few replacements between them, in bounded time.

Common ends are trimmed first, lines that are unique on both sides then anchor the rest, and only
small gaps between anchors see a quadratic comparison. This module knows nothing of documents,
positions or editors; it works on plain strings and offsets in characters.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import accumulate, pairwise

Hunk = tuple[int, int, int, int]
"""Old start, old end, new start, new end: replace old[start:end] by new[start:end]."""

LINE_BREAK = re.compile(r"\r\n?|\n")
MAX_GAP_CELLS = 40_000  # 200 x 200 lines: a few milliseconds of difflib at worst


def text_hunks(old: str, new: str) -> list[Hunk]:
    """Return the replacements, in characters, that turn `old` into `new`, first to last.

    Every hunk is as small as its common first and last characters allow, and none is empty.
    """
    if old == new:
        return []
    head, tail = shared_ends(old, new)
    begin = old.rfind("\n", 0, head) + 1
    line_feed = old.find("\n", len(old) - tail)
    kept = 0 if line_feed < 0 else len(old) - line_feed - 1
    old_lines = split_lines(old[begin : len(old) - kept])
    new_lines = split_lines(new[begin : len(new) - kept])
    old_ends = list(accumulate(map(len, old_lines), initial=begin))
    new_ends = list(accumulate(map(len, new_lines), initial=begin))
    hunks = [
        _trimmed((old_ends[a], old_ends[b], new_ends[c], new_ends[d]), old, new)
        for a, b, c, d in _line_hunks(old_lines, new_lines)
    ]
    return [(a, b, c, d) for a, b, c, d in hunks if a < b or c < d]


def split_lines(text: str) -> list[str]:
    r"""Split at \n, \r\n and \r only, keeping the breaks; never an empty last line."""
    ends = [0, *(found.end() for found in LINE_BREAK.finditer(text)), len(text)]
    return [text[a:b] for a, b in pairwise(ends) if a < b]


def shared_ends(old: str, new: str) -> tuple[int, int]:
    """Return how many first and last characters are the same; the two never overlap."""
    head = _shared_head(old, new)
    most = min(len(old), len(new)) - head
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        same = old[len(old) - middle : len(old) - low] == new[len(new) - middle : len(new) - low]
        low, high = (middle, high) if same else (low, middle - 1)
    return head, low


def _shared_head(old: str, new: str) -> int:
    """Halving with slice comparison stays fast where a loop over 2 MB of characters would not."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        same = old[low:middle] == new[low:middle]
        low, high = (middle, high) if same else (low, middle - 1)
    return low


def _trimmed(hunk: Hunk, old: str, new: str) -> Hunk:
    a, b, c, d = hunk
    head, tail = shared_ends(old[a:b], new[c:d])
    return a + head, b - tail, c + head, d - tail


def _line_hunks(old: Sequence[str], new: Sequence[str]) -> Iterator[Hunk]:
    a, c = 0, 0
    for b, d in [*_anchors(old, new), (len(old), len(new))]:
        yield from _gap_hunks(old, new, (a, b, c, d))
        a, c = b + 1, d + 1


def _anchors(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Lines that occur once on each side and keep their order (patience sorting)."""
    counts, places = Counter(old), {line: n for n, line in enumerate(new)}
    once = {line for line, count in Counter(new).items() if count == 1 and counts[line] == 1}
    pairs = [(n, places[line]) for n, line in enumerate(old) if line in once]
    tops: list[int] = []  # smallest last place of an increasing run of each length
    owners: list[int] = []  # index into `pairs` of that last place
    links: list[int] = []
    for n, (_, place) in enumerate(pairs):
        at = bisect_left(tops, place)
        tops[at : at + 1], owners[at : at + 1] = [place], [n]
        links.append(owners[at - 1] if at else -1)
    chain, n = [], owners[-1] if owners else -1
    while n >= 0:
        chain.append(pairs[n])
        n = links[n]
    return chain[::-1]


def _gap_hunks(old: Sequence[str], new: Sequence[str], gap: Hunk) -> Iterator[Hunk]:
    a, b, c, d = gap
    while a < b and c < d and old[a] == new[c]:
        a, c = a + 1, c + 1
    while a < b and c < d and old[b - 1] == new[d - 1]:
        b, d = b - 1, d - 1
    if a == b and c == d:
        return
    if a == b or c == d or (b - a) * (d - c) > MAX_GAP_CELLS:
        yield a, b, c, d
        return
    matcher = SequenceMatcher(None, old[a:b], new[c:d], autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag != "equal":
            yield a + i, a + j, c + k, c + m
