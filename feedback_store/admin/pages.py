"""Turns the store's figures, adapters and nights into one page.

Read-only. Everything shown is escaped; scripts, frames and foreign content are forbidden by the
page's own policy. Who may look is checked by the app that mounts these routes.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from feedback_store.admin.figures import read_figures
from feedback_store.database import Database
from feedback_store.errors import DatabaseError
from feedback_store.registry import Registry
from feedback_store.runs import list_runs

NUM_NIGHTS = 14
NUM_CHANGES = 20
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def routes(
    database: Database, registry: Registry, status: Callable[[], Mapping[str, Any]]
) -> APIRouter:
    """Return `GET /admin` and its style sheet. `status` tells what the host is doing now."""
    router = APIRouter(prefix="/admin", include_in_schema=False)
    environment = _environment()
    style = files("feedback_store.admin").joinpath("static", "admin.css").read_bytes()

    @router.get("")
    def overview(request: Request) -> HTMLResponse:
        """Show everything on one page."""
        root = request.scope.get("root_path", "")
        try:
            page = environment.get_template("overview.html").render(
                root=root, **_facts(database, registry, status)
            )
        except DatabaseError as error:
            page = environment.get_template("broken.html").render(root=root, problem=str(error))
            return HTMLResponse(page, status_code=503, headers=_HEADERS)
        return HTMLResponse(page, headers=_HEADERS)

    @router.get("/static/admin.css")
    def stylesheet() -> Response:
        """Serve the style sheet."""
        return Response(style, media_type="text/css", headers=_HEADERS)

    return router


def _facts(
    database: Database, registry: Registry, status: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "status": status(),
        "figures": read_figures(database),
        "adapters": registry.list(),
        "changes": registry.history()[:NUM_CHANGES],
        "nights": list_runs(database, NUM_NIGHTS),
    }


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("feedback_store.admin"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "time": _time,
        "percent": _percent,
        "number": _number,
        "clip": _clip,
        "short": _short,
        "reasons": _reasons,
    }
    return environment


def _time(value: datetime | None) -> str:
    return f"{value:%Y-%m-%d %H:%M} UTC" if value else "-"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,}"


def _clip(text: str | None, length: int = 60) -> str:
    if text is None:
        return ""
    shown = text.replace("\n", "⏎")
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def _short(sha256: str | None) -> str:
    return sha256[:12] if sha256 else "base"


def _reasons(decision: Mapping[str, Any]) -> list[str]:
    """Return the gate's reasons as lines, however the night wrote them down."""
    reasons = decision.get("reasons", [])
    return [str(reason) for reason in reasons] if isinstance(reasons, list) else [str(reasons)]
