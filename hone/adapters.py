"""Turns `hone adapters ...` into questions and changes of the registry.

A running host notices a change by itself. It knows neither torch nor how adapters are made.
"""

import argparse
import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from feedback_store.errors import AdapterError, RegistryError, StoreError
from feedback_store.registry import AdapterRecord, Registry
from hone import preflight
from hone.errors import HoneError, UsageError, one_line
from hone.settings import Settings


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Run one action; 1 when an adapter's files are broken, 2 when it is unknown."""
    actions = {
        "list": _list,
        "show": _show,
        "promote": _promote,
        "canary": _canary,
        "rollback": _rollback,
    }
    try:
        with open_registry(settings) as registry:
            return actions[options.action](registry, options)
    except RegistryError as error:
        raise UsageError(one_line(error)) from error
    except StoreError as error:
        raise HoneError(one_line(error)) from error


@contextmanager
def open_registry(settings: Settings) -> Iterator[Registry]:
    """Yield the registry of these settings; `UsageError` when there is none yet."""
    database = preflight.open_existing(settings)
    try:
        yield Registry(database, settings.data / "adapters")
    finally:
        database.close()


def as_json(record: AdapterRecord) -> dict[str, Any]:
    """Return a record as JSON values; times are ISO 8601 in UTC."""
    return {
        name: value if isinstance(value, dict | float | None) else _text(value)
        for name, value in asdict(record).items()
    }


def as_line(record: AdapterRecord) -> str:
    """Return a record as one line of the list."""
    made = f"{record.created_at:%Y-%m-%d %H:%M}"
    by = f"  by {record.promoted_by}: {record.reason}" if record.promoted_by else ""
    return f"{record.sha256[:12]}  {record.state:<9}  {made}  {record.run_id}{by}"


def _list(registry: Registry, options: argparse.Namespace) -> int:
    records = list(registry.list())
    if options.json:
        print(json.dumps([as_json(record) for record in records], indent=2))
    elif not records:
        print("no adapters yet: the bare base model serves. `hone train` makes one.")
    else:
        print(f"{'adapter':<12}  {'state':<9}  {'made (UTC)':<16}  run")
        print("\n".join(as_line(record) for record in records))
    return 0


def _show(registry: Registry, options: argparse.Namespace) -> int:
    record = registry.get(options.adapter)
    problem = _problem(registry, record)
    if options.json:
        verified = {"verified": problem is None, "problem": problem}
        print(json.dumps(as_json(record) | verified, indent=2))
    else:
        for name, value in as_json(record).items():
            shown = json.dumps(value, indent=2) if isinstance(value, dict) else value
            print(f"{name:<12}  {'-' if shown is None else shown}")
        print(f"{'files':<12}  {'verified' if problem is None else f'BROKEN: {problem}'}")
    return 0 if problem is None else 1


def _promote(registry: Registry, options: argparse.Namespace) -> int:
    # A person may overrule the gate, never the integrity check: the registry makes it.
    by = options.by or person()
    return _tell(registry.promote(options.adapter, by=by, reason=options.reason), options)


def _canary(registry: Registry, options: argparse.Namespace) -> int:
    if options.end == (options.adapter is not None) or options.end == (options.share is not None):
        raise UsageError("name an adapter and its --share of people, or --end alone")
    by = options.by or person()
    tried = None
    if options.end:
        registry.end_canary(by=by, reason=options.reason)
    else:
        tried = registry.try_out(options.adapter, share=options.share, by=by, reason=options.reason)
    if options.json:
        print(json.dumps({"canary": as_json(tried) if tried else None}, indent=2))
    elif tried:
        name = f"adapter {tried.sha256[:12]}"
        print(f"{name} answers {100 * options.share:.3g}% of people, always the same ones")
    else:
        print("what is live answers everybody again")
    return 0


def _rollback(registry: Registry, options: argparse.Namespace) -> int:
    by = options.by or person()
    return _tell(registry.rollback(by=by, reason=options.reason, to=options.to), options)


def _tell(live: AdapterRecord | None, options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps({"live": as_json(live) if live else None}, indent=2))
    else:
        name = f"adapter {live.sha256[:12]}" if live else "the bare base model"
        print(f"{name} is live; a running host swaps to it within five seconds")
    return 0


def _problem(registry: Registry, record: AdapterRecord) -> str | None:
    try:
        registry.verify(record.sha256)
    except AdapterError as error:
        return one_line(error)
    return None


def person() -> str:
    """Return the name that somebody is logged in with; `UsageError` when there is none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as error:  # A container may run as nobody.
        raise UsageError("nobody is logged in here: say who asks with --by") from error


def _text(value: object) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
