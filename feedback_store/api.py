"""Turns `POST /v1/events` into stored events and a report on each of them.

Who may call is checked by the app that mounts these routes. The body is read with a limit before
anything is parsed; parsing, storing and waiting for the disk happen in the intake's own thread, so
that pages and completions find theirs. Knows nothing of how events are stored.
"""

import asyncio
import zlib
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic_core import from_json

from feedback_store.database import Database
from feedback_store.errors import BusyError, DatabaseError, DatabaseFullError
from feedback_store.intake import Intake
from feedback_store.schemas import MAX_BATCH_EVENTS, EventBatch, IngestReport
from feedback_store.stand_ins import StandIns

MAX_BODY_BYTES = 4 * 1024 * 1024  # as sent, and again once unpacked
RETRY_SECONDS = 5
FULL_RETRY_SECONDS = 60
_DOCUMENTED: dict[str, Any] = {
    "responses": {
        400: {"description": "The body is not what its Content-Encoding says"},
        413: {"description": "The body is too large, packed or unpacked: send fewer events"},
        415: {"description": "Neither JSON nor gzipped JSON"},
        422: {"description": "Not a batch of events"},
        429: {"description": "The store cannot keep up; Retry-After says when to try again"},
        503: {"description": "Nothing was stored: the database cannot be written now"},
        507: {"description": "Nothing was stored: there is no room on the disk"},
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": EventBatch.model_json_schema()}},
        }
    },
}


def routes(
    database: Database,
    *,
    content: bool = True,
    told: Callable[[IngestReport], None] = lambda report: None,
) -> APIRouter:
    """Return the store's JSON routes; without `content`, texts are not stored.

    `told` hears what became of each batch.
    """
    router = APIRouter()
    intake = Intake(database, None if content else StandIns())

    @router.post("/v1/events", response_model=IngestReport, **_DOCUMENTED)
    async def ingest(request: Request) -> Response:
        """Store a batch of events; every item gets its own report, in the order sent."""
        try:
            intake.check_room()  # before a body is read for nothing
            body = await _body(request)
            with intake.place(len(body)):
                report = await asyncio.wrap_future(intake.submit(lambda: _items(body)))
        except BusyError as error:
            raise _later(429, error, error.retry_after_s) from error
        except DatabaseFullError as error:
            raise _later(507, error, FULL_RETRY_SECONDS) from error
        except DatabaseError as error:
            raise _later(503, error, RETRY_SECONDS) from error
        told(report)
        return Response(report.model_dump_json(), media_type="application/json")

    return router


def _later(status: int, error: Exception, seconds: int) -> HTTPException:
    return HTTPException(status, str(error), headers={"Retry-After": str(seconds)})


async def _body(request: Request) -> bytes:
    """Return the body, unpacked; never hold more than the limit of it."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise HTTPException(415, f"Content-Encoding {encoding} is not understood: send gzip")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise _too_large()
    return _unpacked(bytes(body)) if encoding == "gzip" else bytes(body)


def _unpacked(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        unpacked = unpacker.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise HTTPException(400, f"the body is not gzip: {error}") from error
    if len(unpacked) > MAX_BODY_BYTES:
        raise _too_large()
    if not unpacker.eof or unpacker.unused_data:
        raise HTTPException(400, "the gzip body is cut short, or more follows it")
    return unpacked


def _too_large() -> HTTPException:
    return HTTPException(413, f"more than {MAX_BODY_BYTES} bytes: send fewer events at once")


def _items(body: bytes) -> list[Any]:
    """Return the raw items of a batch; what is wrong with single items is reported later."""
    try:
        batch = from_json(body)
    except ValueError as error:
        raise HTTPException(422, f"the body is not JSON: {error}") from error
    if not isinstance(batch, dict) or set(batch) != {"events"}:
        raise HTTPException(422, 'a batch is an object with "events" and nothing else')
    items = batch["events"]
    if not isinstance(items, list):
        raise HTTPException(422, '"events" is not a list')
    if len(items) > MAX_BATCH_EVENTS:
        raise HTTPException(422, f"{len(items)} events, at most {MAX_BATCH_EVENTS} at once")
    return items
