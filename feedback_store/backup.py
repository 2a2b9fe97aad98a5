"""Turns a store into one archive while it is in use, and such an archive into a store.

An archive is a tar file: what it is (`manifest.json`), the database as its own tools copy it
(SQLite's online backup, or pg_dump), and the adapters, which never change. The copy is looked at
before it counts as one. Knows nothing of terminals, settings or running hosts.
"""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from sqlalchemy import create_engine, func, make_url, select, text

from feedback_store import audit
from feedback_store.audit import Signed
from feedback_store.database import Database
from feedback_store.errors import BackupError
from feedback_store.models import AuditRow, CompletionRow, Row

FORMAT = 1
BACKED_UP = "backed up"
_MANIFEST, _SQLITE, _POSTGRES, _ADAPTERS = "manifest.json", "hone.db", "hone.dump", "adapters"


@dataclass(frozen=True)
class Manifest:
    """What an archive holds."""

    format: int
    made_at: str
    engine: str  # sqlite or postgresql
    revision: str
    completions: int
    adapters: list[str]


def save(database: Database, adapters: Path, archive: Path, signed: Signed) -> Manifest:
    """Copy the store, as it is at one moment, into the new file `archive`; log that it was done.

    BackupError: the file exists, there is no room, a tool is missing, or the copy is damaged.
    """
    if archive.exists():
        raise BackupError(f"{archive} exists: name a new file")
    staging = archive.with_name(archive.name + ".partial")
    try:
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".hone-backup-") as folder:
            copy = _copy(database, Path(folder))
            # Copied after the database: what it lists is there, and anything newer does no harm.
            manifest = _manifest(database, _adapter_folders(adapters))
            _pack(staging, manifest, copy, adapters)
        staging.rename(archive)
    except OSError as error:
        raise BackupError(f"{archive} cannot be written: {error.strerror or error}") from error
    finally:
        staging.unlink(missing_ok=True)
    with database.session() as session:
        audit.append(session, signed, BACKED_UP, f"{manifest.completions} completions")
    return manifest


def unpack(archive: Path, folder: Path) -> Manifest:
    """Unpack an archive into the empty `folder`; BackupError when it is none, or is torn."""
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        manifest = Manifest(**json.loads((folder / _MANIFEST).read_text(encoding="utf-8")))
    except (OSError, tarfile.TarError, EOFError, ValueError, TypeError) as error:
        raise BackupError(f"{archive} is no whole backup of Hone: {error}") from error
    if manifest.format != FORMAT:
        raise BackupError(f"{archive} has format {manifest.format}, this Hone reads {FORMAT}")
    if not _content(folder, manifest).is_file():
        raise BackupError(f"{archive} lacks its database")
    return manifest


def unpacked_database(folder: Path) -> Path:
    """Return the SQLite file of an unpacked archive, once it was found to be sound."""
    file = folder / _SQLITE
    try:
        with closing(sqlite3.connect(file)) as copy:
            said = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        said = str(error)
    if said != "ok":
        raise BackupError(f"the copy of the database is damaged: {said}")
    return file


def unpacked_adapters(folder: Path) -> Path:
    """Return where the adapters of an unpacked archive lie; there may be none."""
    return folder / _ADAPTERS


def load_dump(folder: Path, url: str) -> None:
    """Put the dump of an unpacked archive in the place of all that is in a PostgreSQL database."""
    dump = str(folder / _POSTGRES)
    options = ("--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error")
    _run_tool("pg_restore", [*options, "--dbname"], url, [dump])
    # Tables that a newer Hone made are not in it: they would be in the way of the next migration.
    listed = _run_tool("pg_restore", ["--list", "--dbname"], url, [dump])
    there = set(re.findall(r" TABLE \S+ (\S+) ", listed))
    newer = [name for name in Row.metadata.tables if name not in there]
    if newer:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text(f"DROP TABLE IF EXISTS {', '.join(newer)} CASCADE"))
        engine.dispose()


def last_made_at(database: Database) -> datetime | None:
    """Return when the newest backup was made, None when there never was one."""
    newest = select(func.max(AuditRow.happened_at)).where(AuditRow.action == BACKED_UP)
    with database.reading() as session:
        return session.scalar(newest)


def _copy(database: Database, folder: Path) -> Path:
    if database.path is None:
        dump = folder / _POSTGRES
        options = ("--format=custom", "--no-owner", "--file", str(dump), "--dbname")
        _run_tool("pg_dump", options, database.url, [])
        return dump
    try:
        # In one step: a copy in several begins anew with every write of another process.
        with (
            closing(sqlite3.connect(database.path)) as source,
            closing(sqlite3.connect(folder / _SQLITE)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise BackupError(f"the database cannot be copied: {error}") from error
    return unpacked_database(folder)


def _run_tool(tool: str, options: Sequence[str], url: str, rest: Sequence[str]) -> str:
    """Run a program of PostgreSQL's on a database, and return what it said.

    The password goes through the environment.
    """
    parsed = make_url(url)
    address = parsed.set(drivername="postgresql", password=None).render_as_string()
    secret = {"PGPASSWORD": str(parsed.password)} if parsed.password else {}
    try:
        done = subprocess.run(
            [tool, *options, address, *rest],
            env=os.environ | secret,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise BackupError(
            f"{tool} cannot be run ({error.strerror}): install PostgreSQL's client programs"
        ) from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise BackupError(f"{tool} failed: {said}")
    return done.stdout


def _manifest(database: Database, adapters: Sequence[str]) -> Manifest:
    with database.reading() as session:
        revision = session.scalar(text("SELECT version_num FROM alembic_version"))
        count = session.scalar(select(func.count()).select_from(CompletionRow)) or 0
    engine = "postgresql" if database.is_postgresql else "sqlite"
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Manifest(FORMAT, made_at, engine, str(revision), count, list(adapters))


def _adapter_folders(adapters: Path) -> list[str]:
    if not adapters.is_dir():
        return []
    return sorted(one.name for one in adapters.iterdir() if one.is_dir() and len(one.name) == 64)


def _pack(archive: Path, manifest: Manifest, copy: Path, adapters: Path) -> None:
    packed = archive.name.removesuffix(".partial").endswith(("gz", "tgz"))
    descriptor = os.open(archive, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with _tar(file, packed=packed) as tar:
            about = copy.with_name(_MANIFEST)
            about.write_text(json.dumps(asdict(manifest), indent=2), encoding="utf-8")
            tar.add(about, _MANIFEST)
            tar.add(copy, copy.name)
            for name in manifest.adapters:
                tar.add(adapters / name, f"{_ADAPTERS}/{name}")
        file.flush()
        os.fsync(file.fileno())


def _tar(file: IO[bytes], *, packed: bool) -> tarfile.TarFile:
    if packed:
        return tarfile.open(fileobj=file, mode="w:gz", compresslevel=1)
    return tarfile.open(fileobj=file, mode="w")


def _content(folder: Path, manifest: Manifest) -> Path:
    return folder / (_POSTGRES if manifest.engine == "postgresql" else _SQLITE)


def replace_folder(new: Path, old: Path, aside: Path) -> None:
    """Put `new` in the place of `old`, which moves into the folder `aside`."""
    if old.exists():
        shutil.move(old, aside / old.name)
    if new.exists():
        shutil.move(new, old)
