"""One window of VS Code in a browser, driven as a person would: keys, and what is to be seen."""

import os
from pathlib import Path
from typing import Any

from processes import CodeServer, wait_until

GHOST = ".ghost-text-decoration"
KEY_MS = 40
FILE = "work.py"


class Window:
    """Opens one file at its end; everything waits for what is to be seen, nothing for time."""

    def __init__(self, browser: Any, server: CodeServer, text: str) -> None:
        self._server = server
        self.file = server.workspace / FILE
        self.file.write_text(text)
        self.page = browser.new_page(viewport={"width": 1280, "height": 800})
        self.page.set_default_timeout(60_000)
        self.page.goto(server.url)
        self.page.wait_for_selector(".monaco-workbench")
        self.page.wait_for_selector(".explorer-folders-view")
        self.page.get_by_text(FILE, exact=True).first.dblclick()
        self.page.wait_for_selector(".monaco-editor .view-line")
        self.wait_for_log("status: ready")
        self.page.locator(".monaco-editor .view-lines").first.click()
        self.press("Control+End")

    def type(self, text: str) -> None:
        """Type at the speed of a fast hand."""
        self.page.keyboard.type(text, delay=KEY_MS)

    def press(self, keys: str) -> None:
        """Press one chord."""
        self.page.keyboard.press(keys)

    def ghost(self) -> str:
        """Wait for ghost text; return it, white space as in the file."""
        self.page.wait_for_selector(GHOST)
        return "".join(self.page.locator(GHOST).all_inner_texts()).replace("\xa0", " ")

    def no_ghost(self) -> None:
        """Wait until there is none."""
        self.page.wait_for_selector(GHOST, state="detached")

    def status(self) -> str:
        """Return what the status bar says of Hone, as a screen reader would."""
        return str(self.page.locator("#hone\\.hone\\.hone a").get_attribute("aria-label"))

    def click(self, label: str) -> None:
        """Click the button of a notification."""
        self.page.get_by_role("button", name=label, exact=True).first.click()

    def saved(self) -> str:
        """Save, and return the file once it is on the disk."""
        before = self.file.stat().st_mtime_ns
        self.press("Control+s")
        wait_until(lambda: self.file.stat().st_mtime_ns != before, "the file is saved")
        return self.file.read_text()

    def wait_for_log(self, line: str, times: int = 1) -> None:
        """Wait until the extension's log has the line so many times."""
        wait_until(
            lambda: self._server.log().count(line) >= times,
            f"{line!r} {times} x in {self._server.log()[-2000:]!r}",
            90,
        )

    def photograph(self, name: str) -> None:
        """Keep a picture of the window beside the tools."""
        folder = Path(os.environ["TEST_VSCODE"]) / "screenshots"
        folder.mkdir(exist_ok=True)
        self.page.screenshot(path=folder / f"{name}.png")
