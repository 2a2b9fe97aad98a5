"""Turns the text that stands at a place into what it has to do with a suggestion.

Did somebody type its beginning, all of it, more, or something else; how much of an accepted text
is still there, and how far it is from what stands there now. Pure; knows nothing of documents,
edits or events.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import Enum
from itertools import takewhile

from lsp_server.editor.regions import significant

MAX_COMPARED_CHARACTERS = 4_000
MAX_COMPARED_TOKENS = 800

_TOKEN = re.compile(r"\w+|[^\w\s]")
_OPENERS = {")": "(", "]": "[", "}": "{", ">": "<"}
_QUOTES = "'\"`"


class Fit(Enum):
    """How a text stands to a suggestion."""

    ALONG = "along"  # its beginning, perhaps nothing yet
    FULL = "full"  # all of it
    BEYOND = "beyond"  # all of it, and more
    OTHER = "other"


@dataclass(frozen=True)
class Match:
    """`num_typed` first characters of the suggestion stand there."""

    fit: Fit
    num_typed: int


def match(found: str, suggestion: str, replaced: str) -> Match:
    """Compare `found`, the text from the anchor on, with a suggestion.

    `replaced` is what accepting would replace: it may still stand at the end of `found`. Closers
    that the editor put there by itself count as not typed.
    """
    if found == suggestion:
        return Match(Fit.FULL, len(suggestion))
    typed = found.removesuffix(replaced)
    num_same = num_shared(typed, suggestion)
    rest = typed[num_same:]
    is_whole = num_same == len(suggestion)
    if not rest or _are_closers(rest, suggestion[:num_same]):
        return Match(Fit.FULL if is_whole else Fit.ALONG, num_same)
    return Match(Fit.BEYOND if is_whole else Fit.OTHER, num_same)


def num_shared(a: Sequence[str], b: Sequence[str]) -> int:
    """Return how many first items are the same."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))
    return sum(1 for _ in same)


def continues_identifier(text: str, following: str) -> bool:
    """Tell whether `following` makes the last word of `text` another word."""
    return _is_word(text[-1:]) and _is_word(following[:1])


def utf16_length(text: str) -> int:
    """Return the length of `text` in UTF-16 code units, as LSP counts."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def utf16_prefix(text: str, num_units: int) -> str:
    """Return the longest beginning of `text` that fits into `num_units` UTF-16 code units."""
    if text.isascii():
        return text[: max(0, num_units)]
    return text.encode("utf-16-le", "surrogatepass")[: 2 * max(0, num_units)].decode(
        "utf-16-le", "ignore"
    )


def retained_characters(accepted: str, now: str) -> int:
    """Return how many characters of `accepted` are still there, trailing white space aside.

    Whole words and signs are compared, so that another text that happens to share letters does
    not count; white space counts in proportion.
    """
    accepted, now = accepted.rstrip(), now.rstrip()
    if accepted == now or significant(accepted) == significant(now) != "":
        return len(accepted)
    old, new = _TOKEN.findall(accepted), _TOKEN.findall(now)
    total = sum(map(len, old))
    return min(len(now), round(len(accepted) * _num_kept(old, new) / total)) if total else 0


def edit_distance(a: str, b: str) -> float:
    """Return character Levenshtein over the longer length, in 0 to 1 (design, section 4).

    Trailing white space is ignored, and of longer texts only the first 4,000 characters count.
    """
    a, b = _trimmed(a), _trimmed(b)
    longer = max(len(a), len(b))
    return _levenshtein(a, b) / longer if longer else 0.0


def _trimmed(text: str) -> str:
    lines = (line.rstrip() for line in text.splitlines())
    return "\n".join(lines).rstrip()[:MAX_COMPARED_CHARACTERS]


def _are_closers(rest: str, typed: str) -> bool:
    """Tell whether `rest` only closes what `typed` opened, as an editor does by itself."""
    closers = rest.split()
    for closer in set("".join(closers)):
        num_closed = rest.count(closer)
        if closer in _QUOTES:
            if num_closed != typed.count(closer) % 2:
                return False
        elif typed.count(_OPENERS.get(closer, closer)) - typed.count(closer) < num_closed:
            return False
    return bool(closers)


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _num_kept(old: list[str], new: list[str]) -> int:
    """Return the characters of `old`'s tokens that a comparison finds again in `new`."""
    num_head = num_shared(old, new)
    num_kept = sum(map(len, old[:num_head]))
    old, new = old[num_head:], new[num_head:]
    num_tail = num_shared(old[::-1], new[::-1])
    if num_tail:
        num_kept += sum(map(len, old[-num_tail:]))
        old, new = old[:-num_tail], new[:-num_tail]
    old, new = old[:MAX_COMPARED_TOKENS], new[:MAX_COMPARED_TOKENS]
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    return num_kept + sum(len(t) for block in blocks for t in old[block.a : block.a + block.size])


def _levenshtein(a: str, b: str) -> int:
    """Return the number of edits; one integer holds a column (Myers 1999, as Hyyrö put it)."""
    if not a or not b:
        return len(a) or len(b)
    places: dict[str, int] = {}
    for index, character in enumerate(a):
        places[character] = places.get(character, 0) | 1 << index
    full, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    rises, falls, distance = full, 0, len(a)
    for character in b:
        equal = places.get(character, 0)
        diagonal = (((equal & rises) + rises) ^ rises) | equal | falls
        up = falls | (full & ~(diagonal | rises))
        down = rises & diagonal
        distance += bool(up & last) - bool(down & last)
        up, down = (up << 1 | 1) & full, down << 1 & full
        rises = down | (full & ~(diagonal | up))
        falls = up & diagonal
    return distance
