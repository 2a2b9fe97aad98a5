"""The list of completions and ghost text: what it covers was not read, what it inserts is not ours.

In one window ghost text may stand beside the list, in the other nothing is suggested then.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from processes import Host, wait_until
from stories import LEFT, Story, check, faults_of, stories_of
from window import GHOST, Window

pytestmark = pytest.mark.slow

TEXT = "import os\n\n\ndef main():\n    for index in ra"
KEY = "n"
PAIR = "class Pair:\n    def __init__(self, first, second):\n        self.a = first\n        self"
ITEM = "second"  # a word of the file, with which the suggestion behind the dot begins
WHILE_TYPING: dict[str, Any] = {"editor.quickSuggestions": {"other": "on"}}
SETTINGS: dict[str, dict[str, Any]] = {"beside": {}, "alone": {"hone.besidePopUp": False}}
LIST = ".suggest-widget.visible"
OpenWindow = Callable[..., Window]


@pytest.fixture(scope="module")
def windows(open_window: OpenWindow) -> dict[str, Window]:
    """Windows where somebody has said yes to learning."""
    windows = {name: open_window(name, settings) for name, settings in SETTINGS.items()}
    for window in windows.values():
        window.says_yes(TEXT, KEY)
    return windows


@pytest.fixture(params=SETTINGS)
def window(request: pytest.FixtureRequest, windows: dict[str, Window]) -> Window:
    return windows[request.param]


@pytest.fixture
def name(window: Window, request: pytest.FixtureRequest) -> str:
    """The name of this test's own file."""
    return f"{request.node.originalname}_{window.name}.py".removeprefix("test_")


@pytest.fixture(scope="module", autouse=True)
def nothing_is_missing_or_double(host: Host) -> Iterator[None]:
    yield
    assert faults_of(host) == {}


def test_what_the_list_covers_is_not_refused(window: Window, name: str, host: Host) -> None:
    window.write(name, PAIR + ".")
    window.type("s")
    offered = window.ghost()
    window.read()
    open_list(window)
    window.photograph(f"covered-{window.name}")
    window.press("Escape")
    wait_until(lambda: window.ghost() == offered, "it is back once the list is closed")
    open_list(window)
    window.type("x")
    assert window.saved() == PAIR + ".sx"
    window.leave()
    found = stories_of(host, name)
    check(found, "left")
    assert "diverged" not in kinds(found)


def test_an_item_that_says_the_same_is_no_accept(window: Window, name: str, host: Host) -> None:
    """The caret stands behind a dot: the item is inserted there at once, like a word of ours."""
    window.write(name, PAIR)
    window.type(".")
    assert window.ghost().startswith(ITEM)
    window.read()
    open_list(window)
    choose(window, ITEM)
    window.read()
    window.press("Enter")
    assert window.saved() == f"{PAIR}.{ITEM}"
    window.leave()
    found = stories_of(host, name)
    check(found, "left")
    assert not kinds(found) & {"accepted", "partially_accepted", "typed_through", "diverged"}


def test_what_follows_an_item_can_be_taken(window: Window, name: str, host: Host) -> None:
    window.write(name, PAIR)
    window.type(".")
    window.ghost()
    open_list(window)
    choose(window, ITEM)
    window.press("Enter")
    window.page.wait_for_selector(LIST, state="detached")
    rest = wait_until(lambda: after_item(window.ghost()), "the rest is offered")
    window.read()
    window.press("Tab")
    assert window.saved().startswith(f"{PAIR}.{ITEM}{rest}")
    window.leave()
    found = stories_of(host, name)
    (taken,) = (story for story in found if story.kind not in LEFT)
    assert taken.kind == "accepted"
    assert taken.told("accepted").source == "explicit"
    assert "partially_accepted" not in kinds(found)


def test_what_stands_beside_the_list_counts_as_unseen(
    windows: dict[str, Window], host: Host
) -> None:
    window = windows["beside"]
    window.set({**SETTINGS["beside"], **WHILE_TYPING})
    window.write("beside_the_list.py", PAIR + ".")
    window.type("s")
    wait_for_list(window)
    assert window.ghost().startswith(ITEM[1:])
    window.read()
    window.photograph("beside-the-list")
    window.type("x")
    assert window.saved() == PAIR + ".sx"
    window.leave()
    # Without the list it would have been read, and refused by what was typed instead.
    assert check(stories_of(host, "beside_the_list.py"), "left").kind == "unseen"


def test_nothing_stands_beside_the_list_where_that_is_not_wanted(
    windows: dict[str, Window], host: Host
) -> None:
    """What was asked for before the list came up goes, and comes back when it is closed."""
    window = windows["alone"]
    window.set({**SETTINGS["alone"], **WHILE_TYPING})
    window.write("alone_with_the_list.py", PAIR + ".")
    window.type("s")
    wait_for_list(window)
    window.no_ghost()
    window.read()
    window.photograph("alone-with-the-list")
    assert window.page.locator(GHOST).count() == 0
    assert window.page.locator(LIST).count() == 1
    window.press("Escape")
    window.ghost()
    window.leave()
    found = stories_of(host, "alone_with_the_list.py")
    check(found, "left")
    assert "popup_open" not in {event.data.get("reason") for s in found for event in s.events}


def open_list(window: Window) -> None:
    """Ask for the list of completions."""
    window.press("Control+Space")
    wait_for_list(window)


def wait_for_list(window: Window) -> None:
    """Wait until there is a list, with an item selected."""
    window.page.wait_for_selector(f"{LIST} .monaco-list-row.focused")


def choose(window: Window, item: str) -> None:
    """Go down to an item of the list."""
    chosen = f"{LIST} .monaco-list-row.focused[aria-label^='{item}']"
    for _ in range(20):
        if window.page.locator(chosen).count():
            return
        before = window.page.locator(f"{LIST} .focused").first.get_attribute("aria-label")
        window.press("ArrowDown")
        window.page.wait_for_selector(f"{LIST} .focused:not([aria-label='{before}'])")
    raise AssertionError(f"the list has no {item}")


def after_item(ghost: str) -> str:
    """Return ghost text that goes on behind the item, "" while it is another."""
    return ghost if ghost.startswith(" ") else ""


def kinds(found: list[Story]) -> set[str]:
    """Return what was told in any of the stories."""
    return {event.kind for story in found for event in story.events}
