"""The life of a completion as told by its events: offered, taken or not, settled, checked, lost."""

from collections.abc import Callable
from typing import Any

import pytest

from lsp_server.editor.tracker import TrackerConfig

Check = Callable[..., Any]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param("tick 9999", "A shown 'foo(1)'", id="not yet quiet for long enough"),
        pytest.param("tick 10000", "A shown 'foo(1)'\nA settled ''", id="looked at, left alone"),
        pytest.param(
            "tick 10000\nwait 5000\ninsert foo(1)\ntick 10000",
            "A shown 'foo(1)'\nA settled ''\nA accepted\nA settled 'foo(1)'",
            id="settled while still on screen, accepted later",
        ),
        pytest.param(
            "tick 10000\nwait 5000\ntype bar\ntick 10000",
            "A shown 'foo(1)'\nA settled ''\nA diverged 'bar'\nA settled 'bar'",
            id="thought for long, then typed something else",
        ),
        pytest.param(
            "wait 1000\ntype foo(1)\ntick 10000",
            "A shown 'foo(1)'\nA typed_through\nA settled 'foo(1)'",
            id="typed through",
        ),
        pytest.param(
            "wait 1000\ntype fo\ntick 10000",
            "A shown 'foo(1)'\nA settled 'fo'",
            id="half typed, then left: no verdict",
        ),
        pytest.param(
            "wait 1000\ntype fa\nback 1\ntype oo\ntick 10000",
            "A shown 'foo(1)'\nA settled 'foo'",
            id="a slip that was mended is no refusal",
        ),
        pytest.param(
            "wait 1000\ntype bar\ntick 10000",
            "A shown 'foo(1)'\nA diverged 'bar'\nA settled 'bar'",
            id="typed something else",
        ),
        pytest.param(
            "wait 200\ntype bar\ntick 10000",
            "A shown 'foo(1)'\nA settled 'bar'",
            id="typed on before it could be read",
        ),
        pytest.param(
            "wait 1000\ntype bar\ngoto y\ntype z",
            "A shown 'foo(1)'\nA diverged 'bar'\nA settled 'bar'",
            id="an edit elsewhere settles",
        ),
        pytest.param(
            "wait 1000\ntype bar\ngoto y\nask",
            "A shown 'foo(1)'\nA diverged 'bar'\nA settled 'bar'",
            id="a request elsewhere settles",
        ),
        pytest.param(
            "wait 1000\ngoto y\nask\ngoto \\ny\ninsert foo(1)\ntick 700000",
            "A shown 'foo(1)'\nA settled ''",
            id="what was left behind is over",
        ),
        pytest.param(
            "wait 1000\ntype bar\nclose",
            "A shown 'foo(1)'\nA diverged 'bar'\nA settled 'bar'",
            id="closing settles",
        ),
        pytest.param(
            "wait 1000\noffer B baz\nwait 1000\ntype bar\nclose",
            """
            A shown 'foo(1)'
            B shown 'baz'
            A settled 'bar' superseded
            B diverged 'bar'
            B settled 'bar'
            """,
            id="a newer suggestion is no refusal of the older",
        ),
        pytest.param(
            "wait 1000\ntype f\noffer B oo(2)\nwait 1000\ninsert oo(2)\nclose",
            """
            A shown 'foo(1)'
            B shown 'oo(2)'
            B accepted
            A settled 'foo(2)' superseded
            B settled 'oo(2)'
            B persisted 0s 'oo(2)' keeps 5 closed
            """,
            id="a newer suggestion while typing along is no refusal either",
        ),
    ],
)
def test_outcomes(check: Check, script: str, expected: str) -> None:
    check("x = <|>\ny\n", f"offer A foo(1)\n{script}", expected)


@pytest.mark.parametrize(
    ("flags", "reason"), [("popup", "popup_open"), ("mid", "mid_identifier"), ("", "")]
)
def test_why_it_was_unseen_is_told(check: Check, flags: str, reason: str) -> None:
    told = f"offer+{flags}" if flags else "offer"
    verdict = "" if reason else "A diverged 'bar'"
    check(
        "x = <|>\n",
        f"{told} A foo(1)\nwait 1000\ntype bar\nclose",
        f"A shown 'foo(1)' {reason}\n{verdict}\nA settled 'bar' {reason}".replace(" \n", "\n"),
    )


def test_what_was_never_offered_settles_all_the_same(check: Check) -> None:
    check("x = <|>\n", "offer A \ntype bar\ntick 10000", "A settled 'bar'")
    check(
        "x = <|>\n", "offer A \ntick 10000\ntype bar\ntick 10000", "A settled ''\nA settled 'bar'"
    )


def test_a_word_that_goes_on_was_not_typed_through(check: Check) -> None:
    check(
        "x = <|>\n",
        "offer A foo\nwait 1000\ntype foobar\ntick 10000",
        "A shown 'foo'\nA diverged 'foobar'\nA settled 'foobar'",
    )
    check("x = <|>\n", "offer A foo\nwait 1000\ntype foo\n", "A shown 'foo'")
    check("x = <|>\n", "offer A foo\nwait 1000\ntype foo;", "A shown 'foo'\nA typed_through")


def test_visible_time_adds_up_over_offers(check: Check) -> None:
    played = check(
        "x = <|>\n",
        """
        offer A foo(1)
        wait 150
        tell hidden A 0
        wait 5000
        again A foo(1)
        wait 100
        tell hidden A 0
        wait 5000
        again A foo(1)
        wait 250
        type bar
        close
        """,
        "A shown 'foo(1)'\nA diverged 'bar'\nA settled 'bar'",
    )
    assert [event.data.visible_ms for event in played.events] == [None, 600, 600]


def test_accepting_the_rest_is_a_full_accept(check: Check) -> None:
    played = check(
        "x = <|>\n",
        """
        offer A foo(1)
        wait 500
        type fo
        again A o(1)
        wait 300
        insert o(1)
        tick 30000
        """,
        """
        A shown 'foo(1)'
        A accepted
        A settled 'foo(1)'
        A persisted 30s 'foo(1)' keeps 6
        """,
    )
    accepted = played.events[1].data
    assert (accepted.accepted_length, accepted.visible_ms) == (6, 1000)


def test_a_first_answer_that_was_typed_along_meanwhile_is_offered(check: Check) -> None:
    check(
        "x = <|>\n",
        "ask\ntype fo\nask\nanswer+late A foo(1)\nwait 500\ninsert o(1)\nclose",
        """
        A shown 'foo(1)'
        A accepted
        A settled 'foo(1)'
        A persisted 0s 'foo(1)' keeps 6 closed
        """,
    )


def test_an_offer_again_after_undo_may_be_accepted_again(check: Check) -> None:
    script = "offer A foo(1)\nwait 900\ninsert foo(1)\nwait 900\ndel 6"
    expected = "A shown 'foo(1)'\nA accepted\nA undone"
    played = check("x = <|>\n", script, expected)
    script += "\nagain A foo(1)\nwait 900\ninsert foo(1)\ntick 9000"
    played = check("x = <|>\n", script, f"{expected}\nA accepted")
    assert [event.ordinal for event in played.events] == [0, 0, 0, 1]


def test_an_offer_again_after_everything_was_over_counts_on(check: Check) -> None:
    played = check(
        "x = <|>\ny\n",
        """
        offer A foo(1)
        wait 900
        goto y
        ask
        goto \\ny
        type fo
        again A o(1)
        wait 900
        insert o(1)
        tick 10000
        """,
        "A shown 'foo(1)'\nA settled ''\nA accepted\nA settled 'foo(1)'",
    )
    assert [event.ordinal for event in played.events] == [0, 0, 0, 1]


def test_an_accepted_text_that_is_offered_again_was_deleted_in_between(check: Check) -> None:
    check(
        "x = <|>\n",
        """
        offer A foo(1)
        wait 900
        insert foo(1)
        back 6
        wait 20000
        again A foo(1)
        wait 900
        insert foo(1)
        close
        """,
        """
        A shown 'foo(1)'
        A accepted
        A settled ''
        A persisted 20s '' keeps 0
        A accepted
        A settled 'foo(1)'
        A persisted 0s 'foo(1)' keeps 6 closed
        """,
    )


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param("type ;\\n\ntype y", "A settled 'foo(1)' open", id="typing on is outside"),
        pytest.param(
            "goto foo\ntype (\ntick 10000", "A settled 'foo(1)' moved", id="before it is outside"
        ),
        pytest.param("back 2\ntype 2)\ntick 10000", "A settled 'foo(2)'", id="its end retyped"),
        pytest.param(
            "back 2\ntype 2)\ntype \\n\ntype z\ntick 10000",
            "A settled 'foo(2)' open",
            id="retyping an end is over at its line's end",
        ),
        pytest.param("goto 1\nswap 1 22\ntick 10000", "A settled 'foo(22)'", id="edited inside"),
        pytest.param("goto y\ntype z", "A settled 'foo(1)'", id="left at once"),
        pytest.param(
            "tick 10000\ngoto 1\nswap 1 2\ntick 10000",
            "A settled 'foo(1)'\nA settled 'foo(2)'",
            id="edited after a pause",
        ),
        pytest.param(
            "goto y\ntype z\ngoto 1\nswap 1 2\ntick 10000",
            "A settled 'foo(1)'",
            id="changed on a later visit: no longer about the suggestion",
        ),
    ],
)
def test_what_settles_of_an_accepted_text(check: Check, script: str, expected: str) -> None:
    script = script if "tick" in script or "goto y" in script else f"{script}\ntick 10000"
    check(
        "x = <|>\ny\n",
        f"offer A foo(1)\nwait 900\ninsert foo(1)\n{script}",
        f"A shown 'foo(1)'\nA accepted\n{expected}",
    )


def test_persisted_checks_tell_what_is_left(check: Check) -> None:
    played = check(
        "x = <|>\ny\n",
        """
        offer A foo(1) + 2
        wait 900
        insert foo(1) + 2
        tick 60000
        del 4
        tick 100000
        goto foo
        cut 6
        insert bar
        tick 700000
        close
        """,
        """
        A shown 'foo(1) + 2'
        A accepted
        A settled 'foo(1) + 2'
        A persisted 30s 'foo(1) + 2' keeps 10
        A settled 'foo(1)'
        A persisted 120s 'foo(1)' keeps 6
        A settled 'bar'
        A persisted 300s 'bar' keeps 0
        A persisted 600s 'bar' keeps 0
        """,
    )
    distances = [e.data.edit_distance for e in played.events if e.kind == "persisted"]
    assert distances == [0.0, 0.4, 1.0, 1.0]


def test_closing_tells_what_is_left_and_ends_all(check: Check) -> None:
    check(
        "x = <|>\n",
        "offer A foo(1)\nwait 900\ninsert foo(1)\ntick 45000\nclose\ntick 900000\nclose",
        """
        A shown 'foo(1)'
        A accepted
        A settled 'foo(1)'
        A persisted 30s 'foo(1)' keeps 6
        A persisted 45s 'foo(1)' keeps 6 closed
        """,
    )


def test_of_too_many_the_oldest_is_lost(check: Check) -> None:
    check(
        "x = <|>\n",
        "offer A foo\nwait 50\noffer B bar\nwait 50\noffer C baz\nclose",
        """
        A shown 'foo'
        B shown 'bar'
        A lost evicted
        C shown 'baz'
        B settled '' superseded
        C settled ''
        """,
        config=TrackerConfig(max_tracked=2),
    )


def test_an_answer_after_closing_is_lost(check: Check) -> None:
    check("x = <|>\n", "ask\nclose\nanswer A foo", "A lost closed")


def test_a_long_text_is_cut(play: Callable[..., Any]) -> None:
    played = play("x = <|>\n", f"offer A \ninsert {'a' * 4100}\nclose")
    (settled,) = played.events
    assert settled.data.text == "a" * 4000
    assert settled.data.reaches_suffix is False


def test_what_would_have_been_replaced_was_not_typed(check: Check) -> None:
    check("f(<|>)\n", "offer+replace=1 A x)\ntick 10000", "A shown 'x)'\nA settled ''")
    check(
        "f(<|>)\n",
        "offer+replace=1 A x)\nwait 900\ntype y\ntick 10000",
        "A shown 'x)'\nA diverged 'y'\nA settled 'y'",
    )
    check(
        "f(<|>)\n",
        "offer+replace=1 A xy)\nwait 900\nswap 1 xy)\ntick 10000",
        "A shown 'xy)'\nA accepted\nA settled 'xy)'",
    )


def test_every_text_is_redacted_together_with_its_line(check: Check) -> None:
    def redact(text: str) -> str:
        return text.replace("key = hunter2", "key = <secret>").replace("hunter2!", "<secret>")

    check(
        "key = <|>\n",
        "offer A hunter2\nwait 900\ntype hunter3\nclose",
        "A shown '<secret>'\nA diverged 'hunter3'\nA settled 'hunter3'",
        redact=redact,
    )
    check(
        "key = <|>\n",
        "offer A foo\nwait 900\ntype hunter2\nclose",
        "A shown 'foo'\nA diverged '<secret>'\nA settled '<secret>'",
        redact=redact,
    )
