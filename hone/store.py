"""Turns `hone store ...` into what is done to the store as a whole.

A running host goes on meanwhile, except for `restore`. It does not know what the rows mean.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

from feedback_store import barring, consents, privacy, rollups
from feedback_store.audit import Signed
from feedback_store.consents import EVERYWHERE, Consent
from feedback_store.database import Database
from feedback_store.errors import EventError, StoreError
from feedback_store.exporting import everything_about
from feedback_store.refolding import refold_all
from feedback_store.registry import Registry
from hone import preflight
from hone.adapters import person
from hone.asking import confirm, progress_of
from hone.errors import HoneError, UsageError, one_line
from hone.settings import Settings
from hone.store_backup import back_up, restore

Action = Callable[[Settings, argparse.Namespace], int]


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Run one action; 1 when it could not be done, 2 when it was not asked for correctly."""
    actions: dict[str, Action] = {
        "export": _export,
        "erase": _erase,
        "backup": back_up,
        "restore": restore,
        "scan": _scan,
        "refold": _refold,
        "consents": _consents,
        "withdraw": _withdraw,
        "give": _give,
    }
    try:
        return actions[options.action](settings, options)
    except EventError as error:
        raise UsageError(one_line(error)) from error
    except StoreError as error:
        raise HoneError(one_line(error)) from error


@contextmanager
def _opened(settings: Settings) -> Iterator[Database]:
    database = preflight.open_existing(settings)
    try:
        yield database
    finally:
        database.close()


def _signed(options: argparse.Namespace) -> Signed:
    return Signed(options.by or person(), options.reason)


def _export(settings: Settings, options: argparse.Namespace) -> int:
    with _opened(settings) as database, _output(options) as out:
        count = 0
        for row in everything_about(database, options.user):
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    if not count:
        print(f"hone: nothing is kept about {options.user!r}", file=sys.stderr)
        return 1
    if options.out:
        print(f"{count} rows about {options.user} are in {options.out}")
    return 0


@contextmanager
def _output(options: argparse.Namespace) -> Iterator[TextIO]:
    """Yield where an export goes: a file that only its owner reads, or standard output."""
    if options.out is None:
        yield sys.stdout
        return
    try:
        descriptor = os.open(options.out, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{options.out} exists: name a new file") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        yield out


def _erase(settings: Settings, options: argparse.Namespace) -> int:
    before = _time(options.before) if options.before else None
    wish: dict[str, Any] = {"user": options.user, "repository": options.repo, "before": before}
    with _opened(settings) as database:
        count = privacy.num_to_erase(database, **wish)
        if not count and not options.user:
            print("nothing matches; nothing was erased")
            return 0
        confirm(f"Erase {count} completions, and all that came of them, for good?", yes=options.yes)
        registry = Registry(database, settings.data / "adapters")
        erased = privacy.erase(database, registry=registry, **wish, signed=_signed(options))
    if options.json:
        told = {
            "completions": erased.completions,
            "events": erased.events,
            "barred_adapters": erased.adapters,
        }
        print(json.dumps(told, indent=2))
        return 0
    print(f"erased: {erased.completions} completions, {erased.events} events")
    _tell_barred(erased.adapters)
    print("backups still hold what they held; `hone store restore` leaves it out again")
    return 0


def _scan(settings: Settings, options: argparse.Namespace) -> int:
    with _opened(settings) as database, progress_of("scanning") as progress:
        registry = Registry(database, settings.data / "adapters")
        done = barring.scan(database, registry, _signed(options), progress)
        ever = barring.hit_counts(database)
    if options.json:
        told = {
            "completions": done.completions,
            "barred": done.barred,
            "hits": done.hits,
            "hits_ever": ever,
            "barred_adapters": done.adapters,
        }
        print(json.dumps(told, indent=2))
        return 0
    print(f"{done.completions} completions looked through, {done.barred} barred")
    for kind, count in ever.items():
        print(f"{count:>8}  {kind}" + (f" ({done.hits[kind]} new)" if kind in done.hits else ""))
    _tell_barred(done.adapters)
    return 0


def _refold(settings: Settings, options: argparse.Namespace) -> int:
    with _opened(settings) as database, progress_of("folding") as progress:
        done = refold_all(database, progress)
        rollups.rebuild(database)
    if options.json:
        print(json.dumps({"completions": done.completions, "changed": done.changed}, indent=2))
        return 0
    print(f"{done.completions} completions folded anew, {done.changed} came out different")
    return 0


def _tell_barred(adapters: tuple[str, ...]) -> None:
    for sha256 in adapters:
        print(f"adapter {sha256[:12]} learned from it: barred, the next night trains without it")


def _consents(settings: Settings, options: argparse.Namespace) -> int:
    with _opened(settings) as database:
        said = consents.listed(database, options.user)
    if options.json:
        print(json.dumps([_as_json(consent) for consent in said], indent=2))
        return 0
    if not said:
        print(
            f"nothing is recorded of {options.user}" if options.user else "nobody is recorded yet"
        )
    for consent in said:
        when = consent.withdrawn_at or consent.given_at
        state = "recorded since" if consent.is_given else "withdrawn on"
        where = "everywhere" if consent.repository == EVERYWHERE else f"in {consent.repository}"
        print(f"{consent.pseudonym}  {state} {when:%Y-%m-%d}  {where}  {consent.client}")
    return 0


def _withdraw(settings: Settings, options: argparse.Namespace) -> int:
    with _opened(settings) as database:
        consents.withdraw(
            database, options.user, options.repo, _signed(options), now=datetime.now(UTC)
        )
    print(f"nothing more of {options.user} is recorded; a running host obeys at once")
    print("what is stored stays: hone store erase --user ... removes it")
    return 0


def _give(settings: Settings, options: argparse.Namespace) -> int:
    with _opened(settings) as database:
        consents.give(database, options.user, options.repo, _signed(options), now=datetime.now(UTC))
    print(f"{options.user} may be recorded where the editor was told so")
    return 0


def _as_json(consent: Consent) -> dict[str, str | bool | None]:
    return {
        "user": consent.pseudonym,
        "repository": consent.repository,
        "client": consent.client,
        "is_given": consent.is_given,
        "given_at": consent.given_at.isoformat() if consent.given_at else None,
        "withdrawn_at": consent.withdrawn_at.isoformat() if consent.withdrawn_at else None,
    }


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time: write 2026-01-31, or ISO 8601") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
