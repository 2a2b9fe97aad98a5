"""Turns a line of generated text and what already stands behind the caret into a text that fits.

What the generation repeats of the rest of the line is trimmed or replaced, so that no closer is
doubled and none goes missing. This module knows nothing of contexts, blocks or documents.
"""

from dataclasses import dataclass

_PAIRS = {"(": ")", "[": "]", "{": "}"}
_BLANKS = " \t"
_QUOTES = "\"'`"
_CLOSERS = ")]}" + _QUOTES
_MIN_WORDS = 3  # characters of a rest that may be taken for repeated in the middle of a text


@dataclass(frozen=True, slots=True)
class Fitted:
    """`text` takes the place of the first `num_replaced` characters behind the caret."""

    text: str
    num_replaced: int = 0


def fit(text: str, left: str, rest: str, *, may_replace: bool) -> Fitted:
    """Fit one line of `text` between `left` and `rest` of its line; `rest` is not blank.

    Where it may not replace anything, the text is cut before what would be doubled.
    """
    quote = _open_quote(left, rest)
    trimmed = _without_tail(text, rest, quote)
    closed, standing = _scan(trimmed, quote)[0], _leading_closers(rest)
    num_same = 0
    while num_same < min(len(closed), len(standing)):
        if closed[num_same][1] != standing[num_same][1]:
            break
        num_same += 1
    num_same = max(0, min(num_same, _num_spare(text, trimmed, left, rest, quote)))
    if num_same:
        is_rival = _goes_on_otherwise(trimmed, rest, closed[num_same - 1], standing[num_same - 1])
        if not may_replace or is_rival:
            return Fitted(trimmed[: closed[0][0]])
        return Fitted(trimmed, _replaced_closers(trimmed, rest, closed, standing[:num_same]))
    at = _find_whole(trimmed, rest.strip(_BLANKS))
    if at < 0:
        return Fitted(trimmed)
    return Fitted(trimmed, len(rest.rstrip(_BLANKS))) if may_replace else Fitted(trimmed[:at])


def _goes_on_otherwise(
    text: str, rest: str, closed: tuple[int, str], standing: tuple[int, str]
) -> bool:
    """Whether both say more behind the same closer, and not the same: what stands there stays."""
    extra, following = text[closed[0] + 1 :], rest[standing[0] + 1 :].strip(_BLANKS)
    return _has_words(extra) and _has_words(following) and following not in extra


def _has_words(text: str) -> bool:
    return any(map(str.isalnum, text))


def _num_spare(text: str, trimmed: str, left: str, rest: str, quote: str) -> int:
    """Return how many closers of `rest` have nothing left to close once `trimmed` stands there.

    What the line opens before the caret may need more closers than those behind it; where it opens
    fewer, the others close lines above, and the text's own closers are the only measure.
    """
    num_closed, num_kept = len(_scan(text, quote)[0]), len(_scan(trimmed, quote)[0])
    num_standing = len(_leading_closers(rest))
    num_open = len(_scan(left, "")[1]) + bool(quote)
    missing = max(0, num_open - num_standing)
    return num_closed - missing - (num_closed - num_kept)


def repeats(text: str, closers: str) -> bool:
    """Return whether `text` ends with `closers` and closes with them what it did not open."""
    return text.endswith(closers) and _is_repeated(text, closers, len(closers), "")


def needed_closers(text: str) -> str:
    """Return what closes all that `text` leaves open, innermost first, as editors insert it."""
    return _quote_at_end(text) + "".join(reversed(_scan(text, "")[1]))


def begins_closed(rest: str) -> bool:
    """Return whether the first character of `rest` is one that closes something."""
    return rest[:1] in tuple(_CLOSERS)


def closes(text: str, closers: str) -> bool:
    """Return whether what `text` closes without having opened it begins with `closers`."""
    quote = closers[0] if closers[:1] in tuple(_QUOTES) else ""
    found = _scan(text, quote)[0][: len(closers)]
    return "".join(character for _, character in found) == closers


def without_surplus(text: str, num_open: int) -> str:
    """Cut `text` before the first bracket that closes nothing where `num_open` are to be closed."""
    found = _scan(text, "")[0][num_open:]
    return text[: found[0][0]] if found else text


def is_in_string(left: str) -> bool:
    """Return whether a caret behind `left` stands in a string of this line."""
    return _quote_at_end(left) != ""


def _replaced_closers(
    text: str, rest: str, closed: list[tuple[int, str]], standing: list[tuple[int, str]]
) -> int:
    """Return how far into `rest` the text already says: its closers, and all if it says all."""
    beyond = standing[-1][0] + 1
    following = rest[beyond:].strip(_BLANKS)
    if following and following in text[closed[len(standing) - 1][0] + 1 :]:
        return len(rest.rstrip(_BLANKS))
    return beyond


def _without_tail(text: str, rest: str, quote: str) -> str:
    """Trim from the end of `text` the longest beginning of `rest`, unless `text` opened it."""
    for head in (rest, rest.lstrip(_BLANKS)):
        for length in range(min(len(text), len(head)), 0, -1):
            if text.endswith(head[:length]) and _is_repeated(text, head, length, quote):
                return text[: len(text) - length]
    return text


def _is_repeated(text: str, rest: str, length: int, quote: str) -> bool:
    same = rest[:length]
    cut = len(text) - length
    if not same.strip() or _splits_word(text, cut) or _splits_word(rest, length):
        return False
    closers = [character for _, character in _scan(same, quote if same[0] == quote else "")[0]]
    own = [at for at, _ in _scan(text, quote)[0]][-len(closers) :] if closers else []
    return len(own) == len(closers) and all(at >= cut for at in own)


def _splits_word(text: str, at: int) -> bool:
    sides = text[max(0, at - 1) : at + 1]
    return 0 < at < len(text) and all(side.isalnum() or side == "_" for side in sides)


def _find_whole(text: str, words: str) -> int:
    at = text.find(words) if len(words) >= _MIN_WORDS else -1
    if at < 0 or _splits_word(text, at) or _splits_word(text, at + len(words)):
        return -1
    return at


def _open_quote(left: str, rest: str) -> str:
    """Return the quote that is open at the caret; believed only if it closes behind the caret."""
    quote = _quote_at_end(left)
    return quote if quote and quote in rest else ""


def _quote_at_end(text: str) -> str:
    """Return the quote of the string that `text` leaves open, or ""."""
    quote, escaped = "", False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in _QUOTES and quote in ("", character):
            quote = "" if quote else character
    return quote


def _scan(text: str, quote: str) -> tuple[list[tuple[int, str]], list[str]]:
    """Return the closers that `text` did not open, with their places, and those it still needs.

    `quote` is the string the text starts in, or "".
    """
    found: list[tuple[int, str]] = []
    opened: list[str] = []
    own_quote, escaped = "", False
    for at, character in enumerate(text):
        if escaped or character == "\\":
            escaped = not escaped
        elif own_quote or quote:
            if quote and character == quote:
                found.append((at, character))
            if character == (own_quote or quote):
                own_quote = quote = ""
        elif character in _QUOTES:
            own_quote = character
        elif character in _PAIRS:
            opened.append(_PAIRS[character])
        elif character in _CLOSERS:
            if opened and opened[-1] == character:
                opened.pop()
            else:
                found.append((at, character))
    return found, opened


def _leading_closers(rest: str) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for at, character in enumerate(rest):
        if character in _CLOSERS:
            found.append((at, character))
        elif character not in _BLANKS:
            break
    return found
