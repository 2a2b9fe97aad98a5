"""Plans: an exam that no day has seen, and days of work."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repositories import Repository, body

from trainer.errors import SourceError
from trainer.replay.days import Plan, plan, texts_outside_exam
from trainer.replay.source import Codebase, SourceFile, read_source
from trainer.replay.work import Work


def codebase(num_files: int, num_bodies: int = 6, num_lines: int = 5) -> Codebase:
    files = []
    for i in range(num_files):
        text = "".join(body(f"f{i}_{j}", num_lines) for j in range(num_bodies))
        files.append(SourceFile(f"m{i:03}.py", text, is_table=False, file_id=f"m{i:03}.py"))
    return Codebase("shop", None, tuple(files), (), {})


def num_lines(works: Iterable[Work]) -> int:
    return sum(work.num_lines for work in works)


def check(code: Codebase, *, days: int, lines: int, seed: int = 0, exam: int = 100) -> Plan:
    """Plan, and check what holds of every plan."""
    made = plan(code, num_days=days, lines_per_day=lines, num_exam_lines=exam, seed=seed)
    again = plan(code, num_days=days, lines_per_day=lines, num_exam_lines=exam, seed=seed)
    assert made == again
    other = plan(code, num_days=days, lines_per_day=lines, num_exam_lines=exam, seed=seed + 1)
    assert (made.exam, made.exam_files) == (other.exam, other.exam_files)
    exam_files = set(made.exam_files)
    assert {w.file_id for w in (*made.exam, *made.probes)} <= exam_files
    assert not exam_files & {w.file_id for day in made.days for w in day}
    texts = {f.path: f.text for f in code.files}
    assert all(w.after == texts[w.path] for w in made.exam)
    assert len(made.exam) == len({w.path for w in made.exam})
    return made


def test_a_folder_has_days_that_touch_many_files() -> None:
    made = check(codebase(60), days=5, lines=150, exam=300)
    assert len(made.exam_files) == 21
    assert 300 <= num_lines(made.exam) < 320
    assert len(made.exam) == 21
    assert len(made.days) == 5
    assert 750 <= sum(map(num_lines, made.days)) < 770
    for day in made.days:
        assert len({w.path for w in day}) >= 7
        assert 130 <= num_lines(day) < 170
        assert all(w.num_lines <= 25 for w in day)
    assert made.counts == {}


def test_later_sittings_see_what_earlier_ones_typed() -> None:
    code = codebase(20, num_bodies=8)
    made = check(code, days=9, lines=60, seed=3)
    texts = {f.path: f.text for f in code.files}
    seen: dict[str, str] = {}
    for work in (w for day in made.days for w in day):
        assert work.before == seen.get(work.path, work.before)
        seen[work.path] = work.after
    assert any(texts[path] == text for path, text in seen.items())


def test_seeds_have_days_of_their_own() -> None:
    code = codebase(40)
    one = check(code, days=2, lines=100, seed=1)
    assert one.days != check(code, days=2, lines=100, seed=2).days


def test_data_tables_are_in_neither() -> None:
    code = codebase(30)
    tables = {f.path for f in code.files[::3]}
    files = tuple(SourceFile(f.path, f.text, f.path in tables, f.path) for f in code.files)
    made = check(Codebase("shop", None, files, (), {}), days=2, lines=50)
    assert not tables & {w.path for w in (*made.exam, *made.probes, *made.days[0], *made.days[1])}


def test_a_probe_stands_alone() -> None:
    made = check(codebase(10, num_bodies=3), days=1, lines=40)
    assert len(made.probes) == 3 * len(made.exam_files)
    for work in made.probes:
        assert "argument, 0" not in work.before
        assert work.num_lines == 5


def test_what_falls_short_is_counted() -> None:
    made = check(codebase(6), days=9, lines=40, exam=1000)
    assert len(made.exam_files) == 3
    assert made.counts == {
        "exam_files_missing": 9, "exam_lines_missing": 910,
        "day_lines_missing": 280, "days_missing": 7,
    }  # fmt: skip


@pytest.mark.parametrize(("num_files", "size"), [(0, 5), (1, 5), (2, 5), (3, 1)])
def test_too_little_is_refused(num_files: int, size: int) -> None:
    with pytest.raises(SourceError, match="needs 2 files for the exam and 10 lines"):
        plan(codebase(num_files, num_lines=size), num_days=1, lines_per_day=50)


@settings(max_examples=60)
@given(
    st.integers(3, 30), st.integers(1, 6), st.integers(3, 40), st.integers(1, 4), st.integers(5, 90)
)
def test_every_plan_keeps_the_exam_apart(
    num_files: int, num_bodies: int, size: int, num_days: int, lines_per_day: int
) -> None:
    code = codebase(num_files, num_bodies, size)
    try:
        made = check(code, days=num_days, lines=lines_per_day)
    except SourceError:
        return
    assert 1 <= len(made.days) <= num_days
    assert len(made.exam_files) >= 2


@settings(max_examples=60)
@given(st.integers(3, 30), st.integers(1, 6), st.integers(3, 40), st.integers(80, 200), st.data())
def test_every_seed_has_as_many_days(
    num_files: int, num_bodies: int, size: int, lines_per_day: int, data: st.DataObject
) -> None:
    code = codebase(num_files, num_bodies, size)
    num_days, seed = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 99))
    try:
        made = check(code, days=num_days, lines=lines_per_day, seed=seed)
    except SourceError:
        return
    other = check(code, days=num_days, lines=lines_per_day, seed=seed + 100)
    assert len(made.days) == len(other.days)
    assert made.counts.get("days_missing", 0) == num_days - len(made.days)


@settings(max_examples=60)
@given(st.integers(3, 30), st.integers(3, 40), st.integers(5, 90), st.integers(1, 8))
def test_a_plan_of_more_days_goes_on_where_one_of_fewer_ends(
    num_files: int, size: int, lines_per_day: int, num_days: int
) -> None:
    code = codebase(num_files, 4, size)
    try:
        fewer = check(code, days=num_days, lines=lines_per_day)
    except SourceError:
        return
    more = check(code, days=num_days + 1, lines=lines_per_day)
    assert more.days[: len(fewer.days)] == fewer.days
    assert len(more.days) <= len(fewer.days) + 1


def history(tmp_path: Path, num_files: int = 12) -> Repository:
    repository = Repository(tmp_path / "shop")
    for i in range(num_files):
        repository.commit(**{f"m{i}": body(f"f{i}", 8) + body(f"g{i}", 8)})
    return repository


def test_a_history_is_typed_in_its_order(tmp_path: Path) -> None:
    repository = history(tmp_path)
    for i in range(12):
        repository.commit(**{f"m{i}": body(f"f{i}", 8) + body(f"g{i}", 8) + body(f"h{i}", 80)})
    code = read_source(repository.folder)
    made = check(code, days=3, lines=100)
    works = [w for day in made.days for w in day]
    assert [int(w.path[1:-3]) for w in works] == sorted(int(w.path[1:-3]) for w in works)
    assert all(w.num_lines <= 60 for w in works)
    assert 300 <= num_lines(works) < 400
    assert works[-1].after == next(f.text for f in code.files if f.path == works[-1].path)


def test_an_exam_file_is_in_no_day_under_any_name(tmp_path: Path) -> None:
    repository = history(tmp_path)
    # Whichever files the exam takes, each has had another name.
    for i in range(12):
        repository.git("mv", f"m{i}.py", f"n{i}.py")
        repository.commit(**{f"n{i}": body(f"f{i}", 8) + body(f"g{i}", 8) + body(f"h{i}", 4)})
    made = check(read_source(repository.folder), days=2, lines=100)
    numbers = {file_id[1:-3] for file_id in made.exam_files}
    assert len(numbers) == 6
    works = [w for day in made.days for w in day]
    assert any(w.path.startswith("m") for w in works)
    assert not numbers & {w.path[1:-3] for w in works}


def exam_lines_typed(made: Plan) -> set[str]:
    exam = {line for work in made.probes for line in work.after.split("\n") if len(line) > 25}
    typed = (hunk.text for day in made.days for work in day for hunk in work.hunks)
    return exam & {line for text in typed for line in text.split("\n")}


def test_what_was_moved_while_a_shim_stays_is_typed_on_no_day(tmp_path: Path) -> None:
    """To git that is no rename: one file is new, the other was changed."""
    repository = Repository(tmp_path / "shop")
    texts = {f"part{i:02}": body(f"part{i:02}", 18) for i in range(20)}
    for name, text in texts.items():
        repository.commit(**{name: body(name, 12)})
        repository.commit(**{name: text})
    moved = {f"new__{name}": text for name, text in texts.items()}
    shims = {name: f"from new.{name} import *\n" for name in texts}
    repository.commit(**moved, **shims)
    code = read_source(repository.folder)
    made = check(code, days=9, lines=40, exam=60)
    assert any(path.startswith("new/") for path in made.exam_files)
    assert exam_lines_typed(made) == set()
    assert made.counts["exam_copies"] > 0


def test_the_same_tree_twice_is_typed_on_no_day() -> None:
    paths = [
        (f"{tree}/part{i:02}.py", body(f"part{i:02}", 12))
        for i in range(20)
        for tree in ("v1", "v2")
    ]
    files = [SourceFile(path, text, is_table=False, file_id=path) for path, text in paths]
    made = check(Codebase("shop", None, tuple(files), (), {}), days=2, lines=30, exam=60)
    assert exam_lines_typed(made) == set()
    assert made.counts["exam_copies"] > 0


def test_what_was_moved_into_the_exam_from_a_day_s_file_was_seen(tmp_path: Path) -> None:
    repository = history(tmp_path)
    made = check(read_source(repository.folder), days=2, lines=100)
    exam = made.exam_files[0].removesuffix(".py")
    other = next(f"m{i}" for i in range(12) if f"m{i}.py" not in made.exam_files)
    i, j = other[1:], exam[1:]
    moved = body("moved", 4)
    repository.commit(**{other: body(f"f{i}", 8) + body(f"g{i}", 8) + moved})
    repository.commit(**{
        other: body(f"f{i}", 8) + body(f"g{i}", 8) + body("new", 12),
        exam: body(f"f{j}", 8) + body(f"g{j}", 8) + moved,
    })  # fmt: skip
    code = read_source(repository.folder)
    made = check(code, days=1, lines=1)
    assert [w.path for day in made.days for w in day] == [f"{other}.py"]
    texts = texts_outside_exam(code, [made])
    assert any(moved in text for text in texts)
    apart = {f.text for f in code.files if f.file_id in made.exam_files}
    assert not apart & set(texts)


def test_a_short_history_leaves_the_bodies(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "shop")
    repository.commit(**{f"m{i}": body(f"f{i}", 300) for i in range(12)})  # a mass change
    repository.commit(m0=body("f0", 301))
    repository.commit(m0=body("f0", 302))
    made = check(read_source(repository.folder), days=2, lines=50)
    assert made.counts["mass_changes"] == 1
    assert made.counts["history_too_short"] <= 2
    assert sum(map(num_lines, made.days)) >= 100


def test_a_history_of_less_than_a_day_leaves_the_bodies(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "shop")
    repository.commit(**{f"part{i:02}": body(f"part{i:02}", 300) for i in range(12)})  # mass change
    for number in range(2):  # 30 lines, in files that no exam of twelve takes all of
        repository.commit(**{f"late{number}{i}": body(f"late{number}{i}", 14) for i in range(2)})
    made = check(read_source(repository.folder), days=2, lines=200)
    assert 0 < made.counts["history_too_short"] < 200
    assert sum(map(num_lines, made.days)) >= 400
