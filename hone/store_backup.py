"""Turns `hone store backup` and `restore` into an archive, and an archive into a data folder.

Nothing may run on the folder while it is restored. What was there is put aside, not deleted; what
had been erased, or withdrawn, since the backup was made stays so.
"""

import argparse
import shutil
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from feedback_store import backup, consents, privacy
from feedback_store.audit import Signed
from feedback_store.backup import Manifest
from feedback_store.consents import Consent
from feedback_store.database import Database, default_url
from feedback_store.errors import AdapterError, BackupError, StoreError
from feedback_store.registry import Registry
from hone import preflight
from hone.adapters import person
from hone.asking import confirm
from hone.errors import HoneError, UsageError, one_line
from hone.serve import hold
from hone.settings import Settings


def back_up(settings: Settings, options: argparse.Namespace) -> int:
    """Make an archive of a store that may be in use."""
    database = preflight.open_existing(settings)
    try:
        signed = Signed(person(), f"into {options.file.name}")
        made = backup.save(database, settings.data / "adapters", options.file, signed)
    finally:
        database.close()
    size_mb = options.file.stat().st_size / 1e6
    print(
        f"{options.file}: {made.completions} completions, {len(made.adapters)} adapters, "
        f"{size_mb:.1f} MB; it holds source code, so keep it as safe as the store"
    )
    return 0


def restore(settings: Settings, options: argparse.Namespace) -> int:
    """Put an archive in the place of what the data folder and its database hold."""
    preflight.check_data(settings.data)
    with ExitStack() as held:
        for name, who in (("host.lock", "a host"), ("train.lock", "a night")):
            held.enter_context(hold(settings.data / name, f"{settings.data} is in use by {who}"))
        with tempfile.TemporaryDirectory(dir=settings.data, prefix=".restore-") as folder:
            unpacked = Path(folder)
            manifest = backup.unpack(options.file, unpacked)
            _refuse_other_engine(settings, manifest)
            kept = _since(settings)
            if preflight.has_database(settings):
                confirm(_question(settings, manifest), yes=options.yes)
            aside = _put_in_place(settings, manifest, unpacked)
        _honour(settings, kept)
    print(f"restored: {manifest.completions} completions of {manifest.made_at}")
    if aside is not None:
        print(f"what was there before is in {aside}")
    return 0


class _Since:
    """What people asked for since the backup was made."""

    def __init__(self, erased: list[UUID], withdrawn: list[Consent]) -> None:
        self.erased, self.withdrawn = erased, withdrawn


def _since(settings: Settings) -> _Since:
    """Read what must not come back; nothing when the database of now cannot be read any more."""
    if not preflight.has_database(settings):
        return _Since([], [])
    try:
        database = preflight.open_database(settings)
    except UsageError as error:
        print(f"the present database is not readable, its erasures are lost: {one_line(error)}")
        return _Since([], [])
    try:
        withdrawn = [said for said in consents.listed(database) if not said.is_given]
        return _Since(privacy.erased_ids(database), withdrawn)
    finally:
        database.close()


def _refuse_other_engine(settings: Settings, manifest: Manifest) -> None:
    url = settings.database_url or default_url(settings.data)
    engine = url.partition(":")[0].partition("+")[0]
    if engine != manifest.engine:
        raise UsageError(
            f"the backup is of {manifest.engine}, the settings name {engine}: set database_url"
        )


def _question(settings: Settings, manifest: Manifest) -> str:
    return (
        f"Put the {manifest.completions} completions of {manifest.made_at} in the place of what "
        f"{settings.data} holds now?"
    )


def _put_in_place(settings: Settings, manifest: Manifest, unpacked: Path) -> Path | None:
    """Swap database and adapters; return where the old ones are, None when there were none."""
    aside = settings.data / f"before-restore-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    aside.mkdir(mode=0o700)
    if manifest.engine == "sqlite":
        url = settings.database_url or default_url(settings.data)
        _check(unpacked)
        _swap_sqlite(unpacked, Path(url.removeprefix("sqlite:///")), aside)
    else:
        assert settings.database_url is not None
        backup.load_dump(unpacked, settings.database_url)
    adapters = backup.unpacked_adapters(unpacked)
    backup.replace_folder(adapters, settings.data / "adapters", aside)
    if any(aside.iterdir()):
        return aside
    aside.rmdir()
    return None


def _check(unpacked: Path) -> None:
    """Open the copy as a host would, migrate it, and look whether its live adapter is whole."""
    file = backup.unpacked_database(unpacked)
    try:
        database = Database.open(f"sqlite:///{file}")
    except StoreError as error:
        raise BackupError(f"the backup cannot be opened: {error}") from error
    try:
        registry = Registry(database, backup.unpacked_adapters(unpacked))
        live = registry.live()
        if live is not None:
            registry.verify(live.sha256)
    except AdapterError as error:
        raise BackupError(f"the backup's live adapter is broken: {error}") from error
    finally:
        database.close()


def _swap_sqlite(unpacked: Path, target: Path, aside: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        old = target.with_name(target.name + ending)
        if old.exists():
            shutil.move(old, aside / old.name)
        new = unpacked / f"hone.db{ending}"
        if new.exists():
            shutil.move(new, old)
            old.chmod(0o600)


def _honour(settings: Settings, kept: _Since) -> None:
    """Erase again, and withdraw again, what the backup brought back."""
    try:
        database = preflight.open_database(settings)
    except UsageError as error:
        raise HoneError(f"what was restored cannot be opened: {one_line(error)}") from error
    try:
        registry = Registry(database, settings.data / "adapters")
        if kept.erased:
            erased = privacy.erase_again(database, registry, kept.erased)
            print(f"erased again: {erased.completions} completions")
        signed = Signed("restore", "withdrawn before the restore")
        for said in kept.withdrawn:
            now = said.withdrawn_at or datetime.now(UTC)
            consents.withdraw(database, said.pseudonym, said.repository, signed, now=now)
    finally:
        database.close()
