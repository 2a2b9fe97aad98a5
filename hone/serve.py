"""Turns settings into a running host, or into one line that says why it cannot run.

It checks what can be checked before torch is imported, holds the data folder for itself, and
leaves the rest to `lsp_server.engine.host`.
"""

import logging
from importlib.metadata import version
from pathlib import Path

import filelock

from hone import log_files, preflight, processes
from hone.errors import UsageError, one_line
from hone.settings import Settings
from lsp_server.editor.running_host import LOCK_NAME, announced

LOG = logging.getLogger(__name__)
# An editor that looks whether a host lives holds the lock for a moment.
LOCK_WAIT_S = 0.5


def run(settings: Settings, *, supervised: bool = False) -> int:
    """Serve until the process is told to stop."""
    preflight.check_bind(settings)
    preflight.check_model(settings.model)
    preflight.check_data(settings.data)
    preflight.check_port(settings)
    with hold(settings.data / LOCK_NAME, f"data folder {settings.data} is in use by another host"):
        as_json = settings.log.format == "json"
        log_files.set_up(settings.data / "logs" / "host.log", quiet=supervised, as_json=as_json)
        if supervised:
            processes.follow_parent()
        preflight.open_database(settings).close()  # Says what is wrong before torch is imported.
        with announced(settings.data, settings.local_url, version("hone")):
            _serve(settings)
    return 0


def hold(path: Path, taken: str) -> filelock.BaseFileLock:
    """Return a lock that is held until released or the process ends; `taken` says who has it."""
    lock = filelock.FileLock(path, timeout=LOCK_WAIT_S)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise UsageError(f"{taken}: stop that one, or choose another folder with --data") from error
    return lock


def _serve(settings: Settings) -> None:
    processes.sleep_when_idle()
    from feedback_store.errors import StoreError
    from hone.wiring import host_config
    from lsp_server.engine.errors import EngineError
    from lsp_server.engine.host import serve

    try:
        serve(host_config(settings))
    except (StoreError, EngineError) as error:
        LOG.debug("the host could not start", exc_info=True)
        raise UsageError(one_line(error)) from error
    except Exception:
        LOG.exception("the host stopped on an error")
        raise
