"""Turns settings into the frozen configurations that the packages take.

Names are the same on both sides, so a section is handed on whole. It imports each package only
when its configuration is asked for, and starts nothing.
"""

import os
from typing import TYPE_CHECKING

from hone.errors import UsageError, one_line
from hone.settings import Settings

if TYPE_CHECKING:
    from feedback_store.privacy import Retention
    from lsp_server.editor.config import EditorConfig
    from lsp_server.engine.host import HostConfig
    from trainer.config import NightConfig


def editor_config(settings: Settings) -> "EditorConfig":
    """Return what `hone lsp` runs with."""
    from lsp_server.editor.config import EditorConfig
    from lsp_server.editor.errors import EditorError

    try:
        return EditorConfig(
            url=settings.client_url,
            find_host=settings.url is None,
            token=settings.token,
            data=settings.data,
            **dict(settings.editor),
        )
    except EditorError as error:
        raise UsageError(one_line(error)) from error


def host_config(settings: Settings) -> "HostConfig":
    """Return what `hone serve` runs with."""
    from lsp_server.engine.host import HostConfig

    return HostConfig(
        host=settings.host,
        port=settings.port,
        data=settings.data,
        model=settings.model,
        database_url=settings.database_url,
        token=settings.token,
        device=settings.device,
        retention=retention(settings),
        content=settings.privacy.content == "full",
        **dict(settings.engine),
    )


def night_config(settings: Settings) -> "NightConfig":
    """Return what `hone train` runs with."""
    from trainer.config import NightConfig
    from trainer.gate import GateConfig

    return NightConfig(
        data=settings.data,
        database_url=settings.database_url,
        model=settings.model,
        device=settings.device,
        gate=GateConfig(**dict(settings.gate)),
        retention=retention(settings),
        **{**dict(settings.train), "num_threads": night_threads(settings)},
    )


def retention(settings: Settings) -> "Retention":
    """Return how much the store keeps."""
    from feedback_store.privacy import Retention

    return Retention(**dict(settings.retention))


def night_threads(settings: Settings) -> int:
    """Return the thread cap of a night: half the cores, so that typing is served meanwhile."""
    return settings.train.num_threads or max(1, (os.cpu_count() or 2) // 2)
