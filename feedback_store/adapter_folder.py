"""Turns a staging directory into `<folder>/<sha256>`, whole or not at all.

Knows nothing of rows or states. Names that begin with a dot are not adapters: `.staging-...` is a
night's workplace, `.incoming-...` that of what comes over the network, `.broken-...` failed its
check, `.removed-...` is on its way out.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from feedback_store import adapter_files
from feedback_store.errors import AdapterError, RegistryError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_REMOVED = ".removed-"
_INCOMING = ".incoming-"
_LEFT_SECONDS = 24 * 3600
_LOCK_TIMEOUT_SECONDS = 60


class AdapterFolder:
    """The directories of registered adapters. Callers hold `locked()` while they change it."""

    def __init__(self, folder: Path) -> None:
        """Create the folder; RegistryError when it cannot be."""
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RegistryError(f"{folder}: cannot be created ({error.strerror})") from error

    def path(self, sha256: str) -> Path:
        """Return where the adapter of this id lies, or would."""
        return self._folder / sha256

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing the folder meanwhile."""
        try:
            with FileLock(self._folder / ".lock", timeout=_LOCK_TIMEOUT_SECONDS):
                yield
        except Timeout as error:
            raise RegistryError(
                f"{self._folder}: another process has held it for {_LOCK_TIMEOUT_SECONDS} s, "
                "wait for it or stop it"
            ) from error

    def spool(self) -> IO[bytes]:
        """Return a file on the disk of the adapters that has no name: a kill leaves nothing."""
        return tempfile.TemporaryFile(dir=self._folder)

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """Yield an empty directory beside the adapters; it is gone afterwards, or moved."""
        path = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self._folder))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def sweep(self) -> None:
        """Remove the workplaces that killed processes left a day ago or more."""
        for entry in self._folder.glob(f"{_INCOMING}*"):
            if time.time() - entry.stat().st_mtime > _LEFT_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)

    def present(self) -> set[str]:
        """Return the ids of the directories that lie here."""
        return {entry.name for entry in self._folder.iterdir() if _SHA256.fullmatch(entry.name)}

    def take_in(self, staging: Path, sha256: str) -> None:
        """Move a checked directory to its final place in one step; it is on disk afterwards.

        When an intact copy lies there already, the staging directory is removed instead.
        """
        target = self.path(sha256)
        if target.exists():
            try:
                adapter_files.check(target, expected_sha256=sha256)
            except AdapterError:
                self.set_aside_broken(sha256)
            else:
                if staging.resolve() != target.resolve():
                    shutil.rmtree(staging)
                return
        for file in staging.iterdir():
            _sync(file)
        _sync(staging)
        staging.rename(target)
        _sync(self._folder)

    def set_aside(self, sha256: str) -> None:
        """Begin the removal of an adapter, so that it is never found half deleted."""
        if self.path(sha256).exists():
            self.path(sha256).rename(self._folder / f"{_REMOVED}{sha256}")
            _sync(self._folder)

    def half_removed(self) -> list[str]:
        """Return the ids whose removal has begun."""
        return [entry.name.removeprefix(_REMOVED) for entry in self._folder.glob(f"{_REMOVED}*")]

    def finish_removals(self) -> None:
        """Delete what was set aside."""
        for sha256 in self.half_removed():
            shutil.rmtree(self._folder / f"{_REMOVED}{sha256}")

    def set_aside_broken(self, sha256: str) -> None:
        """Keep a directory that failed its check for people to look at, out of the way."""
        target = self._folder / f".broken-{sha256}"
        shutil.rmtree(target, ignore_errors=True)
        self.path(sha256).rename(target)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on disk."""
    if path.is_dir() and os.name != "posix":
        return  # Windows cannot open directories; its renames are journalled
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
