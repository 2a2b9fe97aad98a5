"""Turns one hunk into keys, requests and what is done with suggestions, until the truth stands.

Carries out what `typist.py` decides, at a `Desk`, and notes what came of each request. Knows
nothing of files, nor of what happens between hunks.

While a suggestion that was shown still fits what is typed, the editor does not ask again, so that
each is shown at most once. A late one is asked for again in the next pause.
"""

import time
from dataclasses import dataclass, replace

from trainer.replay.comparing import is_right, mending
from trainer.replay.desk import Desk, opens_line
from trainer.replay.lsp_client import InlineItem, utf16_length
from trainer.replay.passage import Passage, num_characters
from trainer.replay.typist import Action, Decision, Typist
from trainer.replay.work import Work


@dataclass(frozen=True)
class Observation:
    """One request and what came of it; characters leave indentation out.

    `path` and `requested_ms` name the stored row. A repeat has no row of its own: the server offers
    again what came late, so its row, with the prompt of another place, is an earlier observation's.
    """

    file_id: str
    path: str
    hunk: int
    offset: int  # into the hunk's text
    requested_ms: int
    completion_id: str | None  # None: nothing was offered
    truth: str  # what the hunk needs from here to its end
    offered: str
    shown: bool
    action: Action
    accepted: int = 0
    retained: int = 0
    deleted: int = 0
    read_ms: float = 0.0
    latency_ms: float = 0.0  # measured, not drawn
    is_repeat: bool = False

    @property
    def is_right(self) -> bool:
        """Whether what was offered is just what is meant."""
        return is_right(self.offered, self.truth)

    @property
    def is_refused(self) -> bool:
        """Whether it was read, and nothing of it taken."""
        return self.action in ("dismissed", "typed_on")


class Writing:
    """The typing of one hunk: the caret stands at `base + offset` always."""

    def __init__(
        self, desk: Desk, typist: Typist, work: Work, number: int, base: int, *, reads: bool
    ) -> None:
        hunk = work.hunks[number]
        text = hunk.text[:-1] if opens_line(hunk) else hunk.text
        begins_line = base == 0 or desk.text[base - 1] in "\r\n"
        self.passage = Passage(text, base, begins_line=begins_line)
        self._desk, self._typist, self._reads = desk, typist, reads
        self._uri, self._client = desk.uri, desk.client
        self._blank = Observation(
            work.file_id, work.path, number, 0, 0, None, "", "", False, "none"
        )  # what every observation of this hunk begins with
        self._base, self._offset = base, 0
        self._on_screen: tuple[int, str] | None = None  # where it was offered, and its text
        self._first_asked_ms: dict[str, int] = {}

    async def play(self) -> list[Observation]:
        """Type it all; ask in every pause."""
        observations = []
        while self._offset < len(self.passage.text):
            asked_at = self._offset
            gap_ms = self._typist.gap_ms(self.passage, asked_at)
            if self._typist.asks(gap_ms) and not self._is_still_on_screen():
                observations.append(await self._pause(gap_ms))
            else:
                await self._desk.wait(gap_ms)
            if self._offset == asked_at:
                await self._press()
        return observations

    async def _press(self) -> None:
        key = self.passage.key(self._offset)
        caret = self._base + self._offset
        await self._desk.change(caret, caret, key)
        self._offset += len(key)

    async def _pause(self, gap_ms: int) -> Observation:
        """Ask for a suggestion, and deal with it when it comes before the next key is due."""
        due_ms = self._desk.now_ms + gap_ms
        noted, item = await self._ask()
        latency_ms = self._typist.latency_ms(self.passage, self._offset)
        if item is None:
            done = noted
        elif not self._reads or latency_ms >= gap_ms:
            done = replace(noted, action="late")
            if not self._reads:
                # Else it would answer the next questions too, where a survey wants a fresh row.
                await self._client.feedback("dismissed", item)
        else:
            await self._desk.wait(latency_ms)
            done = await self._look(replace(noted, shown=True, action="missed"), item)
        if not done.accepted:
            await self._desk.wait(due_ms - self._desk.now_ms)
        return done

    async def _ask(self) -> tuple[Observation, InlineItem | None]:
        begun = time.perf_counter()
        items = await self._client.complete(self._uri, self._base + self._offset)
        latency_ms = 1e3 * (time.perf_counter() - begun)
        item, now_ms = (items[0] if items else None), self._desk.now_ms
        asked_ms = self._first_asked_ms.setdefault(item.completion_id, now_ms) if item else now_ms
        noted = replace(
            self._blank,
            offset=self._offset,
            requested_ms=asked_ms,
            completion_id=item.completion_id if item else None,
            truth=self.passage.text[self._offset :],
            offered=item.text if item else "",
            latency_ms=latency_ms,
            is_repeat=asked_ms != now_ms,
        )
        return noted, item

    async def _look(self, noted: Observation, item: InlineItem) -> Observation:
        await self._client.feedback("shown", item)
        self._on_screen = self._offset, item.text
        if not self._typist.notices(self.passage, self._offset):
            return noted
        read_ms = self._typist.read_ms(item.text)
        await self._desk.wait(read_ms)
        decision = self._decide(item, noted.truth)
        noted = replace(noted, action=decision.action, read_ms=read_ms)
        match decision.action:
            case "accepted" | "accepted_then_mended":
                return await self._accept(noted, item)
            case "accepted_then_deleted":
                return await self._accept_and_delete(noted, item)
            case "took_word" | "took_line":
                return await self._take_part(noted, item, decision.length)
            case "dismissed":
                self._on_screen = None
                self._desk.num_keys += 1
                await self._client.feedback("dismissed", item)
        return noted

    def _decide(self, item: InlineItem, truth: str) -> Decision:
        """Taking all of it may replace what follows the caret, as a bracket closed already."""
        caret = self._base + self._offset
        if item.end == caret:
            return self._typist.decide(self.passage, self._offset, item.text, truth)
        meant = truth + self._desk.text[caret : item.end]
        whole = item.text == meant
        return self._typist.decide(
            self.passage, self._offset, item.text, meant if whole else truth, whole=whole
        )

    async def _accept(self, noted: Observation, item: InlineItem) -> Observation:
        caret, begins_line = self._base + self._offset, self._begins_line()
        self._on_screen = None
        await self._take(item)
        if item.end > caret:  # all of it is right, and what it replaced stands there again
            self._offset = len(self.passage.text)
            num_taken = self.passage.num_characters(noted.offset)
            return replace(noted, accepted=num_taken, retained=num_taken)
        plan = mending(item.text, noted.truth, begins_line=begins_line)
        if plan.num_deleted:
            await self._desk.wait(round(self._typist.habits.correct_ms))
        shift = caret
        for edit in plan.edits:
            await self._mend(shift + edit.start, shift + edit.end, edit.text)
            shift += len(edit.text) - (edit.end - edit.start)
        self._offset += plan.length
        return replace(
            noted,
            accepted=plan.num_retained + plan.num_deleted,
            retained=plan.num_retained,
            deleted=plan.num_deleted,
        )

    async def _mend(self, start: int, end: int, text: str) -> None:
        gap_ms = round(self._typist.habits.key_gap_ms)
        if end > start:
            await self._desk.change(start, end, "")
            await self._desk.wait(gap_ms)
        for character in text:
            await self._desk.change(start, start, character)
            await self._desk.wait(gap_ms)
            start += 1

    async def _accept_and_delete(self, noted: Observation, item: InlineItem) -> Observation:
        await self._take(item)
        self._on_screen = None
        await self._desk.wait(round(self._typist.habits.correct_ms))
        await self._desk.change(item.start, item.start + len(item.text), "")
        num_taken = num_characters(item.text.rstrip(), begins_line=self._begins_line())
        return replace(noted, accepted=num_taken, deleted=num_taken)

    async def _take(self, item: InlineItem) -> None:
        self._desk.num_keys += 1
        await self._client.accept(self._uri, item)

    async def _take_part(self, noted: Observation, item: InlineItem, length: int) -> Observation:
        part = item.text[:length]
        await self._desk.change(item.start, item.start, part)
        await self._client.notify(
            "textDocument/didPartiallyAcceptCompletion",
            {"item": item.raw, "acceptedLength": utf16_length(part)},
        )
        num_taken = self.passage.num_characters(self._offset, self._offset + length)
        self._offset += length
        return replace(noted, accepted=num_taken, retained=num_taken)

    def _begins_line(self) -> bool:
        return self.passage.begins(self._offset) == "line"

    def _is_still_on_screen(self) -> bool:
        if self._on_screen is None:
            return False
        start, offered = self._on_screen
        typed = self.passage.text[start : self._offset]
        return len(typed) < len(offered) and offered.startswith(typed)
