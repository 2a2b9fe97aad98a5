"""Turns a stream of questions about places in documents into as few host requests as possible.

A newer question of a document ends the older one: its request to the host is cancelled, unless the
user merely typed on and its answer may still fit. An answer whose beginning was typed since is
offered again without asking. This module knows nothing of LSP, HTTP or the clock of events.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol
from uuid import UUID

from feedback_store.schemas import MAX_SUFFIX_CHARACTERS, CompletionAnswer, CompletionRequest
from lsp_server.editor.context import Context
from lsp_server.editor.overlap import begins_closed, closes, needed_closers
from lsp_server.editor.postprocess import Suggestion, suggest

MAX_CACHED_ANSWERS = 16  # per document
MAX_CACHED_DOCUMENTS = 32
MAX_TYPED_AHEAD = 2000  # characters; nothing that is offered is longer
REUSE_WAIT_S = 0.2  # how long an older request that may still fit is waited for
TAKE_OVER_S = 0.05  # how soon after taking a question back its successor comes, if one does


class Host(Protocol):
    """What answers: `HostClient`, or a stand-in."""

    async def complete(self, request: CompletionRequest) -> CompletionAnswer | None:
        """Return the answer, or None; being cancelled must stop the work on the host."""
        ...


@dataclass(frozen=True)
class Question:
    """Somebody wants a suggestion here; `request` is built (and redacted) only if it is sent."""

    uri: str
    context: Context
    request: Callable[[], CompletionRequest]
    invoked: bool = False  # asked for explicitly: no debounce
    num_candidates: int = 1  # how many the request asks for; fewer that are at hand will not do


@dataclass(frozen=True)
class Reply:
    """What to offer at the question's place.

    `served` is the place that the host answered; `typed` is what was typed there since, and
    `closers` what the editor put behind the caret by itself, which every suggestion replaces.
    `first` is False when the same completion has been replied before.
    """

    completion_id: UUID
    served: Context
    typed: str
    suggestions: tuple[Suggestion, ...]
    first: bool = True
    closers: str = ""

    def texts(self) -> tuple[str, ...]:
        """Return each candidate's text at its index; one not offered has the best one's."""
        if not self.suggestions:
            return ()
        by_index = {s.candidate_index: s.text for s in self.suggestions}
        return tuple(by_index.get(n, self.suggestions[0].text) for n in range(max(by_index) + 1))


@dataclass
class _Entry:
    """One answer of the host, kept for those who type its first characters."""

    completion_id: UUID
    context: Context
    suggestions: tuple[Suggestion, ...]
    num_candidates: int = 1  # that were asked for, not all of which are worth offering
    replied: bool = False

    def reply(self, context: Context) -> Reply | None:
        """Return what is left to offer at `context`, or None if this answer does not fit there."""
        since = typed_since(self.context, context)
        if since is None:
            return None
        left = tuple(_rests(self.suggestions, since))
        if not left and since.text:
            return None
        first, self.replied = not self.replied, True
        return Reply(self.completion_id, self.context, since.text, left, first, since.closers)


@dataclass
class _Flight:
    """A request on its way to the host."""

    context: Context
    task: asyncio.Task[_Entry | None]
    num_candidates: int
    num_waiting: int = 0


@dataclass
class _Waiter:
    """The newest question of a document; `superseded` is set when a newer one arrives."""

    superseded: asyncio.Event = field(default_factory=asyncio.Event)


class Requests:
    """Answers questions, one at a time per document, the newest first."""

    def __init__(
        self,
        host: Host,
        *,
        debounce_s: float = 0.0,
        on_unasked: Callable[[str, Context, UUID], None] = lambda *_: None,
    ) -> None:
        """Ask `host`; an automatic question waits `debounce_s` for a newer one.

        `on_unasked` hears of answers that nobody waited for any more.
        """
        self._host, self._on_unasked = host, on_unasked
        self._debounce_s = debounce_s
        self._adapter: str | None = None
        self._cache: OrderedDict[str, OrderedDict[UUID, _Entry]] = OrderedDict()
        self._flights: dict[str, _Flight] = {}
        self._waiters: dict[str, _Waiter] = {}

    async def answer(self, question: Question) -> Reply | None:
        """Return what to offer, or None: nothing to say, host unwell, or a newer question came.

        Cancelling the call cancels the request to the host.
        """
        waiter = self._supersede(question.uri)
        try:
            if reply := self._cached(question) or await self._reused(question, waiter):
                return reply
            if waiter.superseded.is_set():
                return None  # what is under way may still serve the newer question
            self._cancel_flight(question.uri)
            if not question.invoked and await _is_set_within(waiter.superseded, self._debounce_s):
                return None
            if waiter.superseded.is_set():
                return None
            task = asyncio.create_task(self._ask(question))
            flight = _Flight(question.context, task, question.num_candidates)
            self._flights[question.uri] = flight
            flight.task.add_done_callback(lambda _: self._landed(question.uri, flight))
            entry = await self._landing(question.uri, flight, waiter)
            return entry.reply(question.context) if entry else None
        finally:
            if self._waiters.get(question.uri) is waiter:
                del self._waiters[question.uri]

    def adapter_is(self, adapter: str | None) -> None:
        """Hear which adapter serves now; answers of another one are forgotten."""
        if adapter != self._adapter:
            self._cache.clear()
        self._adapter = adapter

    def dismiss(self, completion_id: UUID) -> None:
        """Hear that somebody waved an answer away: it is not offered again unless asked for."""
        for entries in self._cache.values():
            if entry := entries.get(completion_id):
                entry.suggestions = ()

    def close_document(self, uri: str) -> None:
        """Forget a document and cancel what is asked about it."""
        self._supersede(uri)
        self._waiters.pop(uri, None)
        self._cancel_flight(uri)
        self._cache.pop(uri, None)

    def _supersede(self, uri: str) -> _Waiter:
        if older := self._waiters.get(uri):
            older.superseded.set()
        waiter = self._waiters[uri] = _Waiter()
        return waiter

    def _cached(self, question: Question) -> Reply | None:
        entries = self._cache.get(question.uri, OrderedDict())
        for entry in reversed(entries.values()):
            is_less = entry.num_candidates < question.num_candidates
            if question.invoked and (is_less or not entry.suggestions):
                continue
            if reply := entry.reply(question.context):
                entries.move_to_end(entry.completion_id)
                self._cancel_flight(question.uri)
                return reply
        return None

    async def _reused(self, question: Question, waiter: _Waiter) -> Reply | None:
        """Wait a little for a request under way whose answer may begin with what was typed."""
        flight = self._flights.get(question.uri)
        if flight is None or typed_since(flight.context, question.context) is None:
            return None
        if flight.num_candidates < question.num_candidates:
            return None
        entry = await self._landing(question.uri, flight, waiter, timeout_s=REUSE_WAIT_S)
        if entry is None or (question.invoked and not entry.suggestions):
            return None  # who asks on purpose gets what the host would not have shown
        return entry.reply(question.context)

    async def _landing(
        self, uri: str, flight: _Flight, waiter: _Waiter, timeout_s: float | None = None
    ) -> _Entry | None:
        """Wait for the flight; None if it failed, took too long or a newer question took over."""
        newer = asyncio.create_task(waiter.superseded.wait())
        flight.num_waiting += 1
        try:
            await asyncio.wait(
                {flight.task, newer}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        except asyncio.CancelledError:
            # Editors take a question back and ask again one character later in the same breath.
            asyncio.get_running_loop().call_later(TAKE_OVER_S, self._end_unwanted, uri, flight)
            raise
        finally:
            flight.num_waiting -= 1
            newer.cancel()
        if waiter.superseded.is_set() or not flight.task.done() or flight.task.cancelled():
            return None
        return flight.task.result()

    async def _ask(self, question: Question) -> _Entry | None:
        answer = await self._host.complete(question.request())
        if answer is None:
            return None
        self.adapter_is(answer.adapter)
        suggestions = tuple(_suggestions(question.context, answer)) if answer.show else ()
        entry = _Entry(answer.completion_id, question.context, suggestions, question.num_candidates)
        if suggestions and not question.context.popup_open:
            self._remember(question.uri, entry)
        return entry

    def _remember(self, uri: str, entry: _Entry) -> None:
        entries = self._cache.setdefault(uri, OrderedDict())
        self._cache.move_to_end(uri)
        entries[entry.completion_id] = entry
        if len(entries) > MAX_CACHED_ANSWERS:
            entries.popitem(last=False)
        if len(self._cache) > MAX_CACHED_DOCUMENTS:
            self._cache.popitem(last=False)

    def _end_unwanted(self, uri: str, flight: _Flight) -> None:
        if not flight.num_waiting and self._flights.get(uri) is flight:
            self._cancel_flight(uri)

    def _landed(self, uri: str, flight: _Flight) -> None:
        if self._flights.get(uri) is flight:
            del self._flights[uri]
        if flight.task.cancelled() or flight.task.exception() or not flight.task.result():
            return
        asyncio.get_running_loop().call_later(TAKE_OVER_S, self._tell_unasked, uri, flight)

    def _tell_unasked(self, uri: str, flight: _Flight) -> None:
        entry = flight.task.result()
        if entry and not entry.replied:
            self._on_unasked(uri, flight.context, entry.completion_id)

    def _cancel_flight(self, uri: str) -> None:
        if flight := self._flights.pop(uri, None):
            flight.task.cancel()


@dataclass(frozen=True)
class Typed:
    """What was inserted: `text` up to the caret, `closers` that the editor put behind it."""

    text: str
    closers: str = ""


def typed_since(served: Context, now: Context) -> Typed | None:
    """Return what was inserted at the place `served` to arrive at `now`; None if more happened.

    Only the windows around the caret are compared, which is all that the host saw as well.
    """
    if served is now:
        return Typed("")
    num_typed = now.anchor - served.anchor
    if num_typed < 0 or num_typed > len(now.prefix) or served.popup_open or now.popup_open:
        return None
    before, typed = _split_at(now.prefix, len(now.prefix) - num_typed)
    # Windows begin in steps, so the older one may reach further back, or less far.
    num_shared = min(len(before), len(served.prefix))
    if served.prefix[len(served.prefix) - num_shared :] != before[len(before) - num_shared :]:
        return None
    if not num_shared and (before or served.prefix):
        return None
    if now.language != served.language:
        return None
    if served.suffix == now.suffix:
        return Typed(typed)
    if num_typed > MAX_TYPED_AHEAD or not begins_closed(now.suffix):
        return None  # cheap, for this is asked of every answer that is kept
    expected = needed_closers(typed)
    for length in range(1, len(expected) + 1):
        if _is_suffix_behind(expected[:length], served.suffix, now.suffix):
            return Typed(typed, expected[:length])
    return None


def _split_at(text: str, index: int) -> tuple[str, str]:
    return text[:index], text[index:]


def _is_suffix_behind(closers: str, served: str, now: str) -> bool:
    if not now.startswith(closers):
        return False
    rest = now[len(closers) :]
    # Behind closers the window ends a little earlier in the document, if it ends before it.
    is_cut = len(now) >= MAX_SUFFIX_CHARACTERS // 2
    return served == rest or (is_cut and served.startswith(rest))


def _rests(suggestions: tuple[Suggestion, ...], since: Typed) -> Iterator[Suggestion]:
    """Yield what is left of each; what the editor closed by itself has to be closed by it too."""
    for suggestion in suggestions:
        rest = suggestion.text[len(since.text) :]
        if not rest or not suggestion.text.startswith(since.text):
            continue
        if since.closers and (rest == since.closers or not closes(rest, since.closers)):
            continue
        num_replaced = suggestion.replace_length + len(since.closers)
        yield replace(suggestion, text=rest, replace_length=num_replaced)


def _suggestions(context: Context, answer: CompletionAnswer) -> Iterator[Suggestion]:
    """Yield what is worth offering, the same text only once."""
    seen: set[str] = set()
    for candidate in answer.candidates:
        suggestion = suggest(context, candidate.text, candidate.index)
        if suggestion and suggestion.text not in seen:
            seen.add(suggestion.text)
            yield suggestion


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    if seconds <= 0:
        return event.is_set()
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
