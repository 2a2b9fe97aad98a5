"""Turns the events of one completion into its Outcome (design, section 4). Pure.

The events may come late, twice and in any order: the result is the same. Times are only compared
with each other, never with ours: an editor's clock may be wrong by years. Knows nothing of
databases, and nothing of what a night makes of an outcome.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from feedback_store.edit_distance import edit_distance
from feedback_store.schemas import Event, EventKind, OutcomeKind

MIN_VISIBLE_MS = 400
KEPT_SHARE = 0.8
KEPT_SECONDS = 600
DELETED_SHARE = 0.2
DELETED_SECONDS = 120
MAX_VISIBLE_MS = 2**31 - 1

# An event that carries one of these says that nobody can have read the suggestion: on `shown` it
# holds for good, on another event for that event.
UNSEEN_REASONS = frozenset(
    {"superseded", "popup", "popup_open", "multi_cursor", "mid_identifier", "unseen"}
)
CLOSE_REASONS = frozenset({"close", "closed"})

# Breaks ties of time: a suggestion is shown before it is accepted.
_LIFE = {kind: place for place, kind in enumerate(EventKind)}
_ENDINGS = frozenset(
    {
        EventKind.ACCEPTED,
        EventKind.TYPED_THROUGH,
        EventKind.DIVERGED,
        EventKind.DISMISSED,
        EventKind.SETTLED,
        EventKind.LOST,
    }
)
# Among equals of source, the one that says most about the text comes first.
_ANSWERS = (EventKind.TYPED_THROUGH, EventKind.DIVERGED, EventKind.DISMISSED)


@dataclass(frozen=True)
class Outcome:
    """What became of one completion. Lengths in characters, `accepted_length` in UTF-16 units."""

    completion_id: UUID
    kind: OutcomeKind
    candidate_index: int
    suggestion: str | None  # the text first offered, None when it was never told
    visible_ms: int
    accepted_length: int
    settled_text: str | None
    reaches_suffix: bool  # false when unknown, so that no end of text is taught by guessing
    prefix_intact: bool  # false when unknown, so that nothing is trained on a doubtful prompt
    reformatted: bool
    edit_distance: float | None  # suggestion against settled text
    retained_characters: int | None  # at the last check
    kept: bool
    deleted: bool
    undone: bool
    replaced_text: str | None  # what stands in a deleted suggestion's place, None when nothing
    rating: str | None
    correction: str | None
    last_event_at: datetime | None


class Fact(NamedTuple):
    """What folding reads of an event. Fields are those of `Event` and of `EventData`."""

    kind: EventKind
    ordinal: int
    candidate_index: int
    occurred_at: datetime
    source: str
    text: str | None = None
    reaches_suffix: bool | None = None
    prefix_intact: bool | None = None
    reformatted: bool | None = None
    visible_ms: int | None = None
    accepted_length: int | None = None
    after_seconds: int | None = None
    retained_characters: int | None = None
    reason: str | None = None
    rating: str | None = None
    correction: str | None = None


FACT_DATA = Fact._fields[5:]  # those that are fields of `EventData`


def fold(completion_id: UUID, events: Iterable[Event]) -> Outcome:
    """Return the outcome of `completion_id` that its events, in any order, amount to."""
    return fold_facts(completion_id, map(_fact_of, events))


def fold_facts(completion_id: UUID, facts: Iterable[Fact]) -> Outcome:
    """Return the outcome of `completion_id` that what its events say amounts to."""
    ordered = _in_order(facts)
    settled = _settled(ordered)
    text = settled.text if settled else None
    visible_ms = _visible_ms(ordered)
    kind, decided_by = _kind(ordered, visible_ms, settled)
    candidate_index, suggestion = _offered(ordered, decided_by)
    accepted_length = _accepted_length(ordered, kind, suggestion)
    if kind is OutcomeKind.PARTIALLY_ACCEPTED and 0 < _utf16_length(suggestion) <= accepted_length:
        kind = OutcomeKind.ACCEPTED  # taken word by word to the end: that is the whole of it
    undone = _is_undone(ordered)
    last_check = _last(ordered, EventKind.PERSISTED)
    is_accepted = kind is OutcomeKind.ACCEPTED
    kept = kind is OutcomeKind.TYPED_THROUGH or (
        is_accepted and not undone and _is_kept(last_check, suggestion)
    )
    # What was gone for a while and stands there in the end was kept.
    deletion = _deletion(ordered, suggestion) if is_accepted and not kept else None
    rated = [event for event in ordered if event.kind is EventKind.RATED]
    return Outcome(
        completion_id=completion_id,
        kind=kind,
        candidate_index=candidate_index,
        suggestion=suggestion,
        visible_ms=visible_ms,
        accepted_length=accepted_length,
        settled_text=text,
        reaches_suffix=bool(settled and settled.reaches_suffix),
        prefix_intact=bool(settled and settled.prefix_intact),
        reformatted=bool(settled and settled.reformatted),
        edit_distance=None
        if suggestion is None or text is None
        else edit_distance(suggestion, text),
        retained_characters=last_check.retained_characters if last_check else None,
        kept=kept,
        deleted=deletion is not None,
        undone=undone,
        replaced_text=_replaced_text(ordered, deletion, suggestion) if deletion else None,
        rating=rated[-1].rating if rated else None,
        correction=next((r.correction for r in reversed(rated) if r.correction is not None), None),
        last_event_at=ordered[-1].occurred_at if ordered else None,
    )


def _fact_of(event: Event) -> Fact:
    data = event.data
    return Fact(
        event.kind,
        event.ordinal,
        event.candidate_index,
        event.occurred_at,
        event.source,
        *[getattr(data, name) for name in FACT_DATA],
    )


def _in_order(facts: Iterable[Fact]) -> list[Fact]:
    once = {(fact.kind, fact.ordinal): fact for fact in facts}
    return sorted(once.values(), key=lambda f: (f.occurred_at, _LIFE[f.kind], f.ordinal))


def _last(ordered: Sequence[Fact], *kinds: EventKind) -> Fact | None:
    return next((event for event in reversed(ordered) if event.kind in kinds), None)


def _settled(ordered: Sequence[Fact]) -> Fact | None:
    """Return the event whose text counts as what the user wanted there."""
    typed = [e for e in ordered if e.kind is EventKind.DIVERGED and e.text is not None]
    return _last(ordered, EventKind.SETTLED) or _last(typed, EventKind.DIVERGED)


def _kind(
    ordered: Sequence[Fact], visible_ms: int, settled: Fact | None
) -> tuple[OutcomeKind, Fact | None]:
    """Return the kind, and the event that decided it.

    Accepting beats all. Everything else needs a suggestion that could be read; among those
    answers explicit beats inferred.
    """
    for kind in (EventKind.ACCEPTED, EventKind.PARTIALLY_ACCEPTED):
        taken = [e for e in ordered if e.kind is kind and (_is_explicit(e) or _counts(e))]
        if taken:
            return OutcomeKind(kind.value), max(taken, key=_is_explicit)
    if not any(event.kind is EventKind.SHOWN and _counts(event) for event in ordered):
        return OutcomeKind.UNSEEN, None
    answers = [event for event in ordered if event.kind in _ANSWERS and _counts(event)]
    if answers:
        answer = min(answers, key=lambda e: (not _is_explicit(e), _ANSWERS.index(e.kind)))
        # Typing the very same text is a success even where nobody had time to read it.
        if visible_ms >= MIN_VISIBLE_MS or answer.kind is EventKind.TYPED_THROUGH:
            return OutcomeKind(answer.kind.value), answer
    if visible_ms < MIN_VISIBLE_MS or not all(_counts(event) for event in _still_true(ordered)):
        return OutcomeKind.UNSEEN, None
    if settled is not None and (settled.text or "").strip():
        return _kind_of_text(ordered, settled), None
    return OutcomeKind.IGNORED, None


def _still_true(ordered: Sequence[Fact]) -> list[Fact]:
    """Leave out what a later event of its kind has replaced: a place settles more than once."""
    replaced = (EventKind.SETTLED, EventKind.LOST)
    ends = [_last(ordered, kind) for kind in replaced]
    return [event for event in ordered if event.kind not in replaced or event in ends]


def _kind_of_text(ordered: Sequence[Fact], settled: Fact) -> OutcomeKind:
    """Judge a suggestion that was read and never answered by the text that stands there now."""
    if settled.reformatted:
        return OutcomeKind.IGNORED
    suggestion, text = _offered(ordered, None)[1] or "", settled.text or ""
    if edit_distance(suggestion, text) == 0.0:
        return OutcomeKind.TYPED_THROUGH
    if suggestion.startswith(text.rstrip()):  # half of it was typed: nothing speaks against it
        return OutcomeKind.IGNORED
    return OutcomeKind.DIVERGED


def _is_explicit(event: Fact) -> bool:
    return event.source == "explicit"


def _counts(event: Fact) -> bool:
    return event.reason not in UNSEEN_REASONS


def _visible_ms(ordered: Sequence[Fact]) -> int:
    """Return how long the suggestion stood on screen, all its offers together."""
    told = [event.visible_ms for event in ordered if event.visible_ms is not None]
    if told:
        return min(max(told), MAX_VISIBLE_MS)
    total_ms, since = 0.0, None
    for event in ordered:
        if event.kind is EventKind.SHOWN and since is None:
            since = event.occurred_at
        elif event.kind in _ENDINGS and since is not None:
            total_ms += (event.occurred_at - since).total_seconds() * 1000
            since = None
    return min(round(total_ms), MAX_VISIBLE_MS)


def _offered(ordered: Sequence[Fact], decided_by: Fact | None) -> tuple[int, str | None]:
    """Return the candidate that counts and its text as first offered.

    An accepted candidate whose text was never told has None: comparing the settled text with
    another candidate would look like an edit. Otherwise the one last cycled to counts, if told.
    """
    texts: dict[int, str] = {}
    for event in ordered:
        if event.kind in (EventKind.SHOWN, EventKind.CYCLED) and event.text is not None:
            texts.setdefault(event.candidate_index, event.text)
    if decided_by is not None and decided_by.kind in (
        EventKind.ACCEPTED,
        EventKind.PARTIALLY_ACCEPTED,
    ):
        return decided_by.candidate_index, texts.get(decided_by.candidate_index)
    on_screen = decided_by or _last(ordered, EventKind.CYCLED)
    if on_screen is not None and on_screen.candidate_index in texts:
        return on_screen.candidate_index, texts[on_screen.candidate_index]
    return next(iter(texts.items()), (0, None))


def _accepted_length(ordered: Sequence[Fact], kind: OutcomeKind, suggestion: str | None) -> int:
    if kind is OutcomeKind.ACCEPTED and suggestion is not None:
        return _utf16_length(suggestion)
    if kind not in (OutcomeKind.ACCEPTED, OutcomeKind.PARTIALLY_ACCEPTED):
        return 0
    return max((event.accepted_length or 0 for event in ordered), default=0)


def _utf16_length(text: str | None) -> int:
    return len((text or "").encode("utf-16-le", "surrogatepass")) // 2


def _is_undone(ordered: Sequence[Fact]) -> bool:
    """Tell whether the last taking of the suggestion was taken back."""
    last = _last(ordered, EventKind.ACCEPTED, EventKind.PARTIALLY_ACCEPTED, EventKind.UNDONE)
    return last is not None and last.kind is EventKind.UNDONE


def _retained_share(check: Fact, suggestion: str | None) -> float | None:
    length = len((suggestion or "").rstrip())
    return (check.retained_characters or 0) / length if length else None


def _is_kept(last_check: Fact | None, suggestion: str | None) -> bool:
    if last_check is None:
        return False
    share = _retained_share(last_check, suggestion)
    is_final = (last_check.after_seconds or 0) >= KEPT_SECONDS or last_check.reason in CLOSE_REASONS
    return is_final and share is not None and share >= KEPT_SHARE


def _deletion(ordered: Sequence[Fact], suggestion: str | None) -> Fact | None:
    """Return the event that shows an accepted suggestion gone within two minutes."""
    if _is_undone(ordered):
        return _last(ordered, EventKind.UNDONE)
    early = [
        event
        for event in ordered
        if event.kind is EventKind.PERSISTED and (event.after_seconds or 0) <= DELETED_SECONDS
    ]
    share = _retained_share(early[-1], suggestion) if early else None
    return early[-1] if share is not None and share <= DELETED_SHARE else None


def _replaced_text(ordered: Sequence[Fact], deletion: Fact, suggestion: str | None) -> str | None:
    """Return what was written in place of a deleted suggestion, None when nothing was."""
    after: Iterable[Fact] = ordered[ordered.index(deletion) :]
    if deletion.kind is EventKind.PERSISTED:
        after = (deletion,)
    texts = [
        event.text
        for event in after
        if event.kind in (EventKind.SETTLED, EventKind.PERSISTED) and event.text is not None
    ]
    text = texts[-1] if texts else ""
    if not text.strip() or text.rstrip() == (suggestion or "").rstrip():
        return None
    return text
