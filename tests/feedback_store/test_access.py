"""Users and tokens: issued once, kept as a hash, worth nothing after their day."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from store_material import NOON

from feedback_store import access, audit
from feedback_store.access import Area, TokenScope, may_enter
from feedback_store.audit import Signed
from feedback_store.database import Database
from feedback_store.errors import AccessError
from feedback_store.models import TokenRow

DAY = timedelta(days=1)
SCOPES = st.frozensets(st.sampled_from(TokenScope))
EDITOR = frozenset({TokenScope.EDITOR})
HOSTILE = ["'; DROP TABLE users; --", "<script>alert(1)</script>", "../../etc/passwd", "%s%n", "名"]


def issue(
    database: Database, name: str = "ada", scopes: frozenset[TokenScope] = EDITOR, days: int = 1
) -> tuple[str, access.Token]:
    return access.issue(database, name, scopes, lifetime=days * DAY, now=NOON, by="root")


def test_a_token_is_found_by_itself_and_by_its_number(database: Database) -> None:
    secret, token = issue(database)
    assert access.is_well_formed(secret)
    assert access.find(database, access.digest(secret)) == token
    assert access.find_numbered(database, token.token_id) == token
    assert (token.user, token.scopes, token.state(NOON)) == ("ada", EDITOR, "valid")
    assert access.find(database, access.digest(secret[:-1] + "!")) is None
    assert access.find_numbered(database, token.token_id + 1) is None


def test_the_token_itself_is_nowhere_in_the_database(sqlite_database: Database) -> None:
    secret, _ = issue(sqlite_database)
    with sqlite_database.reading() as session:
        (sha256,) = session.scalars(select(TokenRow.sha256))
    assert sqlite_database.path is not None
    sqlite_database.close()
    folder = sqlite_database.path.parent
    content = b"".join(p.read_bytes() for p in folder.glob("hone.db*"))
    assert secret.removeprefix("hone_").encode() not in content
    assert sha256.encode() in content


def test_every_token_is_another_one(database: Database) -> None:
    secrets = {issue(database)[0] for _ in range(20)}
    assert len(secrets) == 20
    (ada,) = access.users(database)
    assert [token.token_id for token in ada.tokens] == sorted(t.token_id for t in ada.tokens)
    assert len(ada.tokens) == 20


def test_a_token_ends_on_its_day_or_when_it_is_revoked(database: Database) -> None:
    _, token = issue(database, days=2)
    assert token.state(NOON + 2 * DAY - timedelta(microseconds=1)) == "valid"
    assert token.state(NOON + 2 * DAY) == "expired"
    revoked = access.revoke(database, token.token_id, Signed("eve", "left"), now=NOON)
    assert revoked.state(NOON) == revoked.state(NOON + 3 * DAY) == "revoked"
    assert access.find_numbered(database, token.token_id) == revoked
    with pytest.raises(AccessError, match=r"token \d+ of ada was revoked on 2026-11-03 already"):
        access.revoke(database, token.token_id, Signed("eve", "again"), now=NOON)
    with pytest.raises(AccessError, match="no token has the number 99"):
        access.revoke(database, 99, Signed("eve", "left"), now=NOON)


def test_use_is_noted(database: Database) -> None:
    _, token = issue(database)
    access.note_use(database, token.token_id, NOON + DAY)
    found = access.find_numbered(database, token.token_id)
    assert found is not None
    assert found.last_used_at == NOON + DAY


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_only_text(database: Database, name: str) -> None:
    _, token = issue(database, name)
    assert access.user_named(database, name).tokens == (token,)
    assert access.has_users(database)


@pytest.mark.parametrize(
    "name", ["", " ada", "ada ", "a\0b", "a\nb", "a\x1b[2Jb", "\u202eada", "x" * 65]
)
def test_a_name_nobody_can_read_is_refused(database: Database, name: str) -> None:
    with pytest.raises(AccessError, match="1 to 64 printable characters"):
        issue(database, name)
    assert not access.has_users(database)


def test_a_token_for_nothing_or_for_ever_is_refused(database: Database) -> None:
    with pytest.raises(AccessError, match="opens nothing"):
        issue(database, scopes=frozenset())
    for days in (0, -1, 3651):
        with pytest.raises(AccessError, match="at least one day and at most 3650"):
            issue(database, days=days)
    with pytest.raises(AccessError, match="no user is named 'ada'"):
        access.user_named(database, "ada")


def test_who_gave_and_took_is_in_the_log(database: Database) -> None:
    _, token = issue(database)
    access.revoke(database, token.token_id, Signed("eve", "left"), now=NOON)
    told = [(e.who, e.action, e.subject, e.reason) for e in audit.entries(database, 10)]
    assert told == [
        ("eve", "token revoked", "1 of ada", "left"),
        ("root", "token issued", "1 of ada", "editor, until 2026-11-04"),
        ("root", "user added", "ada", "a first token"),
    ]


@given(SCOPES, st.sampled_from(Area))
def test_what_a_scope_opens(scopes: frozenset[TokenScope], area: Area) -> None:
    assert may_enter(scopes, Area.OPEN)
    assert may_enter(scopes | {TokenScope.ADMIN}, area)
    assert may_enter(frozenset(), area) == (area is Area.OPEN)
    needed = access.needed_scope(area)
    assert (needed is None) == (area is Area.OPEN)
    if TokenScope.ADMIN not in scopes:
        assert may_enter(scopes, area) == (needed is None or needed in scopes)


@given(SCOPES, SCOPES, st.sampled_from(Area))
def test_more_scopes_never_open_less(
    some: frozenset[TokenScope], more: frozenset[TokenScope], area: Area
) -> None:
    assert may_enter(some | more, area) >= may_enter(some, area)


@given(SCOPES)
def test_scopes_are_written_in_one_order(scopes: frozenset[TokenScope]) -> None:
    text = access.in_order(scopes)
    assert frozenset(TokenScope(s) for s in text.split(",") if s) == scopes
    assert len(text) <= 64


@given(st.text() | st.from_regex(re.compile(r"hone_[\w-]{40,46}\n?")))
def test_only_what_could_be_a_token_is_looked_up(text: str) -> None:
    if access.is_well_formed(text):
        assert text.isascii()
        assert len(text) == 48
