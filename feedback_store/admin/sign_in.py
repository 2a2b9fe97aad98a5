"""Turns a token typed into a form into a cookie that a browser shows from then on.

The forms are plain HTML. Each carries a sealed value that fits a cookie of the same browser, so
that no other page can post them; the guard has checked Origin before. Knows nothing of what the
pages behind the door show.
"""

import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from feedback_store.access import Area, in_order, may_enter
from feedback_store.admin.rendering import (
    FORM_COOKIE,
    HEADERS,
    Pages,
    form_fields,
    root_of,
    set_cookie,
)
from feedback_store.entrance import (
    ANYBODY,
    FORM_SECONDS,
    SESSION_COOKIE,
    SESSION_SECONDS,
    Caller,
    Entrance,
)
from feedback_store.errors import DatabaseError

_STALE = "This form is too old, or not from here. Try again."
_UNKNOWN = "This token is unknown, expired or revoked."


def sign_in_routes(entrance: Entrance) -> APIRouter:
    """Return `/admin/login` and `/admin/logout`."""
    router = APIRouter(prefix="/admin", include_in_schema=False)
    desk = _Desk(entrance)

    @router.get("/login")
    def form(request: Request) -> Response:
        """Show the form, or who is logged in."""
        return desk.form(request)

    @router.post("/login")
    def log_in(
        request: Request, fields: Annotated[dict[str, str], Depends(form_fields)]
    ) -> Response:
        """Set the cookie and go to the overview; 403 when the token does not open it."""
        return desk.log_in(request, fields)

    @router.post("/logout")
    def log_out(
        request: Request, fields: Annotated[dict[str, str], Depends(form_fields)]
    ) -> Response:
        """End the session."""
        return desk.log_out(request, fields)

    return router


class _Desk:
    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._pages = Pages()

    def form(self, request: Request) -> Response:
        cookie = request.cookies.get(SESSION_COOKIE)
        try:
            caller = self._entrance.caller(None, cookie)
        except DatabaseError as error:
            return self._broken(request, error)
        if caller is ANYBODY:
            return _go(request, "/admin")
        if caller is None or cookie is None:
            return self._ask(request)
        return self._tell(request, caller, cookie)

    def log_in(self, request: Request, fields: dict[str, str]) -> Response:
        cookie = request.cookies.get(FORM_COOKIE, "")
        if not cookie or not self._entrance.is_own_form(fields.get("form", ""), cookie):
            return self._ask(request, _STALE)
        try:
            caller = self._entrance.caller(fields.get("token", "").strip())
            if caller is ANYBODY:
                return _go(request, "/admin")
            if caller is None:
                return self._ask(request, _UNKNOWN)
            if not may_enter(caller.scopes, Area.REVIEW):
                scopes = in_order(caller.scopes)
                return self._ask(request, f"This token does not open these pages, only: {scopes}.")
            session = self._entrance.log_in(caller)
        except DatabaseError as error:
            return self._broken(request, error)
        answer = _go(request, "/admin")
        set_cookie(request, answer, SESSION_COOKIE, session, SESSION_SECONDS)
        set_cookie(request, answer, FORM_COOKIE, "", 0)
        return answer

    def log_out(self, request: Request, fields: dict[str, str]) -> Response:
        cookie = request.cookies.get(SESSION_COOKIE, "")
        if cookie and not self._entrance.is_own_form(fields.get("form", ""), cookie):
            return self._ask(request, _STALE)
        try:
            self._entrance.log_out(cookie)
        except DatabaseError as error:
            return self._broken(request, error)
        answer = _go(request, "/admin/login")
        set_cookie(request, answer, SESSION_COOKIE, "", 0)
        return answer

    def _ask(self, request: Request, problem: str = "") -> Response:
        cookie = secrets.token_hex(16)
        form = self._entrance.form_token(cookie)
        facts = {"name": "", "problem": problem, "form": form}
        status = 403 if problem else 200
        answer = self._pages.answer(request, "login.html", facts, status=status)
        set_cookie(request, answer, FORM_COOKIE, cookie, FORM_SECONDS)
        return answer

    def _tell(self, request: Request, caller: Caller, cookie: str) -> Response:
        form = self._entrance.form_token(cookie)
        facts = {"name": caller.name, "scopes": in_order(caller.scopes), "form": form}
        return self._pages.answer(request, "login.html", facts)

    def _broken(self, request: Request, error: DatabaseError) -> Response:
        return self._pages.answer(request, "broken.html", {"problem": str(error)}, status=503)


def _go(request: Request, path: str) -> Response:
    return RedirectResponse(root_of(request) + path, status_code=303, headers=HEADERS)
