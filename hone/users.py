"""Turns `hone users ...` into users and tokens: given, listed, revoked.

A running host notices a change by itself, within seconds. A token is printed when it is made, and
never again. It does not know what a scope opens.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from feedback_store import access
from feedback_store.access import Token, TokenScope, User
from feedback_store.audit import Signed
from feedback_store.database import Database
from feedback_store.errors import AccessError, StoreError
from hone import preflight
from hone.adapters import person
from hone.errors import HoneError, UsageError, one_line
from hone.settings import Settings


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Run one action; 2 when a name or number is unknown, or will not do."""
    actions = {"add": _add, "list": _list, "tokens": _tokens, "revoke": _revoke}
    try:
        with _opened(settings, create=options.action == "add") as database:
            return actions[options.action](database, options)
    except AccessError as error:
        raise UsageError(one_line(error)) from error
    except StoreError as error:
        raise HoneError(one_line(error)) from error


def as_json(token: Token) -> dict[str, Any]:
    """Return what is known of a token as JSON values; times are ISO 8601 in UTC."""
    return {
        "token_id": token.token_id,
        "user": token.user,
        "scopes": access.in_order(token.scopes).split(","),
        "state": token.state(datetime.now(UTC)),
        "created_at": token.created_at.isoformat(),
        "expires_at": token.expires_at.isoformat(),
        "revoked_at": token.revoked_at.isoformat() if token.revoked_at else None,
        "last_used_at": token.last_used_at.isoformat() if token.last_used_at else None,
    }


def as_line(token: Token) -> str:
    """Return what is known of a token as one line of the list."""
    used = f"{token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never"
    state = token.state(datetime.now(UTC))
    scopes = access.in_order(token.scopes)
    return f"{token.token_id:>5}  {state:<7}  {token.expires_at:%Y-%m-%d}  {used:<16}  {scopes}"


@contextmanager
def _opened(settings: Settings, *, create: bool) -> Iterator[Database]:
    # The first user may be made before the first start: a host on the network needs one.
    if create and settings.database_url is None:
        preflight.check_data(settings.data)
    open_it = preflight.open_database if create else preflight.open_existing
    database = open_it(settings)
    try:
        yield database
    finally:
        database.close()


def _add(database: Database, options: argparse.Namespace) -> int:
    secret, token = access.issue(
        database,
        options.name,
        {TokenScope(scope) for scope in options.scope},
        lifetime=timedelta(days=options.days),
        now=datetime.now(UTC),
        by=options.by or person(),
    )
    if options.json:
        print(json.dumps({"token": secret} | as_json(token), indent=2))
        return 0
    scopes = access.in_order(token.scopes)
    print(f"token {token.token_id} of {token.user}: {scopes}, until {token.expires_at:%Y-%m-%d}")
    print(secret)
    print("keep it now, it is not shown again; a host asks everybody for a token from now on")
    return 0


def _list(database: Database, options: argparse.Namespace) -> int:
    users = access.users(database)
    if options.json:
        print(json.dumps([_user_as_json(user) for user in users], indent=2))
    elif not users:
        print("no users yet: hone users add NAME --scope editor")
    else:
        print(f"{'since (UTC)':<11}  tokens  name")
        for user in users:
            print(f"{user.created_at:%Y-%m-%d}   {_num_valid(user):>6}  {user.name}")
    return 0


def _tokens(database: Database, options: argparse.Namespace) -> int:
    user = access.user_named(database, options.name)
    if options.json:
        print(json.dumps([as_json(token) for token in user.tokens], indent=2))
    else:
        print(f"{'token':>5}  {'state':<7}  {'until':<10}  {'last used (UTC)':<16}  scopes")
        print("\n".join(as_line(token) for token in user.tokens))
    return 0


def _revoke(database: Database, options: argparse.Namespace) -> int:
    signed = Signed(options.by or person(), options.reason)
    token = access.revoke(database, options.token, signed, now=datetime.now(UTC))
    if options.json:
        print(json.dumps(as_json(token), indent=2))
    else:
        print(f"token {token.token_id} of {token.user} is revoked; a running host notices in 5 s")
    return 0


def _user_as_json(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "created_at": user.created_at.isoformat(),
        "num_valid_tokens": _num_valid(user),
    }


def _num_valid(user: User) -> int:
    now = datetime.now(UTC)
    return sum(token.state(now) == "valid" for token in user.tokens)
