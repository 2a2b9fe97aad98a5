"""Turns command-line arguments into settings and starts one command.

Nothing heavier than argparse is imported until the command is known: `hone --help` and the start
of the language server depend on it. It does not know what the commands do.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hone.arguments import (
    Commands,
    Handler,
    Parser,
    Version,
    add_command,
    add_host_settings,
    add_place,
    add_setting,
    add_switch,
    positive,
    share,
)
from hone.errors import HoneError, one_line
from hone.store_arguments import add_store

_OVERVIEW = """\
examples:
  hone up                     start everything on this machine: host, admin page, nightly training
  hone demo                   watch the whole loop run once, in five to ten minutes
  hone replay ~/src/project   does it learn here? a simulated typist over your own code
  hone lsp                    the language server, to be started by an editor (stdio)
  hone train                  train now instead of at night
  hone adapters list          what was trained, what serves
  hone users add ada --scope editor    a token of her own
  hone store backup FILE      database and adapters, while in use; and export, erase, scan
  hone doctor                 check the installation

Settings come from flags, HONE_* variables and hone.toml, in this order: docs/settings.md.
"""
SCOPES = ("editor", "reviewer", "admin", "trainer")  # a test compares them with the store's

if TYPE_CHECKING:
    from hone.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; 2 means that a setting has to change first."""
    options = build_parser().parse_args(arguments)
    flags = {n.removeprefix("set:"): v for n, v in vars(options).items() if n.startswith("set:")}
    handler: Handler = options.handler
    try:
        return handler(options, flags)
    except HoneError as error:
        print(f"hone: {one_line(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # Somebody reads no further, as in `hone adapters list | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # The machine refuses: a full disk, a folder of somebody else.
        print(f"hone: {one_line(error)}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; destinations named `set:NAME` are settings."""
    parser = Parser(
        prog="hone",
        description="Self-hosted code completion that learns from what its users keep.",
        epilog=_OVERVIEW,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=Version, nargs=0, help="print the version and exit")
    commands: Commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (
        *(_add_up, _add_serve, _add_lsp, _add_train, _add_replay),
        *(_add_adapters, _add_users, add_store, _add_doctor, _add_demo),
    ):
        add(commands)
    return parser


def _add_up(commands: Commands) -> None:
    examples = """
hone up                              on this machine, starter model, SQLite
hone up --model Qwen/Qwen2.5-Coder-0.5B --device cuda
HONE_NIGHT__AT=22:30 hone up         train at half past ten in the evening
"""
    summary = "start host, admin page and nightly training"
    parser = add_command(commands, "up", summary, examples, _up)
    add_host_settings(parser)


def _add_serve(commands: Commands) -> None:
    examples = """
hone serve
hone serve --host 127.0.0.1 --port 8750 --data ~/hone --model starter
HONE_TOKEN=... hone serve --host 0.0.0.0 --model /models/qwen2.5-coder-1.5b
"""
    summary = "serve completions and collect feedback"
    parser = add_command(commands, "serve", summary, examples, _serve)
    add_host_settings(parser)


def _add_lsp(commands: Commands) -> None:
    examples = """
hone lsp
hone lsp --url http://127.0.0.1:8750
HONE_TOKEN=... hone lsp --url http://gpu.example:8750
"""
    summary = "run the language server of an editor (stdio)"
    parser = add_command(commands, "lsp", summary, examples, _lsp)
    add_place(parser)
    add_setting(parser, "url", "URL", "the host (HONE_URL, the one that runs here)")
    add_setting(parser, "token", "SECRET", "secret of the host; better set as HONE_TOKEN")
    add_setting(parser, "editor.debounce_ms", "MS", "wait for the next key before asking (0)")
    add_setting(parser, "editor.clock", "CLOCK", "system, or client: only hone/tick moves time")
    parser.add_argument("--stdio", action="store_true", help=argparse.SUPPRESS)


def _add_train(commands: Commands) -> None:
    examples = """
hone train                           exit code 0: promoted, 3: kept what is live (says why),
                                     4: another night is running, 1: failed, 2: bad settings
hone train --min-pairs 40 --objective dpo
hone train --json | jq .decision
"""
    summary = "train tonight's adapter now, and gate it"
    parser = add_command(commands, "train", summary, examples, _train)
    add_place(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    add_setting(parser, "model", "MODEL", "the base model that serves (HONE_MODEL, starter)")
    add_setting(parser, "database_url", "URL", "database (HONE_DATABASE_URL, SQLite in DIR)")
    add_setting(parser, "device", "DEVICE", "auto, cpu, cuda, cuda:N or mps (HONE_DEVICE, auto)")
    add_setting(parser, "train.objective", "NAME", "auto, sft or dpo")
    add_setting(parser, "train.min_pairs", "N", "fewest pairs worth a night (100)")
    add_setting(parser, "train.window_days", "DAYS", "how far back to look (90)")
    add_setting(parser, "train.epochs", "N", "passes over the pairs (2)")
    add_setting(parser, "train.learning_rate", "RATE", "step size (chosen by model size)")
    add_setting(parser, "train.seed", "N", "seed of the night (0)")
    add_setting(parser, "train.num_threads", "N", "CPU threads (half the cores)")
    summary = "train where the gate must refuse: a candidate to try by hand"
    add_switch(parser, "train.without_evidence", summary)
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)


def _add_replay(commands: Commands) -> None:
    examples = """
hone replay ~/src/project --quick --data quick    two short days: does everything work
hone replay ~/src/project --html report.html --json report.json
hone replay a b c --seeds 2          several code bases, one pooled report
hone replay ~/src/project --plant house-log --arms frozen,loop    a convention it has to learn
"""
    summary = "replay a typist over real code, nights included, and report whether it learns"
    parser = add_command(commands, "replay", summary, examples, _replay)
    parser.add_argument(
        "source", nargs="+", type=Path, help="a git repository, or a folder of Python files"
    )
    parser.add_argument("--days", type=positive, metavar="N", help="days (5; 2 with --quick)")
    parser.add_argument("--seeds", type=positive, default=1, metavar="N", help="typists (1)")
    parser.add_argument(
        "--arms",
        metavar="LIST",
        help="what to compare, by commas, as docs/replay.md lists them; frozen and loop always are",
    )
    parser.add_argument(
        "--plant", metavar="NAME", help="house-log or renamed-helper: a convention to plant"
    )
    parser.add_argument(
        "--quick", action="store_true", help="two short days, few arms: to see that it works"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("hone-replay"),
        metavar="DIR",
        help="where it works and can be resumed; never a host's own folder (./hone-replay)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one page with plots")
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="the hone.toml to read (HONE_CONFIG)",
    )
    add_setting(parser, "model", "MODEL", "starter, a folder or a hub id (HONE_MODEL, starter)")
    add_setting(parser, "device", "DEVICE", "auto, cpu, cuda, cuda:N or mps (HONE_DEVICE, auto)")


def _add_adapters(commands: Commands) -> None:
    examples = """
hone adapters list
hone adapters show 3f9a              verifies every file; exit code 1 when one is broken
hone adapters promote 3f9a --reason "reads better in our code base"
hone adapters canary 3f9a --share 10% --reason "let some of us try it first"
hone adapters canary --end --reason "nobody liked it"
hone adapters rollback --reason "run-on suggestions since Tuesday"
hone adapters rollback --to base --reason "start over"
"""
    summary = "list, inspect, promote, try out, roll back"
    parser = add_command(commands, "adapters", summary, examples, _adapters)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    shown = [actions.add_parser("list", help="every adapter, newest first")]
    shown.append(actions.add_parser("show", help="one adapter, its files verified"))
    shown[1].add_argument("adapter", help="SHA-256 or its first characters")
    promote = actions.add_parser("promote", help="make an adapter serve, as a named person")
    promote.add_argument("adapter", help="SHA-256 or its first characters")
    canary = actions.add_parser("canary", help="let an adapter answer a share of people, or end it")
    canary.add_argument("adapter", nargs="?", help="SHA-256 or its first characters")
    canary.add_argument("--share", type=share, metavar="N%", help="how many people, such as 10%%")
    canary.add_argument("--end", action="store_true", help="what is live answers everybody again")
    rollback = actions.add_parser("rollback", help="go back to what served before")
    rollback.add_argument("--to", metavar="ADAPTER", help="SHA-256, its beginning, or `base`")
    for changing in (promote, canary, rollback):
        changing.add_argument("--reason", required=True, help="why; kept in the registry")
        changing.add_argument("--by", help="who (the name you are logged in with)")
    for action in (*shown, promote, canary, rollback):
        add_place(action)
        add_setting(action, "database_url", "URL", "database (HONE_DATABASE_URL, SQLite in DIR)")
        action.add_argument("--json", action="store_true", help="print JSON")


def _add_users(commands: Commands) -> None:
    examples = """
hone users add ada --scope editor    prints her token, once; from now on the host asks for one
hone users add ada --scope reviewer --scope admin --days 30
hone users list                      who, with how many tokens that still work
hone users tokens ada                her tokens: number, scopes, state, last used
hone users revoke 3 --reason "laptop lost"
"""
    parser = add_command(commands, "users", "give, list and revoke tokens", examples, _users)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="a token for a user, who is made when new")
    add.add_argument("name", help="1 to 64 printable characters")
    add.add_argument(
        "--scope", action="append", required=True, choices=SCOPES, help="what it opens; repeat it"
    )
    add.add_argument("--days", type=positive, default=365, metavar="N", help="it lasts (365)")
    listed = actions.add_parser("list", help="every user")
    tokens = actions.add_parser("tokens", help="the tokens of one user")
    tokens.add_argument("name", help="the user")
    revoke = actions.add_parser("revoke", help="make a token worthless")
    revoke.add_argument("token", type=int, metavar="TOKEN_ID", help="its number, not the token")
    revoke.add_argument("--reason", default="no longer needed", help="why; kept in the log")
    for action in (add, listed, tokens, revoke):
        add_place(action)
        add_setting(action, "database_url", "URL", "database (HONE_DATABASE_URL, SQLite in DIR)")
        action.add_argument("--json", action="store_true", help="print JSON")
    for changing in (add, revoke):
        changing.add_argument("--by", help="who (the name you are logged in with)")


def _add_doctor(commands: Commands) -> None:
    examples = """
hone doctor                          exit code 1 when something fails
hone doctor --json
"""
    summary = "check everything and say what to do"
    parser = add_command(commands, "doctor", summary, examples, _doctor)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_setting(parser, "url", "URL", "the host to ask (HONE_URL, http://127.0.0.1:8750)")
    add_host_settings(parser)


def _add_demo(commands: Commands) -> None:
    examples = """
hone demo                            five to ten minutes on two cores, changes nothing of yours
hone demo --keep demo                keep its folder; look around: hone serve --data demo/data
"""
    summary = "run the whole loop once, in a temporary folder"
    parser = add_command(commands, "demo", summary, examples, _demo)
    parser.add_argument(
        "--keep", metavar="DIR", type=Path, help="a new or empty folder that stays afterwards"
    )


def _up(options: argparse.Namespace, flags: dict[str, object]) -> int:
    from hone import preflight, up
    from hone.configuration import environment_of

    settings = _load(options, flags)
    preflight.require_host_side("up")
    return up.run(settings, environment=environment_of(flags, options.config))


def _serve(options: argparse.Namespace, flags: dict[str, object]) -> int:
    from hone import preflight, serve

    settings = _load(options, flags)
    preflight.require_host_side("serve")
    return serve.run(settings, supervised=options.supervised)


def _lsp(options: argparse.Namespace, flags: dict[str, object]) -> int:
    from hone.configuration import load
    from hone.wiring import editor_config

    settings = load(flags, config=options.config, trust_folder=False)
    from lsp_server.editor.server import run

    run(editor_config(settings))
    return 0


def _train(options: argparse.Namespace, flags: dict[str, object]) -> int:
    from hone import night, preflight

    settings = _load(options, flags)
    preflight.require_host_side("train")
    return night.run(settings, as_json=options.json, supervised=options.supervised)


def _replay(options: argparse.Namespace, flags: dict[str, object]) -> int:
    from hone import preflight

    settings = _load(options, flags)
    preflight.require_host_side("replay")
    from hone import replay

    return replay.run(settings, options)


def _adapters(options: argparse.Namespace, flags: dict[str, object]) -> int:
    from hone import preflight

    settings = _load(options, flags)
    preflight.require_host_side("adapters")
    from hone import adapters

    return adapters.run(settings, options)


def _users(options: argparse.Namespace, flags: dict[str, object]) -> int:
    from hone import preflight

    settings = _load(options, flags)
    preflight.require_host_side("users")
    from hone import users

    return users.run(settings, options)


def _doctor(options: argparse.Namespace, flags: dict[str, object]) -> int:
    from hone import doctor

    return doctor.run(_load(options, flags), as_json=options.json)


def _load(options: argparse.Namespace, flags: dict[str, object]) -> "Settings":
    from hone.configuration import load

    return load(flags, config=options.config)


def _demo(options: argparse.Namespace, flags: dict[str, object]) -> int:
    from hone import preflight

    preflight.require_host_side("demo")
    from hone.demo import run

    return run(options.keep)
