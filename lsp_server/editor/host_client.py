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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from feedback_store.schemas import (
    Acceptance,
    CompletionAnswer,
    CompletionRequest,
    Health,
    HostStatus,
    IngestReport,
    LiveAdapter,
)
from lsp_server.editor.errors import HostError
from lsp_server.editor.leaving import Leaving

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

READY_POLL_S = 2.0  # how soon a swap or a dead host is noticed when nobody types
STATUS_POLL_S = 30.0  # what is only looked at may be a little old
GZIP_FROM_BYTES = 16 * 1024
_JSON = {"Content-Type": "application/json"}
_SUPERSEDED_STATUSES = (409, 499)
_LATER_STATUSES = {
    429: "the host is busy",
    503: "the host cannot store it now",
    507: "the host's disk is full",
}
_REFUSED_STATUSES = (401, 403)

# What helps is another thing for each: start a host, set the token, wait, look at the log.
Trouble = Literal["", "unreachable", "refused", "slow", "faulty"]


@dataclass(frozen=True)
class HostState:
    """What is known of the host; `adapter` is a SHA-256, or None for the bare base."""

    state: Literal["starting", "ready", "offline"] = "starting"
    model: str | None = None
    adapter: str | None = None
    reason: str = ""
    trouble: Trouble = ""
    version: str = ""  # of the host; "" until it told
    url: str = ""  # where it is asked
    live: LiveAdapter | None = None  # None: the bare base, or a host that does not tell
    today: Acceptance | None = None  # of this user


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
        address: Callable[[], str],
        token: str | None,
        timeout_ms: int,
        *,
        on_change: Callable[[HostState], None],
        about: Callable[[], Mapping[str, str]] = dict,
        leaving: Leaving | None = None,
    ) -> None:
        """Connect nothing yet; `on_change` hears every new state, from the event loop.

        `address` is asked where the host is, again and again while there is none, in any thread.
        `about` names the user whose day the host is asked about, {} for none. `leaving` hears of
        everything before it leaves.
        """
        self.state = HostState()
        self._about, self._leaving = about, leaving or Leaving()
        self._address, self._url = address, ""
        self._token, self._timeout_s = token, timeout_ms / 1000
        self._on_change = on_change
        self._client: httpx.AsyncClient | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._attempts = Backoff(0.5, 30.0)
        self._polls = Backoff(0.25, 5.0)
        self._unreachable = False
        self._asked_status_at = -STATUS_POLL_S  # on the monotonic clock

    def open(self) -> None:
        """Load the HTTP library (0.15 s) and begin to watch the host; needs a running loop."""
        _spare_searches()
        import httpx

        self._url = self._address()
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

    async def look(self) -> None:
        """Ask the host now how things are, which is told as ever when it changed."""
        self._asked_status_at = -STATUS_POLL_S
        if self._client:
            await self._check()

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
        self._leaving.completion(request)
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
        self._leaving.answered(request)
        self._tell(self._ready(answer.model, answer.adapter))
        return answer

    async def deliver(self, events: Sequence[dict[str, object]]) -> Delivery:
        """Hand a batch of events to the store; acknowledged ones are in the report."""
        if self._client is None:
            return Delivery(reason="not connected yet")
        self._leaving.events(events)
        body, headers = json.dumps({"events": list(events)}).encode(), dict(_JSON)
        if len(body) >= GZIP_FROM_BYTES:
            body = await asyncio.to_thread(gzip.compress, body, 5)
            headers["Content-Encoding"] = "gzip"
        try:
            response = await self._send("POST", "/v1/events", body, headers)
            if response.status_code == 413:
                return Delivery(too_large=True, reason="the host found the batch too large")
            if why := _LATER_STATUSES.get(response.status_code):
                return Delivery(retry_after_s=_retry_after_s(response), reason=why)
            report = IngestReport.model_validate_json(_content(response))
            self._leaving.delivered(events)
            return Delivery(report)
        except (HostError, ValidationError) as error:
            return Delivery(reason=_reason(error))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(READY_POLL_S if await self._check() else self._polls.failed())

    async def _check(self) -> bool:
        """Ask for the host's health; a host that was only unreachable is ready again by it."""
        if self.state.state != "ready":
            await self._follow()
        try:
            response = await self._send("GET", "/health", None, {})
            health = Health.model_validate_json(_content(response))
        except (HostError, ValidationError) as error:
            self._failed(error)
            return False
        if health.status != "ok":
            self._tell(HostState("starting", health.model, health.adapter, "the host is starting"))
            return False
        try:
            status = await self._status(health)
        except Refused as error:
            self._failed(error)
            return False
        self._polls.succeeded()
        self._hear(health, status)
        return True

    async def _follow(self) -> None:
        """Ask from now on where the host is now."""
        url = await asyncio.to_thread(self._address)
        if self._client and url != self._url:
            logger.info("the host is looked for at %s", url)
            self._client.base_url = self._url = url
            self._attempts.succeeded()

    def _hear(self, health: Health, status: HostStatus | None) -> None:
        now = self.state
        may_enter = now.trouble == "refused" and status is not None
        if self._unreachable or now.state == "starting" or may_enter:
            self._unreachable = False
            self._attempts.succeeded()
            now = self._ready(health.model, health.adapter)
        # Otherwise a host that answers but fails completions stays offline until one succeeds.
        now = replace(now, model=health.model, adapter=health.adapter, version=health.version)
        if status is not None:
            now = replace(now, live=status.adapter, today=status.today)
        if now.live and now.live.sha256 != health.adapter:
            now = replace(now, live=None)
        self._tell(now)

    async def _status(self, health: Health) -> HostStatus | None:
        """Return what an editor shows of its host; None if it is known well enough, or not told.

        Raises Refused for who may not ask: better now than when something is typed.
        """
        is_recent = time.monotonic() - self._asked_status_at < STATUS_POLL_S
        if is_recent and self.state.state == "ready" and self.state.adapter == health.adapter:
            return None
        self._asked_status_at = time.monotonic()
        try:
            response = await self._send("GET", "/v1/hone/status", None, {}, self._about())
            return HostStatus.model_validate_json(_content(response))
        except Refused as error:
            if error.status in _REFUSED_STATUSES:
                raise
            return None  # an older host, or a store that cannot be read
        except (HostError, ValidationError):
            return None

    def _ready(self, model: str, adapter: str | None) -> HostState:
        live = self.state.live
        if live and live.sha256 != adapter:
            live, self._asked_status_at = None, -STATUS_POLL_S
        return HostState(
            "ready",
            model,
            adapter,
            version=self.state.version,
            live=live,
            today=self.state.today,
        )

    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        query: Mapping[str, str] | None = None,
    ) -> "httpx.Response":
        """Send one request; HostError when no answer came in time."""
        import httpx

        assert self._client is not None
        try:
            # httpx limits each read; only a limit on the whole keeps a dripping host out.
            async with asyncio.timeout(self._timeout_s):
                return await self._client.request(
                    method, path, content=body, headers=headers, params=query
                )
        except (TimeoutError, httpx.TimeoutException):
            raise Slow(f"no answer within {self._timeout_s * 1000:.0f} ms") from None
        except httpx.ConnectError:
            raise Unreachable(f"nothing answers at {self._url}: is `hone serve` running?") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise HostError(f"the connection failed: {type(error).__name__}: {error}") from None

    def _failed(self, error: Exception) -> None:
        self._unreachable = isinstance(error, Unreachable)
        at_least_s = error.retry_after_s if isinstance(error, Refused) else 0.0
        self._attempts.failed(at_least_s)
        self._tell(
            replace(self.state, state="offline", reason=_reason(error), trouble=_trouble(error))
        )

    def _tell(self, state: HostState) -> None:
        old, self.state = self.state, replace(state, url=self._url)
        state = self.state
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


class Slow(HostError):
    """The host did not answer in time."""


class Refused(HostError):
    """The host answered with an error status."""

    def __init__(self, message: str, status: int, retry_after_s: float) -> None:
        """Keep the status, and how long the host asked to be left alone."""
        super().__init__(message)
        self.status, self.retry_after_s = status, retry_after_s


def _content(response: "httpx.Response") -> bytes:
    """Return the body of a good answer; Refused names the status of any other."""
    status = response.status_code
    if status in _REFUSED_STATUSES:
        raise Refused(f"the host refused the token or address (status {status})", status, 5.0)
    if status != 200:
        retry_after_s = _retry_after_s(response) or 0.0
        raise Refused(f"the host answered status {status}", status, retry_after_s)
    return response.content


def _retry_after_s(response: "httpx.Response") -> float | None:
    """Return the seconds of Retry-After, at most an hour; a date or nonsense is None."""
    try:
        return min(3600.0, max(0.0, float(response.headers["Retry-After"])))
    except (KeyError, ValueError):
        return None


def _trouble(error: Exception) -> Trouble:
    if isinstance(error, Unreachable):
        return "unreachable"
    if isinstance(error, Slow):
        return "slow"
    is_refused = isinstance(error, Refused) and error.status in _REFUSED_STATUSES
    return "refused" if is_refused else "faulty"


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        return f"the host's answer cannot be read: {where}: {first['msg']}"
    return str(error)
