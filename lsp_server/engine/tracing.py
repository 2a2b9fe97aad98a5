"""Turns each HTTP request into an id that all its log lines carry, one line about it, and figures.

An id that the client sends (`X-Request-ID`) is taken if it is harmless, so that a proxy's log and
ours can be put side by side; it comes back in the answer. Plain ASGI, outside of everything else.
Knows nothing of what is asked.
"""

import logging
import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from uuid import uuid4

from lsp_server.engine.guard import App, Receive, Scope, Send

ACCESS_LOG = "lsp_server.engine.access"
HEADER = b"x-request-id"
_HARMLESS = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_QUIET = frozenset({"/health", "/metrics"})  # asked every few seconds by machines

Observe = Callable[[str, str, int, float], None]  # method, route, status, seconds
_request_id: ContextVar[str] = ContextVar("request_id", default="-")
_access = logging.getLogger(ACCESS_LOG)


class WithRequestId(logging.Filter):
    """Adds `request_id` to every record: that of the request it was made for, or "-"."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        record.request_id = _request_id.get()
        return True


class Trace:
    """ASGI middleware; `observe` is told of every request when its answer has begun."""

    def __init__(self, app: App, observe: Observe) -> None:
        self._app, self._observe = app, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given(scope) or uuid4().hex
        token = _request_id.set(request_id)
        begun, status = time.perf_counter(), 500

        async def answer(message: Scope) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - begun
            route = getattr(scope.get("route"), "path", "other")
            self._observe(scope["method"], route, status, seconds)
            if scope["path"] not in _QUIET:
                _access.info("%s %s %d %.1f ms", scope["method"], route, status, seconds * 1000)
            _request_id.reset(token)


def _given(scope: Scope) -> str | None:
    value = dict(scope["headers"]).get(HEADER, b"")
    return value.decode("ascii") if _HARMLESS.fullmatch(value) else None
