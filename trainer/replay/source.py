"""Turns a folder or a git repository into a code base: Python files, and edits where git has them.

Never writes into the source. Knows nothing of days, exams or typing.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

from trainer.errors import SourceError
from trainer.replay.git_history import is_repository, read_history
from trainer.replay.python_text import (
    MAX_BYTES,
    is_ignored,
    is_ignored_folder,
    is_python,
    read_python,
)
from trainer.replay.records import POOLED
from trainer.replay.steps import is_replay
from trainer.replay.work import Work

MIN_COMMITS = 2


@dataclass(frozen=True)
class SourceFile:
    """One Python file as it is now. A table is mostly literals: data, which nobody types."""

    path: str  # relative to the source, with forward slashes
    text: str
    is_table: bool
    file_id: str  # what stays the same through renames; the path in a folder


@dataclass(frozen=True)
class Codebase:
    """What there is to type. `history` holds the edits of the commits, oldest first.

    `revision` is the commit at HEAD, None for a folder. `skipped` counts what was left out, by
    reason; a history too short to replay is one of them, and leaves `history` empty.
    """

    name: str
    revision: str | None
    files: tuple[SourceFile, ...]
    history: tuple[Work, ...]
    skipped: dict[str, int]

    @property
    def digest(self) -> str:
        """What changes with any text: a folder has no revision to be known again by."""
        digest = sha256()
        for file in self.files:
            digest.update(f"{file.path}\0{file.text}\0".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def read_source(source: Path, rewrite: Callable[[str], str] | None = None) -> Codebase:
    """Read a folder, a git work tree or a bare repository; `rewrite` goes over every version.

    SourceError when there is no such folder, no Python in it, git cannot read it, or it has the
    name of what is pooled.
    """
    if not source.is_dir():
        what = "is a file; a source is" if source.exists() else "does not exist; a source is"
        raise SourceError(f"{source} {what} a folder or a git repository")
    source = source.resolve()
    name = name_of(source)
    if name == POOLED:
        raise SourceError(
            f"{source} is named as what is pooled of several code bases: rename the folder"
        )
    try:
        str(source).encode()
    except UnicodeEncodeError as error:
        raise SourceError(f"{str(source)!a} is no UTF-8: rename the folder") from error
    skipped: Counter[str] = Counter()
    git = read_history(source, rewrite) if is_repository(source) else None
    if git is None:
        if is_repository(source):
            skipped["no_commits"] = 1
        files = tuple(_files(dict(_folder(source, skipped)), {}, rewrite, skipped))
        _check(source, files, skipped)
        return Codebase(name, None, files, (), dict(+skipped))
    skipped.update(git.skipped)
    files = tuple(_files(git.head, git.file_ids, rewrite, skipped))
    _check(source, files, skipped)
    works = git.works
    if git.num_commits < MIN_COMMITS:
        skipped["too_few_commits"] = git.num_commits
        works = ()
    return Codebase(name, git.revision, files, works, dict(+skipped))


def name_of(source: Path) -> str:
    """Return what the code base of a source is called, and its folder in a replay's."""
    return source.resolve().name.removesuffix(".git") or "source"


def _check(source: Path, files: tuple[SourceFile, ...], skipped: Counter[str]) -> None:
    if not files:
        left_out = ", ".join(f"{reason} {count}" for reason, count in sorted((+skipped).items()))
        told = f"; left out: {left_out}" if left_out else ""
        raise SourceError(f"{source} has no Python that could be typed{told}")


def _files(
    contents: Mapping[str, bytes],
    file_ids: Mapping[str, str],
    rewrite: Callable[[str], str] | None,
    skipped: Counter[str],
) -> Iterator[SourceFile]:
    for path, raw in sorted(contents.items()):
        if is_ignored(PurePosixPath(path)):
            skipped["ignored"] += 1
            continue
        read = read_python(raw, rewrite) if path.isprintable() else "odd_names"
        if isinstance(read, str):
            skipped[read] += 1
            continue
        skipped["data_tables"] += read.is_table
        yield SourceFile(path, read.text, read.is_table, file_ids.get(path, path))


def _folder(source: Path, skipped: Counter[str]) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of every Python file below `source`, links aside."""

    def unreadable(_: OSError) -> None:
        skipped["unreadable_folders"] += 1

    for folder, folders, names in os.walk(source, onerror=unreadable):
        wanted = [n for n in folders if not is_ignored_folder(n) and not _is_foreign(folder, n)]
        skipped["ignored_folders"] += sum(not n.startswith(".") for n in {*folders} - {*wanted})
        folders[:] = sorted(wanted)
        for name in sorted(names):
            path = Path(folder, name)
            if not is_python(PurePosixPath(name)):
                continue
            if path.is_symlink() or not path.is_file():
                skipped["links"] += 1
                continue
            try:
                with path.open("rb") as file:
                    raw = file.read(MAX_BYTES + 1)  # enough to see that it is too large
            except OSError:
                skipped["unreadable"] += 1
                continue
            yield path.relative_to(source).as_posix(), raw


def _is_foreign(folder: str, name: str) -> bool:
    """Tell whether a folder is a virtual environment, or a replay's own with copies of the code."""
    try:
        return Path(folder, name, "pyvenv.cfg").exists() or is_replay(Path(folder, name))
    except OSError:  # it cannot be looked into: the walk counts it
        return False
