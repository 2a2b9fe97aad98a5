"""Turns workspace folders and document URIs into relative paths and repositories.

Asks git what it knows of a folder, which belongs in the background. This module knows nothing of
LSP messages, open documents or the host.
"""

import logging
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

logger = logging.getLogger(__name__)

UNKNOWN_REPOSITORY = "unknown"
GIT_TIMEOUT_S = 20.0
_DRIVE = re.compile(r"/[A-Za-z]:")

READ_ONLY_SCHEMES = frozenset(
    {"git", "gitfs", "gitlens", "output", "log", "debug", "comment", "vscode-scm", "review"}
    | {"search-editor", "walkthrough", "vscode-settings", "vscode-userdata", "jdt", "gitlens-git"}
)
"""Schemes of texts that nobody types in: old revisions, logs, reviews, decompiled classes."""


@dataclass(frozen=True)
class Place:
    """Where a document lies: `path` relative to its folder ("" if it has none on disk)."""

    path: str
    root: Path | None
    read_only: bool


def place_of(uri: str, roots: Sequence[Path]) -> Place:
    """Return where `uri` lies among the workspace folders; never touches the disk."""
    try:
        parts = urlsplit(uri)
    except ValueError:  # such as file://[half-an-address
        return Place("", None, read_only=False)
    if parts.scheme.lower() in READ_ONLY_SCHEMES:
        return Place("", None, read_only=True)
    if parts.scheme not in ("file", "vscode-remote", "vscode-notebook-cell"):
        return Place("", None, read_only=False)
    path = path_of_uri(uri)
    for root in roots:
        if path.is_relative_to(root):
            return Place(path.relative_to(root).as_posix(), root, read_only=False)
    # Outside of every folder only the name may leave: folders above it name people and projects.
    return Place(path.name, None, read_only=False)


def path_of_uri(uri: str) -> Path:
    """Return the file path that a `file:` URI names, on this platform."""
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if _DRIVE.match(path):
        return Path(path[1:])
    return Path(f"//{parts.netloc}{path}" if parts.scheme == "file" and parts.netloc else path)


@dataclass(frozen=True)
class Repository:
    """What git tells of a workspace folder: its repository, and where it lies in there.

    `key` is the hash of the first commit. `folder` ends with a slash; "" at the top.
    """

    key: str = UNKNOWN_REPOSITORY
    folder: str = ""


def repository_of(root: Path) -> Repository:
    """Return the repository around `root`; an unknown one where git has none to tell.

    A shallow clone has no first commit of its own, and a forest of several takes the smallest.
    """
    if _git(root, "rev-parse", "--is-shallow-repository") != "false":
        return Repository()
    commits = _git(root, "rev-list", "--max-parents=0", "HEAD").split()
    if not commits:
        return Repository()
    return Repository(min(commits), _git(root, "rev-parse", "--show-prefix"))


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        logger.info("git did not tell the repository of %s: %s", root, error)
        return ""
    return done.stdout.decode("utf-8", "replace").rstrip("\r\n") if done.returncode == 0 else ""
