"""Turns hostile or careless HTTP requests into refusals before any route sees them.

Loopback is reachable from every web page, so the Host, Origin and Content-Type headers are
checked. A token, where one is set or users have them, is asked of everything but `/health`, and
must be meant for the part of the host that is asked for. Plain ASGI.
"""

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from math import ceil
from typing import Any
from urllib.parse import urlsplit

from feedback_store.access import Area, in_order, may_enter, needed_scope
from feedback_store.entrance import ANYBODY, SESSION_COOKIE, SHARED, Caller, Entrance, MustReadError
from feedback_store.errors import DatabaseError
from lsp_server.engine.areas import FORM_TYPE, area_of, content_types, is_page, max_body_bytes
from lsp_server.engine.rates import Rates

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
LOG_IN = "/admin/login"
LOG_INS_PER_MINUTE = 30  # from one address
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "A token is needed"},
    403: {"description": "Another scope is needed, or the request comes from a foreign page"},
    413: {"description": "The body is too large"},
    415: {"description": "The body is not of the type that is read here"},
    421: {"description": "The Host header does not name this machine"},
    429: {"description": "Too many requests with this token; Retry-After says how long to wait"},
    503: {"description": "The store cannot be read or written now, or the host is stopping"},
}
_CHALLENGE = {"www-authenticate": 'Basic realm="hone", charset="UTF-8"'}


class Guard:
    """ASGI middleware; `host` is the address bound, `entrance` knows who may come in."""

    def __init__(
        self, app: App, host: str, entrance: Entrance, requests_per_minute: int = 6000
    ) -> None:
        self._app = app
        self._entrance = entrance
        self._names = LOOPBACK_NAMES | {host}
        self._any_name = host not in LOOPBACK_NAMES  # then the token is what protects
        self._rates = Rates(requests_per_minute)
        self._log_ins = Rates(LOG_INS_PER_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a good request on, answer a bad one."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        try:
            self._check_form(scope["method"], scope["path"], headers)
            await self._check_caller(scope, headers)
        except _Refusal as refusal:
            await _refuse(send, refusal)
            return
        await self._app(scope, receive, send)

    def _check_form(self, method: str, path: str, headers: dict[str, str]) -> None:
        """Refuse what no client of ours would send, whoever it is."""
        host = headers.get("host", "")
        if not self._any_name and _name(host) not in self._names:
            raise _Refusal(421, f"host {host!r} is not this machine's loopback address")
        origin = headers.get("origin")
        if origin is not None and _authority(origin) != host:
            raise _Refusal(403, f"requests from the web origin {origin!r} are not allowed")
        if method in ("POST", "PUT", "PATCH"):
            wanted = content_types(path)
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind not in wanted:
                raise _Refusal(415, f"content type {kind!r} is not {' or '.join(wanted)}")
            if kind == FORM_TYPE and origin is None:
                raise _Refusal(403, "a form must say with Origin which page it comes from")
            if _length(headers) > (limit := max_body_bytes(path)):
                raise _Refusal(413, f"the body is larger than {limit} bytes")

    async def _check_caller(self, scope: Scope, headers: dict[str, str]) -> None:
        """Refuse who shows no token, or one for something else; leave the caller in the scope."""
        area = area_of(scope["method"], scope["path"])
        address = (scope.get("client") or ("",))[0]
        if area is Area.OPEN:
            if scope["method"] == "POST":
                _check_rate(self._log_ins, address)
            return
        caller = await self._caller(scope["path"], headers)
        if caller is None and _is_browser(scope, headers):
            there = scope.get("root_path", "") + LOG_IN
            raise _Refusal(303, "log in first", {"location": there, "cache-control": "no-store"})
        if caller is None:
            raise _Refusal(401, "a token is needed: Authorization: Bearer TOKEN", _CHALLENGE)
        if not may_enter(caller.scopes, area):
            raise _Refusal(
                403,
                f"a token with the scope {needed_scope(area)} is needed here, this one has: "
                f"{in_order(caller.scopes)}",
            )
        if caller is SHARED:  # Many people may show it.
            _check_rate(self._rates, f"shared {address}")
        elif caller is not ANYBODY:
            _check_rate(self._rates, caller.counted_as)
        scope.setdefault("state", {})["caller"] = caller

    async def _caller(self, path: str, headers: dict[str, str]) -> Caller | None:
        secret = _secret(headers.get("authorization", ""))
        cookie = _cookie(headers.get("cookie", "")) if is_page(path) else None
        try:
            return self._entrance.caller(secret, cookie, reading=False)
        except MustReadError:
            pass
        try:
            return await asyncio.to_thread(self._entrance.caller, secret, cookie)
        except DatabaseError as error:
            raise _Refusal(503, f"tokens cannot be read: {error}", {"retry-after": "5"}) from error


class _Refusal(Exception):
    """A request that must not pass: status, reason and headers of the answer."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = dict(headers or {})


async def _refuse(send: Send, refusal: _Refusal) -> None:
    headers = {"content-type": "application/json"} | refusal.headers
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": raw})
    body = json.dumps({"detail": str(refusal)}).encode()
    await send({"type": "http.response.body", "body": body})


def _check_rate(rates: Rates, caller: str) -> None:
    wait_s = rates.wait_s(caller, time.monotonic())
    if wait_s:
        headers = {"retry-after": str(ceil(wait_s))}
        raise _Refusal(429, f"too many requests: wait {wait_s:.1f} s", headers)


def _secret(authorization: str) -> str | None:
    """Return the token of an Authorization header, None when there is none to be read."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return None
    try:  # what a browser can send: the token as the password
        return base64.b64decode(value, validate=True).decode().partition(":")[2].strip()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _cookie(header: str) -> str | None:
    """Return the value of our cookie in a Cookie header."""
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == SESSION_COOKIE:
            return value
    return None


def _is_browser(scope: Scope, headers: dict[str, str]) -> bool:
    """Tell whether a person looks for a page, and did not come with a token of another kind.

    Or posts one of its forms: a browser answers a 401 with a box of its own.
    """
    wants_page = "text/html" in headers.get("accept", "")
    return wants_page and is_page(scope["path"]) and "authorization" not in headers


def _authority(origin: str) -> str | None:
    """Return host and port of an Origin header, None when it has none, as `null` has."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:  # such as half an IPv6 address
        return None


def _name(host: str) -> str:
    """Return the host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] or host


def _length(headers: dict[str, str]) -> int:
    try:
        return int(headers.get("content-length", "0"))
    except ValueError:
        return 0
