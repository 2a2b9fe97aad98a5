"""One window of VS Code in a browser, driven as a person would: keys, and what is to be seen."""

import os
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import TimeoutError
from processes import CodeServer, wait_until

GHOST = ".ghost-text-decoration"
KEY_MS = 40
READ_MS = 700


class Window:
    """Opens one file at its end; everything waits for what is to be seen, nothing for time."""

    def __init__(self, browser: Any, server: CodeServer, name: str, text: str) -> None:
        self.server = server
        self.file = server.workspace / name
        self.file.write_text(text)
        self.page = browser.new_page(viewport={"width": 1280, "height": 800})
        self.page.set_default_timeout(60_000)
        self.page.goto(server.url)
        self.page.wait_for_selector(".monaco-workbench")
        self.page.wait_for_selector(".explorer-folders-view")
        self.open(name)
        self.wait_for_log("status: ready")
        self.go_to_end()

    def open(self, name: str) -> None:
        """Open a file of the workspace from the explorer."""
        self.page.get_by_role("treeitem", name=name).dblclick()
        self.page.wait_for_selector(f".tab.active[data-resource-name='{name}']")
        self.page.wait_for_selector(".monaco-editor .view-line")

    def go_to_end(self) -> None:
        """Put the caret at the end of the text."""
        self.page.locator(".monaco-editor .view-lines").first.click()
        self.page.wait_for_selector(".monaco-editor.focused")
        self.press("Control+End")

    def type(self, text: str) -> None:
        """Type at the speed of a fast hand."""
        self.page.keyboard.type(text, delay=KEY_MS)

    def press(self, keys: str) -> None:
        """Press one chord."""
        self.page.keyboard.press(keys)

    def ghost(self) -> str:
        """Wait for ghost text; return it, white space as in the file."""
        try:
            self.page.wait_for_selector(GHOST, timeout=20_000)
        except TimeoutError:
            # On a busy machine the focus may arrive late and sweep it away; people ask again then.
            self.photograph(f"no-ghost-in-{self.file.name}")
            self.press("Alt+\\")
            self.page.wait_for_selector(GHOST)
        return "".join(self.page.locator(GHOST).all_inner_texts()).replace("\xa0", " ")

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

    def run(self, title: str) -> None:
        """Run a command by the palette."""
        self.press("F1")
        self.page.wait_for_selector(".quick-input-widget input")
        self.type(title)
        self.page.wait_for_selector(f".quick-input-list [aria-label*='{title}']")
        self.press("Enter")
        self.page.wait_for_selector(".quick-input-widget", state="hidden")

    def click(self, label: str) -> None:
        """Click the button of a notification."""
        self.page.get_by_role("button", name=label, exact=True).first.click()

    def saved(self) -> str:
        """Save, and return the file once it is on the disk."""
        before = self.file.stat().st_mtime_ns
        self.press("Control+s")
        wait_until(lambda: self.file.stat().st_mtime_ns != before, "the file is saved")
        return self.file.read_text()

    def wait_for_log(self, *lines: str) -> None:
        """Wait until the extension's log has these, in this order."""
        pattern = re.compile(".*".join(map(re.escape, lines)), re.DOTALL)
        wait_until(lambda: pattern.search(self.server.log()), f"{lines} in the log", 90)

    def photograph(self, name: str) -> None:
        """Keep a picture of the window beside the tools."""
        folder = Path(os.environ["TEST_VSCODE"]) / "screenshots"
        folder.mkdir(exist_ok=True)
        self.page.screenshot(path=folder / f"{name}.png")
