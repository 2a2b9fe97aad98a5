"""Turns what the registry calls live, and what it calls canary, into what the engine serves.

The registry is the one truth about adapters, whoever changes it: a night, `hone adapters` or the
admin page. A host looks every second, so a promotion serves within five. An adapter that cannot be
served is rejected there with the reason, and what serves stays; one that was trained for another
base is not at fault, so it is left alone and the bare base serves. One whose files are not on this
host is not at fault either: they are fetched from another host, and what serves stays until then.
"""

import asyncio
import logging
from collections.abc import Callable

from feedback_store.adapter_files import Manifest
from feedback_store.errors import AdapterError, StoreError
from feedback_store.registry import AdapterRecord, Registry
from lsp_server.engine.adapter_source import AdapterSource
from lsp_server.engine.base import Base
from lsp_server.engine.engine import Engine
from lsp_server.engine.errors import EngineError

POLL_SECONDS = 1.0
log = logging.getLogger(__name__)


class RegistryFollower:
    """Keeps one engine in step with one registry."""

    def __init__(
        self,
        engine: Engine,
        registry: Registry,
        base: Base,
        swapped: Callable[[], None] = lambda: None,
        source: AdapterSource | None = None,
    ) -> None:
        """Tell `swapped` of every change of what is live; ask `source` for what is not here."""
        self._source = source
        self._swapped = swapped
        self._engine = engine
        self._registry = registry
        self._base = base
        self._foreign: str | None = None  # told once

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
        await self._sync_live()
        await self._sync_canary()

    async def _sync_live(self) -> None:
        record = self._own(await asyncio.to_thread(self._registry.live))
        wanted = record.sha256 if record else None
        if wanted == self._engine.live_adapter:
            return
        if record is None:
            await self._engine.swap(None, None)
            self._swapped()
            return
        try:
            manifest = await self._verified(record)
            await self._engine.swap(record.path, record.sha256, manifest.probes)
            self._swapped()
        except (StoreError, EngineError) as error:
            await self._refuse(record, error)

    async def _sync_canary(self) -> None:
        record = await asyncio.to_thread(self._registry.canary)
        if record is not None and record.base_sha256 != self._base.sha256:
            record = None  # another host, with another base, tries it out
        share = record.canary_share if record and record.canary_share else 0.0
        if (record.sha256 if record else None, share) == self._engine.canary:
            return
        if record is None:
            await self._engine.try_out(None, None, 0.0, ())
            return
        try:
            manifest = await self._verified(record)
            await self._engine.try_out(record.path, record.sha256, share, manifest.probes)
        except (StoreError, EngineError) as error:
            await self._refuse(record, error)

    async def _refuse(self, record: AdapterRecord, error: Exception) -> None:
        if isinstance(error, AdapterError) and self._source and self._source.want(record):
            return
        log.error("adapter %s is refused: %s", record.sha256, error)
        await asyncio.to_thread(self._registry.reject, record.sha256, by="host", reason=str(error))

    def _own(self, record: AdapterRecord | None) -> AdapterRecord | None:
        """Return the adapter if it was trained for the base that serves here."""
        if record is None or record.base_sha256 == self._base.sha256:
            return record
        if self._foreign != record.sha256:
            self._foreign = record.sha256
            log.warning(
                "live adapter %s was trained for %s, not for %s: the bare base serves",
                record.sha256[:12],
                record.base_model,
                self._base.name,
            )
        return None

    async def _verified(self, record: AdapterRecord) -> Manifest:
        return await asyncio.to_thread(self._registry.verify, record.sha256, self._base.sha256)
