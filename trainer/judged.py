"""Turns a person's judgement of a pair into the sides of a training row.

A judgement overrides the outcome, and was made of the sides as a night had cut them. This module
is pure: it knows nothing of rules, weights, tokens or databases.
"""

from typing import TYPE_CHECKING

from feedback_store.verdicts import Judgement, Verdict
from trainer.sides import REDACTED, Side, cut_to_unit, settled_unit

if TYPE_CHECKING:  # only a name: the database layer stays out of a pure module
    from feedback_store.visits import Visit

Sides = tuple[Side | None, str | None]  # chosen, rejected


def judged_sides(visit: "Visit", judgement: Judgement) -> Sides:
    """Return what is preferred to what, each None where nothing is; (None, None) teaches nothing.

    Of two bad sides the suggestion is remembered as bad. Of two good ones the chosen side is one
    to learn, preferred to nothing.
    """
    first, second = judgement.chosen, judgement.rejected
    if judgement.verdict is Verdict.BOTH_BAD:
        return None, second or first
    if judgement.verdict is Verdict.BOTH_GOOD:
        return _side(visit, first or second), None
    if judgement.verdict is Verdict.SWAP:
        first, second = second, first
    if judgement.verdict is Verdict.EDIT:
        first, second = judgement.text, second or first
    return _side(visit, first), second


def _side(visit: "Visit", text: str | None) -> Side | None:
    """Return a text as a side; it is complete where it is what settled there, complete."""
    unit = cut_to_unit(visit.completion.request, text or "")
    if not unit.strip() or REDACTED in unit:
        return None
    settled = settled_unit(visit)
    return unit, settled is not None and settled == (unit, True)
