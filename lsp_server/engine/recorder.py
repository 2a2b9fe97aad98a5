"""Turns answers into stored completions, off the request path.

Answers wait in memory for at most a moment; one thread writes them in batches. A full queue drops
the newest with a log line: typing never waits for a disk. It knows nothing of engines or HTTP.
"""

import logging
import queue
import threading
from datetime import UTC, datetime

from feedback_store import barring
from feedback_store.completions import ServedCompletion, record_completions
from feedback_store.database import Database
from feedback_store.errors import DatabaseError

MAX_WAITING = 10_000
MAX_BATCH = 256
RETRY_SECONDS = 1.0
GATHER_SECONDS = 0.05  # the answer just given shall be on its way before this thread works
log = logging.getLogger(__name__)


class Recorder:
    """Writes completions from a queue, without code in them where that is not wanted.

    They are scanned for secrets on the way. `close` writes what still waits.
    """

    def __init__(self, database: Database, *, content: bool = True) -> None:
        self._database, self._content = database, content
        barring.note_rules(database, datetime.now(UTC))
        self._queue: queue.Queue[ServedCompletion | None] = queue.Queue(MAX_WAITING)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def put(self, completion: ServedCompletion) -> None:
        """Queue one completion; never blocks."""
        try:
            self._queue.put_nowait(completion)
        except queue.Full:
            log.error("completion %s dropped: too many wait", completion.request.completion_id)

    @property
    def num_waiting(self) -> int:
        """How many completions wait to be written, about."""
        return self._queue.qsize()

    def close(self) -> None:
        """Write what waits and stop."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            self._closing.wait(GATHER_SECONDS)
            batch, ended = [first], False
            while len(batch) < MAX_BATCH and not self._queue.empty():
                following = self._queue.get_nowait()
                if following is None:
                    ended = True
                    break
                batch.append(following)
            self._write(batch)
            if ended:
                return

    def _write(self, batch: list[ServedCompletion]) -> None:
        """Store a batch; a store in trouble is tried again until it works or the host ends.

        What cannot be stored at all must not hold up the rest: a batch that is refused is stored
        one by one, and the one at fault is dropped with a log line.
        """
        while True:
            try:
                record_completions(self._database, batch, content=self._content)
                return
            except DatabaseError as error:
                log.error("%d completions are not stored yet: %s", len(batch), error)
                if self._closing.wait(RETRY_SECONDS):
                    return
            except Exception as error:
                if len(batch) == 1:
                    completion_id = batch[0].request.completion_id
                    log.error("completion %s cannot be stored: %s", completion_id, error)
                    return
                for completion in batch:
                    self._write([completion])
                return
