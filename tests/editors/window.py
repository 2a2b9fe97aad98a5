"""One window of VS Code in a browser, driven as a person would: keys, and what is to be seen."""

import itertools
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import TimeoutError
from processes import CodeServer, wait_until

GHOST = ".ghost-text-decoration"
KEY_MS = 40
READ_MS = 700
TIMEOUT_MS = 60_000


class Window:
    """A folder in its own window; everything waits for what is to be seen, nothing for time."""

    def __init__(
        self,
        browser: Any,
        server: CodeServer,
        name: str,
        settings: dict[str, Any] | None = None,
        *,
        has_hone: bool = True,
    ) -> None:
        self.name, self.server, self.folder = name, server, server.folder / name
        (self.folder / ".vscode").mkdir(parents=True)
        self._write_settings(settings or {})
        self._titles = itertools.count()
        self.file = self.folder
        self.page = browser.new_page(viewport={"width": 1280, "height": 800})
        self.page.set_default_timeout(TIMEOUT_MS)
        self.num_starts = int(has_hone)
        self._enter()

    def _enter(self) -> None:
        logs = set(self.server.logs())
        self.page.goto(self.server.url_of(self.folder))
        self.page.wait_for_selector(".monaco-workbench")
        self.page.wait_for_selector(".explorer-folders-view")
        if self.num_starts:
            (self._log,) = wait_until(lambda: set(self.server.logs()) - logs, "Hone is active", 120)

    def reopen(self) -> None:
        """Close the window and open it again, as the same person."""
        self.page.goto("about:blank")
        self.num_starts = 1
        self._enter()

    def close(self) -> None:
        """Close the window, and with it its extensions."""
        self.page.close()

    def set(self, settings: dict[str, Any]) -> None:
        """Change the folder's settings, which VS Code watches, and wait until they are in force."""
        title = f"settings {next(self._titles)}"
        self._write_settings({**settings, "window.title": title})
        wait_until(lambda: self.page.title() == title, "the new settings are in force")

    def _write_settings(self, settings: dict[str, Any]) -> None:
        (self.folder / ".vscode" / "settings.json").write_text(json.dumps(settings))

    def write(self, name: str, text: str) -> None:
        """Open a new file with the caret at its end."""
        self.file = self.folder / name
        self.file.write_text(text)
        self.open(name)

    def open(self, name: str) -> None:
        """Open a file of the folder, the caret at its end."""
        label = f"^='{name}'"
        wait_until(lambda: self._finds("Control+p", name, label), f"{name} can be opened")
        self.press("Enter")
        self.page.wait_for_selector(f".tab.active[data-resource-name='{name}']")
        self.page.wait_for_selector(".monaco-editor.focused .view-line")
        self.press("Control+End")

    def _finds(self, keys: str, text: str, label: str) -> bool:
        """Look something up in the box that a chord opens; whether its first line is that.

        A file that is new may not be known yet, and a page that is drawn late takes the focus,
        which closes the box: what is not found may be the next time.
        """
        self.press(keys)
        box = self.page.locator(".quick-input-widget input").first
        try:
            box.fill(text, timeout=10_000)
            found = f".quick-input-list .focused[aria-label{label}]"
            self.page.wait_for_selector(found, timeout=10_000)
        except TimeoutError:
            if box.is_visible():
                self.press("Escape")  # the box has the focus: nothing else hears of it
            return False
        return True

    def leave(self) -> None:
        """Save and close the file; Esc is not pressed, for it says something."""
        if self.page.locator(".tab.active.dirty").count():
            self.saved()
        self.press("Control+k")
        self.press("w")
        self.page.wait_for_selector(".tab.active", state="detached")

    def type(self, text: str) -> None:
        """Type at the speed of a fast hand."""
        self.page.keyboard.type(text, delay=KEY_MS)

    def press(self, keys: str) -> None:
        """Press one chord."""
        self.page.keyboard.press(keys)

    def ghost(self) -> str:
        """Wait for ghost text; return it, white space as in the file."""
        try:
            self.page.wait_for_selector(GHOST)
        except TimeoutError:
            picture = self.photograph(f"no-ghost-in-{self.file.name}")
            picture.with_suffix(".log").write_text(self.log())
            raise
        lines = self.page.locator(GHOST).all_inner_texts()
        return "".join(lines).replace("\xa0", " ")

    def first_ghost(self, key: str) -> str:
        """Type a key until there is ghost text, in the first file of a window; return that.

        VS Code loads what asks for it when it finds the time after the first editor was opened;
        what is typed before asks nobody.
        """
        for _ in range(10):
            self.type(key)
            with suppress(TimeoutError):
                self.page.wait_for_selector(GHOST, timeout=5_000)
                break
            self.press("Backspace")
        return self.ghost()

    def no_ghost(self) -> None:
        """Wait until there is none."""
        self.page.wait_for_selector(GHOST, state="detached")

    def read(self) -> None:
        """Look at what is on offer for as long as reading takes; sooner counts as not seen."""
        self.page.wait_for_timeout(READ_MS)

    def wait_for_status(self, text: str) -> None:
        """Wait until the status bar says so, to a screen reader."""
        self.page.wait_for_selector(f".statusbar-item [aria-label*='{text}']")

    def pop_ups(self) -> int:
        """Return how many notifications are open."""
        return int(self.page.locator(".notification-toast").count())

    def wait_for_pop_up(self, text: str) -> None:
        """Wait until a notification says so."""
        self.page.locator(".notification-toast", has_text=text).wait_for()

    def run(self, title: str) -> None:
        """Run a command by the palette."""
        label = f"*='{title}'"
        wait_until(lambda: self._finds("F1", f">{title}", label), f"{title} can be run")
        self.press("Enter")

    def answer(self, text: str) -> None:
        """Answer the question of an input box."""
        # The palette and the box are one widget: with its list gone it is the box.
        self.page.wait_for_selector(".quick-input-widget")
        self.page.wait_for_selector(".quick-input-list", state="hidden")
        self.page.locator(".quick-input-box input").fill(text)
        self.press("Enter")
        self.page.wait_for_selector(".quick-input-widget", state="hidden")

    def pick(self, label: str) -> None:
        """Take a line of a list that was asked for."""
        self.page.locator(".quick-input-list .monaco-list-row", has_text=label).first.click()
        self.page.wait_for_selector(".quick-input-widget", state="hidden")

    def click(self, label: str) -> None:
        """Click the button of a notification."""
        self.page.get_by_role("button", name=label, exact=True).first.click()

    def saved(self) -> str:
        """Save, and return the file once it is on the disk."""
        before = self.file.stat().st_mtime_ns
        self.press("Control+s")
        wait_until(lambda: self.file.stat().st_mtime_ns != before, "the file is saved")
        self.page.wait_for_selector(".tab.active.dirty", state="detached")
        return self.file.read_text()

    def log(self) -> str:
        """Return what the extension's output channel holds."""
        return self._log.read_text("utf-8", "replace")

    def num_asked(self) -> int:
        """Return how many completions were asked for."""
        return self.log().count(": completion {")

    def says_yes(self, text: str, key: str) -> None:
        """Agree to the question that the first suggestion brings."""
        self.write("first.py", text)
        self.wait_for_start()
        self.first_ghost(key)
        self.page.get_by_role("button", name="Yes", exact=True).wait_for()
        self.photograph(f"{self.name}-asks-for-consent")
        self.click("Yes")
        self.num_starts += 1
        self.wait_for_start()
        self.leave()

    def wait_for_start(self) -> None:
        """Wait until the language server is ready, after every start that was made so far."""
        lines = ["status: starting"] * self.num_starts + ["status: ready"]
        pattern = re.compile(".*".join(map(re.escape, lines)), re.DOTALL)
        wait_until(lambda: pattern.search(self.log()), f"{lines} in the log", 120)
        # The log is ahead of the window. What the extension says to the window arrives in order, so
        # once its menu is there, so is the provider of suggestions.
        self.menu()

    def menu(self) -> str:
        """Open Hone's menu and close it; return what it says."""
        self.run("Hone: Show Menu")
        menu = self.page.locator(".quick-input-widget", has_text="Open the review page")
        menu.wait_for()
        said = menu.inner_text()
        self.photograph("menu")
        self.press("Escape")
        menu.wait_for(state="hidden")
        return said

    def steps(self) -> dict[str, bool]:
        """Open Hone's walkthrough; return its steps, and which of them are ticked."""
        self.run("Hone: Get Started")
        # It takes the focus when it is drawn, which would close whatever is opened before that.
        self.page.wait_for_selector(".gettingStartedContainer :focus")
        return self.shown_steps()

    def shown_steps(self) -> dict[str, bool]:
        """Return the steps of the walkthrough that is open, and which of them are ticked."""
        self.page.wait_for_selector("[data-done-step-id]")
        ticks = self.page.locator("[data-done-step-id]").evaluate_all(
            "all => all.map(one => [one.dataset.doneStepId, one.getAttribute('aria-checked')])"
        )
        return {step.rpartition("#")[2]: checked == "true" for step, checked in ticks}

    def tell(self) -> str:
        """Return what a person would see where the focus is, and around it."""
        focused = "[document.activeElement?.tagName, document.activeElement?.className].join(' ')"
        return f"focus: {self.page.evaluate(focused)}\n{self.page.inner_text('body')}"

    def photograph(self, name: str) -> Path:
        """Keep a picture of the window beside the tools; return its file."""
        folder = Path(os.environ["TEST_VSCODE"]) / "screenshots"
        folder.mkdir(exist_ok=True)
        picture = folder / f"{name}.png"
        self.page.screenshot(path=picture, animations="disabled")
        return picture
