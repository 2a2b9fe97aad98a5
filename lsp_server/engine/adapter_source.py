"""Turns an adapter that the registry lists into its files on this host, fetched from another one.

Hosts may share a database, but not a disk. What lies here is checked as if a night had made it;
what cannot be fetched now is tried again, with longer and longer pauses, as long as it is wanted.
Knows nothing of what serves meanwhile.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import IO

import httpx

from feedback_store.adapter_tar import MAX_BYTES, unpack
from feedback_store.errors import StoreError
from feedback_store.registry import AdapterRecord, Registry
from lsp_server.engine.errors import AdapterNotFetched

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_TOLD_CHARACTERS = 200
log = logging.getLogger(__name__)


@dataclass
class _Attempts:
    """How it goes with one adapter."""

    task: asyncio.Task[None] | None = None
    not_before_s: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    told: bool = False


class AdapterSource:
    """Another host, which may have what is missing here. `url` is None when none is configured."""

    def __init__(
        self,
        registry: Registry,
        url: str | None,
        token: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._url = url.rstrip("/") if url else None
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._clock = clock
        self._attempts: dict[str, _Attempts] = {}

    def want(self, record: AdapterRecord) -> bool:
        """Have the files of an adapter fetched, unless that is under way or was tried just now.

        False when there is nobody to ask and the files that lie here are simply broken.
        """
        if self._url is None and record.path.exists():
            return False
        known = self._attempts.setdefault(record.sha256, _Attempts())
        if self._url is None:
            self._tell(known, record, "engine.adapter_source names no host to fetch it from")
        elif known.task is None and self._clock() >= known.not_before_s:
            known.task = asyncio.create_task(self._try(known, record))
        return True

    async def fetch(self, record: AdapterRecord) -> None:
        """Fetch, check and take in the files of one adapter; AdapterNotFetched says why not."""
        address = f"{self._url}/v1/adapters/{record.sha256}"
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
                with self._registry.spool() as file:
                    async with client.stream("GET", address, headers=self._headers) as answer:
                        await _keep(answer, file)
                    await asyncio.to_thread(self._take_in, file, record)
        except (httpx.HTTPError, httpx.InvalidURL, StoreError, OSError) as error:
            raise AdapterNotFetched(str(error) or type(error).__name__) from error

    async def _try(self, known: _Attempts, record: AdapterRecord) -> None:
        try:
            await self.fetch(record)
        except AdapterNotFetched as error:
            self._tell(known, record, f"{self._url} does not send it: {error}")
            known.not_before_s = self._clock() + known.pause_s
            known.pause_s = min(2 * known.pause_s, LONGEST_PAUSE_S)
        else:
            log.info("adapter %s was fetched from %s", record.sha256[:12], self._url)
            del self._attempts[record.sha256]
        finally:
            known.task = None

    def _tell(self, known: _Attempts, record: AdapterRecord, why: str) -> None:
        if not known.told:
            known.told = True
            log.warning(
                "adapter %s (%s) is not whole on this host, what serves stays: %s",
                record.sha256[:12],
                record.state,
                why,
            )

    def _take_in(self, file: IO[bytes], record: AdapterRecord) -> None:
        file.seek(0)
        with self._registry.workplace() as staging:
            unpack(file, staging)
            self._registry.receive(staging, record.sha256, record.base_sha256)


async def _keep(answer: httpx.Response, file: IO[bytes]) -> None:
    """Write the body to the disk as it comes."""
    if answer.status_code != 200:
        told = (await _beginning(answer.aiter_bytes())).decode(errors="replace")
        raise AdapterNotFetched(f"status {answer.status_code} {told}")
    num_bytes = 0
    async for piece in answer.aiter_bytes():
        num_bytes += len(piece)
        if num_bytes > MAX_BYTES:
            raise AdapterNotFetched(f"it sends more than {MAX_BYTES} bytes")
        await asyncio.to_thread(file.write, piece)


async def _beginning(pieces: AsyncIterator[bytes]) -> bytes:
    async for piece in pieces:
        return piece[:_TOLD_CHARACTERS]
    return b""
