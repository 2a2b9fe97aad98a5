"""Turns the stream of edits, answers and notifications of an editor into feedback events.

A pure state machine: times come in as epoch milliseconds, events are taken out, nothing is read or
written. It knows nothing of LSP, HTTP, files or clocks. `regions.py` moves ranges, `matching.py`
compares texts, `tracked.py` holds one completion, `inference.py` decides what was done with it.

How unseen is encoded, for the fold: a completion without `shown` was never on screen. `reason` of
`shown` and `settled` is one of "popup_open", "mid_identifier", "multi_cursor", "superseded" when
nobody can have read it. `visible_ms` of every later event is the time on screen so far, all offers
added up. For what was unseen by any of these, `diverged` and `typed_through` are not told (below
`min_visible_ms` only `diverged` is not).

`settled` holds the text from the anchor to where the served suffix begins; of what was accepted or
typed through it holds that text alone, with `reaches_suffix` false where more was written after
it. It is told again when the place changes before the user goes elsewhere: the last one counts.
`lost` has the reason "replaced" (most of the document changed), "evicted" (too many completions
under way) or "closed" (the answer came after the document was closed).
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Mapping
from uuid import UUID

from feedback_store.schemas import Event, EventKind
from lsp_server.editor.document import Applied
from lsp_server.editor.inference import Change, Inference, Seen, TrackerConfig
from lsp_server.editor.matching import Fit
from lsp_server.editor.notices import Notice, Notices
from lsp_server.editor.opened import OpenDocument, is_reformatted, move_all, touch
from lsp_server.editor.regions import Place, hunks_of, is_formatting, is_multi_cursor
from lsp_server.editor.tracked import Answered, Journal, Tracked

__all__ = ["Answered", "Tracker", "TrackerConfig"]

LARGE_SHARE = 0.5
SAVE_MS = 1_000  # a formatter that runs on save changes the text so shortly before `didSave`
NUM_REMEMBERED = 1_024  # finished completions of which more may be told
NEVER = 2**63


class Tracker:
    """Infers what becomes of completions. Unknown documents and completions are never an error."""

    def __init__(
        self, config: TrackerConfig | None = None, redact: Callable[[str], str] = lambda text: text
    ) -> None:
        """`redact` is applied to every text of an event, together with the line before it."""
        self._config = config or TrackerConfig()
        self._journal = Journal(redact)
        self._inference = Inference(self._config, self._journal)
        self._notices = Notices(self._inference, self._journal)
        self._documents: dict[str, OpenDocument] = {}
        self._tracked: dict[UUID, Tracked] = {}
        self._finished: OrderedDict[UUID, Tracked] = OrderedDict()
        self._now_ms = 0
        self._due_ms = NEVER  # never later than the earliest deadline
        self._num_tracked = 0
        checks_ms = [1_000 * check_s for check_s in self._config.checks_s[:1]]
        self._shortest_ms = min(self._config.accept_wait_ms, self._config.settle_ms, *checks_ms)

    def opened(self, uri: str, text: str, now_ms: int) -> None:
        """A document was opened, or opened again."""
        self.closed(uri, now_ms)
        self._documents[uri] = OpenDocument(text)

    def changed(self, uri: str, applied: Applied, text: str, now_ms: int) -> None:
        """A document changed; `text` is the whole of it afterwards."""
        now_ms = self._advance(now_ms)
        document = self._documents.get(uri)
        if document is None:
            return
        before, document.text = document.text, text
        if applied.whole_document and applied.share_changed > LARGE_SHARE:
            document.marks, document.log = [], []
            for tracked in list(document.tracked.values()):
                self._lose(tracked, "replaced", now_ms)
            return
        hunks = hunks_of(applied.edits)
        if not hunks:
            return
        document.note(hunks)
        change = Change(text, applied.edits, hunks, now_ms)
        if len(hunks) == 1:
            self._changed_here(document, before, change)
        else:
            self._changed_widely(document, before, change)

    def saved(self, uri: str, now_ms: int) -> None:
        """A document was saved: what just changed like formatting was formatting."""
        now_ms = self._advance(now_ms)
        document = self._documents.get(uri)
        for tracked in document.tracked.values() if document else ():
            changed_ms = tracked.maybe_formatted_ms
            if changed_ms is not None and now_ms - changed_ms <= SAVE_MS:
                tracked.reformatted, tracked.maybe_formatted_ms = True, None

    def closed(self, uri: str, now_ms: int) -> None:
        """A document was closed: all that is under way in it settles now."""
        now_ms = self._advance(now_ms)
        document = self._documents.pop(uri, None)
        for tracked in list(document.tracked.values()) if document else ():
            self._close(tracked, document.text if document else "", now_ms)

    def requested(self, uri: str, offset: int, now_ms: int) -> None:
        """A suggestion was asked for at `offset`: the user is there and nowhere else."""
        now_ms = self._advance(now_ms)
        document = self._documents.get(uri)
        if document is None:
            return
        for tracked in list(document.tracked.values()):
            if not tracked.place.start <= offset <= tracked.place.end:
                self._leave(document, tracked, now_ms)
        document.mark(offset)

    def answered(self, answered: Answered, now_ms: int) -> None:
        """The host answered, or the typed-ahead cache offers an answer again."""
        now_ms = self._advance(now_ms)
        document = self._documents.get(answered.uri)
        if document is None:
            if not answered.reoffer and answered.completion_id not in self._finished:
                self._lose(Tracked(answered, Place(0, 0), (), ""), "closed", now_ms)
            return
        if answered.texts or not (answered.reoffer or answered.is_unasked):
            self._supersede(document, answered.completion_id, now_ms)
        tracked = self._tracked_for(document, answered, now_ms)
        if tracked is not None and answered.texts:
            tracked.quiet_from_ms = now_ms
            self._inference.offer(tracked, document.text, now_ms)
        self._expect(now_ms)

    def notified(
        self,
        kind: EventKind | str,
        completion_id: UUID,
        candidate_index: int,
        data: Mapping[str, object],
        now_ms: int,
    ) -> bool:
        """The client told something: an `EventKind` or "hidden". False: it made no sense."""
        now_ms = self._advance(now_ms)
        tracked = self._tracked.get(completion_id)
        notice = Notice(str(kind), candidate_index, data, now_ms)
        self._expect(now_ms)
        if tracked is None:
            return self._notices.take(notice, self._known(completion_id), None)
        text = self._documents[tracked.answered.uri].text
        return self._notices.take(notice, tracked, text)

    def command_accepted(self, completion_id: UUID, candidate_index: int, now_ms: int) -> None:
        """The client ran the accept command of an item."""
        self.notified(EventKind.ACCEPTED, completion_id, candidate_index, {}, now_ms)

    def tick(self, now_ms: int) -> None:
        """Time went by."""
        self._advance(now_ms)

    def next_deadline_ms(self) -> int | None:
        """Return when `tick` has something to do, as epoch milliseconds; None: never."""
        due_ms = min((self._due_of(t) for t in self._tracked.values()), default=NEVER)
        return None if due_ms == NEVER else due_ms

    def take_events(self) -> list[Event]:
        """Return the events since the last call, oldest first."""
        return self._journal.take()

    def _changed_here(self, document: OpenDocument, before: str, change: Change) -> None:
        """One place changed: what lies elsewhere is left behind by the user."""
        hunk, now_ms = change.hunks[0], change.now_ms
        watched = self._watched(document, before, now_ms)
        touched, untouched = move_all(document.tracked.values(), hunk)
        maybe_formatted_ms = now_ms if is_formatting(hunk) else None
        for tracked in touched:
            tracked.maybe_formatted_ms = maybe_formatted_ms
            touch(tracked, now_ms)
        for seen in watched:
            if seen.tracked not in untouched:
                self._inference.changed(seen, change)
        for tracked in untouched:
            self._leave(document, tracked, now_ms)
        self._expect(now_ms)

    def _changed_widely(self, document: OpenDocument, before: str, change: Change) -> None:
        """Several places changed at once: a tool did it, or several cursors."""
        now_ms, several_cursors = change.now_ms, is_multi_cursor(change.hunks)
        watched = {seen.tracked: seen for seen in self._watched(document, before, now_ms)}
        texts = {t: before[t.place.start : t.place.end] for t in document.tracked.values()}
        touched: set[Tracked] = set()
        for hunk in change.hunks:
            touched.update(move_all(document.tracked.values(), hunk)[0])
        for tracked in sorted(touched, key=lambda t: t.order):
            if several_cursors and not tracked.is_told_taken:
                tracked.reason = "multi_cursor"
                tracked.hide(now_ms)
            elif is_reformatted(tracked, texts[tracked], change.text):
                tracked.reformatted = True
                tracked.hide(now_ms)
                continue
            touch(tracked, now_ms)
            if tracked in watched:
                self._inference.changed(watched[tracked], change)
        self._expect(now_ms)

    def _watched(self, document: OpenDocument, before: str, now_ms: int) -> list[Seen]:
        soon_ms = now_ms - self._config.undo_ms
        return [
            self._inference.seen(t, before)
            for t in document.tracked.values()
            if t.is_live or (t.taken is not None and (t.taken_at_ms >= soon_ms or t.is_undecided))
        ]

    def _tracked_for(
        self, document: OpenDocument, answered: Answered, now_ms: int
    ) -> Tracked | None:
        """Return the completion, placed where it is offered now; None if it does not belong there.

        What is offered again must fit: text of another place must not be told of this one.
        """
        tracked = self._tracked.get(answered.completion_id)
        if tracked is not None and tracked.answered.is_unasked:
            self._finish(tracked)  # it is asked for after all, and begins anew
        elif tracked is not None:
            if tracked.answered.uri != answered.uri:
                return None
            _offer_again(tracked, self._journal, document.text, now_ms)
            return tracked
        known = self._finished.get(answered.completion_id)
        if answered.reoffer or (known is not None and known.texts):
            if known is None or not known.return_to(answered, document.text):
                return None
            tracked = known
        else:
            tracked = _first_answered(document, answered)
            tracked.num_events = known.num_events if known else {}
            tracked.settled_data = known.settled_data if known else ()
        self._finished.pop(answered.completion_id, None)
        self._register(document, tracked, now_ms)
        return tracked

    def _register(self, document: OpenDocument, tracked: Tracked, now_ms: int) -> None:
        while self._tracked and len(self._tracked) >= self._config.max_tracked:
            old = next((t for t in self._tracked.values() if t.is_dormant), None)
            self._lose(old or next(iter(self._tracked.values())), "evicted", now_ms)
        self._num_tracked += 1
        tracked.order, tracked.quiet_from_ms = self._num_tracked, now_ms
        document.tracked[tracked.completion_id] = tracked
        self._tracked[tracked.completion_id] = tracked

    def _supersede(self, document: OpenDocument, newest: UUID, now_ms: int) -> None:
        """One suggestion is on screen at a time; being replaced by a newer one is no refusal."""
        for tracked in document.tracked.values():
            if tracked.is_live and tracked.completion_id != newest:
                tracked.hide(now_ms)
                tracked.reason = tracked.reason or "superseded"

    def _leave(self, document: OpenDocument, tracked: Tracked, now_ms: int) -> None:
        """The user does something elsewhere in the document: what stands there is meant."""
        if tracked.is_live:
            tracked.hide(now_ms)
        if tracked.claim is not None and tracked.claim.due_ms is not None:
            return
        if not tracked.is_settled:
            self._settle(tracked, document.text, now_ms)
        tracked.is_dormant = False
        if not self._has_checks(tracked):
            self._finish(tracked)

    def _settle(self, tracked: Tracked, text: str, now_ms: int) -> None:
        self._inference.conclude(tracked, text, now_ms)
        if not tracked.is_settled:
            tracked.settle(self._journal, text, now_ms)

    def _close(self, tracked: Tracked, text: str, now_ms: int) -> None:
        tracked.hide(now_ms)
        if not tracked.is_settled:
            self._settle(tracked, text, now_ms)
        if self._has_checks(tracked):
            after_s = (now_ms - tracked.taken_at_ms) // 1_000
            tracked.persist(self._journal, text, now_ms, after_s, "closed")
        self._finish(tracked)

    def _lose(self, tracked: Tracked, reason: str, now_ms: int) -> None:
        """Tracking ends here; told unless everything there is to tell was told."""
        tracked.hide(now_ms)
        if not tracked.is_settled or self._has_checks(tracked):
            visible_ms = tracked.seen_ms(now_ms)
            self._journal.add(tracked, EventKind.LOST, now_ms, reason=reason, visible_ms=visible_ms)
        self._finish(tracked)

    def _finish(self, tracked: Tracked) -> None:
        self._tracked.pop(tracked.completion_id, None)
        document = self._documents.get(tracked.answered.uri)
        if document is not None:
            document.tracked.pop(tracked.completion_id, None)
        self._remember(tracked)

    def _remember(self, tracked: Tracked) -> None:
        """Keep the numbers of its events: more may be told of it, or it may be offered again."""
        self._finished[tracked.completion_id] = tracked
        while len(self._finished) > NUM_REMEMBERED:
            self._finished.popitem(last=False)

    def _known(self, completion_id: UUID) -> Tracked:
        """Return a completion that is no longer, or was never, under way."""
        known = self._finished.get(completion_id)
        if known is None:
            known = Tracked(Answered(completion_id, "", 0, 0, (), "", ""), Place(0, 0), (), "")
            self._remember(known)
        return known

    def _has_checks(self, tracked: Tracked) -> bool:
        is_taken = tracked.taken is not None and tracked.is_told_taken
        return is_taken and tracked.num_checks < len(self._config.checks_s)

    def _due_of(self, tracked: Tracked) -> int:
        due_ms = NEVER
        if not tracked.is_settled:
            due_ms = tracked.quiet_from_ms + self._config.settle_ms
        if tracked.claim is not None and tracked.claim.due_ms is not None:
            due_ms = min(due_ms, tracked.claim.due_ms)
        if self._has_checks(tracked):
            check_s = self._config.checks_s[tracked.num_checks]
            due_ms = min(due_ms, tracked.taken_at_ms + 1_000 * check_s)
        return due_ms

    def _expect(self, now_ms: int) -> None:
        """New deadlines may have come up, none of them sooner than the shortest wait."""
        self._due_ms = min(self._due_ms, now_ms + self._shortest_ms)

    def _advance(self, now_ms: int) -> int:
        """Do what is due, in order of time; return the time, which never goes back."""
        now_ms = self._now_ms = max(self._now_ms, now_ms)
        if now_ms < self._due_ms:
            return now_ms
        dues = [(self._due_of(t), t.order, t) for t in self._tracked.values()]
        heap = [due for due in dues if due[0] <= now_ms]
        heapq.heapify(heap)
        while heap:
            due_ms, order, tracked = heapq.heappop(heap)
            self._fire(tracked, due_ms)
            next_ms = self._due_of(tracked)
            if tracked.completion_id in self._tracked and next_ms <= now_ms:
                heapq.heappush(heap, (next_ms, order, tracked))
        self._due_ms = min((self._due_of(t) for t in self._tracked.values()), default=NEVER)
        return now_ms

    def _fire(self, tracked: Tracked, due_ms: int) -> None:
        """Do the one thing that is due for a completion at `due_ms`."""
        text = self._documents[tracked.answered.uri].text
        if tracked.claim is not None and tracked.claim.due_ms == due_ms:
            self._inference.expire(tracked, text, due_ms)
        elif not tracked.is_settled and tracked.quiet_from_ms + self._config.settle_ms == due_ms:
            self._settle(tracked, text, due_ms)
            is_open = tracked.is_live or not tracked.typed_text(text).strip()
            tracked.is_dormant = is_open or tracked.is_told_taken
            if not tracked.is_dormant:
                self._finish(tracked)
        else:
            after_s = self._config.checks_s[tracked.num_checks]
            tracked.persist(self._journal, text, due_ms, after_s)
            tracked.num_checks += 1
            if tracked.is_settled and not self._has_checks(tracked):
                self._finish(tracked)


def _first_answered(document: OpenDocument, answered: Answered) -> Tracked:
    place = document.place_of(answered)
    replaced = document.text[max(place.start, place.end - answered.replace_length) : place.end]
    tracked = Tracked(answered, place, answered.texts, replaced, index=answered.index)
    tracked.reason = tracked.first_reason
    return tracked


def _offer_again(tracked: Tracked, journal: Journal, text: str, now_ms: int) -> None:
    """Open what was taken for another offer, if it is gone; what is left of it is told first."""
    index, found = tracked.best(text)
    if found.fit is not Fit.ALONG or found.num_typed >= len(tracked.texts[index]):
        return
    if tracked.is_accepted or tracked.is_typed:
        after_s = (now_ms - tracked.taken_at_ms) // 1_000
        tracked.persist(journal, text, now_ms, after_s)
        tracked.release()
    if tracked.reason == "superseded":
        tracked.reason = tracked.first_reason
    tracked.is_settled = tracked.is_dormant = False
