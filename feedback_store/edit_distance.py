"""Turns two texts into how far apart they are, between 0 (the same) and 1 (nothing shared).

Character Levenshtein over the longer length (design, section 4), computed bit-parallel: one
Python integer holds a whole column of the table, so that 4,000 characters against 4,000 take
milliseconds. Knows nothing of suggestions.
"""

COMPARED_CHARACTERS = 4_000


def edit_distance(a: str, b: str) -> float:
    """Return the Levenshtein distance of `a` and `b` over the longer length, in [0, 1].

    White space at line ends and at the end is ignored. Of longer texts only the first
    `COMPARED_CHARACTERS` are compared. Two empty texts are the same: 0.
    """
    a, b = _trimmed(a), _trimmed(b)
    longer = max(len(a), len(b))
    return _levenshtein(a, b) / longer if longer else 0.0


def _trimmed(text: str) -> str:
    lines = (line.rstrip() for line in text.splitlines())
    return "\n".join(lines).rstrip()[:COMPARED_CHARACTERS]


def _levenshtein(a: str, b: str) -> int:
    """Return the number of single-character edits (Myers 1999, in Hyyrö's formulation)."""
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    a, b = a[start:], b[start:]
    if not a or not b:
        return len(a) or len(b)
    places: dict[str, int] = {}
    for index, character in enumerate(a):
        places[character] = places.get(character, 0) | 1 << index
    everywhere = (1 << len(a)) - 1
    last = 1 << (len(a) - 1)
    plus, minus, distance = everywhere, 0, len(a)
    for character in b:
        equal = places.get(character, 0)
        diagonal = (((equal & plus) + plus) ^ plus) | equal | minus
        grows = minus | (everywhere & ~(diagonal | plus))
        shrinks = plus & diagonal
        distance += bool(grows & last) - bool(shrinks & last)
        grows = (grows << 1 | 1) & everywhere
        shrinks = shrinks << 1 & everywhere
        plus = shrinks | (everywhere & ~(diagonal | grows))
        minus = grows & diagonal
    return distance
