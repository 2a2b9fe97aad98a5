"""Turns a git repository into the edits of its commits, oldest first, and the files at its head.

Knows nothing of days or exams, nor how git is run.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainer.replay.git_plumbing import Blobs, Git
from trainer.replay.python_text import PythonText, is_ignored, is_python, read_python
from trainer.replay.work import Work, hunks_between

MAX_COMMITS = 5_000
MAX_LINES = 20_000  # of history; more than any replay types
MAX_COMMIT_LINES = 1_000  # more was moved or formatted by a program, not typed

_REGULAR = ("100644", "100755")
_SUBMODULE = "160000"


@dataclass(frozen=True)
class History:
    """What a repository holds: HEAD, its Python files as bytes, and the works of its commits."""

    revision: str
    head: dict[str, bytes]
    file_ids: dict[str, str]  # path -> what stays the same through renames
    works: tuple[Work, ...]
    num_commits: int  # that have works
    skipped: dict[str, int]


@dataclass(frozen=True)
class _Change:
    """One file in one commit. A blob of zeros: the file did not, or does not, exist."""

    commit: str
    status: str
    old_blob: str
    new_blob: str
    old_path: str
    path: str


def is_repository(source: Path) -> bool:
    """Tell whether `source` itself is a work tree of git or a bare repository."""
    is_bare = (source / "HEAD").is_file() and (source / "objects").is_dir()
    return (source / ".git").exists() or is_bare


def read_history(source: Path, rewrite: Callable[[str], str] | None = None) -> History | None:
    """Return what the repository at `source` holds; None when it has no commit.

    SourceError when git is missing or cannot read the repository.
    """
    git = Git(source)
    git.run("rev-parse", "--git-dir")
    revision = git.run("rev-parse", "--quiet", "--verify", "HEAD^{commit}", may_fail=True).strip()
    if not revision:
        return None
    skipped: Counter[str] = Counter()
    commits, merges = _commits(git, skipped)
    changes = list(_changes(git, [*commits, *merges]))
    head = dict(_tree(git, revision, skipped))
    file_ids = _file_ids(changes, head)
    with Blobs(git) as blobs:
        reader = _Works(blobs, rewrite, file_ids, skipped)
        newest_first = reader.by_commit(commits, changes)
        contents = {path: blobs.read(blob) for path, blob in head.items()}
    files = {path: raw for path, raw in contents.items() if raw is not None}
    if len(files) < len(head):
        skipped["not_in_this_clone"] += len(head) - len(files)
    works = tuple(work for commit in reversed(newest_first) for work in commit)
    return History(revision, files, file_ids, works, len(newest_first), dict(skipped))


class _Works:
    """Turns changes into works; counts what it leaves out."""

    def __init__(
        self,
        blobs: Blobs,
        rewrite: Callable[[str], str] | None,
        file_ids: dict[str, str],
        skipped: Counter[str],
    ) -> None:
        self._blobs, self._rewrite = blobs, rewrite
        self._file_ids, self._skipped = file_ids, skipped

    def by_commit(self, commits: Sequence[str], changes: Iterable[_Change]) -> list[list[Work]]:
        """Return the works of each of `commits` that has some, until there are MAX_LINES lines."""
        by_commit: dict[str, list[_Change]] = {}
        for change in filter(lambda c: _is_wanted(c.path), changes):
            by_commit.setdefault(change.commit, []).append(change)
        found: list[list[Work]] = []
        num_lines = 0
        for index, commit in enumerate(commits):
            of_commit = [w for c in by_commit.get(commit, ()) if (w := self._work(c)) is not None]
            size = sum(work.num_lines for work in of_commit)
            if size > MAX_COMMIT_LINES:
                self._skipped["mass_changes"] += 1
                continue
            if of_commit:
                found.append(of_commit)
            num_lines += size
            if num_lines >= MAX_LINES:
                self._skipped["older_commits"] += len(commits) - index - 1
                break
        return found

    def _work(self, change: _Change) -> Work | None:
        if not change.path.isprintable():
            self._skipped["changes_odd_names"] += 1
            return None
        if _is_nothing(change.new_blob):
            self._skipped["deleted_files"] += 1
            return None
        if change.status == "R":
            self._skipped["renames_followed"] += 1
        after = self._text(change.new_blob)
        before = "" if _is_nothing(change.old_blob) else self._text(change.old_blob)
        if after is None or before is None:
            return None
        hunks = hunks_between(before, after)
        if not any(hunk.num_lines for hunk in hunks):
            self._skipped["nothing_typed"] += 1
            return None
        return Work(change.path, self._file_ids[change.path], before, hunks)

    def _text(self, blob: str) -> str | None:
        """Return the text to type; "" for an empty file, which is where many begin."""
        raw = self._blobs.read(blob)
        read = "not_in_this_clone" if raw is None else read_python(raw, self._rewrite)
        if isinstance(read, PythonText):
            if not read.is_table:
                return read.text
            read = "data_tables"
        elif read == "empty":
            return ""
        self._skipped[f"changes_{read}"] += 1
        return None


def _commits(git: Git, skipped: Counter[str]) -> tuple[list[str], list[str]]:
    """Return the commits with one parent or none, newest first, and the merges."""
    is_shallow = git.run("rev-parse", "--is-shallow-repository").strip() == "true"
    listing = git.run("rev-list", "--topo-order", "--parents", f"-n{MAX_COMMITS}", "HEAD")
    commits, merges = [], []
    for line in listing.splitlines():
        commit, *parents = line.split()
        if len(parents) > 1:
            merges.append(commit)
        elif parents or not is_shallow:
            commits.append(commit)
        else:
            # What a shallow clone begins with is not what somebody typed in one commit.
            skipped["shallow"] += 1
    if merges:
        skipped["merge_commits"] += len(merges)
    return commits, merges


def _changes(git: Git, commits: Sequence[str]) -> Iterator[_Change]:
    """Yield what the commits changed in Python files, merges against each parent."""
    options = ("--stdin", "--root", "-m", "-r", "-M", "--no-rename-empty", "-l2000", "--raw", "-z")
    told = git.run(
        "diff-tree", *options, "--no-abbrev", "--no-ext-diff", "--", "*.py",
        typed_in="\n".join(commits) + "\n",
    )  # fmt: skip
    fields = iter(told.split("\0"))
    commit = ""
    for field in fields:
        if not field.startswith(":"):
            commit = field.split(" ")[0]
            continue
        old_mode, mode, old_blob, new_blob, status = field[1:].split(" ")
        old_path = path = next(fields)
        if status[0] in "RC":
            path = next(fields)
        is_regular = mode in _REGULAR or (status == "D" and old_mode in _REGULAR)
        if is_regular:
            yield _Change(commit, status[0], old_blob, new_blob, old_path, path)


def _tree(git: Git, revision: str, skipped: Counter[str]) -> Iterator[tuple[str, str]]:
    """Yield (path, blob) of the Python files of a commit; count links and submodules."""
    for entry in git.run("ls-tree", "-r", "-z", revision).split("\0"):
        meta, _, path = entry.partition("\t")
        if not path:
            continue
        mode, _, blob = meta.split(" ")
        if mode == _SUBMODULE:
            skipped["submodules"] += 1
        elif not is_python(PurePosixPath(path)):
            continue
        elif mode in _REGULAR:
            yield path, blob
        else:
            skipped["links"] += 1


def _file_ids(changes: Iterable[_Change], head: Iterable[str]) -> dict[str, str]:
    """Return one id for all the paths that renames join, whenever they happened.

    Paths that were ever one file count as one file even where both are there now: an exam must not
    leak, so a doubt counts as a rename, and so does a stay among files that nobody types. The id is
    the first of its paths at HEAD that are typed.
    """
    groups: dict[str, set[str]] = {path: {path} for path in head}
    for change in changes:
        group = groups.setdefault(change.path, {change.path})
        if change.status == "R":
            group |= groups.get(change.old_path, {change.old_path})
            groups.update(dict.fromkeys(group, group))
    alive = {path for path in head if _is_wanted(path) and path.isprintable()}
    return {path: min(group & alive or group) for path, group in groups.items()}


def _is_nothing(blob: str) -> bool:
    return not blob.strip("0")


def _is_wanted(path: str) -> bool:
    return is_python(PurePosixPath(path)) and not is_ignored(PurePosixPath(path))
