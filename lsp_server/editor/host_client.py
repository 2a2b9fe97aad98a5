"""Turns questions for the host into HTTP, and its answers, delays and faults into values.

Nothing here raises towards the caller: no answer is `None`, and why stands in `HostState`, which
is told (and logged, one line) when it changes. This module knows nothing of documents, editors or
where events wait.
"""

import asyncio
import gzip
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from feedback_store.schemas import CompletionAnswer, CompletionRequest, Health, IngestReport
from lsp_server.editor.errors import HostError

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

READY_POLL_S = 2.0  # how soon a swap or a dead host is noticed when nobody types
GZIP_FROM_BYTES = 16 * 1024
_JSON = {"Content-Type": "application/json"}
_SUPERSEDED_STATUSES = (409, 499)


@dataclass(frozen=True)
class HostState:
    """What is known of the host; `adapter` is a SHA-256, or None for the bare base."""

    state: Literal["starting", "ready", "offline"] = "starting"
    model: str | None = None
    adapter: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Delivery:
    """What became of one batch of events; without a report it must be sent again."""

    report: IngestReport | None = None
    retry_after_s: float | None = None  # the host's own wish
    too_large: bool = False  # send fewer at once
    reason: str = ""


class Backoff:
    """Waits that double from `first_s` to `longest_s` with every failure; any success ends them."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        """Start without a failure."""
        self._first_s, self._longest_s = first_s, longest_s
        self._num_failures = 0
        self.open_at = 0.0  # on the monotonic clock

    def failed(self, at_least_s: float = 0.0) -> float:
        """Count a failure; return the seconds to wait before the next attempt."""
        wait_s = min(self._longest_s, self._first_s * 2.0 ** min(self._num_failures, 16))
        wait_s = max(wait_s, at_least_s)
        self._num_failures += 1
        self.open_at = time.monotonic() + wait_s
        return wait_s

    def succeeded(self) -> None:
        """Forget all failures."""
        self._num_failures, self.open_at = 0, 0.0

    @property
    def is_open(self) -> bool:
        """Whether an attempt is allowed now."""
        return time.monotonic() >= self.open_at


class HostClient:
    """The only HTTP of the editor process: completions, events, and a look at the host's health."""

    def __init__(
        self,
        url: str,
        token: str | None,
        timeout_ms: int,
        *,
        on_change: Callable[[HostState], None],
    ) -> None:
        """Connect nothing yet; `on_change` hears every new state, from the event loop."""
        self.state = HostState()
        self._url, self._token, self._timeout_s = url, token, timeout_ms / 1000
        self._on_change = on_change
        self._client: httpx.AsyncClient | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._attempts = Backoff(0.5, 30.0)
        self._polls = Backoff(0.25, 5.0)
        self._unreachable = False

    def open(self) -> None:
        """Load the HTTP library (0.15 s) and begin to watch the host; needs a running loop."""
        _spare_searches()
        import httpx

        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        self._client = httpx.AsyncClient(
            base_url=self._url,
            headers=headers,
            timeout=self._timeout_s,
            # Certificates are checked where there are any; loading them for loopback costs memory.
            verify=self._url.startswith("https:"),
            # A proxy of the environment must never see what is typed.
            trust_env=False,
        )
        self._watcher = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop watching and close every connection."""
        if self._watcher:
            self._watcher.cancel()
        if self._client:
            await self._client.aclose()

    async def complete(self, request: CompletionRequest) -> CompletionAnswer | None:
        """Return the host's answer; None while it is unwell. Cancelling closes the connection."""
        if self._client is None or not self._attempts.is_open:
            return None
        try:
            body = request.model_dump_json().encode()
            response = await self._send("POST", "/v1/hone/completions", body, _JSON)
            if response.status_code in _SUPERSEDED_STATUSES:
                return None
            answer = CompletionAnswer.model_validate_json(_content(response))
            if answer.completion_id != request.completion_id:
                raise HostError("the host answered another question than the one asked")
        except (HostError, ValidationError) as error:
            self._failed(error)
            return None
        self._attempts.succeeded()
        self._unreachable = False
        self._tell(HostState("ready", answer.model, answer.adapter))
        return answer

    async def deliver(self, events: Sequence[dict[str, object]]) -> Delivery:
        """Hand a batch of events to the store; acknowledged ones are in the report."""
        if self._client is None:
            return Delivery(reason="not connected yet")
        body, headers = json.dumps({"events": list(events)}).encode(), dict(_JSON)
        if len(body) >= GZIP_FROM_BYTES:
            body = await asyncio.to_thread(gzip.compress, body, 5)
            headers["Content-Encoding"] = "gzip"
        try:
            response = await self._send("POST", "/v1/events", body, headers)
            if response.status_code == 413:
                return Delivery(too_large=True, reason="the host found the batch too large")
            if response.status_code in (429, 503):
                return Delivery(retry_after_s=_retry_after_s(response), reason="the host is busy")
            return Delivery(IngestReport.model_validate_json(_content(response)))
        except (HostError, ValidationError) as error:
            return Delivery(reason=_reason(error))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(READY_POLL_S if await self._check() else self._polls.failed())

    async def _check(self) -> bool:
        """Ask for the host's health; a host that was only unreachable is ready again by it."""
        try:
            response = await self._send("GET", "/health", None, {})
            health = Health.model_validate_json(_content(response))
        except (HostError, ValidationError) as error:
            self._failed(error)
            return False
        if health.status != "ok":
            self._tell(HostState("starting", health.model, health.adapter, "the host is starting"))
            return False
        self._polls.succeeded()
        if self._unreachable or self.state.state == "starting":
            self._unreachable = False
            self._attempts.succeeded()
            self._tell(HostState("ready", health.model, health.adapter))
        else:
            # A host that answers here but fails completions stays offline until one succeeds.
            self._tell(replace(self.state, model=health.model, adapter=health.adapter))
        return True

    async def _send(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> "httpx.Response":
        """Send one request; HostError when no answer came in time."""
        import httpx

        assert self._client is not None
        try:
            # httpx limits each read; only a limit on the whole keeps a dripping host out.
            async with asyncio.timeout(self._timeout_s):
                return await self._client.request(method, path, content=body, headers=headers)
        except TimeoutError:
            raise HostError(f"no answer within {self._timeout_s * 1000:.0f} ms") from None
        except httpx.TimeoutException:
            raise HostError(f"no answer within {self._timeout_s * 1000:.0f} ms") from None
        except httpx.ConnectError:
            raise Unreachable(f"nothing answers at {self._url}: is `hone serve` running?") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise HostError(f"the connection failed: {type(error).__name__}: {error}") from None

    def _failed(self, error: Exception) -> None:
        self._unreachable = isinstance(error, Unreachable)
        at_least_s = error.retry_after_s if isinstance(error, Refused) else 0.0
        self._attempts.failed(at_least_s)
        self._tell(replace(self.state, state="offline", reason=_reason(error)))

    def _tell(self, state: HostState) -> None:
        old, self.state = self.state, state
        if state.state != old.state:
            suffix = f": {state.reason}" if state.reason else ""
            logger.warning("host %s is %s%s", self._url, state.state, suffix)
        if replace(state, reason="") != replace(old, reason=""):
            self._on_change(state)


def _spare_searches() -> None:
    """Tell Python that sniffio is missing, where it is.

    httpcore tries to import it for every request, and each time all of the path is searched: a
    good part of the time that one request takes.
    """
    if "sniffio" not in sys.modules and find_spec("sniffio") is None:
        sys.modules["sniffio"] = None  # type: ignore[assignment]


class Unreachable(HostError):
    """Nothing listens at the host's address."""


class Refused(HostError):
    """The host answered with an error status."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        """Keep how long the host asked to be left alone."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


def _content(response: "httpx.Response") -> bytes:
    """Return the body of a good answer; Refused names the status of any other."""
    status = response.status_code
    if status in (401, 403):
        raise Refused(f"the host refused the token or address (status {status})", 5.0)
    if status != 200:
        raise Refused(f"the host answered status {status}", _retry_after_s(response) or 0.0)
    return response.content


def _retry_after_s(response: "httpx.Response") -> float | None:
    """Return the seconds of Retry-After, at most an hour; a date or nonsense is None."""
    try:
        return min(3600.0, max(0.0, float(response.headers["Retry-After"])))
    except (KeyError, ValueError):
        return None


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        return f"the host's answer cannot be read: {where}: {first['msg']}"
    return str(error)
