"""Turns two texts into how far apart they are, between 0 (the same) and 1 (nothing shared).

Character Levenshtein over the longer length (design, section 4). Knows nothing of suggestions.
"""

from rapidfuzz.distance import Levenshtein

COMPARED_CHARACTERS = 4_000


def edit_distance(a: str, b: str) -> float:
    """Return the Levenshtein distance of `a` and `b` over the longer length, in [0, 1].

    White space at line ends and at the end is ignored. Of longer texts only the first
    `COMPARED_CHARACTERS` are compared. Two empty texts are the same: 0.
    """
    a, b = trimmed(a), trimmed(b)
    longer = max(len(a), len(b))
    return Levenshtein.distance(a, b) / longer if longer else 0.0


def trimmed(text: str) -> str:
    """Return what is compared of a text."""
    lines = (line.rstrip() for line in text.splitlines())
    return "\n".join(lines).rstrip()[:COMPARED_CHARACTERS]
