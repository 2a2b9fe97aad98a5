"""Tells what was copied from the exam's files, whatever it is called and wherever it stands.

Names tell less than texts: a file that was moved while a shim stays behind is no rename to git, and
a folder may hold the same tree twice. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass

MIN_CHARACTERS = 25  # of a line that says something of its own
MIN_LINES = 4  # of these; fewer are no copy but a header that many files have
MOVED = 0.5  # of a text's own lines: git calls as much a rename
WHOLE = 1.0  # what stands side by side today is a copy, or else only alike


@dataclass(frozen=True)
class Originals:
    """The lines of the files that nobody may learn from."""

    lines: frozenset[str]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Originals":
        """Return the lines of these texts that are long enough to be known again."""
        return cls(frozenset().union(*map(_lines, texts)))

    def are_in(self, text: str, share: float) -> bool:
        """Tell whether this share of the lines of `text` stands in the originals too."""
        lines = _lines(text)
        return len(lines) >= MIN_LINES and len(lines & self.lines) >= share * len(lines)


def _lines(text: str) -> frozenset[str]:
    stripped = (line.strip() for line in text.split("\n"))
    return frozenset(line for line in stripped if len(line) >= MIN_CHARACTERS)
