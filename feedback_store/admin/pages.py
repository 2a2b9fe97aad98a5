"""Puts the pages together: dashboard, completions, nights, adapters, audit log, and their assets.

Who may come in is checked by the app that mounts these routes; a change needs the scope admin
there, looking at pages the scope reviewer.
"""

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from feedback_store.admin import (
    adapter_pages,
    audit_pages,
    completion_pages,
    dashboard,
    night_pages,
)
from feedback_store.admin.desk import Desk
from feedback_store.admin.rendering import HEADERS, Pages
from feedback_store.database import Database
from feedback_store.entrance import Entrance
from feedback_store.registry import Registry

_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def routes(
    database: Database,
    registry: Registry,
    status: Callable[[], Mapping[str, Any]],
    entrance: Entrance,
    logs: Path | None = None,
) -> APIRouter:
    """Return everything below `/admin` but the queue and the log-in.

    `status` tells what the host is doing now; `logs` is the folder with the logs of nights.
    """
    desk = Desk(Pages(entrance), database, registry, status, logs)
    router = APIRouter(include_in_schema=False)
    for module in (dashboard, completion_pages, night_pages, adapter_pages, audit_pages):
        router.include_router(module.routes(desk))
    assets = _assets()

    @router.get("/admin/static/{name}")
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
