"""Turns changes at an offer's place, and what the client tells, into what the user did with it.

A suggestion that comes to stand there whole was accepted if it came at once while it was offered,
and typed if it came key by key. Works for clients that tell nothing; a client known to run the
accept command is waited for. This module knows nothing of documents beyond the text it is handed,
of deadlines or of LSP.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from feedback_store.schemas import EventKind
from lsp_server.editor.document import Edit
from lsp_server.editor.matching import (
    Fit,
    continues_identifier,
    utf16_length,
    utf16_prefix,
)
from lsp_server.editor.tracked import (
    MAX_SETTLED_CHARACTERS,
    Claim,
    Journal,
    Source,
    Tracked,
)

Unit = Literal["word", "line", "other"]


@dataclass(frozen=True)
class TrackerConfig:
    """How long to wait for what. Times in milliseconds, checks in seconds after taking."""

    client_sends_accept_command: bool = False
    accept_wait_ms: int = 300
    settle_ms: int = 10_000
    min_visible_ms: int = 400
    undo_ms: int = 5_000
    checks_s: tuple[int, ...] = (30, 120, 300, 600)
    max_tracked: int = 256


@dataclass(frozen=True)
class Seen:
    """What stood at a watched place before a change."""

    tracked: Tracked
    found: str
    num_typed: int
    was_pristine: bool


@dataclass(frozen=True)
class Change:
    """One batch of edits: as the client sent them, and as few small hunks."""

    text: str  # the document after it
    edits: Sequence[Edit]
    hunks: Sequence[Edit]
    now_ms: int


class Inference:
    """Decides; writes what it decided into the `Tracked` and the journal."""

    def __init__(self, config: TrackerConfig, journal: Journal) -> None:
        self._config = config
        self._journal = journal
        self._client_sends_command = config.client_sends_accept_command

    def seen(self, tracked: Tracked, document: str) -> Seen:
        """Note what stands at a place before a change."""
        num_typed = tracked.match(document).num_typed if tracked.is_live else 0
        pristine = tracked.taken is not None and tracked.taken.pristine
        return Seen(tracked, tracked.found(document), num_typed, pristine)

    def offer(self, tracked: Tracked, document: str, now_ms: int) -> None:
        """An answer has come: it is on screen if what was typed since still fits."""
        index, found = tracked.best(document)
        if found.fit is not Fit.ALONG or found.num_typed >= len(tracked.texts[index]):
            return
        tracked.index = index  # another one, where what was typed since fits that one alone
        tracked.offered_from, tracked.before = found.num_typed, tracked.found(document)
        if not tracked.answered.explicit_shown:
            tracked.show(self._journal, now_ms, "inferred")
            tracked.tell_candidate(self._journal, now_ms)

    def changed(self, seen: Seen, change: Change) -> None:
        """The text at the place changed."""
        tracked = seen.tracked
        if tracked.taken is not None and self._is_undone(seen, change):
            self._undo(tracked, change.now_ms)
        elif tracked.awaited is not None:
            self._arrive(tracked, change.text)
        elif tracked.claim is not None:
            self._go_on_after_claim(tracked, change)
        elif tracked.is_live:
            self._follow_offer(seen, change)

    def expire(self, tracked: Tracked, document: str, now_ms: int) -> None:
        """No command came for a claim, or no further key: it was typed after all."""
        if tracked.claim is None or tracked.taken is None:
            return
        following = document[tracked.taken.end : tracked.place.end][:1]
        if continues_identifier(tracked.taken_text, following):
            tracked.release()
        else:
            self._confirm_typed(tracked, now_ms)

    def accept(
        self, tracked: Tracked, index: int, document: str, now_ms: int, source: Source
    ) -> None:
        """All of candidate `index` was accepted; told once until it is undone or offered anew."""
        if source == "explicit":
            self._client_sends_command = True
        if tracked.is_accepted:
            return
        if index != tracked.index and 0 <= index < len(tracked.texts):
            tracked.index, tracked.claim, tracked.taken = index, None, None
        tracked.hide(now_ms)
        if tracked.is_shown:
            tracked.tell_candidate(self._journal, now_ms)
        if tracked.claim is None and not tracked.is_typed:
            self._take(tracked, document, len(tracked.text), now_ms)
        tracked.claim, tracked.is_accepted, tracked.is_settled = None, True, False
        self._journal.add(
            tracked,
            EventKind.ACCEPTED,
            now_ms,
            source=source,
            visible_ms=tracked.seen_ms(now_ms),
            accepted_length=tracked.full_length(),
        )

    def accept_part(
        self, tracked: Tracked, num_units: int, unit: Unit | None, document: str, now_ms: int
    ) -> None:
        """The client told of a partial accept of `num_units` UTF-16 units, cumulative."""
        length = self._cumulative(tracked, num_units, document)
        if length >= tracked.full_length():
            self.accept(tracked, tracked.index, document, now_ms, "explicit")
            return
        if length <= tracked.accepted_length or tracked.is_accepted:
            return
        last = len(utf16_prefix(tracked.text, tracked.accepted_length))
        num_taken = len(utf16_prefix(tracked.text, length))
        tracked.tell_candidate(self._journal, now_ms)
        tracked.claim = None
        self._take(tracked, document, num_taken, now_ms)
        tracked.accepted_length, tracked.offered_from = length, num_taken
        tracked.is_settled = False
        self._journal.add(
            tracked,
            EventKind.PARTIALLY_ACCEPTED,
            now_ms,
            source="explicit",
            accepted_length=length,
            unit=unit or _unit_of(tracked.text, last, num_taken),
            visible_ms=tracked.seen_ms(now_ms),
        )

    def conclude(self, tracked: Tracked, document: str, now_ms: int) -> None:
        """The place has settled: tell `typed_through` or `diverged` where that is what happened.

        Only what can have been read can have been refused.
        """
        if tracked.claim is not None:
            self.expire(tracked, document, now_ms)
        tracked.awaited = None
        if not self._may_be_refused(tracked, now_ms):
            return
        text, found = tracked.typed_text(document), tracked.match(document)
        goes_on = continues_identifier(tracked.text, text[found.num_typed :])
        is_other = found.fit is Fit.OTHER or (found.fit is Fit.BEYOND and goes_on)
        if not is_other or not text.strip() or text == tracked.diverged_text:
            return
        tracked.hide(now_ms)
        tracked.diverged_text = text
        self._journal.add(
            tracked,
            EventKind.DIVERGED,
            now_ms,
            text=self._journal.text_after(tracked.head(document), text, MAX_SETTLED_CHARACTERS),
            visible_ms=tracked.seen_ms(now_ms),
        )

    def _may_be_refused(self, tracked: Tracked, now_ms: int) -> bool:
        if tracked.is_told_taken or tracked.is_undone or not tracked.is_shown:
            return False
        is_seen = tracked.visible_at(now_ms) >= self._config.min_visible_ms
        return is_seen and tracked.reason is None

    def _follow_offer(self, seen: Seen, change: Change) -> None:
        """Read what became of the text while the suggestion was on screen."""
        tracked, now_ms = seen.tracked, change.now_ms
        index, found = tracked.best(change.text)
        if found.fit is Fit.ALONG and index == tracked.index:
            return
        if found.fit in (Fit.ALONG, Fit.OTHER):
            tracked.hide(now_ms)
        elif _is_at_once(seen, index, found.fit, change):
            self._claim_or_accept(seen, index, change)
        elif index == tracked.index and not tracked.accepted_length:
            self._typed(seen, change)
        else:
            tracked.hide(now_ms)

    def _claim_or_accept(self, seen: Seen, index: int, change: Change) -> None:
        tracked, now_ms = seen.tracked, change.now_ms
        tracked.before = seen.found
        # With a pop-up list open its item may be what was taken: only the client can tell.
        if self._client_sends_command or tracked.answered.popup_open:
            tracked.index = index
            tracked.take(change.text, len(tracked.text), now_ms)
            tracked.hide(now_ms)
            tracked.claim = Claim(now_ms, now_ms + self._config.accept_wait_ms)
        else:
            self.accept(tracked, index, change.text, now_ms, "inferred")

    def _typed(self, seen: Seen, change: Change) -> None:
        tracked, now_ms = seen.tracked, change.now_ms
        end = tracked.place.start + len(tracked.text)
        following = change.text[end : tracked.place.end][:1]
        tracked.hide(now_ms)
        if continues_identifier(tracked.text, following):
            return
        tracked.before = seen.found
        tracked.take(change.text, len(tracked.text), now_ms)
        tracked.claim = Claim(now_ms, None)
        if not continues_identifier(tracked.text, "_"):  # no key can make it another word
            self._confirm_typed(tracked, now_ms)

    def _go_on_after_claim(self, tracked: Tracked, change: Change) -> None:
        claim, taken = tracked.claim, tracked.taken
        if claim is None or taken is None:
            return
        following = change.text[taken.end : tracked.place.end][:1]
        if not taken.pristine or continues_identifier(tracked.taken_text, following):
            tracked.release()
        elif claim.due_ms is None:
            self._confirm_typed(tracked, change.now_ms)

    def _confirm_typed(self, tracked: Tracked, now_ms: int) -> None:
        if not tracked.is_shown or tracked.reason is not None or tracked.accepted_length:
            tracked.release()
            return
        tracked.claim, tracked.is_typed = None, True
        visible_ms = tracked.seen_ms(now_ms)
        self._journal.add(tracked, EventKind.TYPED_THROUGH, now_ms, visible_ms=visible_ms)

    def _is_undone(self, seen: Seen, change: Change) -> bool:
        """Tell whether exactly what was taken is gone again, at once and soon after."""
        tracked = seen.tracked
        soon = change.now_ms - tracked.taken_at_ms <= self._config.undo_ms
        was_there = seen.was_pristine and not tracked.is_typed and tracked.awaited is None
        return soon and was_there and tracked.found(change.text) == tracked.before != seen.found

    def _undo(self, tracked: Tracked, now_ms: int) -> None:
        was_told = tracked.is_told_taken
        tracked.release()
        tracked.hide(now_ms)
        tracked.is_undone = was_told
        if was_told:
            visible_ms = tracked.seen_ms(now_ms)
            self._journal.add(tracked, EventKind.UNDONE, now_ms, visible_ms=visible_ms)

    def _take(self, tracked: Tracked, document: str, length: int, now_ms: int) -> None:
        """Take the first `length` characters; the client may tell before its change arrives."""
        if document.startswith(tracked.text[:length], tracked.place.start):
            tracked.take(document, length, now_ms)
            return
        tracked.take(document, tracked.place.end - tracked.place.start, now_ms)
        tracked.taken_text = tracked.text[:length]
        tracked.awaited = length

    def _arrive(self, tracked: Tracked, document: str) -> None:
        awaited = tracked.awaited or 0
        if document.startswith(tracked.text[:awaited], tracked.place.start):
            tracked.take(document, awaited, tracked.taken_at_ms)

    def _cumulative(self, tracked: Tracked, num_units: int, document: str) -> int:
        """Return units from the anchor on: some clients count from where it was last offered."""
        typed = utf16_length(tracked.text[: tracked.match(document).num_typed])
        base = utf16_length(tracked.text[: tracked.offered_from])
        return num_units if num_units == typed != base + num_units else base + num_units


def _is_at_once(seen: Seen, index: int, fit: Fit, change: Change) -> bool:
    """Tell whether one edit put the whole offer there, as accepting does."""
    tracked = seen.tracked
    rest = tracked.texts[index][tracked.offered_from :]
    if len(rest) < 2 or seen.num_typed != tracked.offered_from:
        return False
    if any(edit.inserted == rest for edit in change.edits):
        return True
    hunks = change.hunks
    is_one = len(change.edits) == 1 and len(hunks) == 1 and len(hunks[0].inserted) > 1
    return is_one and fit is Fit.FULL


def _unit_of(text: str, start: int, end: int) -> Unit:
    part = text[start:end]
    if part.endswith(("\n", "\r")) or text[end : end + 1] in ("\n", "\r", ""):
        return "line"
    return "word" if len(part.split()) <= 1 else "other"
