"""Turns what was served and what stands there now into the sides of a pair, cut alike.

Both sides continue the served prompt, end with the unit that was asked for (rest of line, or
block), and the chosen one ends where the served suffix begins. Here, too, stands what makes a
file, a line and its content the same. Pure: knows nothing of rules, tokens or databases.
"""

from collections.abc import Sequence
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING

from feedback_store.schemas import CompletionRequest
from lsp_server.engine.stopping import stop_rule

if TYPE_CHECKING:  # only a name: the database layer stays out of a pure module
    from feedback_store.visits import Visit

Side = tuple[str, bool]  # a text, and whether it reaches the served suffix

REDACTED = "<redacted:"  # a placeholder is no text to learn to write
_LINES_ABOVE = 2
_LINES_SEEN = 20  # blank ones among them
_MAX_ITEM_CHARACTERS = 200  # of a pop-up list


def file_key_of(request: CompletionRequest) -> str:
    """Return what identifies a file for ever: repository and path."""
    return file_key(request.repository, request.path or request.document_id)


def file_key(repository: str, path: str) -> str:
    """Return the key of a file; one without a path goes by its document."""
    return f"{repository}:{path}"


def line_key_of(request: CompletionRequest) -> str:
    """Return what identifies one line visited: its number and the two lines above it.

    The number alone would merge lines that stand there on different days.
    """
    above = "\n".join(request.prefix.rsplit("\n", _LINES_ABOVE + 1)[-1 - _LINES_ABOVE : -1])
    return f"{file_key_of(request)}:{request.line}:{_digest(above)}"


def content_keys_of(request: CompletionRequest, text: str) -> frozenset[str]:
    """Return what each line with `text` at the cursor says below what, white space aside.

    They stay the same when the file is renamed, copied or opened from another folder. The last line
    goes on with the suffix, or it ends: a text may be the beginning of a longer one.
    """
    *above, left = request.prefix.rsplit("\n", _LINES_SEEN + 1)
    saying = (said for line in reversed(above[-_LINES_SEEN:]) if (said := bare(line)))
    near = list(islice(saying, _LINES_ABOVE))[::-1]
    *lines, last = (left + text).split("\n")
    keys: set[str] = set()
    for line in lines:
        if said := bare(line):
            keys.add(content_key(near, said))
            near = [*near, said]
    rest = request.suffix.split("\n", 1)[0]
    return frozenset(keys | {content_key(near, bare(end)) for end in (last, last + rest)})


def content_key(above: Sequence[str], line: str) -> str:
    """Return the content key of a bare line below other bare lines, none of them blank."""
    return _digest("\n".join([*above[-_LINES_ABOVE:], line]))


def bare(line: str) -> str:
    """Return a line without white space."""
    return "".join(line.split())


def cut_to_unit(request: CompletionRequest, text: str) -> str:
    """Return `text` cut to what was asked for (rest of line or block), no trailing white space.

    The rule is the one that ends generations when serving, so both sides end alike.
    """
    return text[: stop_rule(request.prefix, request.mode).end_of(text)].rstrip()


def settled_unit(visit: "Visit") -> Side | None:
    """Return (settled text cut to the unit, whether it reaches the served suffix), if usable."""
    outcome = visit.outcome
    if outcome.settled_text is None or not outcome.prefix_intact:
        return None
    return unit_of(visit, outcome.settled_text, bool(outcome.reaches_suffix))


def is_whole_unit(visit: "Visit", unit: str) -> bool:
    """Tell whether the settled text goes on after `unit`, or `unit` reaches the served suffix.

    Then more than `unit` would be too much; otherwise nobody knows what comes next.
    """
    outcome = visit.outcome
    found = _after_item(visit, outcome.settled_text or "") or ""
    return bool(outcome.reaches_suffix) or unit != found.rstrip()


def offered_unit(visit: "Visit") -> str | None:
    """Return the suggestion cut to the unit, None where nothing was offered."""
    found = _after_item(visit, visit.outcome.suggestion or "")
    return cut_to_unit(visit.completion.request, found) if found and found.strip() else None


def unit_of(visit: "Visit", text: str, reaches: bool) -> Side | None:
    """Return a text that stands or shall stand at the anchor as a side; None if it is none."""
    found = _after_item(visit, text)
    if found is None:
        return None
    unit = cut_to_unit(visit.completion.request, found)
    if not unit.strip() or REDACTED in unit:
        return None
    return unit, reaches and unit == found.rstrip()


def first_difference(left: Sequence[object], right: Sequence[object]) -> int:
    """Return the index of the first item (character or token) in which two sequences differ."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))


def _after_item(visit: "Visit", text: str) -> str | None:
    """Return what of `text` continues the prompt; None where the prompt says something else."""
    item = _selected_item(visit)
    return text[len(item) :] if text.startswith(item) else None


def _selected_item(visit: "Visit") -> str:
    """Return the item of a pop-up list that the prompt ends with already; "" without one.

    The prompt was built as if the item had been taken, and the suggestion, inserted where the item
    would be, repeats it. The row does not say so, but the texts do: what was generated continues
    the suggestion only after the item.
    """
    suggestion, prefix = visit.outcome.suggestion or "", visit.completion.request.prefix
    index = visit.outcome.candidate_index
    generated = next((c.text for c in visit.completion.candidates if c.index == index), "")
    if not suggestion or not generated.strip() or _begins(generated, suggestion):
        return ""
    longest = min(len(suggestion) - 1, len(prefix), _MAX_ITEM_CHARACTERS)
    lengths = (n for n in range(longest, 0, -1) if prefix.endswith(suggestion[:n]))
    return next((suggestion[:n] for n in lengths if _begins(generated, suggestion[n:])), "")


def _begins(generated: str, offered: str) -> bool:
    """Tell whether the first line offered is the beginning of the first line generated."""
    first = offered.strip().split("\n", 1)[0].rstrip()
    return bool(first) and generated.lstrip().startswith(first)


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", errors="replace")).hexdigest()[:12]
