"""Turns what a request shows at the door into the caller who stands there, or nobody.

The configured token opens everything; a user's token opens what its scopes say, and so does the
sealed cookie of a browser that logged in with one. Look-ups are
remembered for some seconds, so that they cost the request path next to nothing: a revoked token
stops working within that time. Once a first user was made, everybody is asked for a token, on
loopback too. Knows nothing of HTTP.
"""

import hmac
import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from feedback_store import access, audit
from feedback_store.access import Token, TokenScope
from feedback_store.audit import Signed
from feedback_store.database import Database
from feedback_store.errors import DatabaseError
from feedback_store.seals import Seals

REMEMBER_SECONDS = 5.0
NOTE_USE_SECONDS = 600.0
MAX_REMEMBERED = 10_000
SESSION_COOKIE = "hone_session"
SESSION_SECONDS = 12 * 3600
FORM_SECONDS = 3600
SHARED_NAME = "the host's own token"

_log = logging.getLogger(__name__)
Found = TypeVar("Found")


class MustReadError(Exception):
    """The answer is not remembered: ask again where waiting for the database does no harm."""


@dataclass(frozen=True)
class Caller:
    """Who asks. `counted_as` is what a rate limit counts by, "" when nothing was asked."""

    name: str
    scopes: frozenset[TokenScope]
    counted_as: str


ANYBODY = Caller("", frozenset({TokenScope.ADMIN}), "")
SHARED = Caller(SHARED_NAME, frozenset({TokenScope.ADMIN}), "shared")


def name_of(state: object, nobody: str) -> str:
    """Return the name a deed is written down under: of the caller in a request's state, if any."""
    caller: Caller | None = getattr(state, "caller", None)
    return caller.name if caller is not None and caller.name else nobody


class Entrance:
    """The door of one host. Thread-safe."""

    def __init__(
        self,
        database: Database,
        shared_token: str | None,
        seals: Seals,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Look whether there are users; DatabaseError when that cannot be read."""
        self._database = database
        self._shared = shared_token.encode() if shared_token else None
        self._seals = seals
        self._shared_mark = "shared " + seals.mark(
            shared_token or ""
        )  # another token, another mark
        self._clock, self._now = clock, now
        self._remembered: dict[object, tuple[float, Any]] = {}
        self._has_users = access.has_users(database)
        self._users_read_at = clock()
        self._use_noted_at: dict[int, float] = {}
        self._notes = ThreadPoolExecutor(1, "token-use")

    def close(self) -> None:
        """Finish what is still being written down."""
        self._notes.shutdown()

    def caller(
        self, secret: str | None, cookie: str | None = None, *, reading: bool = True
    ) -> Caller | None:
        """Return who shows `secret` or a log-in `cookie`, None when both are worth nothing here.

        With `reading=False` the database is left alone; MustReadError when it would be needed.
        DatabaseError when it cannot be read.
        """
        if not self._asks(reading):
            return ANYBODY
        found = None if secret is None else self._by_token(secret, reading)
        return found if found or cookie is None else self._by_cookie(cookie, reading)

    def log_in(self, caller: Caller) -> str:
        """Return a cookie for somebody who showed a token, and note it in the audit log."""
        about = self._shared_mark if caller is SHARED else caller.counted_as
        until_s = self._now().timestamp() + SESSION_SECONDS
        cookie = self._seals.seal("session", (about, secrets.token_hex(8)), until_s)
        with self._database.session() as session:
            audit.append(session, Signed(caller.name, "with a token"), "logged in", "admin page")
        return cookie

    def log_out(self, cookie: str) -> None:
        """End a session for good: its cookie is worth nothing from now on.

        Other hosts of the same store notice within REMEMBER_SECONDS. DatabaseError when it cannot
        be written down.
        """
        if self._seals.unseal("session", cookie, self._now().timestamp()) is None:
            return
        access.end_session(
            self._database, access.digest(cookie), self._now(), timedelta(seconds=SESSION_SECONDS)
        )
        self._remembered[_ended(cookie)] = (self._clock() + SESSION_SECONDS, True)

    def form_token(self, cookie: str) -> str:
        """Return what a form must bring back together with `cookie`."""
        until_s = self._now().timestamp() + FORM_SECONDS
        return self._seals.seal("form", (access.digest(cookie),), until_s)

    def is_own_form(self, form_token: str, cookie: str) -> bool:
        """Tell whether a form was made here, lately, for the browser that has `cookie`."""
        content = self._seals.unseal("form", form_token, self._now().timestamp())
        return content == (access.digest(cookie),)

    def _by_token(self, secret: str, reading: bool) -> Caller | None:
        if self._shared is not None and hmac.compare_digest(secret.encode(), self._shared):
            return SHARED
        if not access.is_well_formed(secret):
            return None
        sha256 = access.digest(secret)
        token = self._recall(sha256, reading, lambda: access.find(self._database, sha256))
        return self._let_in(token)

    def _by_cookie(self, cookie: str, reading: bool) -> Caller | None:
        content = self._seals.unseal("session", cookie, self._now().timestamp())
        if content is None or self._is_ended(cookie, reading):
            return None
        about = content[0]
        if self._shared is not None and hmac.compare_digest(about, self._shared_mark):
            return SHARED
        kind, _, number = about.partition(" ")
        if kind != "token":
            return None
        token_id = int(number)
        token = self._recall(
            token_id, reading, lambda: access.find_numbered(self._database, token_id)
        )
        return self._let_in(token)

    def _is_ended(self, cookie: str, reading: bool) -> bool:
        sha256 = access.digest(cookie)
        return self._recall(
            _ended(cookie), reading, lambda: access.is_ended(self._database, sha256)
        )

    def _let_in(self, token: Token | None) -> Caller | None:
        if token is None or token.state(self._now()) != "valid":
            return None
        last = self._use_noted_at.get(token.token_id)
        if last is None or self._clock() - last > NOTE_USE_SECONDS:
            # Writing may have to wait for others who write; the caller does not wait for it.
            self._use_noted_at[token.token_id] = self._clock()
            self._notes.submit(self._note_use, token.token_id)
        return Caller(token.user, token.scopes, f"token {token.token_id}")

    def _asks(self, reading: bool) -> bool:
        """Tell whether anything has to be shown here."""
        if self._shared is not None or self._has_users:
            return True
        if self._clock() - self._users_read_at < REMEMBER_SECONDS:
            return False
        if not reading:
            raise MustReadError
        try:
            self._has_users = access.has_users(self._database)
        except DatabaseError as error:  # Suggestions need no store: what was known goes on.
            _log.warning("users cannot be read, the door stays as it was: %s", error)
        self._users_read_at = self._clock()
        return self._has_users

    def _recall(self, key: object, reading: bool, read: Callable[[], Found]) -> Found:
        until, known = self._remembered.get(key, (0.0, None))
        if self._clock() < until:
            found: Found = known
            return found
        if not reading:
            raise MustReadError
        found = read()
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered = {}  # Only a flood of wrong tokens comes this far.
        self._remembered[key] = (self._clock() + REMEMBER_SECONDS, found)
        return found

    def _note_use(self, token_id: int) -> None:
        try:
            access.note_use(self._database, token_id, self._now())
        except DatabaseError as error:
            _log.warning("the use of token %d is not noted: %s", token_id, error)


def _ended(cookie: str) -> tuple[str, str]:
    """Return the key under which it is remembered whether a cookie's session was ended."""
    return ("ended", cookie)
