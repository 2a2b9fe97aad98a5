"""Turns a template and facts into a page that cannot run, load or leak anything.

Everything shown is escaped; frames, inline code and foreign content are forbidden by the page's own
policy. A page may hold forms: each brings back a sealed value that fits a cookie of the same
browser, so that no other page can post it. Knows nothing of what the pages say.
"""

import secrets
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from feedback_store.entrance import SESSION_COOKIE, SESSION_SECONDS, Entrance

MAX_FORM_BYTES = 64 * 1024

# `same-origin`: with `no-referrer` a browser would hide from us that our own form is ours.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
FORM_COOKIE = "hone_form"
SECTIONS = (
    ("Dashboard", "/admin"),
    ("Queue", "/admin/review"),
    ("Completions", "/admin/completions"),
    ("Nights", "/admin/nights"),
    ("Adapters", "/admin/adapters"),
    ("Audit", "/admin/audit"),
)


class Pages:
    """The templates, loaded once; with an `entrance`, pages may hold forms (`{{ form }}`)."""

    def __init__(self, entrance: Entrance | None = None) -> None:
        self._environment = _environment()
        self._entrance = entrance

    def answer(
        self,
        request: Request,
        template: str,
        facts: Mapping[str, Any],
        *,
        status: int = 200,
    ) -> HTMLResponse:
        """Return a page; it says who is logged in, as the guard has found out."""
        caller = getattr(request.state, "caller", None)
        cookie = _cookie_of(request)
        about = {
            "root": root_of(request),
            "caller": caller.name if caller else "",
            "sections": SECTIONS,
            "section": _section_of(request),
            "form": self._entrance.form_token(cookie) if self._entrance else "",
        }
        page = self._environment.get_template(template).render(about | dict(facts))
        answer = HTMLResponse(page, status_code=status, headers=HEADERS)
        if self._entrance and cookie not in request.cookies.values():
            set_cookie(request, answer, FORM_COOKIE, cookie, SESSION_SECONDS)
        return answer

    def check_form(self, request: Request, fields: Mapping[str, str]) -> None:
        """Raise HTTPException 403 unless a posted form was made here for this browser, lately."""
        token = fields.get("form", "")
        if self._entrance is None or not self._entrance.is_own_form(token, _cookie_of(request)):
            raise HTTPException(403, "This form is too old, or not from here: reload the page.")


async def form_fields(request: Request) -> dict[str, str]:
    """Return the fields of an urlencoded form, the first of each name (a FastAPI dependency)."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM_BYTES:
            raise HTTPException(413, f"a form is larger than {MAX_FORM_BYTES} bytes")
    try:
        found = parse_qs(body.decode("ascii"), errors="replace", max_num_fields=32)
    except ValueError as error:
        raise HTTPException(422, "this is not an urlencoded form") from error
    return {name: values[0] for name, values in found.items()}


def set_cookie(request: Request, answer: Response, name: str, value: str, seconds: int) -> None:
    """Set a cookie that only these pages get to see, and no script; 0 seconds removes it."""
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path=root_of(request) + "/admin",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def root_of(request: Request) -> str:
    """Return the path that the app is mounted at."""
    return str(request.scope.get("root_path", ""))


def _cookie_of(request: Request) -> str:
    """Return the cookie that forms are sealed for; a new one where the browser has none."""
    cookies = request.cookies
    return cookies.get(SESSION_COOKIE) or cookies.get(FORM_COOKIE) or secrets.token_hex(16)


def _section_of(request: Request) -> str:
    """Return the path of the section that a page belongs to."""
    path = request.url.path.removeprefix(root_of(request))
    inside = [p for _, p in SECTIONS[1:] if path == p or path.startswith(p + "/")]
    return inside[0] if inside else path


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
        "short": short,
        "tail": _tail,
        "day": _day,
        "after_day": lambda value: _day(value + timedelta(days=1)),
        "ms": _ms,
        "figure": _figure,
        "after": _after,
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


def _tail(text: str, length: int) -> str:
    return text if len(text) <= length else "…" + text[1 - length :]


def short(sha256: str | None) -> str:
    """Return what an adapter is called on a page; None is the bare base."""
    return sha256[:12] if sha256 else "base"


def _day(value: date | None) -> str:
    return f"{value.day} {value:%b %Y}" if value else "-"


def _figure(value: object) -> str:
    """Return any plain value of a record; numbers with as many digits as say something."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _ms(value: float | None) -> str:
    """Return milliseconds as people read them: two or three digits, and a unit."""
    if value is None:
        return "-"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.2g} ms"


def _after(seconds: float) -> str:
    """Return how long after the beginning something happened."""
    if abs(seconds) < 100:
        return f"{seconds:+.1f} s"
    return f"{seconds / 60:+.0f} min" if abs(seconds) < 6000 else f"{seconds / 3600:+.0f} h"


def _reasons(decision: Mapping[str, Any]) -> list[str]:
    """Return the gate's reasons as lines, however the night wrote them down."""
    reasons = decision.get("reasons", [])
    return [str(reason) for reason in reasons] if isinstance(reasons, list) else [str(reasons)]
