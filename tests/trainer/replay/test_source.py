"""Sources: which files of a folder or repository are code that people type."""

import os
import subprocess
from pathlib import Path

import pytest
from repositories import Repository, body

from trainer.errors import SourceError
from trainer.replay import source
from trainer.replay.python_text import MAX_BYTES, PythonText, read_python
from trainer.replay.source import read_source


def fill(folder: Path, **contents: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in contents.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a()\n", PythonText("a()\n", is_table=False)),
        (b"\xef\xbb\xbfa()\r\nb()\r", PythonText("a()\nb()\n", is_table=False)),
        (b"T = {\n  'one': (1, -2.0, None),\n}\nprint(T)\n", PythonText(
            "T = {\n  'one': (1, -2.0, None),\n}\nprint(T)\n", is_table=True)),
        (b"T: Any = [Style(1), x.y]\n", PythonText("T: Any = [Style(1), x.y]\n", is_table=True)),
        (b"T = [x for x in y]\n", PythonText("T = [x for x in y]\n", is_table=False)),
        (b" \n\n", "empty"),
        (b"a = 1\0\n", "binary"),
        (b"a = '\xe9'\n", "not_utf8"),
        (b"print 'two'\n", "does_not_parse"),
        (b"(" * 5000, "does_not_parse"),
        (b"#" * (MAX_BYTES + 1), "too_large"),
    ],
)  # fmt: skip
def test_bytes_are_python_or_have_a_reason(raw: bytes, expected: PythonText | str) -> None:
    read = read_python(raw)
    assert read == expected


def test_a_folder_is_what_people_type(tmp_path: Path) -> None:
    folder = fill(
        tmp_path / "shop",
        app="a()\n",
        inner__deep="b()\n",
        _vendor__x="x()\n",
        build__x="x()\n",
        mine__x="x()\n",
        data="T = [1, 2, 3]\n",
        wire_pb2="x()\n",
        broken="(\n",
    )
    fill(folder / ".hidden", x="x()\n")
    (folder / "mine" / "pyvenv.cfg").touch()
    (folder / "link.py").symlink_to(folder / "app.py")
    (folder / "notes.txt").write_text("words")
    codebase = read_source(folder)
    assert codebase.name == "shop"
    assert codebase.revision is None
    assert [(f.path, f.is_table) for f in codebase.files] == [
        ("app.py", False), ("data.py", True), ("inner/deep.py", False),
    ]  # fmt: skip
    assert codebase.skipped == {
        "ignored_folders": 3, "links": 1, "data_tables": 1, "does_not_parse": 1, "ignored": 1,
    }  # fmt: skip


def test_every_text_is_rewritten(tmp_path: Path) -> None:
    folder = fill(tmp_path / "shop", app="a()\n")
    assert read_source(folder, str.upper).files[0].text == "A()\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "does not exist"),
        ("file.txt", "is a file"),
        ("empty", "no Python"),
        ("words", "no Python"),
        ("pooled", "rename the folder"),
        ("broken", "left out: does_not_parse 1"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file.txt").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "notes.md").write_text("words")
    fill(tmp_path / "broken", x="(")
    fill(tmp_path / "pooled", x="a()\n")
    with pytest.raises(SourceError, match=message) as caught:
        read_source(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_repository_is_read_from_its_commits(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "shop")
    repository.commit(a=body("a"), b=body("b"))
    revision = repository.commit(a=body("a") + body("c"))
    fill(repository.folder, uncommitted="x()\n")
    codebase = read_source(repository.folder)
    assert codebase.revision == revision
    assert [f.path for f in codebase.files] == ["a.py", "b.py"]
    assert [w.path for w in codebase.history] == ["a.py", "b.py", "a.py"]


def test_one_commit_is_a_folder(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "shop")
    revision = repository.commit(a=body("a"))
    codebase = read_source(repository.folder)
    assert (codebase.revision, codebase.history) == (revision, ())
    assert codebase.skipped == {"too_few_commits": 1}


def test_a_shallow_clone_is_a_folder(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "shop")
    repository.commit(a=body("a"))
    repository.commit(a=body("b"))
    clone, url = tmp_path / "clone", repository.folder.as_uri()
    subprocess.run(["git", "clone", "-q", "--depth", "1", url, str(clone)], check=True)
    codebase = read_source(clone)
    assert codebase.history == ()
    assert codebase.skipped == {"shallow": 1}
    assert [f.text for f in codebase.files] == [body("b")]


def test_a_repository_without_commits_is_its_folder(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "shop")
    with pytest.raises(SourceError, match="no_commits 1"):
        read_source(repository.folder)
    fill(repository.folder, a="a()\n")
    codebase = read_source(repository.folder)
    assert [f.path for f in codebase.files] == ["a.py"]
    assert codebase.skipped == {"no_commits": 1}


def test_a_repository_without_python_is_named(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "shop")
    (repository.folder / "notes.md").write_text("words")
    repository.commit()
    with pytest.raises(SourceError, match="no Python"):
        read_source(repository.folder)


def test_the_folder_of_a_replay_is_no_source(tmp_path: Path) -> None:
    folder = fill(tmp_path / "shop", app="a()\n", mine__app="b()\n")
    before = read_source(folder)
    own = fill(folder / "mine" / "shop", survey__workspace__app="a()\n")
    (own / "replay.json").write_text("{}")
    assert read_source(folder).files == before.files
    assert read_source(folder).digest == before.digest
    (folder / "app.py").write_text("c()\n")
    assert read_source(folder).digest != before.digest


@pytest.mark.skipif(os.name != "posix", reason="names are bytes")
def test_a_folder_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    with pytest.raises(SourceError, match="is no UTF-8"):
        read_source(folder)


def test_a_folder_that_cannot_be_read_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop" / "secret").mkdir(parents=True)
    (tmp_path / "shop" / "a.py").write_text(body("a"))
    scan = os.scandir

    def refuse(folder: str | os.PathLike[str]) -> object:  # root may read everything
        if Path(folder).name == "secret":
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    def looks_into(folder: Path) -> bool:
        if folder.name == "secret":
            raise PermissionError(13, "Permission denied", str(folder))
        return False

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(source, "is_replay", looks_into)
    found = read_source(tmp_path / "shop")
    assert [file.path for file in found.files] == ["a.py"]
    assert found.skipped["unreadable_folders"] == 1
