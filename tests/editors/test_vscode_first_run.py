"""A machine without any `hone`, without a host, where nobody has agreed to anything yet.

The tests follow one person from the first window on; what one needs of those before is a fixture.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from processes import CodeServer, Host, free_port, wait_until
from stories import check, faults_of, stories_of
from window import Window

pytestmark = pytest.mark.slow

TEXT = "import os\n\n\ndef main():\n    for index in ra"
KEY = "n"
INSTALL_S = 900  # pip fetches and builds some twenty packages
NO_HONE = "Hone's editor side is not installed"
NO_HOST = "No Hone host answers at"


@pytest.fixture(scope="module")
def machine(
    tools: Path, extension: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CodeServer]:
    """VS Code where no `hone` is on PATH, and nobody listens where a host is looked for."""
    path = [p for p in os.environ["PATH"].split(os.pathsep) if not (Path(p) / "hone").exists()]
    variables = {"PATH": os.pathsep.join(path), "HONE_PORT": str(free_port())}
    server = CodeServer(tools, tmp_path_factory.mktemp("first-run"), {}, variables)
    server.install(extension)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def window(browser: Any, machine: CodeServer) -> Iterator[Window]:
    window = Window(browser, machine, "first")
    yield window
    window.close()


@pytest.fixture(scope="module")
def environment(window: Window, machine: CodeServer) -> Path:
    """The environment that "Install" makes."""
    window.reopen()
    window.wait_for_pop_up(NO_HONE)
    window.click("Install")
    folder = machine.folder / "data" / "User" / "globalStorage" / "hone.hone"
    wait_until(lambda: (folder / "installed").exists(), "hone is installed", INSTALL_S)
    wait_until(lambda: "status: offline" in window.log(), "it looks for a host", 120)
    return folder / "environment"


@pytest.fixture(scope="module")
def own_host(machine: CodeServer) -> Iterator[Host]:
    """A host of the same person on a port that nobody was told; not started yet."""
    data = machine.folder / "hone"
    data.mkdir(exist_ok=True)
    host = Host(data)
    yield host
    host.stop()


def test_without_hone_it_offers_to_install_one_and_explains(window: Window) -> None:
    window.wait_for_pop_up(NO_HONE)
    assert window.pop_ups() == 1
    window.click("More")
    assert window.shown_steps() == {"find": False, "connect": False, "learn": False}
    window.photograph("walkthrough")


def test_install_makes_an_environment_from_the_wheel_that_came_along(
    window: Window, environment: Path
) -> None:
    program = environment / "bin" / "hone"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == "hone 0.1.0\n"
    assert not list(environment.glob("lib/python*/site-packages/torch")), "no host side"
    assert servers_of(environment), "that is what runs now"
    window.steps()
    window.photograph("walkthrough-found")
    wait_until(lambda: window.shown_steps()["find"], "the first step is ticked")
    assert window.shown_steps() == {"find": True, "connect": False, "learn": False}


def test_a_host_is_offered_once_and_not_after_not_now(
    window: Window, environment: Path, machine: CodeServer
) -> None:
    window.wait_for_pop_up(f"{NO_HOST} http://127.0.0.1:{machine.variables['HONE_PORT']}")
    assert window.pop_ups() == 1
    window.photograph("offers-a-host")
    window.click("Not Now")
    window.page.locator(".notification-toast").wait_for(state="detached")
    before = window.log().count("status: offline")
    window.run("Hone: Restart the Language Server")
    wait_until(lambda: window.log().count("status: offline") > before, "it looked again")
    assert pop_ups_after_all(window) == 0
    window.reopen()
    window.wait_for_status("nothing answers")
    assert pop_ups_after_all(window) == 0


def test_a_host_of_ones_own_is_found_and_ghost_text_comes_from_the_new_hone(
    window: Window, environment: Path, own_host: Host
) -> None:
    window.reopen()
    own_host.start()
    window.wait_for_status("Hone is ready")
    window.steps()
    wait_until(lambda: window.shown_steps()["connect"], "the second step is ticked")
    window.says_yes(TEXT, KEY)
    window.steps()
    wait_until(lambda: window.shown_steps()["learn"], "the third step is ticked")
    window.photograph("walkthrough-done")
    window.write("taken.py", TEXT)
    window.type(KEY)
    offered = window.ghost()
    window.read()
    window.press("Tab")
    assert window.saved() == TEXT + KEY + offered
    assert servers_of(environment)
    window.leave()
    story = check(stories_of(own_host, "taken.py"), "accepted")
    assert story.kinds == ["shown", "accepted", "settled"]
    assert faults_of(own_host) == {}


def servers_of(environment: Path) -> list[int]:
    """Return the language servers that run from an environment."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "lsp" in words and any(word.startswith(str(environment)) for word in words):
            found.append(process.pid)
    return found


def pop_ups_after_all(window: Window) -> int:
    """Return how many pop-ups there are once the window has all that was said to it before."""
    window.menu()
    return window.pop_ups()
