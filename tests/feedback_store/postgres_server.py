"""A PostgreSQL server of our own, in a folder of its own, as an ordinary user."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

OLDEST = 15
WITHOUT = "no PostgreSQL 15 or newer is installed: tests/feedback_store/install-postgresql"
START_SECONDS = 60


def programs() -> Path | None:
    """Return the folder of the newest PostgreSQL that is installed, None without one."""
    found = {
        int(folder.parent.name): folder
        for folder in Path("/usr/lib/postgresql").glob("*/bin")
        if folder.parent.name.isdigit() and (folder / "initdb").exists()
    }
    newest = max(found, default=0)
    if newest >= OLDEST:
        return found[newest]
    there = shutil.which("initdb")
    return Path(there).resolve().parent if there else None


class PostgresServer:
    """A running server; `new` makes a database and says its URL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = count(1)

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://hone@/{name}?host={self.folder}"

    def new(self, template: str = "template1") -> str:
        """Make a database, a copy of `template`; return its name."""
        name = f"hone_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return name

    def drop(self, name: str) -> None:
        self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def run(self, statement: str) -> None:
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def _address(self, name: str) -> str:
        return f"host={self.folder} user=hone dbname={name}"

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Return when it answers; RuntimeError with its log when it never does."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self._address("postgres")).close()
                return
            time.sleep(0.02)
        raise RuntimeError((self.folder / "log").read_text())


@contextlib.contextmanager
def serving(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Run a server while the block lasts; only a `durable` one waits for its disk."""
    where = programs()
    if where is None:
        raise FileNotFoundError(WITHOUT)
    folder = Path(tempfile.mkdtemp(prefix="hone-pg-"))
    who = _ordinary_user(folder)
    data = folder / "data"
    # Sorted as people sort, which is not how SQLite does it.
    locale = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en")
    make = [where / "initdb", "-D", data, "-U", "hone", "-A", "trust", "-E", "UTF8", "-N", *locale]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd=folder, **who)
    modes = [] if durable else ["-c", "fsync=off", "-c", "full_page_writes=off"]
    command = [where / "postgres", "-D", data, "-k", folder, "-h", "", *modes]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **who)
    server = PostgresServer(folder)
    try:
        server.wait(process)
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # its "fast shutdown": it does not wait for clients
        process.wait(START_SECONDS)
        shutil.rmtree(folder)


def _ordinary_user(folder: Path) -> dict[str, Any]:
    """Return as whom to start it: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    names = ("postgres", "nobody")
    person = next(p for p in pwd.getpwall() if p.pw_name in names)
    os.chown(folder, person.pw_uid, person.pw_gid)
    return {"user": person.pw_uid, "group": person.pw_gid, "extra_groups": []}
