"""What people do with ghost text in VS Code is what the store says, completion by completion.

The same acts twice: with what VS Code does by itself (quick suggestions, auto-closing brackets)
and a formatter on save, and with all of that off.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from processes import Host, wait_until
from stories import check, faults_of, stories_of
from window import Window

pytestmark = pytest.mark.slow

TEXT = "import os\n\n\ndef main():\n    for index in ra"
KEY = "n"  # one key, one question, one suggestion
FIELD = "class Pair:\n    def __init__(self, first, second):\n        self.a = first\n        self."
LOOP = "def total(values):\n    result = 0\n    for value in values:\n       "
GUARD = "def main():\n    pass\n\n\nif "
SETTINGS: dict[str, dict[str, Any]] = {
    "helped": {"editor.formatOnSave": True},
    "bare": {
        "editor.quickSuggestions": {"other": "off", "comments": "off", "strings": "off"},
        "editor.wordBasedSuggestions": "off",
        "editor.autoClosingBrackets": "never",
        "editor.formatOnSave": False,
    },
}


@pytest.fixture(scope="module", params=SETTINGS)
def window(request: pytest.FixtureRequest, open_window: Callable[..., Window]) -> Window:
    """A window where somebody has said yes to learning."""
    window = open_window(request.param, SETTINGS[request.param])
    window.says_yes(TEXT, KEY)
    return window


@pytest.fixture
def offer(window: Window, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Type `key` behind `text` in a file of this test's own; return the ghost text, once read."""

    def offer(text: str = TEXT, key: str = KEY) -> str:
        window.write(f"{request.node.originalname}_{window.name}.py".removeprefix("test_"), text)
        window.type(key)
        offered = window.ghost()
        window.read()
        window.photograph(window.file.stem)
        return offered

    return offer


@pytest.fixture(scope="module", autouse=True)
def nothing_is_missing_or_double(host: Host) -> Iterator[None]:
    yield
    assert faults_of(host) == {}


Offer = Callable[..., str]


def leave(window: Window, host: Host) -> list[Any]:
    window.leave()
    return stories_of(host, window.file.name)


def test_tab_accepts(window: Window, offer: Offer, host: Host) -> None:
    offered = offer()
    window.press("Tab")
    assert window.saved().startswith(TEXT + KEY + offered)
    story = check(leave(window, host), "accepted")
    assert story.kinds == ["shown", "accepted", "settled"]
    assert story.told("accepted").source == "explicit"
    assert story.outcome["suggestion"] == story.outcome["settled_text"] == offered


def test_typing_it_is_a_success(window: Window, offer: Offer, host: Host) -> None:
    offered = offer()
    window.type(offered)
    story = check(leave(window, host), "typed_through")
    assert story.kinds == ["shown", "typed_through", "settled"]
    assert story.outcome["settled_text"] == offered


def test_something_else_is_typed(window: Window, offer: Offer, host: Host) -> None:
    offer()
    window.type("dom")
    story = check(leave(window, host), "diverged")
    assert story.kinds == ["shown", "diverged", "settled"]
    assert story.outcome["settled_text"].startswith("dom")


def test_escape_refuses(window: Window, offer: Offer, host: Host) -> None:
    offer()
    window.press("Escape")
    window.no_ghost()
    story = check(leave(window, host), "dismissed")
    assert story.kinds == ["shown", "dismissed", "settled"]
    assert story.told("dismissed").source == "explicit"


def test_looking_elsewhere_is_no_answer(window: Window, offer: Offer, host: Host) -> None:
    offer()
    window.press("Control+Home")
    window.no_ghost()
    assert check(leave(window, host), "left").kinds == ["shown", "settled"]


def test_a_word_is_taken_and_the_rest_typed(window: Window, offer: Offer, host: Host) -> None:
    offered = offer(GUARD, "_")
    word = take_word(window)
    window.type(offered.removeprefix(word))
    story = check(leave(window, host), "partially_accepted")
    assert story.outcome["accepted_length"] == len(word)
    assert story.told("partially_accepted").data["unit"] == "word"


def test_a_word_is_taken_and_then_the_rest(window: Window, offer: Offer, host: Host) -> None:
    offered = offer(GUARD, "_")
    take_word(window)
    window.ghost()
    window.press("Tab")
    story = check(leave(window, host), "accepted")
    assert story.outcome["accepted_length"] == len(offered)


def test_a_word_is_taken_and_something_else_typed(window: Window, offer: Offer, host: Host) -> None:
    offer(GUARD, "_")
    word = take_word(window)
    window.type(" < 3")
    story = check(leave(window, host), "partially_accepted")
    assert story.outcome["accepted_length"] == len(word)
    assert story.outcome["settled_text"].startswith(word + " < 3")


def test_a_line_is_taken(window: Window, offer: Offer, host: Host) -> None:
    line = offer(LOOP, " ")
    window.press("Control+Alt+ArrowRight")
    written = window.saved().removeprefix(LOOP + " ")
    assert written.startswith(line)
    story = check(leave(window, host), "partially_accepted")
    assert story.outcome["accepted_length"] == len(written)
    assert story.told("partially_accepted").data["unit"] == "line"


def test_what_was_accepted_is_edited(window: Window, offer: Offer, host: Host) -> None:
    offered = offer(FIELD, "s")
    window.press("Tab")
    window.press("Control+Backspace")
    window.type("x")
    story = check(leave(window, host), "accepted")
    assert story.outcome["suggestion"] == offered
    assert story.outcome["settled_text"] == "econd = x"
    assert 0 < story.outcome["edit_distance"] < 0.6


def test_an_accept_is_undone(window: Window, offer: Offer, host: Host) -> None:
    offer()
    window.press("Tab")
    window.press("Control+z")
    assert window.saved() == TEXT + KEY
    story = check(leave(window, host), "accepted")
    assert story.kinds == ["shown", "accepted", "undone", "settled"]
    assert story.outcome["undone"]


def test_format_on_save_is_no_edit(window: Window, offer: Offer, host: Host) -> None:
    offer(GUARD, "_")
    window.press("Tab")
    text = window.saved()
    is_formatted = window.name == "helped"
    assert ("'__main__'" in text) == is_formatted
    story = check(leave(window, host), "accepted")
    assert story.outcome["reformatted"] == is_formatted
    assert story.kinds.count("accepted") == 1


def test_several_cursors_are_unseen(window: Window, offer: Offer, host: Host) -> None:
    window.write(f"several_{window.name}.py", "for one in ra\nfor two in ra")
    window.press("Shift+Alt+ArrowUp")
    window.type(KEY)
    window.ghost()
    window.read()
    window.type("x")
    assert window.saved().startswith("for one in ranx\nfor two in ranx")
    story = check(leave(window, host))
    assert story.kind == "unseen"
    assert story.told("settled").data["reason"] == "multi_cursor"


def test_rated_good_with_a_comment(window: Window, offer: Offer, host: Host) -> None:
    offer()
    window.press("Tab")
    window.run("Hone: Rate the Last Suggestion: Good")
    window.click("Say Why")
    window.answer("short and right")
    (rated,) = (story for story in leave(window, host) if story.outcome["rating"])
    assert rated.outcome["rating"] == "up"
    told = [event.data.get("comment") for event in rated.events if event.kind == "rated"]
    assert told == [None, "short and right"]


def test_what_was_wanted_instead(window: Window, offer: Offer, host: Host) -> None:
    offer()
    window.run("Hone: Say What I Wanted Instead")
    window.answer("ge(3):")
    story = check(leave(window, host))
    assert story.outcome["rating"] == "down"
    assert story.outcome["correction"] == "ge(3):"


def test_another_candidate_is_taken(window: Window, offer: Offer, host: Host) -> None:
    window.set({**SETTINGS[window.name], "hone.candidates": 4})
    window.num_starts += 1
    window.wait_for_start()
    first = offer()
    window.press("Alt+]")
    wait_until(lambda: window.ghost() != first, "another candidate is on the screen")
    taken = window.ghost()
    window.press("Tab")
    story = check(leave(window, host), "accepted")
    assert story.outcome["candidate_index"] > 0
    assert story.outcome["suggestion"] == taken
    assert story.kinds == ["shown", "cycled", "accepted", "settled"]


def take_word(window: Window) -> str:
    """Take the next word of the ghost text; return it."""
    before = window.saved()
    window.press("Control+ArrowRight")
    return window.saved().removeprefix(before)
