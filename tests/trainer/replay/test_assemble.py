"""What a replay found is told with what is wrong with it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lsp_server.editor.config import EditorConfig
from trainer.replay.assemble import _shortfalls
from trainer.replay.config import ReplayConfig
from trainer.replay.system import ANSWER_MS, System, _settings_file


def in_strata(**counts: int) -> list[dict[str, Any]]:
    return [{"strata": (name,)} for name, count in counts.items() for _ in range(count)]


@dataclass
class Plan:
    exam_files: tuple[str, ...] = ("a",) * 12
    days: tuple[Any, ...] = ()


@dataclass
class Found:
    config: ReplayConfig
    loop: dict[tuple[str, int, int], Any]
    left_out: dict[str, str] = field(default_factory=dict)
    plans: tuple[Plan, ...] = (Plan(),)
    static: dict[tuple[str, int, int], Any] = field(
        default_factory=lambda: {("frozen", 0, 0): in_strata(unseen=450)}
    )


@pytest.mark.parametrize(("num_lost", "expected"), [(0, 0), (2, 0), (3, 1), (100, 1)])
def test_an_exam_whose_host_did_not_answer_is_no_evidence(
    tmp_path: Path, num_lost: int, expected: int
) -> None:
    requests = [{"confidence": None}] * num_lost + [{"confidence": -0.5}] * (200 - num_lost)
    config = ReplayConfig(source=tmp_path, data=tmp_path)
    found: Any = Found(config, {("loop", 1, 5): {"requests": requests}})
    told = list(_shortfalls(found))
    assert len(told) == expected
    assert all(f"{num_lost} of 200 requests of loop, seed 1" in line for line in told)


@pytest.mark.parametrize(
    ("plant", "counts", "expected"),
    [
        (None, {"unseen": 399}, ["The static exam has 399 positions, 400 are wanted."]),
        ("house-log", {"unseen": 400, "planted": 100}, []),
        (
            "house-log",
            {"unseen": 300, "planted": 99, "sister": 200},
            [
                "The static exam has 300 positions, 400 are wanted.",
                "99 planted places were found, 100 are wanted.",
            ],
        ),
    ],
)
def test_planted_places_are_no_exam_positions(
    tmp_path: Path, plant: str | None, counts: dict[str, int], expected: list[str]
) -> None:
    config = ReplayConfig(source=tmp_path, data=tmp_path, plant=plant)
    found: Any = Found(config, {}, static={("frozen", 0, 0): in_strata(**counts)})
    assert list(_shortfalls(found)) == expected


def test_a_busy_machine_is_given_time_to_answer(tmp_path: Path) -> None:
    system = System("starter", "cpu", 1, 100)
    assert f"timeout_ms = {ANSWER_MS}" in _settings_file(system, tmp_path).read_text()
    assert EditorConfig(tmp_path).timeout_ms * 10 < ANSWER_MS
