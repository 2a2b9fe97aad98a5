"""Turns `hone store ...` into an action with its arguments.

Imports nothing heavier than argparse. It does not know what the actions do.
"""

import argparse
from pathlib import Path
from typing import TypeAlias

from hone.arguments import Commands, add_command, add_place, add_setting

Actions: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_EXAMPLES = """
hone store export --user ada > ada.jsonl   everything kept about a user, one row a line
hone store erase --user ada --reason "asked to"
hone store erase --repo 4f1c... --before 2026-01-01
hone store backup hone-backup.tar          while everything runs; adapters included
hone store restore hone-backup.tar         into this data folder; what is there is put aside
hone store scan                            look for secrets again, by the rules of this version
hone store refold                          every outcome anew, from the events
hone store consents --user ada
hone store withdraw --user ada             record nothing more of hers; completions still work
"""


def add_store(commands: Commands) -> None:
    """Add the command and its actions."""
    summary = "export, erase, back up and look after what is stored"
    parser = add_command(commands, "store", summary, _EXAMPLES, _store)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    every = [_export(actions), _erase(actions), *_backups(actions), _scan(actions)]
    every += [_refold(actions), *_consents(actions)]
    for action in every:
        add_place(action)
        add_setting(action, "database_url", "URL", "database (HONE_DATABASE_URL, SQLite in DIR)")


def _export(actions: Actions) -> argparse.ArgumentParser:
    export = actions.add_parser("export", help="everything kept about a user, as JSON Lines")
    export.add_argument("--user", required=True, help="a pseudonym, or the name of a token's user")
    export.add_argument("--out", type=Path, metavar="FILE", help="a new file (standard output)")
    return export


def _erase(actions: Actions) -> argparse.ArgumentParser:
    erase = actions.add_parser(
        "erase", help="erase for good what matches every condition; bars adapters that learned it"
    )
    erase.add_argument("--user", help="the pseudonym of a user")
    erase.add_argument("--repo", help="the hash of a repository's root commit")
    erase.add_argument("--before", metavar="TIME", help="served before: 2026-01-31, ISO 8601, UTC")
    _add_signature(erase)
    _add_yes(erase)
    _add_json(erase)
    return erase


def _backups(actions: Actions) -> list[argparse.ArgumentParser]:
    backup = actions.add_parser("backup", help="database and adapters into one file, while in use")
    backup.add_argument("file", type=Path, metavar="FILE", help="a new file; .gz packs it")
    restore = actions.add_parser("restore", help="database and adapters out of such a file")
    restore.add_argument("file", type=Path, metavar="FILE", help="made by `hone store backup`")
    _add_yes(restore)
    return [backup, restore]


def _scan(actions: Actions) -> argparse.ArgumentParser:
    scan = actions.add_parser("scan", help="look through everything for secrets again")
    _add_signature(scan)
    _add_json(scan)
    return scan


def _refold(actions: Actions) -> argparse.ArgumentParser:
    refold = actions.add_parser("refold", help="fold every outcome anew from its events")
    _add_json(refold)
    return refold


def _consents(actions: Actions) -> list[argparse.ArgumentParser]:
    consents = actions.add_parser("consents", help="who may be recorded, and where")
    consents.add_argument("--user", help="of one user only")
    _add_json(consents)
    withdraw = actions.add_parser("withdraw", help="record nothing more of a user")
    give = actions.add_parser("give", help="let a user be recorded again")
    for changing in (withdraw, give):
        changing.add_argument("--user", required=True, help="a pseudonym")
        changing.add_argument("--repo", default="*", help="in one repository only (everywhere)")
        _add_signature(changing)
    return [consents, withdraw, give]


def _add_signature(action: argparse.ArgumentParser) -> None:
    action.add_argument("--reason", default="asked to", help="why; kept in the log")
    action.add_argument("--by", help="who (the name you are logged in with)")


def _add_yes(action: argparse.ArgumentParser) -> None:
    action.add_argument("--yes", action="store_true", help="do not ask first")


def _add_json(action: argparse.ArgumentParser) -> None:
    action.add_argument("--json", action="store_true", help="print JSON")


def _store(options: argparse.Namespace, flags: dict[str, object]) -> int:
    from hone import preflight
    from hone.configuration import load

    settings = load(flags, config=options.config)
    preflight.require_host_side("store")
    from hone import store

    return store.run(settings, options)
