"""Turns hostile or careless HTTP requests into refusals before any route sees them.

Loopback is reachable from every web page, so the Host, Origin and Content-Type headers are
checked; a token, where one is set, is asked of everything but `/health`. Plain ASGI.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
MAX_BODY_BYTES = 4 * 1024 * 1024


class Guard:
    """ASGI middleware; `host` is the address bound, `token` None means loopback only."""

    def __init__(self, app: App, host: str, token: str | None) -> None:
        self._app = app
        self._token = token
        self._names = LOOPBACK_NAMES | {host}
        self._any_name = host not in LOOPBACK_NAMES  # then the token is what protects

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a good request on, answer a bad one."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        refusal = self._refusal(scope["method"], scope["path"], headers)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await _refuse(send, *refusal)

    def _refusal(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str] | None:
        """Return (status, reason) of a request that must not pass."""
        host = headers.get("host", "")
        if not self._any_name and _name(host) not in self._names:
            return 421, f"host {host!r} is not this machine's loopback address"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, f"requests from the web origin {origin!r} are not allowed"
        if method in ("POST", "PUT", "PATCH"):
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                return 415, f"content type {kind!r} is not application/json"
            if _length(headers) > MAX_BODY_BYTES:
                return 413, f"the body is larger than {MAX_BODY_BYTES} bytes"
        if self._token is not None and path != "/health" and not self._knows(headers):
            return 401, "a token is needed: Authorization: Bearer TOKEN"
        return None

    def _knows(self, headers: dict[str, str]) -> bool:
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":  # what a browser can send: the token as the password
            try:
                value = base64.b64decode(value, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return False
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(value.strip().encode(), (self._token or "").encode())


async def _refuse(send: Send, status: int, reason: str) -> None:
    headers = [(b"content-type", b"application/json")]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="hone", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": reason}).encode()})


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
