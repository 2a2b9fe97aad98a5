"""Turns the store's live show filter into the decision whether an answer is shown.

The host looks for a newer filter every few seconds. A question that somebody asked on purpose is
always shown, and so is everything while there is no filter, or none of this model's. It knows
nothing of what a filter is made of.
"""

import asyncio
import logging

from feedback_store import show_filters
from feedback_store.database import Database
from feedback_store.errors import StoreError
from feedback_store.schemas import CompletionRequest
from lsp_server.engine.engine import Answer
from lsp_server.engine.show_filter import Offer, ShowFilter

POLL_SECONDS = 5.0
log = logging.getLogger(__name__)


class Showing:
    """Decides for one model; `enabled` False shows everything."""

    def __init__(self, database: Database, model_sha256: str, *, enabled: bool = True) -> None:
        self._database = database
        self._model_sha256 = model_sha256
        self._enabled = enabled
        self._filter: ShowFilter | None = None
        self._filter_id: int | None = None

    async def run(self) -> None:
        """Follow the store for ever; cancel to stop."""
        while self._enabled:
            try:
                await asyncio.to_thread(self.sync)
            except StoreError:
                log.exception("the show filter cannot be followed at the moment")
            await asyncio.sleep(POLL_SECONDS)

    def sync(self) -> None:
        """Take the store's live filter; one that cannot be read hides nothing."""
        stored = show_filters.live(self._database, self._model_sha256)
        if (stored and stored.filter_id) == self._filter_id:
            return
        self._filter_id = stored.filter_id if stored else None
        try:
            self._filter = ShowFilter.from_json(stored.content) if stored else None
        except ValueError as error:
            self._filter = None
            log.error("show filter %s is not used: %s", self._filter_id, error)
        log.info("show filter %s decides", self._filter_id)

    def decide(self, question: CompletionRequest, answer: Answer) -> tuple[bool, float]:
        """Return whether to show an answer, and the probability of that decision."""
        current = self._filter
        if current is None or question.trigger == "invoked" or not answer.generations:
            return True, 1.0
        first = answer.generations[0]
        offer = Offer(
            question.prefix, question.suffix, first.text, first.log_probs, first.finish_reason
        )
        return current.decide(offer, question.completion_id)
