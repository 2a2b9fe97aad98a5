"""Turns events that wait in the outbox into events that the store acknowledged.

Delivery is at least once: a batch leaves the disk only when its report is there. This module knows
nothing of what events mean or of how they are inferred.
"""

import asyncio
import logging
from contextlib import suppress
from enum import Enum

from lsp_server.editor.errors import OutboxError
from lsp_server.editor.host_client import Backoff, Delivery, HostClient
from lsp_server.editor.outbox import Outbox

logger = logging.getLogger(__name__)

MAX_EVENTS_AT_ONCE = 200
GATHER_SECONDS = 1.0  # events come in bursts; one batch costs typing less than many


class Round(Enum):
    """How one attempt to deliver went."""

    EMPTY = "nothing waits"
    DELIVERED = "a batch was acknowledged"
    FAILED = "try again later"


class Courier:
    """Carries batches from the outbox to the host, in its own time."""

    def __init__(self, outbox: Outbox, host: HostClient) -> None:
        """Wire the two ends; `run` does the work."""
        self._outbox, self._host = outbox, host
        self._more = asyncio.Event()
        self._retry = asyncio.Event()
        self._num_at_once = MAX_EVENTS_AT_ONCE
        self._backoff = Backoff(1.0, 60.0)
        self._wait_s = self._wish_s = 0.0
        self._failing = False

    def more(self) -> None:
        """Hear that events were put into the outbox."""
        self._more.set()

    def host_is_ready(self) -> None:
        """Hear that the host is back: what waits is sent now."""
        self._retry.set()

    async def run(self) -> None:
        """Deliver whatever there is, for ever."""
        await asyncio.to_thread(self._adopt)
        while True:
            self._more.clear()
            match await self._round():
                case Round.EMPTY:
                    await self._more.wait()
                    await asyncio.sleep(GATHER_SECONDS)
                case Round.FAILED:
                    await self._pause()

    async def finish(self, seconds: float) -> None:
        """Try to empty the outbox, for so long; what is left waits for the next process."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self._round() is Round.DELIVERED:
                    pass

    async def _round(self) -> Round:
        try:
            batch = await asyncio.to_thread(self._outbox.peek, self._num_at_once)
            if not batch.events:
                return Round.EMPTY
            delivery = await self._host.deliver(batch.events)
            if delivery.report is None:
                return self._failed(delivery)
            await asyncio.to_thread(self._outbox.acknowledge, batch, delivery.report)
        except (OSError, OutboxError) as error:
            return self._failed(Delivery(reason=f"the outbox cannot be read: {error}"))
        self._backoff.succeeded()
        self._num_at_once = min(MAX_EVENTS_AT_ONCE, self._num_at_once * 2)
        if self._failing:
            logger.warning("feedback is delivered again")
        self._failing = False
        return Round.DELIVERED

    def _failed(self, delivery: Delivery) -> Round:
        if delivery.too_large and self._num_at_once > 1:
            self._num_at_once = max(1, self._num_at_once // 4)
            self._wait_s = self._wish_s = 0.0
            return Round.FAILED
        self._wish_s = delivery.retry_after_s or 0.0
        self._wait_s = self._backoff.failed()
        if not self._failing:
            logger.warning("feedback waits in the outbox: %s", delivery.reason)
        self._failing = True
        return Round.FAILED

    async def _pause(self) -> None:
        """Wait as long as the host asked for; then out the back-off, or until the host is back."""
        await asyncio.sleep(self._wish_s)
        self._retry.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._wait_s):
                await self._retry.wait()

    def _adopt(self) -> None:
        try:
            self._outbox.adopt()
        except (OSError, OutboxError) as error:
            logger.warning("events of earlier processes stay where they are: %s", error)
