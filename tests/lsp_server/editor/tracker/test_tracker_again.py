"""Offers that come again, or late: the same completion, at the right place, told once."""

from collections.abc import Callable
from typing import Any

from lsp_server.editor.redaction import Redactor

Check = Callable[..., Any]


def test_a_re_offer_replaces_the_bracket_that_the_editor_closed(check: Check) -> None:
    check(
        "x = <|>\n",
        """
        offer A foo(1)
        wait 900
        type foo
        pair ()
        again+replace=1 A 1)
        wait 500
        swap 1 1)
        tick 10000
        """,
        "A shown 'foo(1)'\nA accepted\nA settled 'foo(1)'",
    )


def test_a_closed_bracket_belongs_to_what_was_written_instead(check: Check) -> None:
    check(
        "x = <|>\ny\n",
        """
        offer A foo(1)
        wait 900
        type foo
        pair ()
        goto y
        offer B yes
        goto )
        again+replace=1 A 1)
        wait 900
        type 2
        tick 10000
        """,
        """
        A shown 'foo(1)'
        A settled 'foo()'
        B shown 'yes'
        B settled ''
        A diverged 'foo(2)'
        A settled 'foo(2)'
        """,
    )


def test_an_answer_that_replaces_text_has_its_place_where_it_was_asked_for(check: Check) -> None:
    check(
        "f(<|>)\n",
        "ask\ntype x\nask\nanswer+late+typed=1+replace=1 A xy)\nwait 900\nswap 1 y)\ntick 10000",
        "A shown 'xy)'\nA accepted\nA settled 'xy)'",
    )


def test_an_answer_that_nobody_waited_for_settles_and_hides_nothing(check: Check) -> None:
    check(
        "x = <|>\n",
        """
        ask
        type f
        offer B oo(1)
        answer+late+unasked A
        wait 900
        insert oo(1)
        tick 10000
        """,
        "B shown 'oo(1)'\nB accepted\nB settled 'oo(1)'\nA settled 'foo(1)'",
    )


def test_an_answer_may_be_asked_for_after_all(check: Check) -> None:
    check(
        "x = <|>\n",
        "ask\nanswer+unasked A\ntick 10000\noffer A foo(1)\nwait 900\ninsert foo(1)\nclose",
        """
        A settled ''
        A shown 'foo(1)'
        A accepted
        A settled 'foo(1)'
        A persisted 0s 'foo(1)' keeps 6 closed
        """,
    )


def test_another_candidate_goes_on_where_the_first_no_longer_fits(check: Check) -> None:
    check(
        "x = <|>\n",
        """
        offer A foo(1) | bar(2)
        wait 500
        type b
        again+index=1 A ar(2) | ar(2)
        wait 500
        insert ar(2)
        tick 10000
        """,
        """
        A shown 'foo(1)'
        A cycled #1 'bar(2)'
        A accepted #1
        A settled #1 'bar(2)'
        """,
    )


def test_the_best_candidate_need_not_be_the_first(check: Check) -> None:
    check(
        "x = <|>\n",
        "offer+index=1 A bar(2) | bar(2)\nwait 500\ninsert bar(2)\ncommand A 1\nclose",
        """
        A shown #1 'bar(2)'
        A accepted #1
        A settled #1 'bar(2)'
        A persisted #1 0s 'bar(2)' keeps 6 closed
        """,
    )


def test_a_secret_before_the_caret_moves_no_text(check: Check) -> None:
    """What is told begins at the anchor, as what was served did."""
    check(
        "f('hunter2', <|>)\n",
        "offer A foo\nwait 900\ntype bar\nclose",
        "A shown 'foo'\nA diverged 'bar'\nA settled 'bar'",
        redact=lambda text: text.replace("hunter2", "<secret>"),
    )


def test_a_key_pasted_below_its_first_line_is_told_to_nobody(play: Callable[..., Any]) -> None:
    key = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
    begin = "-----BEGIN PRIVATE " + "KEY-----"
    played = play(
        f"KEY = '''\n{begin}\n{key}\n<|>\n'''\n",
        f"offer A foo\nwait 900\ninsert {key}\\n{key}\\n\ntick 30000\nclose",
        redact=Redactor().redact,
    )
    assert [event.kind.value for event in played.events] == ["shown", "diverged", "settled"]
    assert not any(key in (event.data.text or "") for event in played.events)
