"""The README says what the committed measurements say, and names only what exists."""

import json
import re
from pathlib import Path

from trainer.replay.headline import sentences
from trainer.replay.records import ReplayReport
from trainer.replay.report import merge

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
    told = (ROOT / "benchmarks/results/replay_6-days.txt").read_text(encoding="utf-8")
    quoted = " ".join(re.findall(r"^> (.+)$", README, re.MULTILINE))
    assert len(quoted) > 100
    assert quoted in " ".join(told.split())


def test_where_nothing_was_gained_after_six_days_is_said() -> None:
    alone = said(report_of("rich_6-days"), "exam_loop", "delta_retained_per_1000", "+.1f", ", ")
    assert f"On `rich` alone no gain is shown ({alone})" in " ".join(README.split())


def report_of(name: str) -> ReplayReport:
    """Return the committed replay of a package."""
    path = ROOT / f"benchmarks/results/replay_{name}.json"
    return ReplayReport.from_json(path.read_text(encoding="utf-8"))


def said(
    report: ReplayReport, split: str, metric: str, form: str, between: str, arm: str = "loop"
) -> str:
    """Return a figure of an arm's last night as the README writes it, its interval behind."""
    record = report.last(split, arm)
    assert record is not None
    gain = record.metrics[metric]
    assert gain.low is not None
    assert gain.high is not None
    value, low, high = (f"{one:{form}}" for one in (gain.value, gain.low, gain.high))
    return f"{value}{between}95 % {low} .. {high}"


def test_what_it_says_of_five_days_is_what_was_measured() -> None:
    text = " ".join(README.split())
    reports = {name: report_of(name) for name in ("rich", "werkzeug", "starlette")}
    headline = "exam_loop", "delta_retained_per_1000", "+.1f"
    pooled = merge(list(reports.values()))
    assert f"no gain is shown ({said(pooled, *headline, ', ')};" in text
    (waiting,) = (s for s in sentences(pooled) if "wanted more held-out positions" in s)
    assert " ".join(waiting.split()[:5]).lower() in text  # in 4 of 6 seasons
    for name in ("werkzeug", "rich"):
        kept = said(reports[name], *headline, " (")
        assert re.search(rf"`{name}` (alone it was )?{re.escape(kept)}\)", text)
    kept = said(reports["starlette"], *headline, " (", "ungated")
    ungated = reports["starlette"].last("exam_loop", "ungated")
    assert ungated is not None
    accepted = ungated.metrics["relative_acceptance_at_79"].value
    assert f"would have kept {kept}, one seed), with {100 * accepted:+.0f} % acceptance" in text


def test_no_gain_over_the_rival_is_claimed_and_none_was_measured() -> None:
    assert "No gain over training on the saved files alone is shown anywhere." in README
    names = [p.stem.removeprefix("replay_") for p in ROOT.glob("benchmarks/results/replay_*.json")]
    reports = [report for report in map(report_of, names) if not report.about["settings"]["plant"]]
    assert len(reports) >= 6
    for report in reports:
        record = report.last("exam_loop", "loop")
        assert record is not None
        over = record.metrics["over_code_sft_retained_per_1000"]
        assert over.low is not None
        assert over.low <= 0, report.about["source"]


def test_what_it_says_of_the_rival_after_five_days_is_what_was_measured() -> None:
    pooled = merge([report_of(name) for name in ("rich", "werkzeug", "starlette")])
    behind = said(pooled, "exam_loop", "over_code_sft_retained_per_1000", "+.1f", ", ")
    assert f"After five days the loop is behind it ({behind}; one seed)" in " ".join(README.split())


def planted_places(report: ReplayReport, arm: str) -> tuple[int, int]:
    """Return at how many places an arm's last night wrote what was planted, and of how many."""
    planted = report.find("plant", arm, stratum="planted")[-1].metrics["exact_match"]
    return round(planted.value * planted.num_items), planted.num_items


def test_what_it_says_of_a_planted_convention_is_what_was_measured() -> None:
    report = report_of("rich_house-log")
    kept = said(
        report, "exam_loop", "delta_retained_per_1000", "+.1f", " retained characters per 1,000 ("
    )
    text = " ".join(README.split())
    assert f"{kept}, one seed)" in text
    written, places = planted_places(report, "loop")
    assert f"written at {written} of {places} unseen places" in text
    assert planted_places(report, "frozen")[0] == 0
    helper = report_of("rich_renamed-helper")
    written, places = planted_places(helper, "loop")
    before, _ = planted_places(helper, "frozen")
    assert f"{written} of {places} unseen places, where the base wrote {before}." in text


def test_links_and_make_targets_exist() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_it_is_short() -> None:
    assert README.count("\n") <= 150
    assert (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").count("\n") <= 200
