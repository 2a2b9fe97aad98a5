"""Turns two pieces of code into the character ranges in which they differ, word by word.

Pure; knows nothing of languages or of how differences are shown.
"""

import re
from difflib import SequenceMatcher

Ranges = tuple[tuple[int, int], ...]  # (start, end) in characters, in order, none empty

_WORD = re.compile(r"\w+|\s+|.", re.DOTALL)
_MAX_WORDS = 1500  # the comparison is quadratic: of longer texts only the ends are compared


def differences(left: str, right: str) -> tuple[Ranges, Ranges]:
    """Return what of `left` is not in `right`, and the other way round."""
    words = _WORD.findall(left), _WORD.findall(right)
    if max(map(len, words)) > _MAX_WORDS:
        return _middle(left, right)
    places = _starts(words[0]), _starts(words[1])
    matcher = SequenceMatcher(None, *words, autojunk=False)
    only_left: list[tuple[int, int]] = []
    only_right: list[tuple[int, int]] = []
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind != "equal":
            only_left.append((places[0][i1], places[0][i2]))
            only_right.append((places[1][j1], places[1][j2]))
    return _joined(only_left), _joined(only_right)


def _starts(words: list[str]) -> list[int]:
    """Return where each word begins, and where the last one ends."""
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word))
    return starts


def _middle(left: str, right: str) -> tuple[Ranges, Ranges]:
    """Return everything between the common beginning and the common end."""
    shortest = min(len(left), len(right))
    start = next((i for i in range(shortest) if left[i] != right[i]), shortest)
    most = shortest - start
    end = next((i for i in range(most) if left[-1 - i] != right[-1 - i]), most)
    return _joined([(start, len(left) - end)]), _joined([(start, len(right) - end)])


def _joined(ranges: list[tuple[int, int]]) -> Ranges:
    """Return ranges without empty ones, neighbours as one."""
    joined: list[tuple[int, int]] = []
    for start, end in ranges:
        if start == end:
            continue
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)
