"""Turns what a session sees into what the tracker is told, where the user agreed to it.

Without consent there is no tracker, no outbox and no pseudonym: nothing is written anywhere. This
module knows nothing of LSP, nor what the tracker makes of what it is told.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self
from uuid import UUID, uuid4

from feedback_store.schemas import EventKind
from lsp_server.editor.clock import Clock
from lsp_server.editor.config import EditorConfig
from lsp_server.editor.context import Context
from lsp_server.editor.document import Applied, Snapshot
from lsp_server.editor.host_client import HostClient
from lsp_server.editor.protocol import About, Client
from lsp_server.editor.requests import Reply
from lsp_server.editor.workspace import Repository, repository_of

if TYPE_CHECKING:
    from lsp_server.editor.feedback import Feedback
    from lsp_server.editor.tracker import Answered, Tracker

logger = logging.getLogger(__name__)

SERVED_TAIL_CHARACTERS = 256
SUFFIX_HEAD_CHARACTERS = 64
ANONYMOUS = "anonymous"
# Clients that run an item's command right after inserting it, by the start of their name.
COMMAND_CLIENTS = ("Visual Studio Code", "code-server", "VSCodium", "Cursor", "Neovim", "hone")
_EXPLICIT_KINDS = {
    "shown": EventKind.SHOWN,
    "dismissed": EventKind.DISMISSED,
    "cycled": EventKind.CYCLED,
    "rated": EventKind.RATED,
    "partial": EventKind.PARTIALLY_ACCEPTED,
}


class Recording:
    """What may be told of one editor session; silent when `feedback` is None."""

    def __init__(self, feedback: "Feedback | None", clock: Clock, user: str) -> None:
        """Use `of` instead; this only wires."""
        self._feedback, self._clock = feedback, clock
        self.user = user
        self._repositories: dict[Path, Repository] = {}
        self._client_tells_shown = False

    @classmethod
    def of(
        cls,
        config: EditorConfig,
        client: Client,
        host: HostClient,
        redact: Callable[[str], str],
    ) -> Self:
        """Build what the client's consent allows."""
        clock = Clock(config.clock)
        if not client.record:
            return cls(None, clock, ANONYMOUS)
        try:
            user = _pseudonym(config.data)
        except OSError as error:
            logger.error("nothing is recorded: %s cannot be written: %s", config.data, error)
            return cls(None, clock, ANONYMOUS)
        return cls(_feedback(config, client, host, clock, redact), clock, user)

    @property
    def is_on(self) -> bool:
        """Whether anything is recorded."""
        return self._feedback is not None

    def now_ms(self) -> int:
        """Return the time by the session's clock, epoch milliseconds."""
        return self._clock.now_ms()

    def about_today(self) -> dict[str, str]:
        """Return how to ask the store for this user's day; {} where nothing is recorded."""
        if self._feedback is None:
            return {}
        now = datetime.fromtimestamp(self.now_ms() / 1000).astimezone()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return {"user": self.user, "since": midnight.isoformat()}

    def waiting(self) -> list[dict[str, object]]:
        """Return the feedback that the store has not got yet, as far as one batch goes."""
        return self._feedback.waiting() if self._feedback else []

    def repository_of(self, root: Path | None) -> Repository:
        """Return the repository of a workspace folder as far as it is known by now."""
        return self._repositories.get(root, Repository()) if root else Repository()

    def start(self, roots: Sequence[Path]) -> None:
        """Begin to write and deliver, and to ask git; needs a running loop."""
        if self._feedback:
            self._feedback.start()
            self.roots_changed(roots)

    def roots_changed(self, roots: Sequence[Path]) -> None:
        """Learn the repositories of these folders, in the background."""
        if self._feedback is None:
            return
        # A daemon: a git that takes its time must not hold up the end of the process.
        arguments = (tuple(r for r in roots if r not in self._repositories),)
        threading.Thread(target=self._learn, args=arguments, name="git", daemon=True).start()

    def opened(self, uri: str, text: str) -> None:
        """A document was opened."""
        self._tell(lambda tracker, now_ms: tracker.opened(uri, text, now_ms))

    def changed(self, uri: str, applied: Applied, text: str) -> None:
        """A document changed; `text` is what it became."""
        self._tell(lambda tracker, now_ms: tracker.changed(uri, applied, text, now_ms))

    def saved(self, uri: str) -> None:
        """A document was saved."""
        self._tell(lambda tracker, now_ms: tracker.saved(uri, now_ms))

    def closed(self, uri: str) -> None:
        """A document was closed."""
        self._tell(lambda tracker, now_ms: tracker.closed(uri, now_ms))

    def requested(self, uri: str, offset: int) -> None:
        """Somebody asked for a suggestion."""
        self._tell(lambda tracker, now_ms: tracker.requested(uri, offset, now_ms))

    def answered(self, asked: Snapshot, now: Context, reply: Reply) -> None:
        """A question about `asked`, at the place `now`, was answered."""
        if self._feedback is None:
            return
        answered = _answered(asked, now, reply, explicit_shown=self._client_tells_shown)
        self._tell(lambda tracker, now_ms: tracker.answered(answered, now_ms))

    def unasked(self, uri: str, served: Context, completion_id: UUID) -> None:
        """The host answered, and stored it, when nobody waited any more."""
        if self._feedback:
            answered = _unasked(uri, served, completion_id)
            self._tell(lambda tracker, now_ms: tracker.answered(answered, now_ms))

    def command_accepted(self, about: About) -> None:
        """The accept command ran."""
        self._tell(
            lambda tracker, now_ms: tracker.command_accepted(
                about.completion_id, about.candidate_index, now_ms
            )
        )

    def told(self, kind: str, about: About) -> None:
        """The client told something of a completion by itself."""
        # That it is on screen *again* says nothing about who tells of the first time.
        if kind == "shown" and not about.data.get("again"):
            self._client_tells_shown = True
        told = _EXPLICIT_KINDS.get(kind, "hidden")

        def tell(tracker: "Tracker", now_ms: int) -> None:
            index = about.candidate_index
            if not tracker.notified(told, about.completion_id, index, about.data, now_ms):
                logger.info("%s of %s means nothing here", kind, about.completion_id)

        self._tell(tell)

    def tick(self, now_ms: int) -> None:
        """The client's clock moved."""
        self._clock.tick(now_ms)
        self._tell(lambda tracker, now_ms: tracker.tick(now_ms))

    def host_is_ready(self) -> None:
        """The host is back: what waits may go."""
        if self._feedback:
            self._feedback.host_is_ready()

    async def finish(self, seconds: float) -> None:
        """Bring everything to disk, and for so long to the store."""
        if self._feedback:
            await self._feedback.finish(seconds)

    def put_down(self) -> None:
        """Bring everything to disk, here and now."""
        if self._feedback:
            self._feedback.put_down()

    def _tell(self, report: "Callable[[Tracker, int], object]") -> None:
        if self._feedback:
            self._feedback.tell(report)

    def _learn(self, roots: Sequence[Path]) -> None:
        for root in roots:
            self._repositories[root] = repository_of(root)


def _feedback(
    config: EditorConfig,
    client: Client,
    host: HostClient,
    clock: Clock,
    redact: Callable[[str], str],
) -> "Feedback":
    """Build tracker, outbox and courier; loaded only where something is recorded."""
    from lsp_server.editor.delivery import Courier
    from lsp_server.editor.feedback import Feedback
    from lsp_server.editor.outbox import Outbox
    from lsp_server.editor.tracker import Tracker, TrackerConfig

    sends_command = client.options.get("acceptCommand", client.name.startswith(COMMAND_CLIENTS))
    tracker = Tracker(TrackerConfig(client_sends_accept_command=sends_command is True), redact)
    outbox = Outbox(config.data / "outbox", max_bytes=config.max_outbox_mb * 1024 * 1024)
    return Feedback(tracker, outbox, Courier(outbox, host), clock)


def _answered(asked: Snapshot, now: Context, reply: Reply, *, explicit_shown: bool) -> "Answered":
    """Return what the tracker needs to follow an answer.

    A first offer is told as it was served, even if its first characters were typed while it was
    on its way; a re-offer as what is left of it at the caret.
    """
    from lsp_server.editor.tracker import Answered

    served = reply.served if reply.first else now
    typed = reply.typed if reply.first else ""
    first = reply.suggestions[0] if reply.suggestions else None
    lengths = (suggestion.replace_length for suggestion in reply.suggestions)
    replaced = max(lengths, default=served.replace_end - served.anchor)  # any may be taken
    after = now.anchor + replaced
    num_closers = len(reply.closers) if reply.first and first else 0
    return Answered(
        completion_id=reply.completion_id,
        uri=asked.uri,
        anchor=served.anchor,
        replace_length=replaced - num_closers,
        texts=tuple(typed + text for text in reply.texts()),
        served_prefix_tail=asked.text[
            max(0, served.anchor - SERVED_TAIL_CHARACTERS) : served.anchor
        ],
        suffix_head=asked.text[after : after + SUFFIX_HEAD_CHARACTERS],
        mode=served.mode,
        popup_open=now.popup_open,
        mid_identifier=now.mid_identifier,
        explicit_shown=explicit_shown,
        reoffer=not reply.first,
        index=first.candidate_index if first else 0,
        typed_length=len(typed) + num_closers,
    )


def _unasked(uri: str, served: Context, completion_id: UUID) -> "Answered":
    from lsp_server.editor.tracker import Answered

    before = served.prefix[: len(served.prefix) - len(served.selected_text)]
    return Answered(
        completion_id=completion_id,
        uri=uri,
        anchor=served.anchor,
        replace_length=served.replace_end - served.anchor,
        texts=(),
        served_prefix_tail=before[-SERVED_TAIL_CHARACTERS:],
        suffix_head=served.suffix[:SUFFIX_HEAD_CHARACTERS],
        mode=served.mode,
        popup_open=served.popup_open,
        mid_identifier=served.mid_identifier,
        is_unasked=True,
    )


def _pseudonym(data: Path) -> str:
    """Return the random name of this machine's user, made on first use; raises OSError."""
    path = data / "user-id"
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("x", encoding="ascii") as file:
            file.write(uuid4().hex)
        path.chmod(0o600)
    except FileExistsError:
        pass
    return path.read_text(encoding="ascii").strip()[:64] or ANONYMOUS
