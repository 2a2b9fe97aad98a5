"""A whole replay, small: real host, editor, typist, night, exams; interrupted and continued."""

import json
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from trainer.errors import ReplayError
from trainer.replay import run as conductor
from trainer.replay.config import ReplayConfig
from trainer.replay.exam import visits_by_place
from trainer.replay.records import ReplayReport
from trainer.replay.report import table

FILES = (
    "bisect.py", "calendar.py", "cmd.py", "colorsys.py", "copy.py", "fnmatch.py", "getopt.py",
    "glob.py", "graphlib.py", "heapq.py", "numbers.py", "quopri.py", "reprlib.py", "sched.py",
    "shelve.py", "shlex.py", "stat.py", "textwrap.py",
)  # fmt: skip


class Interrupted(Exception):
    pass


def make_source(folder: Path) -> Path:
    library = Path(sysconfig.get_paths()["stdlib"])
    folder.mkdir()
    for name in FILES:
        (folder / name).write_bytes((library / name).read_bytes())
    return folder


def make_config(tmp_path: Path, **changes: Any) -> ReplayConfig:
    settings: dict[str, Any] = {
        "source": tmp_path / "project",
        "data": tmp_path / "replay",
        "num_days": 1,
        "lines_per_day": 24,
        "num_exam_lines": 16,
        "num_positions": 12,
        "num_golden": 6,
        "min_exam_files": 4,
        "min_pairs": 3,
        "num_threads": 1,
        "arms": ("frozen", "loop", "code_sft", "ngram"),
    }
    return ReplayConfig(**{**settings, **changes})


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReplayReport, Path]:
    """A replay that was interrupted just before its night, and then continued."""
    tmp_path = tmp_path_factory.mktemp("replay")
    make_source(tmp_path / "project")
    told: list[str] = []

    def stop_before_the_night(label: str, done: float, total: float) -> None:
        told.append(label)
        if ".night-" in label:
            raise Interrupted

    with pytest.raises(Interrupted):
        conductor.run(make_config(tmp_path), stop_before_the_night)
    steps = tmp_path / "replay" / "project" / "steps"
    before = {file.name: file.read_bytes() for file in steps.glob("*.json")}
    assert "seed-1.day-1.json" in before
    report = conductor.run(make_config(tmp_path), lambda label, done, total: None)
    assert before == {name: (steps / name).read_bytes() for name in before}  # nothing again
    return report, tmp_path


@pytest.mark.slow
def test_a_replay_ends_with_every_arm_measured(replayed: tuple[ReplayReport, Path]) -> None:
    report, _ = replayed
    static = {(r.arm, r.night) for r in report.find("exam_static")}
    assert static == {("frozen", 0), ("loop", 1), ("code_sft", 1), ("ngram", 1)}
    assert {r.arm for r in report.find("exam_loop")} == {"frozen", "loop", "code_sft"}
    for record in report.records:
        for metric in record.metrics.values():
            assert metric.low is None or metric.low <= metric.value
    frozen = report.find("exam_static", "frozen")[0].metrics["log_prob"]
    assert frozen.num_items == 12
    assert frozen.value < 0
    (night,) = [n for n in report.nights if n.arm == "loop"]
    assert night.verdict == "not enough evidence"
    assert night.counts["visits"] > 10
    assert "loop" in table(report)
    assert ReplayReport.from_json(report.to_json()).to_json() == report.to_json()


@pytest.mark.slow
def test_nothing_of_the_exam_reaches_the_loop(replayed: tuple[ReplayReport, Path]) -> None:
    report, tmp_path = replayed
    data = tmp_path / "replay" / "project" / "seed-1" / "data"
    visited = {path for path, _ in visits_by_place(data)}
    assert visited
    assert not visited & set(report.about["exam_files"])
    assert not list((tmp_path / "replay" / "project" / "seed-1").glob("exam-*"))


@pytest.mark.slow
def test_a_folder_of_another_replay_is_refused(replayed: tuple[ReplayReport, Path]) -> None:
    _, tmp_path = replayed
    file = tmp_path / "replay" / "project" / "replay.json"
    settings = json.loads(file.read_text())
    with pytest.raises(ReplayError, match="another num_days"):
        conductor.run(make_config(tmp_path, num_days=2), lambda label, done, total: None)
    assert json.loads(file.read_text()) == settings
