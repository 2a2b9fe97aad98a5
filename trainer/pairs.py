"""Turns recorded visits (a completion and its outcome) into preference pairs, by rule.

The rules R1-R9 and their weights stand in section 5 of the design page. Every row keeps its rule;
`is_trained` says which rows enter tonight's training, the others are stored for later objectives.
Both sides of a pair are cut to the same unit (rest of line, or block), the chosen side ends where
the served suffix begins, and an end token is only promised where a side really ended.

This module is pure: it knows nothing of tokens, models, databases or clocks.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from feedback_store.collector import no_collection
from feedback_store.schemas import OutcomeKind, Rule
from trainer.judged import judged_sides
from trainer.sides import (
    Side,
    content_keys_of,
    cut_to_unit,
    file_key_of,
    first_difference,
    line_key_of,
    offered_unit,
    settled_unit,
    unit_of,
)

if TYPE_CHECKING:  # only names: the database layer stays out of a pure module
    from feedback_store.completions import ServedCandidate
    from feedback_store.outcomes import Outcome
    from feedback_store.visits import Visit

MIN_VISIBLE_MS = 400
EDITED_BAND = (0.05, 0.6)  # the middle band of edits: neither the same nor something unrelated
SHORT_KEPT_CHARACTERS = 10
TAKEN_SHARE = 0.5  # of a typed text that may come from another accepted suggestion
WEIGHTS: Mapping[Rule, float] = {
    Rule.ACCEPTED_THEN_EDITED: 1.0,
    Rule.TYPED_INSTEAD: 0.6,
    Rule.CHOSE_ANOTHER: 1.0,
    Rule.PARTIAL_THEN_DIVERGED: 0.8,
    Rule.KEPT: 1.0,
    Rule.ACCEPTED_THEN_DELETED: 1.0,
    Rule.DISMISSED_OR_UNDONE: 0.4,
    Rule.IGNORED: 0.0,
    Rule.HUMAN: 2.0,
}
TRAINED_PAIRS = frozenset(
    {
        Rule.ACCEPTED_THEN_EDITED,
        Rule.TYPED_INSTEAD,
        Rule.PARTIAL_THEN_DIVERGED,
        Rule.ACCEPTED_THEN_DELETED,
        Rule.HUMAN,
    }
)
TRAINED_ALONE = frozenset({Rule.KEPT, Rule.HUMAN})  # a chosen side without a rejected one


@dataclass(frozen=True)
class PreferencePair:
    """One training row. A side is None where the rule has none (kept: no rejected side).

    `focus` is the first character that differs between the sides: the loss counts from there.
    `served_ids` are the ids served for the rejected side; they may spell more than `rejected`.
    `least_weight` is what a row of a person's word would weigh without it.
    """

    completion_id: UUID
    rule: Rule
    weight: float
    prompt_ids: tuple[int, ...]
    healed: str
    chosen: str | None
    rejected: str | None
    focus: int
    complete_chosen: bool  # an end token follows the chosen side
    complete_rejected: bool
    served_ids: tuple[int, ...]
    language: str
    user: str
    file_key: str
    line_key: str
    line_text: str  # the whole line as it stands with the chosen side
    content_keys: frozenset[str]  # each side's lines and what stands above, whatever the file
    served_at: datetime
    least_weight: float = 0.0


@no_collection()
def build(visits: "Sequence[Visit]") -> list[PreferencePair]:
    """Return the rows of all visits, at most one pair and one kept row per line visited."""
    usable = [visit for visit in visits if not visit.barred]
    taken = _accepted_texts(usable)
    rows = (_row_of(visit, taken) for visit in usable)
    return _one_per_line([row for row in rows if row is not None])


def is_pair(row: PreferencePair) -> bool:
    """Return whether a row has two sides and a rule that trains tonight."""
    return row.rule in TRAINED_PAIRS and row.chosen is not None and row.rejected is not None


def is_trained(row: PreferencePair) -> bool:
    """Return whether a row enters training: a pair, or a kept text for the SFT term."""
    alone = row.rule in TRAINED_ALONE and row.chosen is not None and row.rejected is None
    return is_pair(row) or alone


def rule_of(outcome: "Outcome") -> Rule | None:
    """Return the rule that an outcome falls under; None: it teaches nothing."""
    if outcome.rating is not None or outcome.correction is not None:
        return Rule.HUMAN
    if outcome.undone and not _has_text(outcome.replaced_text):
        return Rule.DISMISSED_OR_UNDONE
    if outcome.deleted or outcome.undone:
        return Rule.ACCEPTED_THEN_DELETED
    if outcome.kind is OutcomeKind.ACCEPTED:
        return _rule_of_accepted(outcome)
    if outcome.kind in (OutcomeKind.DIVERGED, OutcomeKind.DISMISSED):
        return _rule_of_refused(outcome)
    return {
        OutcomeKind.TYPED_THROUGH: Rule.KEPT,
        OutcomeKind.PARTIALLY_ACCEPTED: Rule.PARTIAL_THEN_DIVERGED,
        OutcomeKind.IGNORED: Rule.IGNORED,
    }.get(outcome.kind)


def _rule_of_accepted(outcome: "Outcome") -> Rule | None:
    low, high = EDITED_BAND
    distance = outcome.edit_distance
    if distance is not None and low <= distance <= high and not outcome.reformatted:
        return Rule.ACCEPTED_THEN_EDITED
    if outcome.candidate_index > 0:
        return Rule.CHOSE_ANOTHER
    return Rule.KEPT if outcome.kept else None


def _rule_of_refused(outcome: "Outcome") -> Rule | None:
    if _has_text(outcome.settled_text) and outcome.visible_ms >= MIN_VISIBLE_MS:
        return Rule.TYPED_INSTEAD
    return Rule.DISMISSED_OR_UNDONE if outcome.kind is OutcomeKind.DISMISSED else None


def _row_of(visit: "Visit", taken: Mapping[str, Sequence["_Taken"]]) -> PreferencePair | None:
    if visit.judgement is not None:
        return _judged_row(visit)
    rule = rule_of(visit.outcome)
    if rule is None:
        return None
    chosen = _chosen_side(rule, visit)
    rejected = _rejected_side(rule, visit)
    if rule is Rule.TYPED_INSTEAD and chosen and _mostly_taken(visit, chosen[0], taken):
        return None
    if chosen and rejected is not None and not _teaches(chosen, rejected):
        return None
    if chosen is None and (rejected is None or rule in _NEEDS_CHOSEN):
        return None
    return _assemble(visit, rule, chosen, rejected)


def _judged_row(visit: "Visit") -> PreferencePair | None:
    """Return what a person says; where both sides say the same, or end alike, it is praise."""
    if visit.judgement is None:
        return None
    chosen, rejected = judged_sides(visit, visit.judgement)
    if chosen and rejected is not None and not _teaches(chosen, rejected):
        rejected = None
    if chosen is None and rejected is None:
        return None
    return _assemble(visit, Rule.HUMAN, chosen, rejected)


_NEEDS_CHOSEN = frozenset(
    {
        Rule.ACCEPTED_THEN_EDITED,
        Rule.TYPED_INSTEAD,
        Rule.CHOSE_ANOTHER,
        Rule.PARTIAL_THEN_DIVERGED,
        Rule.KEPT,
    }
)


def _chosen_side(rule: Rule, visit: "Visit") -> Side | None:
    """Return (text, reaches the served suffix) of the preferred side, or None without one."""
    outcome = visit.outcome
    if rule is Rule.HUMAN:
        return _human_choice(visit)
    if rule in (Rule.DISMISSED_OR_UNDONE, Rule.IGNORED):
        return None
    if rule is Rule.ACCEPTED_THEN_DELETED:
        if not _has_text(outcome.replaced_text) or not outcome.prefix_intact:
            return None
        is_settled = outcome.replaced_text == outcome.settled_text
        reaches = is_settled and bool(outcome.reaches_suffix)
        return unit_of(visit, outcome.replaced_text or "", reaches)
    if rule is Rule.CHOSE_ANOTHER and outcome.prefix_intact and outcome.suggestion:
        taken = _candidate(visit, outcome.candidate_index)
        text = cut_to_unit(visit.completion.request, taken.text) if taken else ""
        return (text, False) if text.strip() else None
    return settled_unit(visit)


def _human_choice(visit: "Visit") -> Side | None:
    """A correction is preferred to the suggestion; a suggestion rated up is preferred itself."""
    outcome = visit.outcome
    if _has_text(outcome.correction):
        return unit_of(visit, outcome.correction or "", False)
    if outcome.rating == "up" and _has_text(outcome.suggestion):
        return unit_of(visit, outcome.suggestion or "", False)
    return None


def _rejected_side(rule: Rule, visit: "Visit") -> str | None:
    outcome = visit.outcome
    if rule is Rule.KEPT or (rule is Rule.HUMAN and _is_praise(outcome)):
        return None
    if rule is Rule.CHOSE_ANOTHER:  # the first candidate was on screen before any other
        first = _candidate(visit, 0)
        return cut_to_unit(visit.completion.request, first.text) if first else None
    return offered_unit(visit)


def _is_praise(outcome: "Outcome") -> bool:
    return outcome.rating == "up" and not _has_text(outcome.correction)


def _teaches(chosen: Side, rejected: str) -> bool:
    """A chosen side that adds nothing after the common start has no token to learn from."""
    text, complete = chosen
    if text == rejected:
        return False
    return complete or first_difference(text, rejected) < len(text)


def _assemble(
    visit: "Visit", rule: Rule, chosen: Side | None, rejected: str | None
) -> PreferencePair:
    served, request = visit.completion, visit.completion.request
    text, complete = chosen if chosen else (None, False)
    index = 0 if rule is Rule.CHOSE_ANOTHER else visit.outcome.candidate_index
    candidate = _candidate(visit, index)
    ended = candidate is not None and candidate.finish_reason == "end"
    whole = candidate is not None and rejected == candidate.text.rstrip()
    return PreferencePair(
        completion_id=request.completion_id,
        rule=rule,
        weight=_weight(rule, text),
        prompt_ids=served.prompt_ids,
        healed=served.healed,
        chosen=text,
        rejected=rejected,
        focus=first_difference(text, rejected) if text and rejected else 0,
        complete_chosen=complete,
        complete_rejected=complete and ended and whole,
        served_ids=candidate.token_ids if candidate else (),
        language=request.language,
        user=request.user,
        file_key=file_key_of(request),
        line_key=line_key_of(request),
        line_text=request.prefix.rsplit("\n", 1)[-1] + (text or rejected or ""),
        content_keys=_content_keys(visit, text, rejected),
        served_at=served.served_at,
        least_weight=_weight_unjudged(visit, text) if rule is Rule.HUMAN else 0.0,
    )


def _content_keys(visit: "Visit", *sides: str | None) -> frozenset[str]:
    """Return the keys of all that may stand there: a person may have chosen another text."""
    settled = settled_unit(visit)
    texts = {*sides, settled[0] if settled else None} - {None}
    keys = (content_keys_of(visit.completion.request, text or "") for text in texts)
    return frozenset().union(*keys)


def _weight_unjudged(visit: "Visit", chosen: str | None) -> float:
    """Return the weight by what happened, as if nobody had said anything."""
    rule = rule_of(replace(visit.outcome, rating=None, correction=None))
    return _weight(rule, chosen) if rule else 0.0


def _weight(rule: Rule, chosen: str | None) -> float:
    if rule is Rule.KEPT and chosen is not None and len(chosen) < SHORT_KEPT_CHARACTERS:
        return 0.5
    return WEIGHTS[rule]


def _candidate(visit: "Visit", index: int) -> "ServedCandidate | None":
    return next((c for c in visit.completion.candidates if c.index == index), None)


def _has_text(text: str | None) -> bool:
    return bool(text and text.strip())


@dataclass(frozen=True)
class _Taken:
    """A suggestion that somebody accepted, whole or in part, and where."""

    completion_id: UUID
    line: int
    text: str


def _accepted_texts(visits: "Iterable[Visit]") -> dict[str, list[_Taken]]:
    """Return the accepted texts of every file."""
    taken: dict[str, list[_Taken]] = defaultdict(list)
    for visit in visits:
        outcome, request = visit.outcome, visit.completion.request
        text = _accepted_text(outcome)
        if text:
            entry = _Taken(request.completion_id, request.line, text)
            taken[file_key_of(request)].append(entry)
    return taken


def _accepted_text(outcome: "Outcome") -> str:
    suggestion = outcome.suggestion or ""
    if outcome.kind is OutcomeKind.ACCEPTED:
        return suggestion.strip()
    if outcome.kind is OutcomeKind.PARTIALLY_ACCEPTED:
        units = suggestion.encode("utf-16-le")[: 2 * outcome.accepted_length]
        return units.decode("utf-16-le", errors="ignore").strip()
    return ""


def _mostly_taken(visit: "Visit", text: str, taken: Mapping[str, Sequence[_Taken]]) -> bool:
    """Return whether most of a typed text came from other suggestions accepted on its lines."""
    request = visit.completion.request
    last_line = request.line + text.count("\n")
    found = {
        entry.text
        for entry in taken.get(file_key_of(request), ())
        if entry.completion_id != request.completion_id
        and request.line <= entry.line <= last_line
        and entry.text in text
    }
    size = len(re.sub(r"\s+", "", text))
    return sum(len(re.sub(r"\s+", "", t)) for t in found) > TAKEN_SHARE * max(1, size)


def _one_per_line(rows: Sequence[PreferencePair]) -> list[PreferencePair]:
    """Keep the weightiest pair of each line (the earliest of equals), likewise the kept row.

    Rows that are only stored or counted are all kept.
    """
    best: dict[tuple[str, bool], PreferencePair] = {}
    for row in rows:
        if is_trained(row):
            key = (row.line_key, is_pair(row))
            if key not in best or row.weight > best[key].weight:
                best[key] = row
    winners = {id(row) for row in best.values()}
    return [row for row in rows if not is_trained(row) or id(row) in winners]
