"""Turns what the registry calls live into what the engine serves.

The registry is the one truth about adapters, whoever changes it: a night, `hone adapters` or the
admin page. A host looks every second, so a promotion serves within five. An adapter that cannot be
served is rejected there with the reason, and what serves stays.
"""

import asyncio
import logging

from feedback_store.errors import StoreError
from feedback_store.registry import AdapterRecord, Registry
from lsp_server.engine.base import Base
from lsp_server.engine.engine import Engine
from lsp_server.engine.errors import EngineError

POLL_SECONDS = 1.0
log = logging.getLogger(__name__)


class RegistryFollower:
    """Keeps one engine in step with one registry."""

    def __init__(self, engine: Engine, registry: Registry, base: Base) -> None:
        self._engine = engine
        self._registry = registry
        self._base = base

    async def run(self) -> None:
        """Follow for ever; cancel to stop."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.sync()
            except (StoreError, EngineError):
                log.exception("the registry cannot be followed at the moment")

    async def sync(self) -> None:
        """Swap once if the registry and the engine differ."""
        record = await asyncio.to_thread(self._registry.live)
        wanted = record.sha256 if record else None
        if wanted == self._engine.live_adapter:
            return
        if record is None:
            await self._engine.swap(None, None)
            return
        try:
            await self._load(record)
        except (StoreError, EngineError) as error:
            log.error("adapter %s is refused: %s", record.sha256, error)
            await asyncio.to_thread(self._registry.reject, record.sha256, reason=str(error))

    async def _load(self, record: AdapterRecord) -> None:
        manifest = await asyncio.to_thread(
            self._registry.verify, record.sha256, base_sha256=self._base.sha256
        )
        await self._engine.swap(record.path, record.sha256, manifest.probes)
