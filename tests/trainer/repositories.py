"""Turns a few calls into a git repository with a known history, as tests need it."""

import os
import subprocess
from pathlib import Path

WHO = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
       "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org",
       "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}  # fmt: skip


def body(name: str, num_lines: int = 3) -> str:
    """Return a function whose lines no other function has."""
    lines = "".join(f"    {name}_{i} = {name}(argument, {i})\n" for i in range(num_lines))
    return f"def {name}(argument):\n{lines}\n\n"


class Repository:
    """A repository below `folder`; times of commits go up by a minute each."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._minutes = 0
        folder.mkdir()
        self.git("init", "-q", "-b", "main", *options)

    def git(self, *arguments: str) -> str:
        """Run git here and return what it prints."""
        self._minutes += 1
        date = f"2026-01-01T{self._minutes // 60:02}:{self._minutes % 60:02}:00Z"
        environment = os.environ | WHO | {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=environment, check=True, capture_output=True
        )
        return done.stdout.decode()

    def commit(self, **files: str | bytes | None) -> str:
        """Write files (name__of for name/of.py; None deletes), commit, and return the commit."""
        for name, content in files.items():
            path = self.folder / (name.replace("__", "/") + ".py")
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        return self.git("rev-parse", "HEAD").strip()
