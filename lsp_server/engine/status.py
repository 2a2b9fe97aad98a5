"""Turns "what serves, and what did I do today" of an editor into an answer from the store.

Unlike /health it is for editors alone, so it needs their token: who may not ask for completions
learns it here, before anything is typed. Knows nothing of how adapters are served.
"""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import AwareDatetime

from feedback_store import news
from feedback_store.database import Database
from feedback_store.errors import DatabaseError
from feedback_store.schemas import EARLIEST, LATEST, HostStatus
from lsp_server.engine.api import Served


def routes(served: Callable[[], Served], database: Database) -> APIRouter:
    """Return the status route; `served` gives the parts once the host has started."""
    router = APIRouter()

    @router.get("/v1/hone/status", responses={503: {"description": "The store cannot be read"}})
    def status(
        user: Annotated[str, Query(max_length=64)] = "",
        since: Annotated[AwareDatetime | None, Query(ge=EARLIEST, lt=LATEST)] = None,
    ) -> HostStatus:
        """Say what serves; with `user` and `since`, what that pseudonym did from then on."""
        parts = served()
        sha256 = parts.engine.live_adapter
        try:
            return HostStatus(
                version=parts.version,
                model=parts.base.name,
                adapter=news.live_adapter(database, sha256) if sha256 else None,
                today=news.acceptance(database, user, since) if user and since else None,
            )
        except DatabaseError as error:
            raise HTTPException(503, str(error), headers={"Retry-After": "5"}) from error

    return router
