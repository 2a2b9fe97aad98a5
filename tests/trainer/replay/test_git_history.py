"""Repositories of every shape, each built with git on the spot."""

import os
import subprocess
from pathlib import Path

import pytest
from repositories import Repository, body

from trainer.errors import SourceError
from trainer.replay import git_history
from trainer.replay.git_history import History, is_repository, read_history


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "source")


def check(repository: Repository, *expected: tuple[str, str], **skipped: int) -> History:
    """Check (path, what is typed) of every work, and what was skipped."""
    before = sorted(p.stat().st_mtime_ns for p in repository.folder.rglob("*"))
    history = read_history(repository.folder)
    assert before == sorted(p.stat().st_mtime_ns for p in repository.folder.rglob("*"))
    assert history is not None
    assert [(w.path, "|".join(h.text for h in w.hunks)) for w in history.works] == list(expected)
    assert history.skipped == skipped
    return history


def test_commits_are_typed_in_order(repository: Repository) -> None:
    repository.commit(a="x = f()\nif x: y()\n")
    revision = repository.commit(a="x = f()\nz(x)\nif x: y()\n", b="b()\n")
    history = check(
        repository,
        ("a.py", "x = f()\nif x: y()\n"),
        ("a.py", "\nz(x)"),
        ("b.py", "b()\n"),
    )
    assert history.revision == revision
    assert history.works[1].before == "x = f()\nif x: y()\n"
    assert history.works[1].after == "x = f()\nz(x)\nif x: y()\n"
    assert history.num_commits == 2


def test_a_rename_keeps_the_file(repository: Repository) -> None:
    text = body("f") + body("g")
    repository.commit(a=text)
    repository.git("mv", "a.py", "b.py")
    repository.commit(b=text + body("h"))
    repository.git("mv", "b.py", "c.py")
    repository.commit(d="d()\n")
    history = check(
        repository,
        ("a.py", text),
        ("b.py", "\n" + body("h").removesuffix("\n")),
        ("d.py", "d()\n"),
        renames_followed=2,
        nothing_typed=1,
    )
    assert [w.file_id for w in history.works] == ["c.py", "c.py", "d.py"]


def test_a_file_stays_itself_on_its_way_through_what_nobody_types(repository: Repository) -> None:
    text = body("f") + body("g")
    repository.commit(lib__x=text)
    repository.commit(lib__x=None, vendor__x=text)
    repository.commit(vendor__x=None, zoo__y=text)
    repository.commit(vendor__x=text)
    history = check(repository, ("lib/x.py", text), nothing_typed=1, renames_followed=1)
    assert history.works[0].file_id == history.file_ids["zoo/y.py"] == "zoo/y.py"


def test_a_merge_types_nothing_itself(repository: Repository) -> None:
    repository.commit(a="a()\n")
    repository.git("checkout", "-q", "-b", "side")
    repository.commit(b="b()\n")
    repository.git("checkout", "-q", "main")
    repository.commit(c="c()\n")
    repository.git("merge", "-q", "--no-ff", "-m", "m", "side")
    history = read_history(repository.folder)
    assert history is not None
    assert sorted(w.path for w in history.works) == ["a.py", "b.py", "c.py"]
    assert history.skipped == {"merge_commits": 1}


def test_a_rename_made_by_a_merge_is_seen(repository: Repository) -> None:
    text = body("f") + body("g")
    repository.commit(a=text)
    repository.git("checkout", "-q", "-b", "side")
    repository.commit(a=text + body("h"))
    repository.git("checkout", "-q", "main")
    repository.commit(c="c()\n")
    repository.git("merge", "-q", "--no-commit", "side")
    repository.git("mv", "a.py", "b.py")
    repository.git("commit", "-q", "-m", "m")
    history = read_history(repository.folder)
    assert history is not None
    assert {w.file_id for w in history.works if w.path == "a.py"} == {"b.py"}


def test_what_nobody_types_is_counted(repository: Repository) -> None:
    repository.commit(
        binary=b"x = 1\0",
        latin=b"x = '\xe9'\n",
        broken="def f(:\n",
        table="T = [\n" + "    'one',\n" * 20 + "]\n",
        _vendor__inner="hidden()\n",
        windows=b"def f():\r\n    return f\r\n",
        empty="",
    )
    repository.commit(windows="def f():\n    return f\n", binary=None, empty="begun()\n")
    check(
        repository,
        ("windows.py", "def f():\n    return f\n"),
        ("empty.py", "begun()\n"),
        changes_binary=1,
        changes_not_utf8=1,
        changes_does_not_parse=1,
        changes_data_tables=1,
        nothing_typed=2,
        deleted_files=1,
    )


def test_a_repository_of_longer_hashes_is_read_like_any_other(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "source", "--object-format=sha256")
    repository.commit(a="a()\n", b="b()\n")
    repository.commit(a="a()\nc()\n", b=None)
    check(repository, ("a.py", "a()\n"), ("b.py", "b()\n"), ("a.py", "\nc()"), deleted_files=1)


def test_files_that_no_editor_can_name_are_left_out(repository: Repository) -> None:
    odd = repository.folder / "odd\x07.py"
    latin = Path(os.fsdecode(os.fsencode(repository.folder) + b"/caf\xe9.py"))
    for number in range(2):
        odd.write_text(f"odd({number})\n")
        latin.write_text(f"latin({number})\n")
        repository.commit(a=f"a({number})\n")
    check(repository, ("a.py", "a(0)\n"), ("a.py", "1"), changes_odd_names=4)


def test_the_first_commits_of_a_shallow_clone_are_not_typed(
    repository: Repository, tmp_path: Path
) -> None:
    repository.commit(a="a()\n")
    repository.commit(a="a()\nb()\n")
    clone = tmp_path / "clone"
    url = repository.folder.as_uri()
    subprocess.run(["git", "clone", "-q", "--depth", "1", url, str(clone)], check=True)
    history = read_history(clone)
    assert history is not None
    assert history.works == ()
    assert history.skipped == {"shallow": 1}
    assert history.head == {"a.py": b"a()\nb()\n"}


def partial_clone(repository: Repository, folder: Path) -> Path:
    """A clone that has the files of HEAD alone, and may fetch no others."""
    repository.git("config", "uploadpack.allowFilter", "true")
    url = repository.folder.as_uri()
    subprocess.run(["git", "clone", "-q", "--filter=blob:none", url, str(folder)], check=True)
    return folder


def test_what_a_partial_clone_lacks_is_left_out(repository: Repository, tmp_path: Path) -> None:
    for number in range(4):
        repository.commit(a=f"a({number})\n", b="b()\n", **{f"c{number}": f"c({number})\n"})
    history = read_history(partial_clone(repository, tmp_path / "clone"))
    assert history is not None
    assert sorted(history.head) == ["a.py", "b.py", "c0.py", "c1.py", "c2.py", "c3.py"]
    assert [w.path for w in history.works] == ["b.py", "c0.py", "c1.py", "c2.py", "c3.py"]
    assert history.skipped.keys() == {"changes_not_in_this_clone"}


def test_what_git_lacks_to_find_renames_is_named(repository: Repository, tmp_path: Path) -> None:
    repository.commit(a=body("f"))
    repository.commit(a=None, b=body("f") + "b()\n")
    repository.commit(b=body("f") + "c()\n")
    clone = partial_clone(repository, tmp_path / "clone")
    with pytest.raises(SourceError, match="fatal: could not fetch"):
        read_history(clone)


def test_a_bare_repository_and_a_work_tree_are_read(repository: Repository, tmp_path: Path) -> None:
    repository.commit(a="a()\n")
    bare, tree = tmp_path / "bare.git", tmp_path / "tree"
    repository.git("clone", "-q", "--bare", ".", str(bare))
    repository.git("worktree", "add", "-q", str(tree), "-b", "other")
    for folder in (bare, tree):
        assert is_repository(folder)
        history = read_history(folder)
        assert history is not None
        assert [w.path for w in history.works] == ["a.py"]


def test_a_repository_without_commits_has_no_history(repository: Repository) -> None:
    assert read_history(repository.folder) is None


def test_a_damaged_repository_is_named(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    with pytest.raises(SourceError, match=r"git cannot read .*not a git repository"):
        read_history(tmp_path)


def test_git_has_to_be_there(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SourceError, match="install git"):
        read_history(repository.folder)


def test_nothing_that_is_configured_runs(repository: Repository, tmp_path: Path) -> None:
    repository.commit(a="a()\n")
    repository.commit(a="b()\n")
    witness = tmp_path / "ran"
    (repository.folder / ".git" / "info" / "attributes").write_text("*.py diff=x filter=x\n")
    for name in ("core.fsmonitor", "diff.external", "diff.x.textconv", "core.pager", "gpg.program",
                 "filter.x.smudge"):  # fmt: skip
        repository.git("config", name, f"touch {witness}; false")
    repository.git("config", "diff.renames", "false")
    check(repository, ("a.py", "a()\n"), ("a.py", "b"))
    assert not witness.exists()


def test_mass_changes_and_old_history_are_left_out(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_history, "MAX_COMMIT_LINES", 5)
    monkeypatch.setattr(git_history, "MAX_LINES", 4)
    repository.commit(a="a()\n")
    repository.commit(b=body("b", 3))
    repository.commit(c=body("c", 9))
    check(repository, ("b.py", body("b", 3)), mass_changes=1, older_commits=1)


def test_every_version_is_rewritten(repository: Repository) -> None:
    repository.commit(a="one()\n")
    repository.commit(a="one()\ntwo()\n")
    history = read_history(repository.folder, lambda text: text.replace("()", "(0)"))
    assert history is not None
    assert [w.after for w in history.works] == ["one(0)\n", "one(0)\ntwo(0)\n"]


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_links_and_submodules_are_counted(repository: Repository) -> None:
    commit = repository.commit(a="x = f()\nif x: y()\n")
    (repository.folder / "b.py").symlink_to("a.py")
    repository.git("add", "b.py")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},vendored")
    repository.git("commit", "-q", "-m", "x")
    history = check(repository, ("a.py", "x = f()\nif x: y()\n"), links=1, submodules=1)
    assert list(history.head) == ["a.py"]
