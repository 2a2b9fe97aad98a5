"""Turns the text generated so far into "go on" or "stop here", for one line or one block.

Pure text rules: the engine asks after every token. A block is what is indented like the line of
the cursor (or deeper than it, when the cursor's line already holds the block's header).
This module knows nothing of tokens or models.
"""

import re
from dataclasses import dataclass

from feedback_store.schemas import Mode

MAX_BLOCK_LINES = 24
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class StopRule:
    """Where one generation ends: `indent` is the white-space width a block's lines must have."""

    mode: Mode
    indent: int = 0

    def end_of(self, text: str) -> int | None:
        """Return the length to keep when `text` has gone past its end, or None to go on."""
        return _line_end(text) if self.mode is Mode.LINE else _block_end(text, self.indent)


def stop_rule(prefix: str, mode: Mode) -> StopRule:
    """Return the stop rule for a cursor at the end of `prefix`."""
    near = prefix[-2000:]
    line = near[max(near.rfind("\n"), near.rfind("\r")) + 1 :]
    indent = _width(line)
    return StopRule(mode, indent if not line.strip() else indent + 1)


def _line_end(text: str) -> int | None:
    found = _LINE_BREAK.search(text)
    return found.start() if found else None


def _block_end(text: str, indent: int) -> int | None:
    """Return where a block ends: before a shallower line, a second blank line or too many lines."""
    breaks = list(_LINE_BREAK.finditer(text))
    num_blank = 0
    for number, found in enumerate(breaks):
        until = breaks[number + 1].start() if number + 1 < len(breaks) else len(text)
        line = text[found.end() : until]
        is_whole = number + 1 < len(breaks)
        if line.strip():
            num_blank = 0
            if _width(line) < indent:
                return _before(breaks, number, text)
        elif is_whole:
            num_blank += 1
            if num_blank > 1:
                return _before(breaks, number, text)
        if number + 1 >= MAX_BLOCK_LINES and is_whole:
            return until
    return None


def _before(breaks: list[re.Match[str]], number: int, text: str) -> int:
    """Return the end of the last non-blank line before line break `number`."""
    return len(text[: breaks[number].start()].rstrip())


def _width(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))
