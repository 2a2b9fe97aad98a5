"""Turns what happens in one editor into offers and feedback: documents, questions, answers.

This is where the editor side's parts meet. It knows neither LSP's wire nor pygls, and nothing here
raises for what a user types, a client sends late or a host fails to do.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

from feedback_store.schemas import (
    MAX_PREFIX_CHARACTERS,
    MAX_SUFFIX_CHARACTERS,
    CompletionRequest,
    Mode,
)
from lsp_server.editor.config import EditorConfig
from lsp_server.editor.context import Context, Selected, build
from lsp_server.editor.document import Document, PositionEncoding, Snapshot
from lsp_server.editor.host_client import HostClient, HostState
from lsp_server.editor.ignore_files import IGNORE_FILES, IgnoreFiles
from lsp_server.editor.leaving import Leaving
from lsp_server.editor.postprocess import Suggestion
from lsp_server.editor.protocol import About, Asked, Changed, Client, Item, Opened
from lsp_server.editor.recording import Recording
from lsp_server.editor.redaction import Exclusion, Redactor
from lsp_server.editor.requests import Question, Reply, Requests
from lsp_server.editor.running_host import address_in
from lsp_server.editor.workspace import Place, path_of_uri, place_of

logger = logging.getLogger(__name__)

ON_DEMAND_CANDIDATES = 3  # who asks on demand wants to choose, or did not like the first
MAX_NEW_TOKENS = {Mode.LINE: 48, Mode.BLOCK: 128}


@dataclass(frozen=True)
class Arrived:
    """A question as it was when it came in; later changes of the document do not touch it."""

    asked: Asked
    snapshot: Snapshot
    context: Context


class Session:
    """Everything the server knows of one editor, from `initialize` to `exit`."""

    def __init__(
        self,
        config: EditorConfig,
        client: Client,
        encoding: PositionEncoding,
        on_status: Callable[[HostState], None],
        on_excluded: Callable[[str, str | None], None],
        on_leaving: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        """Load what answering needs; `start` begins to talk to the host.

        `on_excluded` hears the URI of a document that is left alone and why, then None once it
        is not any more. `on_leaving` hears, if the client traces, of each record before it leaves.
        """
        self._config, self._client, self._encoding = config, client, encoding
        self._on_status, self._on_excluded = on_status, on_excluded
        self._documents: dict[str, Document] = {}
        self._places: dict[str, Place] = {}
        self._left_alone: set[str] = set()
        self._salt = os.urandom(16)
        self._roots = [path_of_uri(uri) for uri in client.folder_uris]
        self._exclusion = Exclusion((*config.exclude, *client.exclude))
        self._ignore_files = IgnoreFiles()
        self._redactor = Redactor()
        self._leaving = Leaving(on_leaving if client.options.get("trace") is True else None)
        self._host = HostClient(
            partial(_address_of, config),
            config.token,
            config.timeout_ms,
            on_change=self._host_changed,
            about=lambda: self._recording.about_today(),
            leaving=self._leaving,
        )
        self._recording = Recording.of(config, client, self._host, self._redactor.redact)
        # Debouncing is about the pace of real fingers; a client that ticks the clock has none.
        debounce_ms = config.debounce_ms if config.clock == "system" else 0
        self._requests = Requests(
            self._host, debounce_s=debounce_ms / 1000, on_unasked=self._recording.unasked
        )

    def start(self) -> None:
        """Begin to watch the host and to deliver feedback; needs a running loop."""
        self._host.open()
        self._recording.start(self._roots)

    def open(self, opened: Opened) -> None:
        """Take a document in; excluded and read-only ones are remembered by name only."""
        self.close(opened.uri)
        place = place_of(opened.uri, self._roots)
        self._places[opened.uri] = place
        if place.read_only:
            return
        if reason := self._reason_to_stay(opened.uri, place):
            self._leave_alone(opened.uri, place, reason)
            return
        self._documents[opened.uri] = Document(
            opened.uri, opened.language, opened.version, opened.text, self._encoding
        )
        self._recording.opened(opened.uri, opened.text)

    def change(self, changed: Changed) -> None:
        """Apply changes to an open document."""
        document = self._documents.get(changed.uri)
        if document is None:
            if changed.uri not in self._places:
                logger.warning("a change came for %s, which is not open", changed.uri[:200])
            return
        applied = document.apply(changed.changes, changed.version)
        self._recording.changed(changed.uri, applied, document.text)

    def save(self, uri: str) -> None:
        """Hear that a document was saved; what new ignore files name is left alone from now on."""
        if uri in self._documents:
            self._recording.saved(uri)
        if uri.endswith(IGNORE_FILES):
            for open_uri in list(self._documents):
                if reason := self._reason_to_stay(open_uri, place := self._places[open_uri]):
                    self.close(open_uri)
                    self._places[open_uri] = place
                    self._leave_alone(open_uri, place, reason)

    def close(self, uri: str) -> None:
        """Forget a document."""
        self._places.pop(uri, None)
        if uri in self._left_alone:
            self._left_alone.remove(uri)
            self._on_excluded(uri, None)
        if self._documents.pop(uri, None):
            self._requests.close_document(uri)
            self._recording.closed(uri)

    def arrived(self, asked: Asked) -> Arrived | None:
        """Return the question with its document as of now; None where nothing is to be offered."""
        document = self._documents.get(asked.uri)
        if document is None:
            return None
        snapshot = document.snapshot()
        selected = self._selected(asked, snapshot)
        offset = snapshot.offset_at(asked.position, self._encoding)
        path = self._places[asked.uri].path
        context = build(snapshot, offset, path=path, selected=selected)
        if selected and not context.selected_text:
            return None
        self._recording.requested(asked.uri, offset)
        return Arrived(asked, snapshot, context)

    async def answer(self, arrived: Arrived) -> list[Item]:
        """Return what to offer; being cancelled cancels the host's work."""
        asked, context = arrived.asked, arrived.context
        question = Question(
            asked.uri,
            context,
            partial(self._request, arrived),
            invoked=asked.invoked,
            num_candidates=self._num_candidates(asked),
        )
        reply = await self._requests.answer(question)
        if reply is None or asked.uri not in self._documents:
            return []
        self._recording.answered(arrived.snapshot, context, reply)
        return self._items(arrived, reply)

    def accepted(self, about: About) -> None:
        """Hear that the accept command ran."""
        self._recording.command_accepted(about)

    def told(self, kind: str, about: About) -> None:
        """Hear an explicit notification: shown, hidden, dismissed, cycled, rated, partial."""
        if kind == "dismissed":
            self._requests.dismiss(about.completion_id)
        self._recording.told(kind, about)

    def tick(self, now_ms: int) -> None:
        """Hear the client's time."""
        self._recording.tick(now_ms)

    def folders_changed(self, added: tuple[str, ...], removed: tuple[str, ...]) -> None:
        """Hear that workspace folders came or went; open documents keep their paths."""
        gone = {path_of_uri(uri) for uri in removed}
        self._roots = [r for r in self._roots if r not in gone] + [path_of_uri(u) for u in added]
        self._recording.roots_changed(self._roots)

    async def look(self) -> None:
        """Somebody wants to know how things are now, not half a minute ago."""
        await self._host.look()

    def collected(self) -> dict[str, Any]:
        """Return what was recorded of this user in this session, and what still waits for it."""
        return {
            "user": self._recording.user if self._recording.is_on else None,
            "records": self._leaving.kept(),
            "num_forgotten": self._leaving.num_forgotten,
            "waiting": self._recording.waiting(),
        }

    async def finish(self, seconds: float) -> None:
        """Bring all feedback to disk, and for so long to the store; then close connections."""
        for uri in list(self._documents):
            self.close(uri)
        await self._recording.finish(seconds)
        await self._host.close()

    def abandon(self) -> None:
        """Bring all feedback to disk at once: the editor is gone."""
        for uri in list(self._documents):
            self.close(uri)
        self._recording.put_down()

    def _reason_to_stay(self, uri: str, place: Place) -> str | None:
        """Return why nothing of a document may leave, or None."""
        if not place.path:
            return None
        whole = path_of_uri(uri)
        reason = self._exclusion.excluded(place.path, whole.as_posix())
        return reason or self._ignore_files.ignored(whole, place.root)

    def _leave_alone(self, uri: str, place: Place, reason: str) -> None:
        logger.info("%s is left alone: %s", place.path, reason)
        self._left_alone.add(uri)
        self._on_excluded(uri, reason)

    def _selected(self, asked: Asked, snapshot: Snapshot) -> Selected | None:
        if asked.selected is None:
            return None
        span, text = asked.selected
        start = snapshot.offset_at(span.start, self._encoding)
        return Selected(start, snapshot.offset_at(span.end, self._encoding), text)

    def _num_candidates(self, asked: Asked) -> int:
        wanted = self._config.num_candidates
        return max(wanted, ON_DEMAND_CANDIDATES) if asked.invoked else wanted

    def _host_changed(self, state: HostState) -> None:
        if state.state == "ready":
            self._requests.adapter_is(state.adapter)
            self._recording.host_is_ready()
        self._on_status(state)

    def _items(self, arrived: Arrived, reply: Reply) -> list[Item]:
        snapshot, anchor = arrived.snapshot, arrived.context.anchor
        start = snapshot.position_at(anchor, self._encoding)
        return [
            Item(
                completion_id=reply.completion_id,
                candidate_index=suggestion.candidate_index,
                text=suggestion.text,
                start=start,
                end=snapshot.position_at(anchor + suggestion.replace_length, self._encoding),
                filter_text=_filter_text(suggestion, snapshot.text, anchor),
            )
            for suggestion in reply.suggestions
        ]

    def _request(self, arrived: Arrived) -> CompletionRequest:
        """Build what leaves the process: everything in it is redacted."""
        context, place = arrived.context, self._places[arrived.asked.uri]
        prefix, suffix = self._redactor.redact_sides(context.prefix, context.suffix)
        # One name for a file, whichever folder of its repository somebody opens.
        repository = self._recording.repository_of(place.root)
        path = self._redactor.redact(repository.folder + context.path)
        return CompletionRequest(
            completion_id=uuid4(),
            document_id=hashlib.sha256(self._salt + arrived.asked.uri.encode()).hexdigest(),
            record=self._recording.is_on,
            language=_sendable(context.language, 64),
            path=_sendable(path, 1024),
            repository=repository.key,
            user=self._recording.user,
            client=_sendable(self._client.name, 128),
            client_version=_sendable(self._client.version, 64),
            # A placeholder may be longer than the secret; the text nearest to the caret stays.
            prefix=prefix[-MAX_PREFIX_CHARACTERS:],
            suffix=suffix[:MAX_SUFFIX_CHARACTERS],
            line=context.line,
            mode=context.mode,
            trigger="invoked" if arrived.asked.invoked else "automatic",
            num_candidates=self._num_candidates(arrived.asked),
            max_new_tokens=MAX_NEW_TOKENS[context.mode],
            temperature=self._config.temperature,
            requested_at=datetime.fromtimestamp(self._recording.now_ms() / 1000, UTC),
        )


def _address_of(config: EditorConfig) -> str:
    return (address_in(config.data) if config.find_host else None) or config.url


def _filter_text(suggestion: Suggestion, document: str, anchor: int) -> str | None:
    """Return what a client should filter by: only where the text itself would be filtered out.

    Clients show an item only if what it replaces can be found, in order, in its text.
    """
    replaced = document[anchor : anchor + suggestion.replace_length]
    left = iter(suggestion.text)
    is_contained = all(character in left for character in replaced)
    return None if is_contained else suggestion.text + replaced


def _sendable(text: str, longest: int) -> str:
    """Cut to what the wire takes; half a surrogate pair cannot travel as UTF-8."""
    return text[:longest].encode("utf-8", "replace").decode()
