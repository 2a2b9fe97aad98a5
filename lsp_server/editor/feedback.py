"""Turns what happens in documents into events on disk, by way of the tracker.

Nothing of it holds up typing: events are written by a thread and delivered by a courier. This
module knows nothing of LSP, HTTP or what events mean.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable

from feedback_store.schemas import Event
from lsp_server.editor.clock import Clock
from lsp_server.editor.delivery import Courier
from lsp_server.editor.errors import OutboxError
from lsp_server.editor.outbox import Outbox
from lsp_server.editor.tracker import Tracker

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.02  # the answer just given shall be on its way before the disk is asked


class Feedback:
    """Drives one tracker by one clock and puts its events where the courier finds them."""

    def __init__(self, tracker: Tracker, outbox: Outbox, courier: Courier, clock: Clock) -> None:
        """Wire the parts; `start` begins to write and deliver."""
        self._tracker, self._outbox = tracker, outbox
        self._courier, self._clock = courier, clock
        self._early: list[Callable[[Tracker, int], object]] = []
        self._waiting: deque[Event] = deque()  # the loop fills it
        self._writing = threading.Lock()
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin in the background; needs a running loop."""
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._courier.run())]

    def tell(self, report: Callable[[Tracker, int], object]) -> None:
        """Tell the tracker something, as of now, and take its events from it.

        Before a client's first tick nobody knows when now is; what happens till then waits for it.
        """
        self._early.append(report)
        if not self._clock.is_set:
            return
        self._tell_waiting()
        if self._waiting:
            self._wake.set()
        self._set_timer()

    def host_is_ready(self) -> None:
        """Hear that the host is back."""
        self._courier.host_is_ready()

    def waiting(self) -> list[dict[str, object]]:
        """Return the oldest events that have not been delivered, as they would travel."""
        written = self._outbox.peek().events
        coming = (event.model_dump(mode="json", exclude_none=True) for event in self._waiting)
        return [*written, *coming]

    async def finish(self, seconds: float) -> None:
        """Put everything on disk, then try for so long to deliver it; nothing works afterwards."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._put_waiting()
        await self._courier.finish(seconds)
        self._close()

    def put_down(self) -> None:
        """Write what waits to disk, here and now; nothing works afterwards."""
        self._put_waiting()
        self._close()

    def _put_waiting(self) -> None:
        self._tell_waiting()
        if self._timer:
            self._timer.cancel()
        self._put_all()

    def _close(self) -> None:
        try:
            self._outbox.close()
        except (OSError, OutboxError) as error:
            logger.warning("the outbox could not be closed: %s", error)

    def _tell_waiting(self) -> None:
        reports, self._early = self._early, []
        try:
            for report in reports:
                report(self._tracker, self._clock.now_ms())
            self._waiting.extend(self._tracker.take_events())
        except Exception:
            # Feedback is never worth a keystroke: a fault in the tracker must not reach the editor.
            logger.exception("the tracker failed; some feedback is lost")

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        deadline_ms = self._tracker.next_deadline_ms()
        if deadline_ms is None or self._clock.is_client:
            return
        wait_s = max(0.0, (deadline_ms - self._clock.now_ms()) / 1000)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(wait_s, self.tell, lambda tracker, now: tracker.tick(now))

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._wake.clear()
            await asyncio.to_thread(self._put_all)
            self._courier.more()

    def _put_all(self) -> None:
        """Write what waits, from whichever thread comes first; nothing is ever in between."""
        with self._writing:
            events = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not events:
                return
            try:
                self._outbox.put(events)
            except Exception as error:  # whatever it is, the events after these shall be written
                logger.error(
                    "%d events are lost: the outbox cannot be written: %s", len(events), error
                )
