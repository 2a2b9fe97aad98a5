"""Turns a suggestion and what is meant into what of it is right, and how the rest is mended.

Plain comparison of texts: knows nothing of who decides, of documents or of offsets in them.
"""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate
from typing import Literal

from trainer.replay.passage import counted, splits_word

_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True)
class Part:
    """The beginning of a suggestion that is worth taking."""

    action: Literal["took_word", "took_line"]
    length: int


@dataclass(frozen=True)
class Edit:
    """Characters `start` to `end` of the accepted text become `text`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Mending:
    """How an accepted text becomes `length` characters of the true one, front to back."""

    edits: tuple[Edit, ...]
    length: int
    num_retained: int  # characters that stay, indentation aside
    num_deleted: int


def is_right(offered: str, truth: str) -> bool:
    """Tell whether a suggestion says just what is meant; white space at its end is no matter."""
    return bool(offered.strip()) and truth.startswith(offered.rstrip())


def right_part(offered: str, truth: str) -> Part | None:
    """Return which lines, or else which words, of a partly right suggestion are worth taking."""
    length = num_right = num_shared(offered, truth)
    while (end := offered.rfind("\n", 0, length + 1)) > 0:
        lines, length = offered[:end].rstrip("\r"), end - 1
        if lines.strip() and truth[len(lines) : len(lines) + 1] in ("", "\r", "\n"):
            return Part("took_line", len(lines))
    length = num_right
    while length > 0 and (splits_word(offered, length) or splits_word(truth, length)):
        length -= 1
    words = offered[:length].rstrip()
    return Part("took_word", len(words)) if words else None


def mending(offered: str, truth: str, *, begins_line: bool = False) -> Mending:
    """Return how to turn `offered`, accepted whole, into the beginning of `truth`, word by word.

    It is compared with as many lines of the truth as it has itself; what is missing at its end is
    left to be typed. What is right up to its end needs nothing but blanks taken away.
    `begins_line`: blanks at the beginning of `offered` are indentation, which is not counted.
    """
    counts = counted(offered, begins_line=begins_line)
    num_right = num_shared(offered, truth)
    if num_right >= len(offered.rstrip()):
        tail = (Edit(num_right, len(offered), ""),) if num_right < len(offered) else ()
        return Mending(tail, num_right, counts[num_right], 0)
    target = "".join(truth.splitlines(keepends=True)[: len(offered.splitlines())])
    old, new = _TOKEN.findall(offered), _TOKEN.findall(target.rstrip("\r\n"))
    old_at, new_at = (list(accumulate(map(len, tokens), initial=0)) for tokens in (old, new))
    edits, length, num_retained = [], 0, 0
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        start, end = old_at[i1], old_at[i2]
        if tag == "equal":
            num_retained += counts[end] - counts[start]
            length = new_at[j2]
        elif i2 < len(old):
            edits.append(Edit(start, end, target[new_at[j1] : new_at[j2]]))
        elif start < end:
            edits.append(Edit(start, end, ""))
    num_deleted = sum(counts[edit.end] - counts[edit.start] for edit in edits)
    return Mending(tuple(edits), length, num_retained, num_deleted)


def num_shared(left: str, right: str) -> int:
    """Return how many first characters are the same."""
    for number, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return number
    return min(len(left), len(right))
