"""Turns the registry into `/v1/adapters`: which adapters there are, and the files of one.

For hosts and trainers on other machines. An adapter is known by the SHA-256 of its manifest, so
whoever fetches one can check it, and never has to fetch it twice. Knows nothing of who may call.
"""

import tarfile
import tempfile
from collections.abc import Iterator
from typing import IO, Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel

from feedback_store.errors import AdapterError, RegistryError
from feedback_store.registry import AdapterRecord, Registry

TAR_TYPE = "application/x-tar"
MAX_IN_MEMORY = 16 * 1024 * 1024
_CHUNK_BYTES = 1 << 20
_DOCUMENTED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The adapter's directory as a tar file", "content": {TAR_TYPE: {}}},
    404: {"description": "No adapter has this id"},
    409: {"description": "Its files are broken, or it must never serve again"},
}


class ListedAdapter(BaseModel):
    """What is told of an adapter."""

    sha256: str
    state: Literal["candidate", "canary", "live", "retired", "rejected"]
    base_sha256: str
    run_id: str
    created_at: AwareDatetime


def routes(registry: Registry) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/v1/adapters")

    @router.get("")
    def listed() -> list[ListedAdapter]:
        """List the adapters that may serve, newest first."""
        return [_told(record) for record in registry.list() if not record.barred]

    @router.get("/{sha256}", response_class=StreamingResponse, responses=_DOCUMENTED)
    def fetch(sha256: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]) -> StreamingResponse:
        """Send the files of one adapter, checked before they leave."""
        try:
            record = registry.get(sha256)
            if record.barred:
                raise HTTPException(409, f"adapter {sha256[:12]} is barred: {record.barred}")
            registry.verify(sha256)
        except RegistryError as error:
            raise HTTPException(404, str(error)) from error
        except AdapterError as error:
            raise HTTPException(409, str(error)) from error
        return StreamingResponse(_pieces(_packed(record)), media_type=TAR_TYPE)

    return router


def _told(record: AdapterRecord) -> ListedAdapter:
    return ListedAdapter(
        sha256=record.sha256,
        state=record.state.value,
        base_sha256=record.base_sha256,
        run_id=record.run_id,
        created_at=record.created_at,
    )


def _packed(record: AdapterRecord) -> IO[bytes]:
    """Return a tar file of the whole directory, ready to be read; small ones stay in memory."""
    file = tempfile.SpooledTemporaryFile(MAX_IN_MEMORY)  # noqa: SIM115 - closed once it is sent
    with tarfile.open(fileobj=file, mode="w") as tar:
        tar.add(record.path, record.sha256)
    file.seek(0)
    return file


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(_CHUNK_BYTES):
            yield piece
