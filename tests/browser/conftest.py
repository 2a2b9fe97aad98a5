"""The admin pages in a real browser, against a real host that holds some days of real work.

`make test-browser` installs what drives the browser and sets TEST_BROWSER; without it these tests
are left out. Pictures of what was seen are kept in build/browser.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # lets the tests import what stands beside them

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "build" / "browser"
WITH_BROWSER = ("test_hostile_text.py", "test_pages.py", "test_reviewing.py")
# Without it not even imported: what drives the browser is not installed then.
collect_ignore = [] if os.environ.get("TEST_BROWSER") else list(WITH_BROWSER)


@dataclass
class Place:
    """A host with its data folder, and what its users may show at the door."""

    data: Path
    url: str
    tokens: dict[str, str]

    def hone(self, *arguments: str, expect: int = 0, **settings: str) -> str:
        """Run a command of Hone on this data; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "hone", *arguments, "--data", str(self.data)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **settings},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout


@dataclass
class Person:
    """Somebody before a window, logged in; `complaints` are what the browser's console said."""

    page: Any
    place: Place
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        self.page.goto(self.place.url + path)
        self.page.wait_for_selector("h1, h2")

    def log_in(self, name: str) -> None:
        self.page.goto(f"{self.place.url}/admin/login")
        self.page.get_by_label("Token").fill(self.place.tokens[name])
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_selector(".caller")

    def photograph(self, name: str, *, whole: bool = False) -> Path:
        """Keep a picture of what is to be seen."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        path = PICTURES / f"{name}.png"
        self.page.screenshot(path=path, full_page=whole)
        return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A store with work of three users, one night that only made pairs, and a host."""
    with living(tmp_path_factory.mktemp("place")) as place:
        yield place


@contextmanager
def living(data: Path, **work: Any) -> Iterator[Place]:
    """Yield what `place` promises, with `work` that the people there did."""
    from host import free_port, serving
    from recorded_work import fill

    from lsp_server.engine.base import load_base

    fill(data, load_base("starter", device="cpu", num_threads=1), **work)
    place = Place(data, f"http://127.0.0.1:{free_port()}", {})
    place.hone("train", "--min-pairs", "100000", expect=3)
    for name, scope in (("rae", "reviewer"), ("bob", "reviewer"), ("ada", "admin")):
        told = place.hone("users", "add", name, "--scope", scope, "--json")
        place.tokens[name] = json.loads(told)["token"]
    with serving(place):
        yield place


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def person(browser: Any, place: Place) -> Iterator[Callable[..., Person]]:
    """Open a window for somebody: `person("rae", width=390, color_scheme="dark")`."""
    windows = []

    def open_one(name: str = "", *, width: int = 1280, height: int = 800, **how: Any) -> Person:
        window = browser.new_context(viewport={"width": width, "height": height}, **how)
        window.set_default_timeout(30_000)
        windows.append(window)
        made = Person(window.new_page(), place)
        made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
        made.page.on("console", lambda said: _listen(made, said))
        if name:
            made.log_in(name)
        return made

    yield open_one
    for window in windows:
        window.close()


def _listen(person: Person, said: Any) -> None:
    # A browser asks every host for an icon by itself; there is none, which is no fault.
    if said.type == "error" and "favicon" not in said.location.get("url", ""):
        person.complaints.append(said.text)
