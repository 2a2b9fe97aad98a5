"""The README says what the committed measurements say, and names only what exists."""

import json
import re
from pathlib import Path

from trainer.replay.records import ReplayReport

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULT = json.loads((ROOT / "benchmarks/results/loop.json").read_text(encoding="utf-8"))


def test_every_measured_figure_is_in_the_result_file() -> None:
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| [^|]+ \|$", README, re.MULTILINE)
    figures = [number for row in rows for number in re.findall(r"[\d.]+", row)]
    measured = {str(RESULT[name]) for name in RESULT["goals"]}
    assert len(figures) >= len(measured)
    assert set(figures) <= measured


def test_the_result_was_measured_on_a_clean_checkout() -> None:
    assert RESULT["dirty"] is False
    assert RESULT["throughput"]["identical_greedy_text"] is True


def test_what_it_says_of_learning_is_what_was_measured() -> None:
    told = (ROOT / "benchmarks/results/replay.txt").read_text(encoding="utf-8")
    quoted = " ".join(re.findall(r"^> (.+)$", README, re.MULTILINE))
    assert len(quoted) > 100
    assert quoted in " ".join(told.split())


def test_what_it_says_of_unseen_files_is_what_was_measured() -> None:
    report = ReplayReport.from_json(
        (ROOT / "benchmarks/results/replay_rich.json").read_text(encoding="utf-8")
    )
    record = report.last("exam_static", "loop")
    assert record is not None
    gain = record.metrics["delta_log_prob"]
    said = [f"{value:+.3f}" for value in (gain.value, gain.low or 0, gain.high or 0)]
    assert f"({said[0]} nats per token, 95 % {said[1]} .. {said[2]}, `rich`)" in " ".join(
        README.split()
    )


def test_what_it_says_of_a_planted_convention_is_what_was_measured() -> None:
    report = ReplayReport.from_json(
        (ROOT / "benchmarks/results/replay_rich_house-log.json").read_text(encoding="utf-8")
    )
    played = report.last("exam_loop", "loop")
    planted = report.find("plant", "loop", stratum="planted")[-1].metrics["exact_match"]
    assert played is not None
    gain = played.metrics["delta_retained_per_1000"]
    said = [f"{value:+.1f}" for value in (gain.value, gain.low or 0, gain.high or 0)]
    text = " ".join(README.split())
    assert (
        f"{said[0]} retained characters per 1,000 (95 % {said[1]} .. {said[2]}, one seed)" in text
    )
    written = round(planted.value * planted.num_items)
    assert f"written at {written} of {planted.num_items} unseen places" in text


def test_links_and_make_targets_exist() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_it_is_short() -> None:
    assert README.count("\n") <= 150
    assert (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").count("\n") <= 200
