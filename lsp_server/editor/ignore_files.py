"""Turns the ignore files around a document into whether its content may leave.

As git does it: files of folders further down have the last word, and nothing below an ignored
folder comes back. `.honeignore` follows `.gitignore` and outside of repositories both count alike.
Knows nothing of documents, secrets or the host.
"""

import logging
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

logger = logging.getLogger(__name__)

IGNORE_FILES = (".gitignore", ".honeignore")
MAX_IGNORE_BYTES = 256 * 1024
MAX_CACHED_FOLDERS = 512

_Stamps = tuple[tuple[int, int] | None, ...]


class IgnoreFiles:
    """Reads ignore files when a document is opened; each again only when it has changed."""

    def __init__(self) -> None:
        self._specs: OrderedDict[Path, tuple[_Stamps, GitIgnoreSpec | None]] = OrderedDict()

    def ignored(self, path: Path, root: Path | None) -> str | None:
        """Return which file below `root` (or its repository) ignores `path`, as a reason."""
        top = _top_of(root if root is not None else path.parent)
        try:
            parts = path.relative_to(top).parts
        except ValueError:
            return None
        folders = [top.joinpath(*parts[:depth]) for depth in range(len(parts))]
        specs = [self._spec_of(folder) for folder in folders]
        for depth in range(1, len(parts) + 1):
            end = "" if depth == len(parts) else "/"
            decided: tuple[bool, Path] | None = None
            for number, spec in enumerate(specs[:depth]):
                if spec is None:
                    continue
                found = spec.check_file("/".join(parts[number:depth]) + end).include
                decided = (found, folders[number]) if found is not None else decided
            if decided and decided[0]:
                return f"{'/'.join(parts[:depth])} is ignored by a file in {decided[1]}"
        return None

    def _spec_of(self, folder: Path) -> "GitIgnoreSpec | None":
        stamps = tuple(_stamp_of(folder / name) for name in IGNORE_FILES)
        known = self._specs.get(folder)
        if known is None or known[0] != stamps:
            known = (stamps, spec_of(_lines_of(folder)) if any(stamps) else None)
            self._specs[folder] = known
        self._specs.move_to_end(folder)
        while len(self._specs) > MAX_CACHED_FOLDERS:
            self._specs.popitem(last=False)
        return known[1]


def spec_of(lines: list[str]) -> "GitIgnoreSpec":
    """Compile lines of gitignore syntax; lines that are no pattern are left out."""
    from pathspec import GitIgnoreSpec

    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError:
        return GitIgnoreSpec.from_lines([line for line in lines if _is_pattern(line)])


def _is_pattern(line: str) -> bool:
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True


def _top_of(folder: Path) -> Path:
    """Return the repository around `folder`, or `folder` itself where there is none."""
    for above in (folder, *folder.parents):
        try:
            if (above / ".git").exists():
                return above
        except OSError:
            break
    return folder


def _stamp_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):  # no such file, or a name that no file can have
        return None
    return found.st_mtime_ns, found.st_size


def _lines_of(folder: Path) -> list[str]:
    lines: list[str] = []
    for name in IGNORE_FILES:
        try:
            with (folder / name).open("rb") as file:
                lines += file.read(MAX_IGNORE_BYTES).decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            continue
        except OSError as error:
            logger.warning("%s cannot be read and is not honoured: %s", folder / name, error)
    return lines
