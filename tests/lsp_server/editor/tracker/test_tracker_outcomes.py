"""What the store folds from the tracker's events is what the user did (design, section 4)."""

from collections.abc import Callable
from typing import Any

import pytest

from feedback_store.outcomes import fold
from feedback_store.schemas import OutcomeKind

ACCEPT = "offer A foo(1)\nwait 900\ninsert foo(1)"
TEXT = "x = <|>\ny\n"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (ACCEPT, OutcomeKind.ACCEPTED),
        ("offer A foo(1)\nwait 900\ntype foo(1)", OutcomeKind.TYPED_THROUGH),
        ("offer A foo(1)\nwait 900\ntype bar", OutcomeKind.DIVERGED),
        ("offer A foo(1)\nwait 900\ntell dismissed A 0\ntype bar", OutcomeKind.DISMISSED),
        ("offer A foo(1)\nwait 900\ngoto y\nask", OutcomeKind.IGNORED),
        ("offer A foo(1)\nwait 200\ntype bar", OutcomeKind.UNSEEN),
        ("offer A foo(1)\nwait 900\noffer B baz\ntype bar", OutcomeKind.UNSEEN),
        ("offer+popup A foo(1)\nwait 900\ntype bar", OutcomeKind.UNSEEN),
        ("offer+mid A foo(1)\nwait 900\ntype bar", OutcomeKind.UNSEEN),
        ("offer A foo(1)\nwait 900\nmulti foo(1) @ \\ny @ y\\n", OutcomeKind.UNSEEN),
        ("offer A \nwait 900\ntype bar", OutcomeKind.UNSEEN),
        (
            "offer A foo(1)\nwait 900\ninsert foo\n"
            'tell partially_accepted A 0 {"accepted_length": 3}\ntype bar',
            OutcomeKind.PARTIALLY_ACCEPTED,
        ),
    ],
)
def test_outcome(play: Callable[..., Any], script: str, kind: OutcomeKind) -> None:
    played = play(TEXT, f"{script}\ntick 10000\nclose")
    about_a = [event for event in played.events if event.completion_id.int == ord("A")]
    assert fold(about_a[0].completion_id, about_a).kind is kind


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", {"kept": True, "edit_distance": 0.0, "retained_characters": 6}),
        ("tick 700000", {"kept": True, "reaches_suffix": True, "prefix_intact": True}),
        ("goto 1\nswap 1 2", {"edit_distance": 1 / 6, "settled_text": "foo(2)", "deleted": False}),
        ("type ;", {"kept": True, "edit_distance": 0.0, "reaches_suffix": False}),
        ("wait 9000\ndel 6\ntype bar\ntick 30000", {"deleted": True, "replaced_text": "bar"}),
        ("wait 9000\ndel 6\ntick 30000", {"deleted": True, "replaced_text": None}),
        ("wait 900\ndel 6\ntype bar", {"undone": True, "replaced_text": "bar", "kept": False}),
        ("edits foo(1) => foo( 1 ) ; y => y ", {"reformatted": True, "kept": True}),
    ],
)
def test_what_became_of_an_accepted_text(
    play: Callable[..., Any], script: str, expected: dict[str, Any]
) -> None:
    played = play(TEXT, f"{ACCEPT}\n{script}\ntick 10000\nclose")
    outcome = fold(played.events[0].completion_id, played.events)
    assert outcome.kind is OutcomeKind.ACCEPTED
    assert {name: getattr(outcome, name) for name in expected} == pytest.approx(expected)
