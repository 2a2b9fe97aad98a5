"""What clients tell of their own accord, true or not, sharpens what is inferred."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from feedback_store.schemas import EventKind
from lsp_server.editor.document import Applied, Edit
from lsp_server.editor.tracker import Answered, Tracker, TrackerConfig

Check = Callable[..., Any]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param("wait 900\ntell shown A 0", "", id="shown, known already"),
        pytest.param("tell hidden A 0\nwait 900\ninsert foo(1)", "", id="hidden"),
        pytest.param(
            'wait 900\ntell hidden A 0 {"reason": "popup_open"}\ntype bar\nclose',
            "A settled 'bar' superseded",
            id="a list of completions came over it: no refusal",
        ),
        pytest.param(
            'wait 900\ntell hidden A 0 {"reason": "popup_open"}\nagain A foo(1)\ntype bar\nclose',
            "A diverged 'bar'\nA settled 'bar'",
            id="offered again after the list: what follows counts",
        ),
        pytest.param(
            "wait 900\ntell hidden A 0\ninsert foo(1)\ntell accepted A 0",
            "A accepted!",
            id="hidden, then told to be accepted all the same",
        ),
        pytest.param(
            "wait 900\ninsert foo(1)\ntell hidden A 0\ntell dismissed A 0\ncommand A 0",
            "A accepted",
            id="inferred and told: one event",
        ),
        pytest.param(
            'wait 900\ntell dismissed A 0 {"reason": "esc"}\ntell dismissed A 0\ntype bar\nclose',
            "A dismissed! esc\nA diverged 'bar'\nA settled 'bar'",
            id="dismissed, and something else typed",
        ),
        pytest.param(
            "wait 900\ntell dismissed A 0\nagain A foo(1)\nwait 900\ninsert foo(1)",
            "A dismissed!\nA accepted",
            id="dismissed, asked for again, accepted",
        ),
        pytest.param(
            "wait 900\ntype foo(1)\ncommand A 0",
            "A typed_through\nA accepted!",
            id="told to be accepted, whatever it looked like",
        ),
        pytest.param(
            'tell rated A 0 {"rating": "down", "comment": "no", "correction": "bar"}\n'
            'tell rated A 0 {"rating": "up"}',
            "A rated! down\nA rated! up",
            id="rated twice",
        ),
        pytest.param(
            'tell rated A 0\ntell rated A 0 {"rating": "five"}\n'
            'tell dismissed A -1\ntell settled A 0 {"text": "x"}\n'
            "tell cycled A 7\ntell shown A 7\ntell partially_accepted A 0\n"
            'tell partially_accepted A 0 {"accepted_length": "all"}\n'
            'tell partially_accepted A 0 {"accepted_length": -3}',
            "",
            id="nonsense",
        ),
        pytest.param(
            'close\ntell rated A 0 {"rating": "up"}\ncommand A 0\ncommand A 0',
            "A settled ''\nA rated! up\nA accepted!",
            id="told after the document was closed",
        ),
    ],
)
def test_notifications(check: Check, script: str, expected: str) -> None:
    check("x = <|>\n", f"offer A foo(1)\n{script}", f"A shown 'foo(1)'\n{expected}")


def test_a_client_that_tells_is_not_second_guessed(check: Check) -> None:
    check(
        "x = <|>\n",
        "offer+explicit A foo(1)\nwait 900\ninsert foo(1)\nclose",
        "A settled 'foo(1)'",
    )
    played = check(
        "x = <|>\n",
        "offer+explicit A foo(1)\nwait 900\ntell shown A 0\nwait 500\ninsert foo(1)",
        "A shown! 'foo(1)'\nA accepted",
    )
    assert played.events[1].data.visible_ms == 500


def test_cycling_tells_every_candidate_that_was_on_screen(check: Check) -> None:
    played = check(
        "x = <|>\n",
        """
        offer A foo(1) | bar(2) | baz(3)
        wait 500
        tell cycled A 1
        tell cycled A 1
        wait 500
        insert bar(2)
        tick 10000
        """,
        """
        A shown 'foo(1)'
        A cycled! #1 'bar(2)'
        A accepted #1
        A settled #1 'bar(2)'
        """,
    )
    assert played.events[2].data.visible_ms == 1000


def test_a_client_that_cycles_in_silence_is_found_out(check: Check) -> None:
    check(
        "x = <|>\n",
        "offer A foo(1) | bar(2)\nwait 900\ninsert bar(2)",
        "A shown 'foo(1)'\nA cycled #1 'bar(2)'\nA accepted #1",
    )
    check(
        "x = <|>\n",
        "offer A foo(1) | bar(2)\nwait 900\ninsert bar(2)\nwait 1\ncommand A 1\ntick 10000",
        "A shown 'foo(1)'\nA cycled #1 'bar(2)'\nA accepted! #1\nA settled #1 'bar(2)'",
        config=TrackerConfig(client_sends_accept_command=True),
    )


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(
            """
            insert foo
            tell partially_accepted A 0 {"accepted_length": 3}
            wait 500
            insert (\U0001f600
            tell partially_accepted A 0 {"accepted_length": 6, "unit": "other"}
            tick 10000
            """,
            "A partially_accepted! 3 word\nA partially_accepted! 6 other\n"
            "A settled 'foo(\U0001f600'",
            id="UTF-16 units, cumulative",
        ),
        pytest.param(
            """
            tell partially_accepted A 0 {"accepted_length": 3}
            insert foo
            tell partially_accepted A 0 {"accepted_length": 3}
            wait 500
            type bar
            tick 30000
            """,
            "A partially_accepted! 3 word\nA settled 'foobar'\nA persisted 30s 'foo' keeps 3 open",
            id="told before the change, twice; then something else",
        ),
        pytest.param(
            """
            insert foo
            tell partially_accepted A 0 {"accepted_length": 3}
            again A (\U0001f600)
            wait 500
            insert (\U0001f600)
            close
            """,
            """
            A partially_accepted! 3 word
            A accepted
            A settled 'foo(\U0001f600)'
            A persisted 0s 'foo(\U0001f600)' keeps 6 closed
            """,
            id="the rest is a full accept",
        ),
        pytest.param(
            """
            insert foo
            tell partially_accepted A 0 {"accepted_length": 3}
            again A (\U0001f600)
            insert (\U0001f600
            tell partially_accepted A 0 {"accepted_length": 3}
            """,
            "A partially_accepted! 3 word\nA partially_accepted! 6 word",
            id="counted from the rest that was offered",
        ),
        pytest.param(
            'insert foo(\U0001f600)\ntell partially_accepted A 0 {"accepted_length": 7}',
            "A accepted",
            id="all of it, told as a part, inferred already",
        ),
        pytest.param(
            """
            insert foo
            tell partially_accepted A 0 {"accepted_length": 3}
            wait 900
            del 3
            close
            """,
            "A partially_accepted! 3 word\nA undone\nA settled ''",
            id="undone",
        ),
        pytest.param(
            """
            insert foo
            tell partially_accepted A 0 {"accepted_length": 3}
            type (\U0001f600)
            close
            """,
            """
            A partially_accepted! 3 word
            A settled 'foo(\U0001f600)'
            A persisted 0s 'foo' keeps 3 open closed
            """,
            id="the rest typed",
        ),
    ],
)
def test_partial_accepts(check: Check, script: str, expected: str) -> None:
    # The script language knows ASCII only, hence the stand-in.
    script = script.replace("\U0001f600", "\\U0001f600")
    check(
        "x = <|>\n",
        f"offer A foo(\\U0001f600)\nwait 900\n{script}",
        f"A shown 'foo(\U0001f600)'\n{expected}",
    )


def test_nothing_unknown_is_an_error() -> None:
    tracker, nobody = Tracker(), UUID(int=7)
    edits = Applied((Edit(0, "", "x"),), False, 1.0)
    tracker.changed("nowhere", edits, "x", 1)
    tracker.saved("nowhere", 2)
    tracker.closed("nowhere", 3)
    tracker.requested("nowhere", 0, 4)
    tracker.tick(5)
    assert tracker.next_deadline_ms() is None
    for kind in (*EventKind, "hidden", "whatever"):
        data = {"rating": "up", "accepted_length": 3, "reason": "\ud800"}
        tracker.notified(kind, nobody, 0, data, 6)
    kinds = [event.kind.value for event in tracker.take_events()]
    assert kinds == ["accepted", "rated"]


def test_what_an_unknown_completion_is_told_to_be_is_counted_on_when_it_comes() -> None:
    tracker, known_later = Tracker(), UUID(int=7)
    tracker.opened("u", "x", 0)
    for now_ms in (1, 2):
        tracker.notified(EventKind.RATED, known_later, 0, {"rating": "up"}, now_ms)
    tracker.answered(Answered(known_later, "u", 1, 0, ("foo",), "x", ""), 3)
    tracker.notified(EventKind.RATED, known_later, 0, {"rating": "down"}, 4)
    told = [(event.kind.value, event.ordinal) for event in tracker.take_events()]
    assert told == [("rated", 0), ("rated", 1), ("shown", 0), ("rated", 2)]


def test_the_next_deadline_is_told() -> None:
    tracker = Tracker(TrackerConfig(client_sends_accept_command=True))
    tracker.opened("u", "x", 0)
    assert tracker.next_deadline_ms() is None
    tracker.answered(Answered(UUID(int=1), "u", 1, 0, ("foo",), "x", ""), 100)
    assert tracker.next_deadline_ms() == 10_100
    tracker.changed("u", Applied((Edit(1, "", "foo"),), False, 0.7), "xfoo", 600)
    assert tracker.next_deadline_ms() == 900
    tracker.command_accepted(UUID(int=1), 0, 601)
    assert tracker.next_deadline_ms() == 10_600
    tracker.tick(10_600)
    assert tracker.next_deadline_ms() == 30_600
    tracker.tick(9_000_000)
    assert tracker.next_deadline_ms() is None
    assert len(tracker.take_events()) == 7


def test_time_never_goes_back() -> None:
    tracker = Tracker()
    tracker.opened("u", "x", 5_000)
    tracker.answered(Answered(UUID(int=1), "u", 1, 0, ("foo",), "x", ""), 4_000)
    tracker.closed("u", 3_000)
    shown, settled = tracker.take_events()
    assert shown.occurred_at == settled.occurred_at
