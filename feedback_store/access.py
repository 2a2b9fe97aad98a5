"""Turns names into users, users into tokens, and a token shown at the door into what it may do.

A token is 256 random bits, shown once; only its SHA-256 is stored, which is enough for a secret
that cannot be guessed. A set of scopes says which parts of the host it opens; whatever nobody
thought of needs `admin`. Knows nothing of HTTP, and nothing of what the parts do.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, delete, select, update

from feedback_store import audit
from feedback_store.audit import Signed
from feedback_store.database import Database
from feedback_store.errors import AccessError
from feedback_store.models import TokenRow, UserRow
from feedback_store.privacy_models import EndedSessionRow

MAX_NAME = 64
MAX_DAYS = 3650
_TOKEN = re.compile(r"hone_[A-Za-z0-9_-]{43}", re.ASCII)


class TokenScope(StrEnum):
    """What a token is for."""

    EDITOR = "editor"
    REVIEWER = "reviewer"
    ADMIN = "admin"
    TRAINER = "trainer"


class Area(StrEnum):
    """A part of the host with a door of its own."""

    OPEN = "open"  # for everybody
    COMPLETIONS = "completions"  # ask, and report what became of it
    REVIEW = "review"  # look at what is stored, and judge it
    ADAPTERS = "adapters"  # list, fetch and hand in adapters
    ADMIN = "admin"  # everything else


_OPENED_BY = {
    Area.COMPLETIONS: TokenScope.EDITOR,
    Area.REVIEW: TokenScope.REVIEWER,
    Area.ADAPTERS: TokenScope.TRAINER,
    Area.ADMIN: TokenScope.ADMIN,
}


@dataclass(frozen=True)
class Token:
    """What is known of a token; the token itself is not."""

    token_id: int
    user: str
    scopes: frozenset[TokenScope]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None

    def state(self, now: datetime) -> str:
        """Return "valid", "expired" or "revoked"."""
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if now < self.expires_at else "expired"


@dataclass(frozen=True)
class User:
    """One user, with all tokens ever given to them, oldest first."""

    name: str
    created_at: datetime
    tokens: tuple[Token, ...]


def may_enter(scopes: Collection[TokenScope], area: Area) -> bool:
    """Tell whether a token with `scopes` opens `area`; `admin` opens everything."""
    return area is Area.OPEN or TokenScope.ADMIN in scopes or _OPENED_BY[area] in scopes


def needed_scope(area: Area) -> TokenScope | None:
    """Return the scope that opens `area`, None when it is open to everybody."""
    return _OPENED_BY.get(area)


def in_order(scopes: Collection[TokenScope]) -> str:
    """Return scopes as text, always in the same order."""
    return ",".join(scope for scope in TokenScope if scope in scopes)


def issue(
    database: Database,
    name: str,
    scopes: Collection[TokenScope],
    *,
    lifetime: timedelta,
    now: datetime,
    by: str,
) -> tuple[str, Token]:
    """Give a user, made when new, another token; return it (never again) and what is kept of it.

    AccessError when the name, the scopes or the lifetime will not do.
    """
    _require(name, scopes, lifetime)
    secret = "hone_" + secrets.token_urlsafe(32)
    with database.session() as session:
        user = session.scalar(select(UserRow).where(UserRow.name == name))
        if user is None:
            user = UserRow(name=name, created_at=now)
            session.add(user)
            session.flush()
            audit.append(session, Signed(by, "a first token"), "user added", name)
        row = TokenRow(
            user_id=user.user_id,
            sha256=digest(secret),
            scopes=in_order(scopes),
            created_at=now,
            expires_at=now + lifetime,
        )
        session.add(row)
        session.flush()
        why = f"{row.scopes}, until {row.expires_at:%Y-%m-%d}"
        audit.append(session, Signed(by, why), "token issued", f"{row.token_id} of {name}")
        return secret, _token(row, name)


def users(database: Database) -> tuple[User, ...]:
    """Return every user with their tokens, by name."""
    with database.reading() as session:
        given: dict[str, list[Token]] = {}
        for row, name in session.execute(_tokens().order_by(TokenRow.token_id)):
            given.setdefault(name, []).append(_token(row, name))
        return tuple(
            User(row.name, row.created_at, tuple(given.get(row.name, ())))
            for row in session.scalars(select(UserRow).order_by(UserRow.name))
        )


def has_users(database: Database) -> bool:
    """Tell whether anybody was ever given a token: from then on the host asks for one."""
    with database.reading() as session:
        return session.scalar(select(UserRow.user_id).limit(1)) is not None


def user_named(database: Database, name: str) -> User:
    """Return one user; AccessError when there is none of that name."""
    for user in users(database):
        if user.name == name:
            return user
    raise AccessError(f"no user is named {name!r}: see `hone users list`")


def revoke(database: Database, token_id: int, signed: Signed, *, now: datetime) -> Token:
    """Make a token worthless; AccessError when it is unknown or was revoked before."""
    with database.session() as session:
        found = session.execute(_tokens().where(TokenRow.token_id == token_id)).first()
        if found is None:
            raise AccessError(f"no token has the number {token_id}: see `hone users list`")
        row, name = found
        if row.revoked_at is not None:
            raise AccessError(
                f"token {token_id} of {name} was revoked on {row.revoked_at:%Y-%m-%d} already"
            )
        row.revoked_at = now
        audit.append(session, signed, "token revoked", f"{token_id} of {name}")
        return _token(row, name)


def digest(secret: str) -> str:
    """Return what is stored of a token."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_well_formed(secret: str) -> bool:
    """Tell whether this could be a token of ours at all; nothing else is looked up."""
    return _TOKEN.fullmatch(secret) is not None


def find(database: Database, sha256: str) -> Token | None:
    """Return the token with this digest, whatever its state; None when there is none."""
    found = _find(database, TokenRow.sha256 == sha256)
    if found is None or not hmac.compare_digest(found[1], sha256):
        return None
    return found[0]


def find_numbered(database: Database, token_id: int) -> Token | None:
    """Return the token with this number, whatever its state; None when there is none."""
    found = _find(database, TokenRow.token_id == token_id)
    return found[0] if found else None


def note_use(database: Database, token_id: int, now: datetime) -> None:
    """Write down when a token was last used."""
    with database.session() as session:
        session.execute(
            update(TokenRow).where(TokenRow.token_id == token_id).values(last_used_at=now)
        )


def end_session(database: Database, sha256: str, now: datetime, lasts: timedelta) -> None:
    """Write down that the log-in cookie with this digest is worth nothing any more."""
    with database.session() as session:
        session.execute(delete(EndedSessionRow).where(EndedSessionRow.until < now))
        session.merge(EndedSessionRow(sha256=sha256, until=now + lasts))


def is_ended(database: Database, sha256: str) -> bool:
    """Tell whether somebody ended the session of this cookie."""
    with database.reading() as session:
        return session.get(EndedSessionRow, sha256) is not None


def _require(name: str, scopes: Collection[TokenScope], lifetime: timedelta) -> None:
    if not name.isprintable() or name != name.strip() or not 1 <= len(name) <= MAX_NAME:
        raise AccessError(
            f"user name {name!r} will not do: 1 to {MAX_NAME} printable characters, "
            "no space at its ends"
        )
    if not scopes:
        raise AccessError("a token without a scope opens nothing: name at least one")
    if not timedelta(0) < lifetime <= timedelta(days=MAX_DAYS):
        raise AccessError(f"a token lasts at least one day and at most {MAX_DAYS}")


def _tokens() -> Select[TokenRow, str]:
    return select(TokenRow, UserRow.name).join(UserRow, UserRow.user_id == TokenRow.user_id)


def _find(database: Database, condition: ColumnElement[bool]) -> tuple[Token, str] | None:
    with database.reading() as session:
        found = session.execute(_tokens().where(condition)).first()
        if found is None:
            return None
        row, name = found
        return _token(row, name), row.sha256


def _token(row: TokenRow, name: str) -> Token:
    return Token(
        token_id=row.token_id,
        user=name,
        scopes=frozenset(TokenScope(scope) for scope in row.scopes.split(",")),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
