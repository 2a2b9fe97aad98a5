"""Turns keys and waiting into messages about one open document, on a virtual clock.

Counts the keys. Knows nothing of suggestions, nor of why something is typed.
"""

from dataclasses import dataclass

from trainer.replay.lsp_client import LspClient
from trainer.replay.work import Hunk

SETTLE_MS = 11_000
CHECKS_S = (30, 120, 300, 600)


@dataclass
class Desk:
    """One open document, the time, and the keys pressed."""

    client: LspClient
    uri: str
    now_ms: int
    num_keys: int = 0

    @property
    def text(self) -> str:
        """What stands in the document now."""
        return self.client.texts[self.uri]

    async def wait(self, duration_ms: int) -> None:
        """Let time pass; the server hears of it."""
        self.now_ms += max(0, duration_ms)
        await self.client.tick(self.now_ms)

    async def change(self, start: int, end: int, text: str) -> None:
        """Press one key: it removes, or puts something there, or both."""
        self.num_keys += 1
        await self.client.change(self.uri, start, end, text)

    async def prepare(self, hunk: Hunk, shift: int) -> int:
        """Remove what goes, and open a line where whole lines are put before others.

        `shift` is how much longer earlier hunks made the text. Return where typing begins.
        """
        base = hunk.start + shift
        if hunk.end > hunk.start:
            await self.change(base, hunk.end + shift, "")
        if opens_line(hunk):
            await self.change(base, base, "\n")
        return base

    async def let_time_pass(self) -> None:
        """Wait until everything has settled and every check was made."""
        begun = self.now_ms
        await self.wait(SETTLE_MS)
        for seconds in CHECKS_S:
            await self.wait(begun + 1_000 * seconds + 500 - self.now_ms)


def opens_line(hunk: Hunk) -> bool:
    """Whole lines that end with their newline come before a line that is there already."""
    return hunk.text.endswith("\n")
