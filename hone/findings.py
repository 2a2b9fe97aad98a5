"""Turns one aspect of an installation into findings, for `hone doctor`.

Every function here takes the settings, looks and yields; none writes. None knows how findings
are shown.
"""

import importlib.util
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import Literal

from hone import preflight
from hone.errors import one_line
from hone.settings import Settings
from lsp_server.editor.running_host import address_in

LOW_DISK_MB = 2048
FULL_DISK_MB = 256
STALE_OUTBOX_S = 3600
EXPIRES_SOON = timedelta(days=14)


@dataclass(frozen=True)
class Finding:
    """What one check saw; `advice` says what to do and is empty when nothing has to be done."""

    name: str
    level: Literal["ok", "warn", "fail"]
    message: str
    advice: str = ""


def refused(name: str, line: str) -> Finding:
    """Turn the line of an error, `what: what to do` or `where: what`, into a failure."""
    message, _, advice = line.rpartition(": ")
    if " " not in message:  # a mere place, or nothing
        return Finding(name, "fail", line)
    return Finding(name, "fail", message, advice)


def python(_: Settings) -> Iterator[Finding]:
    """Which interpreter runs; the package refuses to install on one that is too old."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "ok", f"Python {version} at {sys.executable}")


def packages(_: Settings) -> Iterator[Finding]:
    """Hone itself and what it requires are installed, in the versions it asks for."""
    try:
        version = metadata.version("hone")
    except metadata.PackageNotFoundError:
        yield Finding("packages", "warn", "hone runs from a folder", "pip install . (or make up)")
        return
    yield Finding("packages", "ok", f"hone {version}")
    if not _has_host_side():
        message = "the host side is not installed, enough for `hone lsp`"
        yield Finding("packages", "warn", message, "pip install 'hone[host]' for the rest")
    for line in _unmet(metadata.requires("hone") or []):
        yield Finding("packages", "warn", line, "install Hone again")


def device(settings: Settings) -> Iterator[Finding]:
    """Torch is there and has the device that the settings name."""
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    named = settings.device.partition(":")[0]
    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if (named == "cuda" and not has_cuda) or (named == "mps" and not has_mps):
        message = f"device {settings.device} is set, torch {torch.__version__} does not see it"
        yield Finding("device", "fail", message, "set device to auto, or repair the driver")
        return
    gpu = torch.cuda.get_device_name() if has_cuda else "Apple GPU" if has_mps else "no GPU"
    threads = settings.engine.num_threads or torch.get_num_threads()
    message = f"torch {torch.__version__}, {gpu}, {threads} CPU threads"
    yield Finding("device", "ok", f"{message}, device {settings.device}")


def model(settings: Settings) -> Iterator[Finding]:
    """The model's files are there."""
    folder = preflight.check_model(settings.model)
    if folder is None:
        message = f"{settings.model} is a hub id"
        yield Finding("model", "warn", message, "it is downloaded at the first start")
    else:
        size_mb = sum(f.stat().st_size for f in folder.glob("*.safetensors")) / 1e6
        yield Finding("model", "ok", f"{settings.model}, {size_mb:.0f} MB of weights")


def data_folder(settings: Settings) -> Iterator[Finding]:
    """The data folder can be written."""
    if settings.data.exists():
        preflight.check_data(settings.data)
        yield Finding("data", "ok", f"{settings.data} can be written")
    else:
        yield Finding("data", "ok", f"{settings.data} is not there yet; the first start makes it")


def disk_space(settings: Settings) -> Iterator[Finding]:
    """There is room to grow."""
    folder = next(f for f in (settings.data, *settings.data.absolute().parents) if f.exists())
    free_mb = shutil.disk_usage(folder).free // 1_000_000
    level: Literal["ok", "warn", "fail"] = "ok"
    if free_mb < LOW_DISK_MB:
        level = "fail" if free_mb < FULL_DISK_MB else "warn"
    advice = "" if level == "ok" else "free some space, or lower retention.max_database_mb"
    yield Finding("disk", level, f"{free_mb:,} MB free at {folder}", advice)


def database(settings: Settings) -> Iterator[Finding]:
    """The database opens, has the schema of this Hone, and is intact."""
    if not _has_host_side():
        return
    if not preflight.has_database(settings):
        yield Finding("database", "ok", "none yet; the first start makes it")
        return
    from sqlalchemy import text

    from feedback_store.database import damage

    opened = preflight.open_database(settings, migrate=False)
    try:
        if (what := damage(opened)) is not None:
            advice = "restore a copy, or move it aside and start anew"
            yield Finding("database", "fail", f"damaged ({what})", advice)
            return
        with opened.reading() as session:
            count = session.execute(text("SELECT count(*) FROM completions")).scalar_one()
            revision = session.execute(text("SELECT version_num FROM alembic_version")).scalar()
        yield Finding("database", "ok", f"intact, revision {revision}, {count} completions")
    finally:
        opened.close()


def store(settings: Settings) -> Iterator[Finding]:
    """The store can be written, and is looked after: age, backup, secrets."""
    if _has_host_side() and preflight.has_database(settings):
        from hone import store_findings

        yield from store_findings.findings(settings)


def adapters(settings: Settings) -> Iterator[Finding]:
    """The files of every adapter that serves or may serve again are what was registered."""
    if not _has_host_side() or not preflight.has_database(settings):
        return
    from feedback_store.errors import StoreError
    from feedback_store.registry import Registry

    opened = preflight.open_database(settings, migrate=False)
    try:
        registry = Registry(opened, settings.data / "adapters")
        records = [record for record in registry.list() if record.state != "rejected"]
        for record in records:
            try:
                registry.verify(record.sha256)
            except StoreError as error:
                level: Literal["warn", "fail"] = "fail" if record.state == "live" else "warn"
                name = f"{record.state} adapter {record.sha256[:12]}"
                advice = "hone adapters rollback --reason ..." if level == "fail" else ""
                yield Finding("adapters", level, f"{name}: {one_line(error)}", advice)
        live = registry.live()
        serving = f"live is {live.sha256[:12]}" if live else "the bare base serves"
        yield Finding("adapters", "ok", f"{len(records)} checked, {serving}")
    finally:
        opened.close()


def tokens(settings: Settings) -> Iterator[Finding]:
    """No token of a user ends soon without another one to follow."""
    if not _has_host_side() or not preflight.has_database(settings):
        return
    from feedback_store import access

    opened = preflight.open_database(settings, migrate=False)
    try:
        users = access.users(opened)
    finally:
        opened.close()
    now = datetime.now(UTC)
    for user in users:
        valid = [token for token in user.tokens if token.state(now) == "valid"]
        last = max((token.expires_at for token in valid), default=None)
        if last is not None and last - now < EXPIRES_SOON:
            message = f"the last token of {user.name} ends on {last:%Y-%m-%d}"
            yield Finding(
                "tokens", "warn", message, "hone users add NAME --scope ... makes another"
            )
    if users:
        yield Finding("tokens", "ok", f"{len(users)} users; everybody is asked for a token")


def host(settings: Settings) -> Iterator[Finding]:
    """A host answers, or one could start."""
    preflight.check_bind(settings, migrate=False)
    url = settings.url or address_in(settings.data) or settings.local_url
    health = preflight.health_of(url)
    if health is not None:
        adapter = str(health.get("adapter") or "none")[:12]
        message = f"{url} serves {health['model']}, adapter {adapter}"
        yield Finding("host", "ok", f"{message}, device {health.get('device')}")
    elif url != settings.local_url:
        message = f"no Hone answers at {url}"
        yield Finding("host", "warn", message, "start it there, or correct url")
    else:
        preflight.check_port(settings)
        message = f"not running; port {settings.port} is free"
        yield Finding("host", "warn", message, "hone up")


def outbox(settings: Settings) -> Iterator[Finding]:
    """Feedback reaches the host."""
    folder = settings.data / "outbox"
    files = [f for f in folder.glob("*.jsonl") if f.is_file()] if folder.is_dir() else []
    waiting = [f for f in files if not f.name.startswith("refused")]
    size_mb = sum(f.stat().st_size for f in waiting) / 1e6
    if len(waiting) < len(files):
        message = f"the store refused events, kept in {folder}"
        yield Finding("outbox", "warn", message, "look at the reasons in refused*.jsonl")
    oldest_s = max(
        (time.time() - f.stat().st_mtime for f in waiting if f.stat().st_size), default=0
    )
    if oldest_s > STALE_OUTBOX_S or size_mb > settings.editor.max_outbox_mb / 2:
        message = f"{size_mb:.1f} MB of feedback wait, the oldest for {oldest_s / 3600:.1f} h"
        yield Finding("outbox", "warn", message, "start the host; an open editor sends them")
    else:
        yield Finding("outbox", "ok", f"{size_mb:.1f} MB waiting to be sent")


def _has_host_side() -> bool:
    return all(importlib.util.find_spec(name) for name in preflight.HOST_MODULES)


def _unmet(requirements: list[str]) -> Iterator[str]:
    """Yield a line for every installed package of another version than Hone asks for."""
    try:
        from packaging.requirements import Requirement
    except ImportError:  # Only the host side brings it; without it there is little to compare.
        return
    for requirement in map(Requirement, requirements):
        try:
            installed = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            if requirement.marker is None:
                yield f"{requirement.name} is not installed"
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            yield f"{requirement.name} {installed} is not {requirement.specifier}"
