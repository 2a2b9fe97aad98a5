"""Turns a template and facts into a page that cannot run, load or leak anything.

Everything shown is escaped; scripts, frames and foreign content are forbidden by the page's own
policy. Knows nothing of what the pages say.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

# `same-origin`: with `no-referrer` a browser would hide from us that our own form is ours.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
FORM_HEADERS = HEADERS | {
    "Content-Security-Policy": HEADERS["Content-Security-Policy"].replace(
        "form-action 'none'", "form-action 'self'"
    )
}


class Pages:
    """The templates, loaded once."""

    def __init__(self) -> None:
        self._environment = _environment()

    def answer(
        self,
        request: Request,
        template: str,
        facts: Mapping[str, Any],
        *,
        status: int = 200,
        headers: Mapping[str, str] = HEADERS,
    ) -> HTMLResponse:
        """Return a page; it says who is logged in, as the guard has found out."""
        caller = getattr(request.state, "caller", None)
        about = {"root": root_of(request), "caller": caller.name if caller else ""}
        page = self._environment.get_template(template).render(about | dict(facts))
        return HTMLResponse(page, status_code=status, headers=dict(headers))


def root_of(request: Request) -> str:
    """Return the path that the app is mounted at."""
    return str(request.scope.get("root_path", ""))


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
