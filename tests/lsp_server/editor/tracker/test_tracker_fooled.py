"""What clients do that would be mistaken for something else (design, section 4), row by row."""

from collections.abc import Callable
from typing import Any

import pytest

from lsp_server.editor.tracker import TrackerConfig

Check = Callable[..., Any]
RUNS_COMMAND = TrackerConfig(client_sends_accept_command=True)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(
            "keys fo\nkeys o(\ninsert 1)\nclose",
            """
            A shown 'foo(1)'
            A typed_through
            A settled 'foo(1)'
            A persisted 0s 'foo(1)' keeps 6 closed
            """,
            id="several keys in one change, none of them the whole offer",
        ),
        pytest.param(
            "keys foo(1)\nclose",
            """
            A shown 'foo(1)'
            A typed_through
            A settled 'foo(1)'
            A persisted 0s 'foo(1)' keeps 6 closed
            """,
            id="all keys of the offer as edits of their own in one change",
        ),
        pytest.param(
            "insert foo\nclose",
            "A shown 'foo(1)'\nA settled 'foo'",
            id="a multi-character match is no partial accept",
        ),
        pytest.param(
            "insert foo(1)\\n\nclose",
            """
            A shown 'foo(1)'
            A typed_through
            A settled 'foo(1)' open
            A persisted 0s 'foo(1)' keeps 6 open closed
            """,
            id="the offer and the next key in one debounced diff",
        ),
        pytest.param(
            "insert foo(1)\nclose",
            """
            A shown 'foo(1)'
            A accepted
            A settled 'foo(1)'
            A persisted 0s 'foo(1)' keeps 6 closed
            """,
            id="the whole offer at once",
        ),
    ],
)
def test_debounced_diffs(check: Check, script: str, expected: str) -> None:
    check("x = <|>\n", f"offer A foo(1)\nwait 1000\n{script}", expected)


def test_the_command_after_the_change_makes_one_accept(check: Check) -> None:
    played = check(
        "x = <|>\n",
        "offer A foo(1)\nwait 1000\ninsert foo(1)\nwait 1\ncommand A 0\ntick 5000\ncommand A 0",
        "A shown 'foo(1)'\nA accepted!",
        config=RUNS_COMMAND,
    )
    assert played.events[-1].data.visible_ms == 1000


def test_without_the_command_it_was_no_accept_where_the_command_is_known_to_come(
    check: Check,
) -> None:
    check(
        "x = <|>\n",
        "offer A foo(1)\nwait 1000\ninsert foo(1)\ntick 299\ntick 1",
        "A shown 'foo(1)'\nA typed_through",
        config=RUNS_COMMAND,
    )


def test_the_command_may_come_before_the_change(check: Check) -> None:
    check(
        "x = <|>\n",
        "offer A foo(1)\nwait 1000\ncommand A 0\nwait 150\ninsert foo(1)\ntick 10000",
        "A shown 'foo(1)'\nA accepted!\nA settled 'foo(1)'",
    )


def test_a_client_that_ran_the_command_once_is_known_to_run_it(check: Check) -> None:
    check(
        "x = <|>\n",
        """
        offer A foo(1)
        wait 1000
        insert foo(1)
        wait 1
        command A 0
        type ;
        offer B bar(2)
        wait 1000
        insert bar(2)
        tick 300
        """,
        """
        A shown 'foo(1)'
        A accepted
        B shown 'bar(2)'
        B typed_through
        """,
    )


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(
            "type fo\npair ()\nagain A 1)\nwait 500\nclose",
            "A shown 'foo(1)'\nA diverged 'fo()'\nA settled 'fo()'",
            id="not the suggestion: something else",
        ),
        pytest.param(
            "type foo\npair ()\ntype 1\ngoto $\nclose",
            """
            A shown 'foo(1)'
            A typed_through
            A settled 'foo(1)'
            A persisted 0s 'foo(1)' keeps 6 closed
            """,
            id="an auto-closed bracket that the suggestion has too",
        ),
        pytest.param(
            "type foo\npair ()\nswap 1 )\nclose",
            "A shown 'foo(1)'\nA settled 'foo()'",
            id="an over-typed closer changes nothing",
        ),
    ],
)
def test_auto_closing(check: Check, script: str, expected: str) -> None:
    check("x = <|>\n", f"offer A foo(1)\nwait 1000\n{script}", expected)


def test_a_closer_after_the_caret_belongs_to_no_suggestion(check: Check) -> None:
    check(
        "x = <|>\n",
        "offer A foo(1\nwait 1000\ntype foo\npair ()\ntype 1;\ntick 10000",
        "A shown 'foo(1'\nA typed_through\nA settled 'foo(1' open",
    )


@pytest.mark.parametrize(
    "before",
    [
        "tell hidden A 0",
        "tell dismissed A 0",
        "type z\nback 1",
        "goto y\noffer B yes\ngoto = \ntype =\nback 1\ngoto \\n",
    ],
)
def test_matching_text_without_a_live_offer_is_no_accept(play: Check, before: str) -> None:
    played = play("x = <|>\ny\n", f"offer A foo(1)\nwait 900\n{before}\ninsert foo(1)\nclose")
    assert not {"accepted", "typed_through"} & {e.kind.value for e in played.events}


def test_a_pop_up_item_with_the_same_text_is_no_accept(check: Check) -> None:
    check(
        "x = <|>\n",
        "offer+popup A foo(1)\nwait 1000\ninsert foo(1)\ntick 300\nclose",
        "A shown 'foo(1)' popup_open\nA settled 'foo(1)' popup_open",
    )
    check(
        "x = <|>\n",
        "offer+popup A foo(1)\nwait 1000\ninsert foo(1)\nwait 1\ncommand A 0",
        "A shown 'foo(1)' popup_open\nA accepted!",
    )


def test_redo_of_an_undone_accept_is_no_second_accept(check: Check) -> None:
    check(
        "x = <|>\n",
        "offer A foo(1)\nwait 1000\ninsert foo(1)\nwait 900\ndel 6\nwait 900\ninsert foo(1)\nclose",
        "A shown 'foo(1)'\nA accepted\nA undone\nA settled 'foo(1)'",
    )


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(
            "wait 4900\ndel 6\ntype bar\nclose", "A undone\nA settled 'bar'", id="exact, soon"
        ),
        pytest.param(
            "wait 5100\ndel 6\ntype bar\nclose",
            "A settled 'bar'\nA persisted 5s 'bar' keeps 0 closed",
            id="exact, but later: it was deleted",
        ),
        pytest.param(
            "wait 900\nback 6\nclose",
            "A settled ''\nA persisted 1s '' keeps 0 closed",
            id="key by key: it was deleted",
        ),
        pytest.param(
            "wait 900\ndel 3\nclose",
            "A settled 'foo'\nA persisted 0s 'foo' keeps 3 closed",
            id="only a part",
        ),
        pytest.param(
            "type z\nwait 900\ndel 7\nclose", "A undone\nA settled ''", id="with what came after"
        ),
    ],
)
def test_undo_right_after_accept(check: Check, script: str, expected: str) -> None:
    check(
        "x = <|>\n",
        f"offer A foo(1)\nwait 1000\ninsert foo(1)\n{script}",
        f"A shown 'foo(1)'\nA accepted\n{expected}",
    )


def test_undo_puts_back_what_was_replaced(check: Check) -> None:
    check(
        "print(<|>)\n",
        "offer+replace=1 A x, y)\nwait 1000\nswap 1 x, y)\nwait 900\ngoto x, y\nswap 5 )\nclose",
        "A shown 'x, y)'\nA accepted\nA undone\nA settled ''",
    )


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(
            "edits f(1,'a') => f(1, \"a\") ; y=2 => y = 2\nclose",
            "A settled 'f(1, \"a\")' reformatted\n"
            "A persisted 0s 'f(1, \"a\")' keeps 8 reformatted closed",
            id="several hunks",
        ),
        pytest.param(
            "swap 0 \ngoto f(1\nswap 8 f( 1,'a')\nwait 50\nsave\nclose",
            "A settled \"f( 1,'a')\"\nA persisted 0s \"f( 1,'a')\" keeps 8 closed",
            id="one blank, typed, then saved: typing is not taken for formatting",
        ),
        pytest.param(
            "goto 'a'\nswap 3 \"a\"\nwait 50\nsave\nclose",
            "A settled 'f(1,\"a\")' reformatted\n"
            "A persisted 0s 'f(1,\"a\")' keeps 8 reformatted closed",
            id="quotes changed, then saved",
        ),
        pytest.param(
            "edits f(1,'a') => f(\\n    1,\\n    'a',\\n) ; y=2 => y = 2\nclose",
            "A settled \"f(\\n    1,\\n    'a',\\n)\" reformatted\n"
            "A persisted 0s \"f(\\n    1,\\n    'a',\\n)\" keeps 8 reformatted closed",
            id="exploded into lines with a trailing comma",
        ),
        pytest.param(
            "edits import b\\nimport a => import a\\nimport b ; y=2 => y = 2\ntick 9999\nclose",
            "A settled \"f(1,'a')\" moved\nA persisted 10s \"f(1,'a')\" keeps 8 closed",
            id="organised imports elsewhere are no edit elsewhere by the user",
        ),
        pytest.param(
            "edits f(1,'a') => f(1, 'bc') ; y=2 => y = 2\nclose",
            "A settled \"f(1, 'bc')\"\nA persisted 0s \"f(1, 'bc')\" keeps 7 closed",
            id="several hunks that change more than blanks",
        ),
    ],
)
def test_formatters(check: Check, script: str, expected: str) -> None:
    check(
        "import b\nimport a\nx = <|>\ny=2\n",
        f"offer A f(1,'a')\nwait 1000\ninsert f(1,'a')\nwait 100\n{script}",
        f"A shown \"f(1,'a')\"\nA accepted\n{expected}",
    )


def test_a_formatter_refuses_nothing(check: Check) -> None:
    check(
        "x=<|>\ny=2\n",
        "offer A foo(1)\nwait 1000\nedits x= => x =  ; y=2 => y = 2\ntick 10000",
        "A shown 'foo(1)'\nA settled ' ' moved reformatted",
    )


def test_a_replaced_document_is_lost_and_says_nothing_of_deletion(check: Check) -> None:
    check(
        "x = <|>\nabc = 1\ndef = 2\n",
        """
        offer A foo(1)
        wait 1000
        insert foo(1)
        type \\n
        offer B bar
        whole another = 1\\nbranch = 2\\naltogether = 3\\n
        tick 700000
        close
        """,
        "A shown 'foo(1)'\nA accepted\nB shown 'bar'\nA lost replaced\nB lost replaced",
    )


def test_a_whole_document_that_changed_little_is_compared_by_lines(check: Check) -> None:
    check(
        "a = 1\nb = 2\nx = <|>\nc = 3\n",
        """
        offer A foo(1)
        wait 1000
        whole a = 1\\nb = 2\\nx = foo(1)\\nc = 3\\n
        whole a = 10\\nb = 2\\nx = foo(1)\\nc = 3\\n
        tick 30000
        """,
        """
        A shown 'foo(1)'
        A accepted
        A settled 'foo(1)' moved
        A persisted 30s 'foo(1)' keeps 6
        """,
    )


def test_several_cursors_make_it_unseen(check: Check) -> None:
    check(
        "a = <|>;\nb = ;\nc\n",
        "offer A foo(1)\nwait 1000\nmulti foo(1) @ ;\\nb @ ;\\nc\nclose",
        "A shown 'foo(1)'\nA settled 'foo(1)' multi_cursor",
    )


def test_several_cursors_and_the_command_are_an_accept(check: Check) -> None:
    check(
        "a = <|>;\nb = ;\nc\n",
        "offer A foo(1)\nwait 1000\nmulti foo(1) @ ;\\nb @ ;\\nc\nwait 1\ncommand A 0",
        "A shown 'foo(1)'\nA accepted!",
    )


def test_a_superseded_answer_that_no_longer_fits_is_not_shown(check: Check) -> None:
    check(
        "x = <|>\n",
        "ask\ntype ba\nask\nanswer+late A foo(1)\ntick 10000",
        "A settled 'ba'",
    )
