"""Turns settings into "this can start", or into the one line that says why it cannot.

Cheap checks only (files, sockets, installed modules): no torch, no model, and no database unless
it is asked for. `serve`, `up`, `train` and `doctor` share them. It does not know what comes after.
"""

import importlib.util
import ipaddress
import json
import os
import re
import socket
import struct
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hone.errors import UsageError, one_line
from hone.settings import Settings

if TYPE_CHECKING:
    from feedback_store.database import Database

STARTER = "starter"
HOST_MODULES = (
    *("torch", "transformers", "peft", "sqlalchemy", "alembic"),
    *("fastapi", "uvicorn", "itsdangerous", "detect_secrets", "prometheus_client"),
)
_MAX_HEADER_BYTES = 100 * 1024 * 1024
_HUB_ID = re.compile(r"^[\w-][\w.-]*/[\w-][\w.-]*$")  # as the engine wants it: OWNER/NAME


def require_host_side(command: str) -> None:
    """Raise `UsageError` unless the extra `host` is installed."""
    missing = [name for name in HOST_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"`hone {command}` needs the host side, and {', '.join(missing)} is not installed: "
            "pip install 'hone[host]'"
        )


def check_bind(settings: Settings, *, migrate: bool = True) -> None:
    """Raise `UsageError` when others could reach the host and nobody is asked for a token."""
    if settings.token or _is_loopback(settings.host) or _has_users(settings, migrate):
        return
    raise UsageError(
        f"host {settings.host} can be reached by other machines and no token is set: "
        "set --token (or HONE_TOKEN), give users tokens with `hone users add`, or listen on "
        "127.0.0.1"
    )


def check_port(settings: Settings) -> None:
    """Raise `UsageError` when the address is taken, naming the Hone that holds it if one does."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":  # On Windows this option would let two hosts share a port.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        health = health_of(settings.local_url)
        if health is not None:
            raise UsageError(
                f"port {settings.port} is in use by a Hone that serves {health.get('model')} at "
                f"{settings.local_url}: use it, stop it, or choose another --port"
            ) from error
        raise UsageError(
            f"{settings.host}:{settings.port} cannot be listened on ({error.strerror or error}): "
            "choose another --port or --host"
        ) from error


def check_data(data: Path) -> None:
    """Create the data folder; raise `UsageError` when it cannot be written."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)  # It will hold source code.
        with tempfile.TemporaryFile(dir=data):
            pass
    except OSError as error:
        raise UsageError(
            f"data folder {data} cannot be written ({error.strerror or error}): "
            "choose another with --data"
        ) from error


def check_model(model: str) -> Path | None:
    """Return the folder of a local model, None for a hub id; raise `UsageError` when missing."""
    if model == STARTER:
        folder = _starter_folder()
    elif (path := Path(model).expanduser()).is_dir():
        folder = path
    elif _HUB_ID.match(model) and not path.exists():
        return None
    else:
        raise UsageError(
            f"model {model!r} is no folder: name `starter`, a folder with a Hugging Face model, "
            "or a hub id such as Qwen/Qwen2.5-Coder-0.5B"
        )
    patterns = ("config.json", "*.safetensors", "tokenizer_config.json")
    missing = [pattern for pattern in patterns if not any(folder.glob(pattern))]
    if missing:
        raise UsageError(
            f"model folder {folder} is not complete, {' and '.join(missing)} missing: "
            "download the model again or name another with --model"
        )
    for weights in folder.glob("*.safetensors"):
        if not _is_whole(weights):
            raise UsageError(
                f"model file {weights} is torn or no safetensors file: "
                "download the model again or name another with --model"
            )
    return folder


def health_of(url: str, timeout_s: float = 1.0) -> dict[str, Any] | None:
    """Return what a Hone answers at `url`/health, None when nobody or somebody else does."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url.rstrip("/") + "/health", timeout=timeout_s) as answer:
            health = json.loads(answer.read(65_536))
    except (OSError, ValueError, urllib.error.URLError):
        return None
    return health if isinstance(health, dict) and {"status", "model"} <= health.keys() else None


def open_database(settings: Settings, *, migrate: bool = True) -> "Database":
    """Open (and migrate) the database of these settings; raise `UsageError` when it cannot be."""
    from feedback_store.database import Database, default_url
    from feedback_store.errors import StoreError

    try:
        return Database.open(settings.database_url or default_url(settings.data), migrate=migrate)
    except StoreError as error:
        raise UsageError(one_line(error)) from error


def has_database(settings: Settings) -> bool:
    """Tell whether there is a database to open, or a server that is said to have one."""
    return settings.database_url is not None or (settings.data / "hone.db").exists()


def open_existing(settings: Settings) -> "Database":
    """Open the database; raise `UsageError` when there is none yet, instead of making one."""
    if not has_database(settings):
        raise UsageError(
            f"no database in {settings.data}: start `hone up` once, or name its folder with --data"
        )
    return open_database(settings)


def _has_users(settings: Settings, migrate: bool) -> bool:
    if not has_database(settings):
        return False
    from feedback_store.access import has_users
    from feedback_store.errors import StoreError

    database = open_database(settings, migrate=migrate)
    try:
        return has_users(database)
    except StoreError as error:
        raise UsageError(one_line(error)) from error
    finally:
        database.close()


def _starter_folder() -> Path:
    found = importlib.util.find_spec("lsp_server.engine")
    locations = found.submodule_search_locations if found else None
    return Path(next(iter(locations or ["."]))) / STARTER


def _is_whole(weights: Path) -> bool:
    """Tell whether a safetensors file is as long as its header promises; reads the header only."""
    try:
        with weights.open("rb") as file:
            (num_header_bytes,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(num_header_bytes, _MAX_HEADER_BYTES)))
        ends = [entry["data_offsets"][1] for entry in header.values() if "data_offsets" in entry]
        return bool(8 + num_header_bytes + max(ends) == weights.stat().st_size)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error):
        return False


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
