"""Turns rules, events and verdicts into sentences for a reviewer. Knows nothing of pages."""

from collections.abc import Callable, Mapping
from typing import Any

from feedback_store.review_case import Happening
from feedback_store.schemas import Rule
from feedback_store.verdicts import Verdict

RULES: Mapping[str, tuple[str, str]] = {
    Rule.ACCEPTED_THEN_EDITED: (
        "Accepted, then edited",
        "The suggestion was taken and then changed: what it was changed to is preferred.",
    ),
    Rule.TYPED_INSTEAD: (
        "Typed instead",
        "The suggestion could be read, and something else was typed: the typed text is preferred.",
    ),
    Rule.CHOSE_ANOTHER: (
        "Chose another",
        "Several suggestions were looked at: the one that was taken is preferred to the first.",
    ),
    Rule.PARTIAL_THEN_DIVERGED: (
        "Took a part, then typed on",
        "The beginning was taken, the rest was typed: both together are preferred to the whole.",
    ),
    Rule.KEPT: (
        "Kept",
        "The suggestion was taken, or typed as it stood, and is still there: one to learn.",
    ),
    Rule.ACCEPTED_THEN_DELETED: (
        "Accepted, then deleted",
        "The suggestion was taken and gone again within minutes: what replaced it is preferred.",
    ),
    Rule.DISMISSED_OR_UNDONE: (
        "Dismissed or undone",
        "The suggestion was refused, and nothing was typed in its place.",
    ),
    Rule.IGNORED: ("Ignored", "Nobody reacted to the suggestion."),
    Rule.HUMAN: (
        "Rated by its user",
        "The user said it: a text that they corrected to, or rated up, is preferred.",
    ),
}
VERDICTS: Mapping[Verdict, str] = {
    Verdict.AGREE: "Agreed",
    Verdict.SWAP: "Swapped",
    Verdict.BOTH_BAD: "Both bad",
    Verdict.BOTH_GOOD: "Both good",
    Verdict.EDIT: "Edited",
    Verdict.SKIP: "Skipped",
    Verdict.UP: "Rated up",
    Verdict.DOWN: "Rated down",
}


def rule_words(rule: str) -> tuple[str, str]:
    """Return the name of a rule, and what it says."""
    return RULES.get(rule, (rule, "A rule of another version of Hone."))


def event_words(happening: Happening) -> tuple[str, str]:
    """Return when an event was, and what."""
    tell = _EVENTS.get(happening.kind)
    what = tell(happening.data) if tell else happening.kind.replace("_", " ")
    how = " (said explicitly)" if happening.source == "explicit" else ""
    return _when(happening.after_s), what + how


def _when(seconds: float) -> str:
    sign = "-" if seconds < 0 else "+"
    seconds = abs(seconds)
    if seconds < 60:
        return f"{sign}{seconds:.1f} s"
    if seconds < 3600:
        return f"{sign}{seconds / 60:.0f} min"
    return f"{sign}{seconds / 3600:.1f} h"


def _seen(what: str) -> Callable[[Mapping[str, Any]], str]:
    def tell(data: Mapping[str, Any]) -> str:
        visible = data.get("visible_ms")
        return what if visible is None else f"{what}, after {visible / 1000:.1f} s on screen"

    return tell


def _taken(data: Mapping[str, Any]) -> str:
    return f"{data.get('accepted_length', 0)} characters taken ({data.get('unit', 'other')})"


def _checked(data: Mapping[str, Any]) -> str:
    distance = data.get("edit_distance")
    changed = "" if distance is None else f": {distance:.0%} of it changed"
    return f"looked again{changed}"


def _rated(data: Mapping[str, Any]) -> str:
    comment = data.get("comment")
    return f"rated {data.get('rating', '')}" + (f": “{comment}”" if comment else "")


_EVENTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "shown": lambda data: "shown",
    "accepted": _seen("accepted"),
    "partially_accepted": _taken,
    "dismissed": _seen("dismissed"),
    "typed_through": _seen("typed as suggested"),
    "diverged": _seen("something else typed"),
    "undone": lambda data: "undone",
    "cycled": lambda data: "looked at another suggestion",
    "settled": lambda data: "the line came to rest",
    "persisted": _checked,
    "lost": lambda data: f"lost sight of: {data.get('reason', '')}",
    "rated": _rated,
}
