"""A person in VS Code: what is typed, taken and said in a browser ends up in the store, once."""

import signal
from collections.abc import Callable
from typing import Any

import pytest
from processes import Host, wait_until
from window import Window

pytestmark = pytest.mark.slow

TEXT = "import os\n\n\ndef main():\n    for index in ra"
KEY = "n"  # one key, one question, one suggestion
OpenWindow = Callable[..., Window]
# Another person's habits: nothing comes up and nothing is inserted by itself.
BARE = {
    "editor.quickSuggestions": {"other": "off", "comments": "off", "strings": "off"},
    "editor.wordBasedSuggestions": "off",
    "editor.autoClosingBrackets": "never",
}


def tab(window: Window, offered: str) -> None:
    window.press("Tab")


def escape(window: Window, offered: str) -> None:
    window.press("Escape")
    window.no_ghost()


def type_it(window: Window, offered: str) -> None:
    window.type(offered)


def type_something_else(window: Window, offered: str) -> None:
    window.type("dom_order(3)")


def rate_down(window: Window, offered: str) -> None:
    window.run("Hone: Rate the Last Suggestion: Bad")


@pytest.mark.parametrize(
    ("act", "settings", "kind", "explicit"),
    [
        (tab, {}, "accepted", ["accepted"]),
        (tab, BARE, "accepted", ["accepted"]),
        (escape, {}, "dismissed", ["dismissed"]),
        (type_it, {}, "typed_through", []),
        (type_it, BARE, "typed_through", []),
        (type_something_else, BARE, "diverged", []),
        (rate_down, {}, None, ["rated"]),
    ],
)
def test_what_people_do_is_stored_once(
    open_window: OpenWindow,
    host: Host,
    request: pytest.FixtureRequest,
    act: Callable[[Window, str], None],
    settings: dict[str, Any],
    kind: str | None,
    explicit: list[str],
) -> None:
    name = f"{act.__name__}_{'bare' if settings else 'default'}.py"
    window = open_window(name, TEXT, settings)
    consent(window)
    window.type(KEY)
    offered = window.ghost()
    window.read()
    window.photograph(f"before-{name}")
    act(window, offered)
    told = f"""select e.kind from events e join completions c using (completion_id)
        where c.path = '{name}' and e.source = 'explicit'"""
    outcomes = f"""select o.kind from outcomes o join completions c using (completion_id)
        where c.path = '{name}' and o.kind not in ('unseen', 'ignored')"""
    settled = f"""select 1 from events e join completions c using (completion_id)
        where c.path = '{name}' and e.kind = 'settled'"""
    wait_until(lambda: host.rows(settled), "ten quiet seconds have passed")
    wait_until(lambda: len(host.rows(told)) >= len(explicit), "what was told is stored")
    assert host.rows(told) == [(one,) for one in explicit]
    assert host.rows(outcomes) == ([(kind,)] if kind else [])


def test_who_says_no_leaves_nothing_in_the_store(open_window: OpenWindow, host: Host) -> None:
    before = host.rows("select count(*) from completions")
    window = open_window("refused.py", TEXT)
    window.type(KEY)
    offered = window.ghost()
    window.click("No")
    window.go_to_end()
    window.press("Backspace")
    window.type(KEY)
    assert window.ghost() == offered
    window.press("Tab")
    assert window.saved().startswith(TEXT + KEY + offered)
    assert host.rows("select count(*) from completions") == before
    assert not (window.server.folder / "hone").exists(), "no outbox, no pseudonym"


def test_a_host_that_dies_and_returns_is_one_status_each(
    open_window: OpenWindow, host: Host
) -> None:
    window = open_window("trouble.py", TEXT)
    consent(window)
    host.stop(signal.SIGKILL)
    window.wait_for_status("nothing answers")
    window.type(KEY)
    window.photograph("offline")
    assert window.saved() == TEXT + KEY, "typing goes on"
    assert window.pop_ups() == 0
    host.start()
    window.wait_for_status("Hone is ready")
    window.go_to_end()
    window.press("Backspace")
    window.type(KEY)
    window.ghost()
    assert window.pop_ups() == 0


def test_the_status_tells_which_file_is_left_alone(open_window: OpenWindow) -> None:
    window = open_window("work.py", TEXT)
    (window.server.workspace / ".env").write_text("KEY=1\n")
    window.open(".env")
    window.wait_for_status("left alone")
    window.open("work.py")
    window.wait_for_status("Hone is ready")


def consent(window: Window) -> None:
    """Say yes to the question that the first suggestion brings; take the key back."""
    window.type(KEY)
    window.ghost()
    window.photograph("asks-for-consent")
    window.click("Yes")
    window.wait_for_log("status: starting", "status: starting", "status: ready")
    window.go_to_end()
    window.press("Backspace")
