"""Turns a host that runs into a small file in its data folder, and that file into its address.

An editor whose settings name no address finds the host of its own data folder by it, whatever port
that host took. The file is believed only while the host holds its lock, which a process cannot
outlive, and only if it names this machine. This module knows nothing of HTTP or of settings.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

LOCK_NAME = "host.lock"  # held by the host for as long as it lives
FILE_NAME = "host.json"
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_MAX_CHARACTERS = 4_096
logger = logging.getLogger(__name__)


@contextmanager
def announced(data: Path, url: str, version: str) -> Iterator[None]:
    """Let editors of this data folder find a host that holds its lock, until the block ends.

    A host that only other machines reach is none of theirs. A disk that takes no file costs the
    host nothing but being found.
    """
    path = data / FILE_NAME
    with suppress(OSError):
        path.unlink()  # of a host that was killed
    if _is_loopback(url):
        try:
            _write(path, json.dumps({"url": url, "pid": os.getpid(), "version": version}))
        except OSError as error:
            logger.warning("editors will not find this host by themselves: %s", error)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()


def address_in(data: Path) -> str | None:
    """Return the address of the host that runs on this data folder; None where none is known."""
    try:
        with (data / FILE_NAME).open(encoding="utf-8") as file:
            known = json.loads(file.read(_MAX_CHARACTERS))
    except (OSError, ValueError):
        return None
    url = known.get("url") if isinstance(known, dict) else None
    if not isinstance(url, str) or not _is_loopback(url):
        return None
    return url if _is_held(data / LOCK_NAME) else None


def _write(path: Path, text: str) -> None:
    """Write a new file for nobody but its owner."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _is_loopback(url: str) -> bool:
    try:
        address = urlsplit(url)
        is_here = address.scheme == "http" and address.hostname in LOOPBACK_NAMES
        return is_here and address.port is not None
    except ValueError:
        return False


def _is_held(lock: Path) -> bool:
    """Tell whether a living process holds a lock; nothing is made where there is none."""
    if not lock.is_file():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False
