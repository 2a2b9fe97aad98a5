"""Turns the registry into `/v1/adapters`: which adapters there are, the files of one, one more.

For hosts and trainers on other machines. An adapter is known by the SHA-256 of its manifest, so
whoever fetches one can check it, and never has to send or fetch it twice. Knows nothing of who may
call.
"""

import errno
from typing import IO, Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, HTTPException, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel
from starlette.requests import ClientDisconnect

from feedback_store import adapter_tar
from feedback_store.adapter_tar import MAX_BYTES
from feedback_store.database import Database
from feedback_store.entrance import name_of
from feedback_store.errors import AdapterError, DatabaseError, RegistryError
from feedback_store.handing_in import hand_in
from feedback_store.registry import AdapterRecord, Registry

TAR_TYPE = "application/x-tar"
NOBODY = "somebody at /v1/adapters"  # where nobody is asked for a token
_PIECE_BYTES = 1 << 20
_RETRY = {"Retry-After": "60"}
_FETCH: dict[int | str, dict[str, Any]] = {
    200: {"description": "The adapter's directory as a tar file", "content": {TAR_TYPE: {}}},
    404: {"description": "No adapter has this id"},
    409: {"description": "Its files are broken, or it must never serve again"},
}
_HAND_IN: dict[str, Any] = {
    "status_code": 201,
    "responses": {
        200: {"description": "It was registered before; its state is what it was"},
        400: {"description": "The body ended too early"},
        409: {"description": "It must never serve again"},
        413: {"description": f"The body is larger than {MAX_BYTES} bytes"},
        415: {"description": f"The body is not {TAR_TYPE}"},
        422: {"description": "Not an adapter that may be taken: torn, foreign, unsafe, another id"},
        503: {"description": "Nothing was stored: disk or database cannot be written now"},
        507: {"description": "Nothing was stored: there is no room on the disk"},
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "description": "The adapter's directory as a tar file, as `GET` sends it",
            "content": {TAR_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
}
Sha256 = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]


class ListedAdapter(BaseModel):
    """What is told of an adapter."""

    sha256: str
    state: Literal["candidate", "canary", "live", "retired", "rejected"]
    base_sha256: str
    run_id: str
    created_at: AwareDatetime


def routes(registry: Registry, database: Database, base_sha256: str) -> APIRouter:
    """Return the routes; what is handed in must have been trained for the base that serves here."""
    router = APIRouter(prefix="/v1/adapters")
    _add_taking(router, registry, database, base_sha256)

    @router.get("")
    def listed() -> list[ListedAdapter]:
        """List the adapters that may serve, newest first."""
        return [_told(record) for record in registry.list() if not record.barred]

    @router.get("/{sha256}", response_class=StreamingResponse, responses=_FETCH)
    def fetch(sha256: Sha256) -> StreamingResponse:
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
        packed = adapter_tar.pack(record.path)
        return StreamingResponse(adapter_tar.pieces(packed), media_type=TAR_TYPE)

    return router


def _add_taking(
    router: APIRouter, registry: Registry, database: Database, base_sha256: str
) -> None:
    """Add the route that adapters are handed in by."""

    @router.put("/{sha256}", **_HAND_IN)
    async def take(sha256: Sha256, request: Request, response: Response) -> ListedAdapter:
        """Register an adapter as a candidate, after every check; it is never promoted by this."""
        by = name_of(request.state, NOBODY)
        try:
            with registry.spool() as file:
                await _spool(request, file)
                record, is_new = await to_thread.run_sync(
                    hand_in, registry, database, file, sha256, by, base_sha256
                )
        except ClientDisconnect as error:
            raise HTTPException(400, "the body ended too early") from error
        except AdapterError as error:
            raise HTTPException(422, str(error)) from error
        except RegistryError as error:
            raise HTTPException(409, str(error)) from error
        except DatabaseError as error:
            raise HTTPException(503, str(error), _RETRY) from error
        except OSError as error:
            status = 507 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 503
            raise HTTPException(status, f"cannot be stored: {error.strerror}", _RETRY) from error
        response.status_code = 201 if is_new else 200
        return _told(record)


def _told(record: AdapterRecord) -> ListedAdapter:
    return ListedAdapter(
        sha256=record.sha256,
        state=record.state.value,
        base_sha256=record.base_sha256,
        run_id=record.run_id,
        created_at=record.created_at,
    )


async def _spool(request: Request, file: IO[bytes]) -> None:
    """Write the body to the disk as it comes, so that its size costs no memory."""
    num_bytes, held = 0, bytearray()
    async for piece in request.stream():
        num_bytes += len(piece)
        if num_bytes > MAX_BYTES:
            raise HTTPException(413, f"more than {MAX_BYTES} bytes: an adapter is smaller")
        held += piece
        if len(held) >= _PIECE_BYTES:
            await to_thread.run_sync(file.write, bytes(held))
            held.clear()
    await to_thread.run_sync(file.write, bytes(held))
    file.seek(0)
