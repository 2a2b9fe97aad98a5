"""Turns what is known of a pair into how much a person's word on it would teach, and why.

High: signals that contradict each other, a model that was sure and wrong, or undecided, sides that
hardly differ, and a heavy rule. 0: nothing to ask. Pure; knows nothing of rows or pages.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp

from feedback_store.edit_distance import edit_distance
from feedback_store.schemas import OutcomeKind

FULL_WEIGHT = 2.0
BRIEF_MS = 700  # a glance, longer than the 400 ms that count as seen
SURE, UNSURE = 0.8, 0.4  # mean probability of a token
NEARLY_SAME = 0.12  # edit distance
_COMPARED_CHARACTERS = 400
_TAKEN = (OutcomeKind.ACCEPTED, OutcomeKind.PARTIALLY_ACCEPTED, OutcomeKind.TYPED_THROUGH)


@dataclass(frozen=True)
class Signals:
    """A pair, and what its completion's outcome says. `log_probs` are of the suggestion."""

    weight: float
    chosen: str | None
    rejected: str | None
    kind: OutcomeKind
    visible_ms: int
    kept: bool
    gone: bool  # accepted, then deleted or undone
    rating: str | None
    log_probs: Sequence[float]


def interest_of(signals: Signals) -> tuple[float, str]:
    """Return the interest in having a pair judged, 0 or more, and its reasons in words."""
    found = list(_contradictions(signals))
    is_pair = signals.chosen is not None and signals.rejected is not None
    if is_pair:
        found += _doubts(signals)
    if not is_pair and not found:
        return 0.0, ""
    score = signals.weight / FULL_WEIGHT + sum(points for points, _ in found)
    reasons = [why for _, why in sorted(found, key=lambda one: -one[0])]
    return score, "; ".join(reasons) or f"nothing odd, it weighs {signals.weight:g} in training"


def _contradictions(signals: Signals) -> Iterator[tuple[float, str]]:
    """Yield signals of one person that cannot all be meant."""
    if signals.rating == "up" and signals.rejected is not None:
        yield 2.0, "the user rated the suggestion up, and yet it is the rejected side"
    if signals.rating == "down" and (signals.kept or signals.kind in _TAKEN):
        yield 2.0, "the user rated the suggestion down, but took it"
    if signals.gone and signals.kind in _TAKEN:
        yield 1.0, "it was accepted, then taken out again"


def _doubts(signals: Signals) -> Iterator[tuple[float, str]]:
    """Yield why the order of the sides may be wrong, or teach little."""
    if signals.visible_ms < BRIEF_MS and signals.kind not in _TAKEN:
        seconds = signals.visible_ms / 1000
        yield 0.75, f"it was on screen for {seconds:.1f} s only: perhaps nobody read it"
    if signals.log_probs:
        mean = exp(sum(signals.log_probs) / len(signals.log_probs))
        if mean >= SURE:
            yield 1.0, f"the model was sure of the rejected side ({mean:.0%} per token)"
        elif mean <= UNSURE:
            yield 0.4, f"the model was undecided ({mean:.0%} per token)"
    chosen = (signals.chosen or "")[:_COMPARED_CHARACTERS]
    rejected = (signals.rejected or "")[:_COMPARED_CHARACTERS]
    if edit_distance(chosen, rejected) <= NEARLY_SAME:
        yield 0.5, "the sides differ by little"
