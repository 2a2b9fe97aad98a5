"""Records out of scores, JSON and back, pooling of code bases, and the table of plain text."""

import json
from dataclasses import replace
from typing import Any

import pytest
from synthetic_replay import loop_run, report, scores

from trainer.replay.headline import BIASES, headline, sentences
from trainer.replay.measures import LoopRun
from trainer.replay.records import Metric, NightResult, Record, ReplayReport
from trainer.replay.report import WIDTH, merge, table
from trainer.replay.tabulate import Place, cost_records, curves_of, loop_records, static_records

EMPTY = ReplayReport({}, ())


@pytest.fixture(scope="module")
def rich() -> ReplayReport:
    return report("rich")


@pytest.fixture(scope="module")
def merged(rich: ReplayReport) -> ReplayReport:
    return merge([rich, report("werkzeug")])


def only(records: list[Record], **wanted: Any) -> Record:
    """The one record that has all of `wanted`."""
    found = [r for r in records if all(getattr(r, k) == v for k, v in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


def test_every_seed_has_a_record_and_so_have_all_seeds_together(rich: ReplayReport) -> None:
    found = [
        (r.seed, r.num_seeds) for r in rich.records
        if (r.arm, r.split, r.night, r.stratum) == ("loop", "exam_static", 3, "unseen")
    ]  # fmt: skip
    assert found == [(1, 1), (2, 1), (None, 2)]
    nights = [r.night for r in rich.find("exam_static", "loop")]
    assert nights == [1, 2, 3, 4, 5]
    assert {s for r in rich.records if r.split == "exam_static" for s in [r.stratum]} == {
        "all", "seen_in_training", "unseen",
    }  # fmt: skip


def test_arms_are_paired_with_frozen_of_the_same_seed_or_of_none() -> None:
    gains = {("frozen", 1): 0.0, ("frozen", 2): 0.4, ("loop", 1): 0.5, ("loop", 2): 0.5}
    results = {
        Place("c", arm, seed, 1 if arm == "loop" else 0, "exam_static"): scores("same", gain)
        for (arm, seed), gain in gains.items()
    }
    records = static_records(results)
    one, two = (only(records, arm="loop", seed=s, stratum="unseen") for s in (1, 2))
    assert one.metrics["delta_log_prob"].value > two.metrics["delta_log_prob"].value + 0.3
    assert "delta_log_prob" not in only(records, arm="frozen", seed=1, stratum="all").metrics


def test_the_rival_is_compared_only_where_the_same_seed_has_it() -> None:
    results = {
        Place("c", arm, seed, 5, "exam_loop"): loop_run(f"{arm}{seed}", 0.1)
        for arm, seed in (("frozen", 1), ("frozen", 2), ("loop", 1), ("loop", 2), ("code_sft", 1))
    }
    records = loop_records(results)
    rival = "over_code_sft_retained_per_1000"
    assert rival in only(records, arm="loop", seed=1).metrics
    assert rival not in only(records, arm="loop", seed=2).metrics
    assert rival in only(records, arm="loop", seed=None).metrics
    assert len(curves_of(results)) == 5


def test_without_a_frozen_arm_there_is_no_difference() -> None:
    records = loop_records({Place("c", "loop", 1, 5, "exam_loop"): loop_run("x", 0.1)})
    assert "retained_per_1000" in records[0].metrics
    assert not any("delta" in name or "frozen" in name for name in records[0].metrics)


def test_an_arm_that_was_never_asked_is_a_record_without_metrics() -> None:
    place = Place("c", "loop", 1, 5, "exam_loop")
    assert loop_records({place: LoopRun((), {})})[0].metrics == {}
    assert static_records({replace(place, split="exam_static"): []}) == []


def test_sister_places_are_no_planted_ones(rich: ReplayReport) -> None:
    last = {r.stratum: r.metrics["exact_match"] for r in rich.records
            if r.split == "plant" and r.night == 5 and r.seed is None}  # fmt: skip
    assert last.keys() == {"planted", "sister", "visible", "not_visible"}
    assert last["visible"].num_items + last["not_visible"].num_items == 120
    assert last["planted"].value > 0.6 > 0.1 > last["sister"].value


def test_costs_are_means_over_seeds_without_interval() -> None:
    records = cost_records(
        {Place("c", "loop", s, 1, "cost"): {"training_seconds": 10.0 * s} for s in (1, 2)}
    )
    mean = only(records, seed=None).metrics["training_seconds"]
    assert (mean.value, mean.low, mean.high, mean.num_items) == (15.0, None, None, 2)


def test_json_and_back(merged: ReplayReport) -> None:
    text = merged.to_json()
    again = ReplayReport.from_json(text)
    assert again.to_json() == text
    assert table(again) == table(merged)
    assert again.nights == merged.nights
    assert again.codebases == ("rich", "werkzeug")


def test_json_has_plain_numbers_of_six_digits_and_one_record_a_line(rich: ReplayReport) -> None:
    text = rich.to_json()

    def refused(name: str) -> None:
        pytest.fail(f"{name} is no JSON")

    values = json.loads(text, parse_constant=refused)
    assert values["about"]["seconds"] == 1234.57
    assert len(values["records"]) == len(rich.records)
    assert sum(line.startswith('{"codebase"') for line in text.splitlines()) > len(rich.records)
    metric = values["records"][0]["metrics"]["log_prob"]
    assert metric.keys() == {"value", "low", "high", "num_items", "num_files"}
    assert metric["value"] == float(f"{metric['value']:.6g}")


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        ReplayReport({"seconds": float("nan")}, ()).to_json()


def test_pooling_from_files_on_disk_is_pooling_at_once(merged: ReplayReport) -> None:
    apart = [ReplayReport.from_json(report(n).to_json()) for n in ("rich", "werkzeug")]
    again = merge(apart)
    ours, theirs = merged.last("exam_loop", "loop"), again.last("exam_loop", "loop")
    assert ours is not None
    assert theirs is not None
    for name, metric in ours.metrics.items():
        other = theirs.metrics[name]
        assert (metric.value, metric.low, metric.high) == pytest.approx(
            (other.value, other.low, other.high), rel=1e-6, abs=1e-6
        )


def test_pooled_clusters_are_files_of_their_code_base(
    rich: ReplayReport, merged: ReplayReport
) -> None:
    alone, pooled = (r.last("exam_loop", "loop") for r in (rich, merged))
    assert alone is not None
    assert pooled is not None
    name = "delta_retained_per_1000"
    assert pooled.metrics[name].num_files == 2 * alone.metrics[name].num_files == 28
    assert merged.scope == "pooled"
    assert "rich: only 14 exam files" in merged.shortfalls


def test_the_same_code_base_twice_and_none_at_all_are_refused(rich: ReplayReport) -> None:
    with pytest.raises(ValueError, match="'rich'"):
        merge([rich, rich])
    with pytest.raises(ValueError, match="no report"):
        merge([])
    assert merge([rich]) is rich


def until_night(found: ReplayReport, last: int) -> ReplayReport:
    """A report of a code base too small for more than `last` nights, with the same last one."""
    by_day = [r for r in found.records if r.split in ("prequential", "cost") and r.night <= last]
    others = [r for r in found.records if r.split not in ("prequential", "cost")]
    ended = [replace(r, night=last) for r in others if r.night == 5]
    return replace(found, records=(*(r for r in others if r.night < last), *ended, *by_day))


def test_code_bases_with_fewer_nights_are_pooled_where_they_meet(rich: ReplayReport) -> None:
    both = merge([rich, until_night(report("werkzeug"), 3)])
    assert [r.night for r in both.find("exam_static", "loop")] == [1, 2, 3, 5]
    assert [r.night for r in both.find("prequential", "loop")] == [1, 2, 3]
    assert any(
        "(rich 5, werkzeug 3): each code base's own last night is pooled as night 5" in s
        for s in both.shortfalls
    )


def test_fewer_nights_take_nothing_from_what_is_measured_after_the_last(
    rich: ReplayReport, merged: ReplayReport
) -> None:
    both = merge([rich, until_night(report("werkzeug"), 3)])
    assert headline(both) == headline(merged)
    for split in ("exam_static", "exam_loop", "golden", "plant"):
        ours, full = (
            {(r.arm, r.stratum): r.metrics for r in found.records
             if r.codebase == "pooled" and r.split == split and r.night in (0, 5)}
            for found in (both, merged)
        )  # fmt: skip
        assert ours == full
        assert full


def with_headline(value: float, low: float | None, high: float | None) -> ReplayReport:
    metric = Metric(value, low, high, 300, 24)
    record = Record("rich", "loop", None, 5, "exam_loop", "all", {}, 2)
    return ReplayReport(
        {}, (replace(record, metrics={"delta_retained_per_1000": metric,
                                      "over_code_sft_retained_per_1000": metric}),)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "low", "high", "said", "rival"),
    [
        (12.3, 4.1, 20.5, "The loop recovers what this code prefers: +12.3 retained characters per "
         "1,000 typed (95 % +4.1 .. +20.5, 24 files, 2 seeds) on rich.", "The loop beats code_sft"),
        (2.0, -1.0, 5.0, "No gain shown: +2.0", "The loop does not beat code_sft"),
        (-9.0, -12.0, -6.0, "The loop does harm: -9.0", "The loop does not beat code_sft"),
        (9.0, None, None, "No gain shown: +9.0", "The loop does not beat code_sft"),
    ],
)  # fmt: skip
def test_the_headline_says_what_the_interval_says(
    value: float, low: float | None, high: float | None, said: str, rival: str
) -> None:
    found = with_headline(value, low, high)
    assert headline(found).startswith(said)
    assert any(sentence.startswith(rival) for sentence in sentences(found))


def test_what_a_base_can_only_do_as_before_is_not_claimed(rich: ReplayReport) -> None:
    kept = tuple(replace(night, promoted=False) for night in rich.nights)
    told = " ".join(sentences(replace(rich, nights=kept)))
    assert "The gate promoted nothing" in told
    for claim in ("No regression is shown", "forgotten", "Forgetting", "fewer suggestions"):
        assert claim not in told
    assert "fewer suggestions" in " ".join(sentences(rich))


def test_it_is_told_whether_the_gate_refused_the_controls() -> None:
    def after(*verdicts: tuple[str, str, bool]) -> str:
        nights = (NightResult("c", 1, 5, v, p, (), arm=arm) for arm, v, p in verdicts)
        return " ".join(sentences(replace(EMPTY, nights=tuple(nights))))

    refused, unsure = ("flipped", "not better", False), ("mispaired", "not enough evidence", False)
    assert "refused 1, and had too few positions to judge 1." in after(refused, unsure)
    assert "the gate refused 2." in after(refused, refused)
    through = after(refused, ("mispaired", "promote", True))
    assert "let through what it must refuse: mispaired on c." in through
    assert "controls" not in after(("sft_chosen", "promote", True))


def test_what_only_some_code_bases_have_is_named(rich: ReplayReport) -> None:
    other = report("werkzeug")
    fewer = tuple(record for record in other.records if record.arm != "ngram")
    told = merge([rich, replace(other, records=fewer)]).shortfalls[-1]
    assert told.startswith("Not pooled, since some code base lacks them: ngram.")


def test_an_arm_of_fewer_seeds_says_so(merged: ReplayReport) -> None:
    note = "An arm of fewer seeds is compared with frozen's play of those"
    assert note in table(merged)
    alike = [replace(record, num_seeds=1) for record in merged.records]
    assert note not in table(replace(merged, records=tuple(alike)))


def test_what_the_gate_held_back_is_told_beside_the_headline() -> None:
    kept, over = Metric(28.3, 7.7, 48.9, 300, 27), Metric(1.5, -3.0, 6.0, 300, 27)
    metrics = {"delta_retained_per_1000": kept, "over_code_sft_retained_per_1000": over}
    report = ReplayReport({}, (Record("rich", "ungated", None, 5, "exam_loop", "all", metrics),))
    assert (
        "Without the gate, which let nothing through, it would have been +28.3 retained characters "
        "per 1,000 typed (95 % +7.7 .. +48.9, 27 files), +1.5 over code_sft (95 % -3.0 .. +6.0)."
    ) in sentences(report)


def test_a_gate_that_wanted_more_evidence_is_no_verdict_on_the_loop(rich: ReplayReport) -> None:
    assert not any("held-out positions" in sentence for sentence in sentences(rich))
    unsure = [
        replace(night, promoted=False, verdict="not enough evidence") if night.seed == 2 else night
        for night in rich.nights
    ]
    told = " ".join(sentences(replace(rich, nights=tuple(unsure))))
    assert "In 1 of 2 seasons (a code base and a seed) the gate wanted more held-out" in told
    refused = [replace(night, promoted=False, verdict="not better") for night in rich.nights]
    told = " ".join(sentences(replace(rich, nights=tuple(refused))))
    assert "held-out positions" not in told


def test_what_was_not_measured_is_said(rich: ReplayReport) -> None:
    assert headline(EMPTY).startswith("No gain shown")
    assert "The loop was not compared with code_sft." in sentences(EMPTY)
    rejected = replace(rich, nights=tuple(replace(n, promoted=False) for n in rich.nights))
    assert "promoted nothing in 10 nights" in " ".join(sentences(rejected))


def test_a_rise_in_faults_is_named(rich: ReplayReport) -> None:
    worse = Metric(0.05, 0.02, 0.08, 400, 20)
    records = tuple(
        replace(r, metrics={**r.metrics, "delta_run_on_rate": worse}) for r in rich.records
    )
    told = " ".join(sentences(replace(rich, records=records)))
    assert "Regressions at fixed positions: run-on rate +5.0 points (95 % +2.0 .. +8.0)" in told
    assert "No regression is shown" in " ".join(sentences(rich))


@pytest.mark.parametrize("which", ["rich", "merged"])
def test_the_table_fits_and_says_everything(which: str, request: pytest.FixtureRequest) -> None:
    found: ReplayReport = request.getfixturevalue(which)
    text = table(found)
    lines = text.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert lines[0].startswith("The loop recovers what this code prefers: +")
    flat = " ".join(text.split())
    assert all(bias in flat for bias in BIASES)
    for title in ("Closed-loop exam", "Static exam,", "Static exam by stratum", "Each day before",
                  "Planted convention", "The gate's decisions", "Golden set", "Cost",
                  "What falls short", "Acceptance with 21 % fewer"):  # fmt: skip
        assert any(line.startswith(title) for line in lines), title


def test_a_long_name_and_a_long_reason_still_fit(rich: ReplayReport) -> None:
    name = "a-code-base-with-a-name-that-goes-on-and-on"
    nights = tuple(replace(n, codebase=name, reasons=("word " * 60,)) for n in rich.nights)
    records = tuple(replace(r, codebase=name) for r in rich.records)
    text = table(replace(rich, nights=nights, records=records))
    assert max(map(len, text.splitlines())) <= WIDTH


def test_an_empty_report_is_a_short_table() -> None:
    text = table(EMPTY)
    assert "Closed-loop exam" not in text
    assert "Known biases" in text
