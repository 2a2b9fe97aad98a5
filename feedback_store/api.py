"""Turns `POST /v1/events` into stored events and a report on each of them.

Who may call is checked by the app that mounts these routes. The body is read with a limit before
anything is parsed; the handler itself is synchronous, so that waiting for the disk happens in the
thread pool. Knows nothing of how events are stored.
"""

import zlib
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic_core import from_json

from feedback_store import events
from feedback_store.database import Database
from feedback_store.errors import DatabaseError
from feedback_store.schemas import MAX_BATCH_EVENTS, IngestReport

MAX_BODY_BYTES = 4 * 1024 * 1024  # as sent, and again once unpacked


def routes(database: Database) -> APIRouter:
    """Return the store's JSON routes."""
    router = APIRouter()

    @router.post("/v1/events")
    def ingest(body: Annotated[bytes, Depends(_body)]) -> IngestReport:
        """Store a batch of events; every item gets its own report, in the order sent.

        422: not a batch. 413: more than 4 MB. 503: nothing was stored, send it again later.
        """
        items = _items(body)
        try:
            return events.append(database, items)
        except DatabaseError as error:
            raise HTTPException(503, str(error), headers={"Retry-After": "5"}) from error

    return router


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
