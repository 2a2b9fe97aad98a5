"""Turns a text into the keys that type it, and into counts of what of it is typed.

Indentation after a line break is the editor's: it comes with the break and counts as nothing. Knows
nothing of who types, of time or of documents.
"""

import re
from typing import Literal

_KEY = re.compile(r"(?:\r\n|\r|\n)[ \t]*|.", re.DOTALL)
_BLANKS = re.compile(r"[ \t]+")


class Passage:
    """What is typed at one place, cut into keys: a line break brings the indentation along.

    Indentation is the editor's, so it is no character of the true text and no decision.
    """

    def __init__(self, text: str, start: int = 0, *, begins_line: bool = False) -> None:
        """`start` is where `text` begins in the whole true text; `begins_line`: so does a line."""
        self.text, self.start = text, start
        self._begins_line = begins_line
        self._counted = counted(text, begins_line=begins_line)

    def key(self, offset: int) -> str:
        """Return what the key at `offset` (into the text, before its end) puts there."""
        if self._is_indentation(offset) and (blanks := _BLANKS.match(self.text, offset)):
            return blanks.group()
        key = _KEY.match(self.text, offset)
        return key.group() if key else ""

    def num_characters(self, start: int = 0, end: int | None = None) -> int:
        """Return how many characters from `start` to `end` are not indentation."""
        return self._counted[len(self.text) if end is None else end] - self._counted[start]

    def begins(self, offset: int) -> Literal["line", "word"] | None:
        """Return what begins with the key at `offset`, None inside a word."""
        if self._is_first_in_line(offset):
            return "line"
        is_new = _is_word(self.text[offset]) and not splits_word(self.text, offset)
        return "word" if is_new else None

    def _head(self, offset: int) -> str | None:
        """Return the text of the line before `offset`, None where it began before the passage."""
        begin = max(self.text.rfind("\n", 0, offset), self.text.rfind("\r", 0, offset)) + 1
        return self.text[begin:offset] if begin or self._begins_line else None

    def _is_indentation(self, offset: int) -> bool:
        return self.text[offset] in " \t" and self._is_first_in_line(offset)

    def _is_first_in_line(self, offset: int) -> bool:
        head = self._head(offset)
        return head is not None and not head.strip(" \t")


def num_characters(text: str, *, begins_line: bool = False) -> int:
    """Return how many characters of `text` are no indentation; `begins_line`: a line begins it."""
    return counted(text, begins_line=begins_line)[-1]


def counted(text: str, *, begins_line: bool = False) -> list[int]:
    """Return for every offset how many characters before it are no indentation."""
    counts, in_head, before = [0], begins_line, ""
    for character in text:
        is_break = character in "\r\n"
        in_head = is_break or (in_head and character in " \t")
        is_counted = (not in_head or is_break) and (before, character) != ("\r", "\n")
        counts.append(counts[-1] + is_counted)
        before = character
    return counts


def splits_word(text: str, at: int) -> bool:
    """Tell whether letters of one word stand on both sides of `at`."""
    return 0 < at < len(text) and _is_word(text[at - 1]) and _is_word(text[at])


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
