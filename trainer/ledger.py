"""Turns what a night does into a lock, a log file, a run record and clean folders.

The lock is held by the operating system, so a killed night frees it; what such a night left behind
(a staging folder, scratch, a run that says "running") is cleared when the next one begins. This
module knows nothing of pairs, models or gates.
"""

import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from feedback_store import runs
from feedback_store.database import Database
from trainer.errors import NightRunning

KEPT_LOGS = 60
_STAGING = ".staging-"
_LOGGED = ("trainer", "lsp_server", "feedback_store")


@dataclass(frozen=True)
class Folders:
    """Where a night works, inside one data folder."""

    data: Path
    run_id: str

    @property
    def adapters(self) -> Path:
        return self.data / "adapters"

    @property
    def staging(self) -> Path:
        """The adapter under way; it becomes a registered one by a single rename."""
        return self.adapters / f"{_STAGING}{self.run_id}"

    @property
    def scratch(self) -> Path:
        return self.data / "runs" / self.run_id

    @property
    def log(self) -> Path:
        return self.data / "logs" / f"night-{self.run_id}.log"

    def clear(self) -> None:
        """Remove this night's staging folder and scratch."""
        for folder in (self.staging, self.scratch):
            shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Notes:
    """What a night writes into its record as it goes; kept also when it fails half-way."""

    metrics: dict[str, Any] = field(default_factory=dict)
    told: tuple[str, ...] = ()  # sentences for people, beside the reasons of the decision

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Note how many seconds a stage took."""
        begun = time.monotonic()
        try:
            yield
        finally:
            seconds = self.metrics.setdefault("seconds", {})
            seconds[name] = round(time.monotonic() - begun, 3)


@contextmanager
def only_night(data: Path) -> Iterator[None]:
    """Hold the lock of a data folder. Raises NightRunning when another night holds it."""
    data.mkdir(parents=True, exist_ok=True)
    lock = FileLock(data / "train.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise NightRunning(
            f"another night is running in {data}: wait for it, or stop it and start again"
        ) from error
    try:
        yield
    finally:
        lock.release()


def new_run_id() -> str:
    """Return an id that sorts by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:6]}"


def begin(database: Database, folders: Folders, settings: Mapping[str, Any]) -> None:
    """Clear what killed nights left, and write down that this one begins. Call with the lock."""
    num_killed = runs.mark_abandoned(database)
    _clear_leftovers(folders.data)
    runs.start(database, folders.run_id, settings, folders.log)
    if num_killed:
        logging.getLogger(__name__).warning("%d killed nights marked as abandoned", num_killed)


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Write what our packages log, and every warning, into a night's own file meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _NightLog(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in _LOGGED]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
        with suppress(OSError):  # what did not fit on a full disk changes no result
            handler.close()


class _NightLog(logging.FileHandler):
    """A log file that a full disk cuts short, without a word on the screen for every line."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Lose the line."""


def prune_logs(data: Path) -> None:
    """Keep the newest logs of nights; their names sort by time."""
    for old in sorted((data / "logs").glob("night-*.log"))[:-KEPT_LOGS]:
        old.unlink(missing_ok=True)


def _clear_leftovers(data: Path) -> None:
    leftovers = [*(data / "adapters").glob(f"{_STAGING}*"), *(data / "runs").glob("*")]
    for folder in leftovers:
        shutil.rmtree(folder, ignore_errors=True)
