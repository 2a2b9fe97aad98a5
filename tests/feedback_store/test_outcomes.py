"""What the events of a completion amount to: design section 4, rule by rule."""

from typing import Any
from uuid import UUID

import pytest
from event_stories import TEXT, stories
from hypothesis import given
from hypothesis import strategies as st
from store_material import event

from feedback_store.outcomes import Outcome, fold
from feedback_store.schemas import Event, EventKind, OutcomeKind

ONE = UUID("5b0d8f5e-0c54-4a52-9d8b-6c5d1e6e2a11")

EXPLICIT = {"source": "explicit"}


def on(kind: str, after_s: float, **rest: Any) -> Event:
    return event(ONE, kind, after_s, **rest)


SHOWN = on("shown", 0, text=TEXT)
ACCEPTED = on("accepted", 1, visible_ms=1000, **EXPLICIT)
KEPT = {"text": TEXT, "edit_distance": 0.0, "retained_characters": len(TEXT)}
GONE = {"edit_distance": 1.0, "retained_characters": 0}
PLACE = {"reaches_suffix": True, "prefix_intact": True}


def settled(text: str, after_s: float = 12, **rest: Any) -> Event:
    return on("settled", after_s, text=text, **{**PLACE, **rest})


def check(events: list[Event], kind: str, **expected: Any) -> Outcome:
    """Fold, and compare the kind and the fields named."""
    outcome = fold(ONE, events)
    found = {name: getattr(outcome, name) for name in expected}
    assert (outcome.kind, found) == (OutcomeKind(kind), expected)
    return outcome


KINDS: list[tuple[str, list[Event], str]] = [
    ("nothing at all", [], "unseen"),
    ("never shown, text known for evaluation", [settled("x = 1")], "unseen"),
    ("shown and nothing else", [SHOWN], "unseen"),
    ("on screen too short", [SHOWN, on("lost", 0.2, reason="closed", visible_ms=200)], "unseen"),
    ("on screen, not answered", [SHOWN, on("lost", 3, reason="closed", visible_ms=3000)],
     "ignored"),
    ("exactly 400 ms", [SHOWN, on("lost", 1, reason="closed", visible_ms=400)], "ignored"),
    ("not answered, time from the events", [SHOWN, settled("")], "ignored"),
    ("nobody saw that it was dismissed", [on("dismissed", 1, visible_ms=900)], "unseen"),
    ("a new request is no rejection",
     [SHOWN, on("lost", 2, reason="superseded", visible_ms=2000)], "unseen"),
    ("a pop-up list hid it", [SHOWN, on("diverged", 2, reason="popup", visible_ms=2000)],
     "unseen"),
    ("several cursors", [SHOWN, on("diverged", 2, reason="multi_cursor", visible_ms=900)],
     "unseen"),
    ("caret mid-identifier",
     [SHOWN, on("diverged", 2, text="y", reason="mid_identifier", visible_ms=900), settled("y")],
     "unseen"),
    ("several equal insertions are no accept",
     [SHOWN, on("accepted", 2, reason="multi_cursor", visible_ms=900)], "unseen"),
    ("typed instead", [SHOWN, on("diverged", 1, text="y", visible_ms=900), settled("y")],
     "diverged"),
    ("typed instead before it could be read",
     [SHOWN, on("diverged", 0.3, text="y", visible_ms=300), settled("y")], "unseen"),
    ("typed through", [SHOWN, on("typed_through", 2, visible_ms=2000)], "typed_through"),
    ("typed through before it could be read",
     [SHOWN, on("typed_through", 0.3, visible_ms=300)], "typed_through"),
    ("dismissed", [SHOWN, on("dismissed", 1, visible_ms=1000, **EXPLICIT)], "dismissed"),
    ("dismissed at once", [SHOWN, on("dismissed", 0.1, visible_ms=100, **EXPLICIT)], "unseen"),
    ("accepted", [SHOWN, ACCEPTED], "accepted"),
    ("accepted at once", [SHOWN, on("accepted", 0.1, visible_ms=100)], "accepted"),
    ("accepted, shown got lost", [ACCEPTED], "accepted"),
    ("accepting beats an earlier dismissal",
     [SHOWN, on("dismissed", 0.5, visible_ms=500, **EXPLICIT), ACCEPTED], "accepted"),
    ("accepting beats all, even inferred against explicit",
     [SHOWN, on("accepted", 1), on("dismissed", 2, visible_ms=2000, **EXPLICIT)], "accepted"),
    ("explicit beats inferred",
     [SHOWN, on("typed_through", 1, visible_ms=900), on("dismissed", 2, **EXPLICIT)],
     "dismissed"),
    ("among inferred ones, success first",
     [SHOWN, on("diverged", 1, visible_ms=900), on("typed_through", 2)], "typed_through"),
    ("a pop-up list was open when it was shown",
     [on("shown", 0, text=TEXT, reason="popup_open"), on("dismissed", 2, **EXPLICIT)], "unseen"),
    ("shown under a pop-up list, accepted all the same",
     [on("shown", 0, text=TEXT, reason="popup_open"), ACCEPTED], "accepted"),
    ("superseded", [SHOWN, settled("", reason="superseded", visible_ms=2000)], "unseen"),
    ("superseded, then offered again and left alone",
     [SHOWN, settled("", reason="superseded", visible_ms=2000),
      settled("", 30, ordinal=1, visible_ms=4000)], "ignored"),
    ("superseded after it was dismissed",
     [SHOWN, on("dismissed", 1, **EXPLICIT), settled("", reason="superseded")], "dismissed"),
    ("most of the document was replaced",
     [SHOWN, on("lost", 3, reason="replaced", visible_ms=3000)], "ignored"),
    ("took a word", [SHOWN, on("partially_accepted", 1, accepted_length=5, unit="word")],
     "partially_accepted"),
    ("took a word, then typed something else",
     [SHOWN, on("partially_accepted", 1, accepted_length=5, unit="word"),
      on("diverged", 2, text="total + 1", visible_ms=2000)], "partially_accepted"),
    ("took it word by word to the end",
     [SHOWN, on("partially_accepted", 1, accepted_length=5, unit="word"),
      on("partially_accepted", 2, ordinal=1, accepted_length=19, unit="word")], "accepted"),
    ("something else stands there, nobody told how",
     [SHOWN, on("lost", 2, reason="closed", visible_ms=2000), settled("other()")], "diverged"),
    ("the same text stands there, nobody told how",
     [SHOWN, on("lost", 2, reason="closed", visible_ms=2000), settled(TEXT + " ")],
     "typed_through"),
    ("a formatter wrote there",
     [SHOWN, on("lost", 2, reason="closed", visible_ms=2000), settled("z", reformatted=True)],
     "ignored"),
    ("rated, never answered",
     [SHOWN, on("lost", 2, reason="closed", visible_ms=2000), on("rated", 3, rating="up")],
     "ignored"),
]  # fmt: skip


@pytest.mark.parametrize(("events", "kind"), [row[1:] for row in KINDS], ids=[r[0] for r in KINDS])
def test_kind(events: list[Event], kind: str) -> None:
    check(events, kind)


def test_an_accepted_suggestion_edited_afterwards() -> None:
    edited = "total = max(values)"
    check(
        [SHOWN, ACCEPTED, settled(edited)],
        "accepted",
        suggestion=TEXT,
        settled_text=edited,
        edit_distance=3 / 19,
        accepted_length=19,
        reaches_suffix=True,
        prefix_intact=True,
        kept=False,
        deleted=False,
    )


@pytest.mark.parametrize(
    ("check_of", "kept"),
    [
        ({"after_seconds": 600, **KEPT}, True),
        ({"after_seconds": 600, "text": "", "edit_distance": 0.2, "retained_characters": 16}, True),
        ({"after_seconds": 600, "text": "", "edit_distance": 0.2, "retained_characters": 15},
         False),
        ({"after_seconds": 300, **KEPT}, False),
        ({"after_seconds": 45, "reason": "close", **KEPT}, True),
        ({"after_seconds": 45, "reason": "closed", **KEPT}, True),
    ],
)  # fmt: skip
def test_kept(check_of: dict[str, Any], kept: bool) -> None:
    retained = check_of["retained_characters"]
    events = [SHOWN, ACCEPTED, on("persisted", 700, **check_of)]
    check(events, "accepted", kept=kept, retained_characters=retained)


def test_typed_through_counts_as_kept() -> None:
    check([SHOWN, on("typed_through", 2, visible_ms=2000)], "typed_through", kept=True)


def test_only_the_last_check_counts_as_retained() -> None:
    early = on("persisted", 30, after_seconds=30, **KEPT)
    late = on("persisted", 600, ordinal=1, after_seconds=600, text="", **GONE)
    check([SHOWN, ACCEPTED, early, late], "accepted", retained_characters=0, kept=False)


@pytest.mark.parametrize(
    ("events", "deleted", "replaced"),
    [
        ([on("persisted", 30, after_seconds=30, text=" ", **GONE)], True, None),
        ([on("persisted", 30, after_seconds=30, text="y = 2", **GONE)], True, "y = 2"),
        ([settled(TEXT), on("persisted", 30, after_seconds=30, text="", **GONE)], True, None),
        ([on("persisted", 30, after_seconds=30, **KEPT)], False, None),
        ([on("persisted", 300, after_seconds=300, text="y", **GONE)], False, None),
        # Gone at 30 s, back at 120 s: somebody moved it about.
        ([on("persisted", 30, after_seconds=30, text="", **GONE),
          on("persisted", 120, ordinal=1, after_seconds=120, **KEPT)], False, None),
        ([on("undone", 2)], True, None),
        ([on("undone", 2), settled("z = 3")], True, "z = 3"),
        ([on("undone", 2), settled(TEXT)], True, None),
        ([settled(TEXT, 1.5), on("undone", 2)], True, None),
    ],
)  # fmt: skip
def test_accepted_then_deleted(events: list[Event], deleted: bool, replaced: str | None) -> None:
    check([SHOWN, ACCEPTED, *events], "accepted", deleted=deleted, replaced_text=replaced)


def test_undone_and_accepted_again_is_not_undone() -> None:
    again = on("accepted", 4, ordinal=1)
    check([SHOWN, ACCEPTED, on("undone", 2), again], "accepted", undone=False, deleted=False)
    check([SHOWN, ACCEPTED, on("undone", 2)], "accepted", undone=True, kept=False)


def test_visible_time_adds_up_over_offers() -> None:
    again = on("shown", 10, ordinal=1, text="values)")
    told = [SHOWN, on("lost", 1, reason="superseded", visible_ms=300), again]
    check([*told, on("dismissed", 12, visible_ms=700)], "dismissed", visible_ms=700)
    untold = [SHOWN, on("lost", 0.3, reason="superseded"), again, on("dismissed", 10.2)]
    check(untold, "dismissed", visible_ms=500, suggestion=TEXT)


def test_a_chosen_alternative_brings_its_own_text() -> None:
    cycled = on("cycled", 1, candidate_index=1, text="total = 0")
    taken = on("accepted", 2, candidate_index=1)
    check([SHOWN, cycled, taken], "accepted", candidate_index=1, suggestion="total = 0")
    untold = on("cycled", 1, candidate_index=1)
    check([SHOWN, untold, taken], "accepted", candidate_index=1, suggestion=None)
    left = on("diverged", 3, candidate_index=1, text="y", visible_ms=3000)
    check([SHOWN, untold, left], "diverged", candidate_index=0, suggestion=TEXT)
    check([SHOWN, cycled, left], "diverged", candidate_index=1, suggestion="total = 0")


def test_lengths_of_parts_are_utf16_and_cumulative() -> None:
    shown = on("shown", 0, text="'😀' + name")
    first = on("partially_accepted", 1, accepted_length=4, unit="word")
    check([shown, first], "partially_accepted", accepted_length=4)
    check([shown, on("accepted", 1)], "accepted", accepted_length=11)


def test_the_diverged_text_stands_in_until_the_place_settles() -> None:
    typed = on("diverged", 1, text="y", visible_ms=900)
    check([SHOWN, typed], "diverged", settled_text="y", prefix_intact=False)
    check([SHOWN, typed, settled("y = 2")], "diverged", settled_text="y = 2", prefix_intact=True)


def test_what_was_gone_for_a_while_and_came_back_was_kept() -> None:
    gone = on("persisted", 31, text="", after_seconds=30, **GONE)
    back = on("persisted", 601, ordinal=1, after_seconds=600, **KEPT)
    check([SHOWN, ACCEPTED, gone], "accepted", kept=False, deleted=True)
    check([SHOWN, ACCEPTED, gone, back], "accepted", kept=True, deleted=False)


def test_the_last_rating_counts() -> None:
    up = on("rated", 1, rating="up", correction="total = 1", **EXPLICIT)
    down = on("rated", 2, ordinal=1, rating="down", **EXPLICIT)
    outcome = check([SHOWN, up, down], "unseen", rating="down", correction="total = 1")
    assert outcome.last_event_at == down.occurred_at


EVENTS = stories(ONE)


@given(events=EVENTS, data=st.data())
def test_order_and_repetition_do_not_matter(events: list[Event], data: st.DataObject) -> None:
    repeated = data.draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    mixed = data.draw(st.permutations(events + repeated))
    assert fold(ONE, mixed) == fold(ONE, events)


@given(events=EVENTS)
def test_what_always_holds(events: list[Event]) -> None:
    outcome = fold(ONE, events)
    kinds = {one.kind for one in events if one.data.reason not in ("superseded", "popup")}
    assert (outcome.deleted or outcome.replaced_text is None) is True
    assert not (outcome.kept and outcome.deleted)
    assert outcome.accepted_length == 0 or "accepted" in outcome.kind
    if EventKind.ACCEPTED in kinds:
        assert outcome.kind is OutcomeKind.ACCEPTED
    if outcome.kind in (OutcomeKind.DIVERGED, OutcomeKind.DISMISSED, OutcomeKind.IGNORED):
        assert outcome.visible_ms >= 400
        assert any(one.kind is EventKind.SHOWN for one in events)
    if outcome.edit_distance is not None:
        assert 0.0 <= outcome.edit_distance <= 1.0
