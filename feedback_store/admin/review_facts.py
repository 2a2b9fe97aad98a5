"""Turns a reviewer's wish to see the queue into what the templates show. Knows nothing of HTTP."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from feedback_store import review_queue
from feedback_store.admin.code_view import Line, Place, show_prompt, show_side
from feedback_store.admin.review_words import RULES, VERDICTS, event_words, rule_words
from feedback_store.code_diff import differences
from feedback_store.database import Database
from feedback_store.review_case import Case, case_of
from feedback_store.review_queue import Choices, Filters, Night
from feedback_store.verdicts import Verdict

MAX_DIFF_CHARACTERS = 16_000


@dataclass(frozen=True)
class View:
    """What a reviewer looks at, and how: it travels in addresses and forms."""

    filters: Filters = field(default_factory=Filters)
    blind: bool = False
    second: bool = False

    def fields(self) -> dict[str, str]:
        """Return what a form or an address has to carry."""
        filters = self.filters
        found = {"rule": filters.rule, "language": filters.language, "user": filters.user}
        found |= {"blind": "1" if self.blind else "", "second": "1" if self.second else ""}
        return {name: value for name, value in found.items() if value}

    def query(self, **more: str) -> str:
        """Return "?..." for an address, or ""."""
        fields = self.fields() | more
        return "?" + urlencode(fields) if fields else ""


@dataclass(frozen=True)
class Side:
    """One side as it is shown; `text` is None where there is none."""

    name: str
    note: str
    kind: str  # "chosen", "rejected", or "hidden" from who judges blind
    text: str | None
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Action:
    """A button: what it says and sends, and the keys that press it, the first one shown."""

    verdict: str
    label: str
    keys: tuple[str, ...]
    title: str


ACTIONS = (
    Action("agree", "Agree", ("a", "1", "ArrowLeft"), "The left side is better"),
    Action("swap", "Swap", ("s", "2", "ArrowRight"), "The right side is better"),
    Action("both_bad", "Both bad", ("b",), "Learn from neither"),
    Action("both_good", "Both good", ("g",), "The chosen side is right, and so is the other"),
    Action("skip", "Skip", ("n",), "Decide later"),
)
BLIND_ACTIONS = (
    Action("left", "Left is better", ("1", "ArrowLeft", "a"), "Prefer the left side"),
    Action("right", "Right is better", ("2", "ArrowRight", "s"), "Prefer the right side"),
    *ACTIONS[2:],
)


class OfferedChoices:
    """What the queue can be filtered by: counted once for each night, which never changes it."""

    def __init__(self) -> None:
        self._known: dict[str, Choices] = {}

    def of(self, database: Database, night: Night | None) -> Choices:
        """Return what the pairs of `night` can be filtered by."""
        name = night.run_id if night else ""
        if not night or name not in self._known:
            self._known = {name: review_queue.choices(database)}
        return self._known[name]


def queue_facts(
    database: Database,
    reviewer: str,
    view: View,
    offered: OfferedChoices,
    completion_id: UUID | None = None,
) -> dict[str, Any]:
    """Return what the queue shows: the pair asked for, or the next one, and how far we are."""
    night = review_queue.newest_night(database)
    key = completion_id or review_queue.next_completion(
        database, reviewer, view.filters, second=view.second
    )
    case = case_of(database, key) if key else None
    return {
        "night": night,
        "view": view,
        "progress": review_queue.progress(database, reviewer, view.filters),
        "agreement": review_queue.agreement(database),
        "has_completions": night is not None or review_queue.has_completions(database),
        "actions": BLIND_ACTIONS if view.blind else ACTIONS,
        "choices": offered.of(database, night),
        "rules": RULES,
        "said": "",
        "case": case,
        **(_case_facts(case, reviewer, view) if case else {}),
    }


def is_flipped(completion_id: UUID) -> bool:
    """Tell whether who judges blind sees the rejected side on the left; for ever the same."""
    return bool(sha256(completion_id.bytes).digest()[0] & 1)


def verdict_of(said: str, completion_id: UUID) -> str:
    """Return the verdict that a button means; `left` and `right` are what is seen blind."""
    if said in ("left", "right"):
        prefers_chosen = (said == "left") != is_flipped(completion_id)
        return (Verdict.AGREE if prefers_chosen else Verdict.SWAP).value
    return said


def _case_facts(case: Case, reviewer: str, view: View) -> dict[str, Any]:
    place = Place(case.prefix, case.suffix, case.language, case.line)
    sides = _sides(case, place, view.blind)
    name, sentence = rule_words(case.seen.rule)
    edited = (sides[0] if view.blind else _preferred(sides)).text
    standing = [review for review in case.reviews if review.undone_at is None]
    mine = next((r for r in reversed(standing) if r.reviewer == reviewer), None)
    return {
        "prompt": show_prompt(place),
        "sides": sides,
        "rule_name": name,
        "rule_sentence": sentence,
        "events": [event_words(happening) for happening in case.events],
        "edited": edited or "",
        "edit_rows": min(12, 2 + (edited or "").count("\n")),
        "mine": VERDICTS[mine.verdict] if mine else "",
        "others": [
            (review.reviewer, VERDICTS[review.verdict])
            for review in standing
            if review.reviewer != reviewer and (mine or not view.second)
        ],
    }


def _sides(case: Case, place: Place, blind: bool) -> tuple[Side, Side]:
    chosen, rejected = case.seen.chosen, case.seen.rejected
    ranges = differences(
        (chosen or "")[:MAX_DIFF_CHARACTERS], (rejected or "")[:MAX_DIFF_CHARACTERS]
    )
    if chosen is None or rejected is None:
        ranges = ((), ())
    lines = [
        show_side(place, text, changed) if text is not None else ()
        for text, changed in zip((chosen, rejected), ranges, strict=True)
    ]
    if blind:
        sides = [
            Side("", "", "hidden", chosen, lines[0]),
            Side("", "", "hidden", rejected, lines[1]),
        ]
        left, right = sides[::-1] if is_flipped(case.completion_id) else sides
        return (
            Side("Left", "", "hidden", left.text, left.lines),
            Side("Right", "", "hidden", right.text, right.lines),
        )
    return (
        Side("Chosen", "preferred by the rule", "chosen", chosen, lines[0]),
        Side("Rejected", "what was offered", "rejected", rejected, lines[1]),
    )


def _preferred(sides: tuple[Side, Side]) -> Side:
    return sides[0] if sides[0].text is not None else sides[1]
