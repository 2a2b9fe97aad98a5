"""Ignore files: which documents of a real folder may leave, as git would have it."""

from pathlib import Path

import pytest

from lsp_server.editor.ignore_files import IgnoreFiles

FILES = {
    "repo/.git/HEAD": "",
    "repo/.gitignore": "*.log\n/build/\n!kept.log\nlocal_*.py\n",
    "repo/.honeignore": "# comment\nvendor/\n",
    "repo/service/.gitignore": "/private.py\ngenerated/\n!local_ok.py\n",
    "repo/service/deep/.honeignore": "*.sql\n",
    "repo/build/.gitignore": "!main.py\n",
    "alone/.gitignore": "secret_plans.py\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "root", "is_ignored"),
    [
        ("repo/app.py", "repo", False),
        ("repo/x.log", "repo", True),
        ("repo/kept.log", "repo", False),
        ("repo/service/deep/x.log", "repo", True),
        ("repo/service/private.py", "repo", True),
        ("repo/service/deep/private.py", "repo", False),
        ("repo/service/deep/generated/a.py", "repo", True),
        ("repo/service/deep/q.sql", "repo", True),
        ("repo/service/q.sql", "repo", False),
        ("repo/service/local_ok.py", "repo", False),
        ("repo/local_ok.py", "repo", True),
        ("repo/build/main.py", "repo", True),
        ("repo/service/vendor/a.py", "repo", True),
        ("repo/service/local_x.py", "repo/service", True),
        ("repo/service/deep/x.log", None, True),
        ("alone/secret_plans.py", "alone", True),
        ("alone/secret_plans.py", None, True),
        ("elsewhere/a.py", "repo", False),
    ],
)
def test_ignored(folder: Path, path: str, root: str | None, is_ignored: bool) -> None:
    reason = IgnoreFiles().ignored(folder / path, folder / root if root else None)
    assert (reason is not None) == is_ignored, reason


def test_a_changed_ignore_file_is_read_again(folder: Path) -> None:
    files, root = IgnoreFiles(), folder / "alone"
    assert not files.ignored(root / "new.py", root)
    (root / ".honeignore").write_text("new.py\n")
    assert files.ignored(root / "new.py", root)
    (root / ".honeignore").unlink()
    assert not files.ignored(root / "new.py", root)


def test_what_cannot_be_read_is_left_out(folder: Path) -> None:
    root = folder / "alone"
    (root / ".gitignore").write_bytes(b"build/\n\xff\xfe\n[\n")
    (root / ".honeignore").mkdir()
    assert IgnoreFiles().ignored(root / "build" / "a.py", root)
    assert not IgnoreFiles().ignored(root / "absent" / "a\0.py", root)
