"""Turns a few words into the parts of a command line that commands share.

Flags that are settings get the destination `set:NAME`. Imports nothing heavier than argparse, and
knows no command.
"""

import argparse
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

Handler = Callable[[argparse.Namespace, dict[str, object]], int]
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and whose flags are spelled out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and one line."""
        self.exit(2, f"hone: {message}; see `{self.prog} --help`\n")


class Version(argparse.Action):
    """Prints the version, which is looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"hone {version('hone')}")
        parser.exit(0)


def add_command(
    commands: Commands, name: str, summary: str, examples: str, handler: Handler
) -> argparse.ArgumentParser:
    """Add a command with its examples, and return its parser."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog="examples:\n" + "".join(f"  {line}\n" for line in examples.strip().splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(handler=handler, config=None)
    return parser


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say where everything is."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="the hone.toml to read (HONE_CONFIG)",
    )
    add_setting(parser, "data", "DIR", "folder of database, adapters, logs, outbox (HONE_DATA)")


def add_setting(parser: argparse.ArgumentParser, name: str, metavar: str, summary: str) -> None:
    """Add a flag that sets `name`; the value stays text, settings check it in one place."""
    parser.add_argument(
        "--" + name.split(".")[-1].replace("_", "-"),
        dest="set:" + name,
        metavar=metavar,
        default=argparse.SUPPRESS,
        help=summary,
    )


def add_switch(parser: argparse.ArgumentParser, name: str, summary: str) -> None:
    """Add a flag without a value that turns the setting `name` on."""
    parser.add_argument(
        "--" + name.split(".")[-1].replace("_", "-"),
        dest="set:" + name,
        action="store_const",
        const="true",
        default=argparse.SUPPRESS,
        help=summary,
    )


def add_host_settings(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every command that starts a host, or looks at one."""
    add_place(parser)
    add_setting(parser, "host", "ADDRESS", "address to listen on (HONE_HOST, 127.0.0.1)")
    add_setting(parser, "port", "PORT", "port to listen on (HONE_PORT, 8750)")
    add_setting(parser, "model", "MODEL", "starter, a folder or a hub id (HONE_MODEL, starter)")
    add_setting(parser, "token", "SECRET", "secret asked of clients; better set as HONE_TOKEN")
    add_setting(parser, "database_url", "URL", "database (HONE_DATABASE_URL, SQLite in DIR)")
    add_setting(parser, "device", "DEVICE", "auto, cpu, cuda, cuda:N or mps (HONE_DEVICE, auto)")
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)


def positive(text: str) -> int:
    """Return a whole number from 1 to 1000; argparse tells what else was given."""
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to 1000")
    return int(text)


def share(text: str) -> float:
    """Return a share from a percentage, such as 10%; argparse tells what else was given."""
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = 0.0
    if not text.endswith("%") or not 0 < percent < 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no percentage between 0% and 100%")
    return percent / 100
