"""Turns real Python files into a session of typing through a real language server.

The typist types what the file really says. At chosen lines it asks for a suggestion and treats it
as a developer would: takes it when it is right, takes and mends it when it is nearly right, takes
its first words when only they are right, types over it otherwise. Time is the client's clock, so
ten minutes of waiting pass at once. It knows nothing of stores, training or adapters.
"""

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

from trainer.replay.lsp_client import InlineItem, LspClient, utf16_length

READ_MS = 700  # a suggestion is looked at before anything is done about it
KEY_MS = 90
SETTLE_MS = 11_000
CHECKS_S = (30, 120, 300, 600)
NEARLY_RIGHT = 0.55  # similarity from which a suggestion is worth mending


@dataclass(frozen=True)
class Place:
    """One line of one file, and the column at which the typist stops to look."""

    line: int
    column: int


@dataclass(frozen=True)
class Script:
    """One file with the places to type at, in the order of the file."""

    path: Path
    text: str
    places: tuple[Place, ...]


@dataclass
class Typist:
    """Plays scripts; counts what it did with the suggestions it saw."""

    client: LspClient
    now_ms: int
    done: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    clock: Callable[[], float] | None = None
    num_visited: int = 0

    async def play(self, script: Script, advance: Callable[[], None]) -> None:
        """Type one file; `advance` is called after every place."""
        uri = script.path.as_uri()
        await self.client.open(uri, script.text)
        for place in script.places:
            await self._visit(uri, place)
            self.num_visited += 1
            advance()
        await self.client.close(uri)

    async def _visit(self, uri: str, place: Place) -> None:
        text = self.client.texts[uri]
        start = line_start(text, place.line) + place.column
        end = text.find("\n", start)
        truth = text[start:end]
        await self.client.change(uri, start, end, "")
        await self._wait(KEY_MS)
        begun = self.clock() if self.clock else 0.0
        items = await self.client.complete(uri, start)
        if self.clock:
            self.latencies_ms.append(1e3 * (self.clock() - begun))
        if not items:
            self.done["nothing offered"] += 1
            await self._type(uri, start, truth)
        else:
            await self.client.feedback("shown", items[0])
            await self._wait(READ_MS)
            await self._react(uri, items[0], truth)
        await self._wait(SETTLE_MS)

    async def _react(self, uri: str, item: InlineItem, truth: str) -> None:
        start, text = item.start, item.text
        if text == truth:
            self.done["accepted"] += 1
            await self.client.accept(uri, item)
            await self._let_time_pass()
        elif SequenceMatcher(None, text, truth, autojunk=False).ratio() >= NEARLY_RIGHT:
            self.done["accepted, then edited"] += 1
            await self.client.accept(uri, item)
            await self._wait(READ_MS)
            await self._mend(uri, start, text, truth)
            await self._let_time_pass()
        elif words := shared_words(text, truth):
            self.done["took the first words"] += 1
            await self.client.insert(uri, start, words)
            await self.client.notify(
                "textDocument/didPartiallyAcceptCompletion",
                {"item": item.raw, "acceptedLength": utf16_length(words)},
            )
            await self._wait(READ_MS)
            await self._type(uri, start + len(words), truth[len(words) :])
        else:
            self.done["typed something else"] += 1
            await self._type(uri, start, truth)

    async def _mend(self, uri: str, start: int, wrong: str, right: str) -> None:
        """Change the accepted text into the right one, from the back, edit by edit."""
        matcher = SequenceMatcher(None, wrong, right, autojunk=False)
        for tag, i1, i2, j1, j2 in reversed(matcher.get_opcodes()):
            if tag != "equal":
                await self.client.change(uri, start + i1, start + i2, right[j1:j2])
                await self._wait(KEY_MS)

    async def _type(self, uri: str, start: int, text: str) -> None:
        for character in text:
            start = await self.client.insert(uri, start, character)
            await self._wait(KEY_MS)

    async def _let_time_pass(self) -> None:
        begun = self.now_ms
        await self._wait(SETTLE_MS)
        for seconds in CHECKS_S:
            await self._wait(begun + 1000 * seconds + 500 - self.now_ms)

    async def _wait(self, duration_ms: int) -> None:
        self.now_ms += max(0, duration_ms)
        await self.client.tick(self.now_ms)


def script_of(path: Path, num_places: int, seed: int) -> Script:
    """Return a script for a file: up to `num_places` lines of code, at least three lines apart."""
    text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
    rng = random.Random(f"{seed}:{path.name}")
    lines = text.split("\n")
    candidates = [number for number, line in enumerate(lines[:-1]) if number > 15 and is_code(line)]
    rng.shuffle(candidates)
    chosen: list[int] = []
    for number in candidates:
        if all(abs(number - other) > 3 for other in chosen):
            chosen.append(number)
    places = []
    for number in sorted(chosen[:num_places]):
        indent = len(lines[number]) - len(lines[number].lstrip())
        length = len(lines[number].strip())
        places.append(Place(number, indent + rng.randrange(0, max(1, length * 2 // 3))))
    return Script(path, text, tuple(places))


def is_code(line: str) -> bool:
    """Whether a line is worth completing: code of some length, no comment, no row of a table."""
    stripped = line.strip()
    return (
        len(stripped) >= 12
        and line.endswith(stripped)
        and re.match(r"[A-Za-z_@(\[{]", stripped) is not None
        and re.search(r"[A-Za-z]{3}", stripped) is not None
        and any(character in stripped for character in "=(.:[")
    )


def shared_words(left: str, right: str) -> str:
    """Return the longest shared beginning that ends at a word's end and holds three characters."""
    length = 0
    while length < min(len(left), len(right)) and left[length] == right[length]:
        length += 1
    while 0 < length < len(left) and _is_word(left[length - 1]) and _is_word(left[length]):
        length -= 1
    while (
        length and length < len(right) and _is_word(right[length - 1]) and _is_word(right[length])
    ):
        length -= 1
    shared = left[:length].rstrip()
    return shared if len(shared) >= 3 else ""


def line_start(text: str, line: int) -> int:
    """Return the offset of the first character of a zero-based line."""
    offset = 0
    for _ in range(line):
        offset = text.index("\n", offset) + 1
    return offset


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
