"""VS Code when things go wrong: a refusal, hosts that die, tokens and versions that do not fit."""

import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from enforce_proposed_api import enforce
from neighbours import RIVAL_TEXT
from processes import Host
from stories import LEFT, check, faults_of, stories, stories_of
from window import Window

pytestmark = pytest.mark.slow

TEXT = "import os\n\n\ndef main():\n    for index in ra"
KEY = "n"
TOKEN = "a-token-of-this-test"
OpenWindow = Callable[..., Window]
# Starts the language server as if it were of another release.
OTHER_VERSION = """#!{python}
import importlib.metadata as metadata
true = metadata.version
metadata.version = lambda name: "9.9.9" if name == "hone" else true(name)
from hone.cli import main
main()
"""


@pytest.fixture(scope="module")
def window(open_window: OpenWindow) -> Window:
    window = open_window("trouble")
    window.says_yes(TEXT, KEY)
    return window


def test_it_is_a_vscode_that_refuses_proposed_apis(tools: Path) -> None:
    process = "lib/vscode/out/vs/workbench/api/node/extensionHostProcess.js"
    source = (tools / "code-server/node_modules/code-server" / process).read_text()
    assert "CANNOT use API proposal" in source
    with pytest.raises(ValueError, match="found 0"):
        enforce(source)


def test_who_says_no_leaves_nothing_in_the_store(open_window: OpenWindow, host: Host) -> None:
    window = open_window("refused")
    kept = window.server.folder / "hone"
    before = host.rows("select count(*) from completions"), list(kept.rglob("*"))
    window.write("refused.py", TEXT)
    window.wait_for_start()
    offered = window.first_ghost(KEY)
    window.click("No")
    window.press("Backspace")
    window.type(KEY)
    assert window.ghost() == offered
    window.press("Tab")
    assert window.saved().startswith(TEXT + KEY + offered)
    window.leave()
    after = host.rows("select count(*) from completions"), list(kept.rglob("*"))
    assert after == before, "no row, no outbox, no pseudonym"


def test_the_status_tells_which_file_is_left_alone(window: Window) -> None:
    window.write(".env", "KEY=1\n")
    window.wait_for_status("left alone")
    window.leave()


def test_what_is_switched_off_says_so_and_asks_nothing(window: Window, host: Host) -> None:
    window.write("quiet.py", TEXT)
    before = window.num_asked()
    window.run("Hone: Snooze Suggestions")
    window.pick("5 minutes")
    window.wait_for_status("Snoozed until")
    window.type(KEY)
    assert window.saved() == TEXT + KEY
    window.run("Hone: End Snoozing")
    window.wait_for_status("Hone is ready")
    window.run("Hone: Turn Suggestions in This Language On or Off")
    window.wait_for_status("Suggestions are off in python")
    window.press("Backspace")
    window.type(KEY)
    window.menu()
    assert window.num_asked() == before
    window.run("Hone: Turn Suggestions in This Language On or Off")
    window.wait_for_status("Hone is ready")
    window.press("Backspace")
    window.type(KEY)
    window.ghost()
    window.leave()


def test_the_menu_says_how_it_is(window: Window) -> None:
    assert re.search(r"Last suggestion: \d+ ms", window.menu())


def test_escape_on_anothers_ghost_text_is_not_ours(window: Window, host: Host) -> None:
    """Where Hone is silent, and where both have something to say."""
    refusals = "select count(*) from events where kind = 'dismissed'"
    before = host.rows(refusals)
    for name, text, key in (("rival.txt", "Some prose,", " "), ("rival.py", TEXT, KEY)):
        window.write(name, text)
        window.type(key)
        assert window.ghost() == RIVAL_TEXT
        window.read()
        window.photograph(name.replace(".", "-"))
        window.press("Escape")
        window.no_ghost()
        window.leave()
    accept(window, "after_rival.py")
    check(stories_of(host, "after_rival.py"), "accepted")
    assert {story.kind for story in stories(host, "rival.py")} <= LEFT
    assert host.rows(refusals) == before


def test_feedback_waits_for_a_host_that_died(window: Window, host: Host) -> None:
    window.write("died.py", TEXT)
    window.type(KEY)
    offered = window.ghost()
    window.read()
    host.stop(signal.SIGKILL)
    window.press("Tab")
    window.wait_for_status("nothing answers")
    window.photograph("offline")
    assert window.saved() == TEXT + KEY + offered, "typing goes on"
    window.leave()
    assert window.pop_ups() == 0
    host.start()
    window.wait_for_status("Hone is ready")
    assert check(stories_of(host, "died.py"), "accepted").kinds == ["shown", "accepted", "settled"]
    assert window.pop_ups() == 0


def test_a_host_that_does_not_answer_holds_up_nobody(window: Window, host: Host) -> None:
    assert host.process
    window.write("slow.py", TEXT)
    host.process.send_signal(signal.SIGSTOP)
    try:
        window.type(KEY)
        window.wait_for_status("thinking")
        window.type("ge(3):")
        assert window.saved() == TEXT + KEY + "ge(3):", "typing goes on"
        window.wait_for_status("no answer within")
        assert window.pop_ups() == 0
    finally:
        host.process.send_signal(signal.SIGCONT)
    window.leave()
    # That it is quick again shows with the next answer.
    window.write("after_slow.py", TEXT)
    window.first_ghost(KEY)
    window.wait_for_status("Hone is ready")
    window.read()
    window.press("Tab")
    window.leave()
    (taken,) = (one for one in stories_of(host, "after_slow.py") if one.kind not in LEFT)
    assert taken.kind == "accepted"


def test_events_come_exactly_once_however_often_it_dies(window: Window, host: Host) -> None:
    for number in range(3):
        accept(window, f"again_{number}.py")
        host.stop(signal.SIGKILL)
        host.start()
        window.wait_for_status("Hone is ready")
    for number in range(3):
        story = check(stories_of(host, f"again_{number}.py"), "accepted")
        assert story.kinds == ["shown", "accepted", "settled"]
    faults = faults_of(host)
    # VS Code asks once more behind what was taken: that answer may die with the host, unwritten.
    unwritten = faults.pop("of no completion", [])
    assert {kind for (kind,) in unwritten} <= {"shown", "settled", "lost", "persisted"}
    assert faults == {}


@pytest.fixture
def guarded_host(host: Host) -> Iterator[Host]:
    """The host, asking for a token."""
    host.stop()
    host.start(HONE_TOKEN=TOKEN)
    yield host
    host.stop()
    host.start()


def test_a_wrong_token_is_said_once_and_can_be_set(window: Window, guarded_host: Host) -> None:
    window.wait_for_status("token")
    window.photograph("wrong-token")
    assert window.pop_ups() == 0
    window.run("Hone: Set the Token of the Host")
    window.answer(TOKEN)
    window.num_starts += 1
    window.wait_for_start()
    accept(window, "token.py")
    check(stories_of(guarded_host, "token.py"), "accepted")


def test_another_version_is_said_in_the_status(open_window: OpenWindow, tmp_path: Path) -> None:
    program = tmp_path / "hone"
    program.write_text(OTHER_VERSION.format(python=sys.executable))
    program.chmod(0o755)
    window = open_window("version", {"hone.executable": str(program)})
    window.wait_for_status("9.9.9")
    window.write("version.py", TEXT)
    assert window.first_ghost(KEY)


def accept(window: Window, name: str) -> None:
    """Accept a suggestion in a file of its own, and close it."""
    window.write(name, TEXT)
    window.type(KEY)
    window.ghost()
    window.read()
    window.press("Tab")
    window.leave()
