"""Turns the store's figures, adapters and nights into one page.

Read-only. Who may look is checked by the app that mounts these routes.
"""

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from feedback_store import audit
from feedback_store.admin.figures import read_figures
from feedback_store.admin.rendering import HEADERS, Pages
from feedback_store.database import Database
from feedback_store.errors import DatabaseError
from feedback_store.registry import Registry
from feedback_store.runs import list_runs

NUM_NIGHTS = 14
NUM_CHANGES = 20
NUM_LOG_ENTRIES = 50
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def routes(
    database: Database, registry: Registry, status: Callable[[], Mapping[str, Any]]
) -> APIRouter:
    """Return `GET /admin` and its style sheet. `status` tells what the host is doing now."""
    router = APIRouter(prefix="/admin", include_in_schema=False)
    pages = Pages()
    assets = _assets()

    @router.get("")
    def overview(request: Request) -> HTMLResponse:
        """Show everything on one page."""
        try:
            facts = _facts(database, registry, status)
        except DatabaseError as error:
            return pages.answer(request, "broken.html", {"problem": str(error)}, status=503)
        return pages.answer(request, "overview.html", facts)

    @router.get("/static/{name}")
    def asset(name: str) -> Response:
        """Serve a style sheet or a script of ours."""
        if name not in assets:
            raise HTTPException(404, f"{name[:40]!r} is no part of these pages")
        return Response(assets[name], media_type=_MEDIA_TYPES[Path(name).suffix], headers=HEADERS)

    return router


def _assets() -> dict[str, bytes]:
    folder = files("feedback_store.admin").joinpath("static")
    found = [one for one in folder.iterdir() if Path(one.name).suffix in _MEDIA_TYPES]
    return {one.name: one.read_bytes() for one in found}


def _facts(
    database: Database, registry: Registry, status: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "status": status(),
        "figures": read_figures(database),
        "adapters": registry.list(),
        "changes": registry.history()[:NUM_CHANGES],
        "nights": list_runs(database, NUM_NIGHTS),
        "log": audit.entries(database, NUM_LOG_ENTRIES),
    }
