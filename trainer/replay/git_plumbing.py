"""Turns questions to a git repository into its answers.

Uses plumbing alone: never writes, never fetches, never runs what user or repository configure.
Knows nothing of Python or of edits.
"""

import os
import subprocess
from pathlib import Path
from typing import Self

from trainer.errors import SourceError


class Git:
    """Runs git in one repository, deaf to what the user and the repository have configured."""

    def __init__(self, source: Path) -> None:
        self._source = source.resolve()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        self._environment = kept | {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CEILING_DIRECTORIES": str(self._source.parent),
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
        }

    def run(self, *arguments: str, typed_in: str = "", may_fail: bool = False) -> str:
        """Return what git prints; "" where it fails and may. SourceError where it may not."""
        with self.start(*arguments) as process:
            told, complaint = process.communicate(typed_in.encode())
        if process.returncode == 0:
            return told.decode("utf-8", errors="surrogateescape")
        if may_fail:
            return ""
        lines = complaint.decode("utf-8", errors="replace").strip().split("\n")
        why = next((line for line in lines if line.startswith("fatal:")), lines[0])
        raise SourceError(f"git cannot read {self._source}: {why}")

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start git with pipes at all ends."""
        # Whoever names a source wants it read, whoever owns it. Plumbing runs nothing that a
        # repository configures, but for the monitor of its files.
        settings = ("core.quotepath=off", "core.fsmonitor=false", f"core.hooksPath={os.devnull}",
                    "safe.directory=*")  # fmt: skip
        options = [word for setting in settings for word in ("-c", setting)]
        command = ["git", *options, "--no-pager", "-C", str(self._source), *arguments]
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
            )
        except FileNotFoundError:
            raise SourceError("a git repository needs git to be read; install git") from None


class Blobs:
    """The contents of files, from a `git cat-file` that stays open."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._process = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def read(self, blob: str) -> bytes | None:
        """Return the content of one blob; None when a partial clone lacks it."""
        asked, told = self._process.stdin, self._process.stdout
        assert asked is not None
        assert told is not None
        try:
            asked.write(blob.encode() + b"\n")
            asked.flush()
            header = told.readline().split()
        except BrokenPipeError:
            header = []
        if not header:  # where a blob was promised, and may not be fetched, git ends
            self._process.communicate()
            self._process = self._start()
        if len(header) != 3:
            return None
        return told.read(int(header[2]) + 1)[:-1]

    def _start(self) -> subprocess.Popen[bytes]:
        return self._git.start("cat-file", "--batch")
