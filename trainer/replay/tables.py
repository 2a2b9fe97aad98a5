"""Turns a report into tables of strings, the same ones for the terminal and for the page.

A table without rows is left out. It knows nothing of widths, colours or HTML.
"""

from dataclasses import dataclass

from trainer.replay.cells import (
    count,
    files,
    last_of_each,
    number,
    ordered,
    percent,
    percent_interval,
    percent_range,
    place,
    plain,
    short,
    with_interval,
)
from trainer.replay.config import FROZEN
from trainer.replay.records import POOLED, ReplayReport


@dataclass(frozen=True)
class Section:
    """A titled table. The first `num_text_columns` are words, the others numbers."""

    key: str  # what a page finds the plots of the same figures by
    title: str
    notes: tuple[str, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    num_text_columns: int = 2


def sections(report: ReplayReport) -> list[Section]:
    """Return every table that has rows, in the order in which they answer the question."""
    made = (
        closed_loop(report),
        thresholds(report),
        show_filter(report),
        by_seed(report),
        static_nights(report),
        strata(report),
        prequential(report),
        plant(report),
        gate(report),
        golden(report),
        cost(report),
    )
    return [section for section in made if section.rows]


def closed_loop(report: ReplayReport) -> Section:
    """Return arms in the closed-loop exam, at the frozen arm's number of suggestions."""
    records = ordered(report.find("exam_loop"))
    of_fewer_seeds = (
        "An arm of fewer seeds is compared with frozen's play of those, not with frozen's line.",
    )
    rows = [
        (
            *place(record),
            str(record.num_seeds),
            number(record, "retained_per_1000_at_frozen_rate", 1),
            with_interval(record, "delta_retained_per_1000", 1),
            percent(record, "shown_rate", 0),
            percent(record, "acceptance_rate", 1),
            number(record, "keystrokes_saved_per_1000", 1),
            percent(record, "correct_rejection_rate", 1),
            count(record, "shown_rate"),
        )
        for record in records
    ]
    return Section(
        "closed_loop",
        "Closed-loop exam",
        (
            "Retained characters per 1,000 of true text at the frozen arm's number of shown "
            "suggestions (the surest), and the difference to frozen with its 95 % interval. The "
            "other columns are as played. Right: the share of rejections whose offer was right.",
            *(of_fewer_seeds if len({record.num_seeds for record in records}) > 1 else ()),
        ),
        (
            "arm",
            "night",
            "seeds",
            "kept",
            "to frozen",
            "shown",
            "accepted",
            "keys",
            "right",
            "asked",
        ),
        tuple(rows),
    )


def thresholds(report: ReplayReport) -> Section:
    """Return acceptance with 21 % fewer suggestions than the frozen arm showed."""
    rows = [
        (
            *place(record),
            percent(record, "acceptance_rate_at_79", 1),
            percent_interval(record, "relative_acceptance_at_79"),
            percent_interval(record, "relative_acceptance_both_at_79"),
        )
        for record in ordered(report.find("exam_loop"))
        if "relative_acceptance_at_79" in record.metrics
    ]
    return Section(
        "thresholds",
        "Acceptance with 21 % fewer suggestions",
        ("Relative to frozen showing all of its suggestions, and as few as the arm.",),
        ("arm", "night", "accepted", "to frozen with all", "to frozen with as few"),
        tuple(rows),
    )


def show_filter(report: ReplayReport) -> Section:
    """Return what the loop's show filter does with 21 % fewer suggestions than frozen showed."""
    rows = [
        (
            *place(record),
            percent_interval(record, "relative_acceptance_filtered_at_79"),
            percent(record, "retained_share_filtered_at_79", 0),
        )
        for record in ordered(report.find("exam_loop"))
        if "relative_acceptance_filtered_at_79" in record.metrics
    ]
    return Section(
        "show_filter",
        "The same, chosen by the loop's show filter instead of by confidence",
        (
            "Acceptance relative to frozen showing all of its suggestions, and the share of the "
            "characters kept that is left.",
        ),
        ("arm", "night", "to frozen with all", "kept left"),
        tuple(rows),
    )


def by_seed(report: ReplayReport) -> Section:
    """Return the headline of every code base and seed."""
    rows = [
        (
            short(record.codebase),
            "all" if record.seed is None else str(record.seed),
            record.arm,
            with_interval(record, "delta_retained_per_1000", 1),
            files(record, "delta_retained_per_1000"),
        )
        for record in report.records
        if record.split == "exam_loop" and record.arm == "loop" and record.codebase != POOLED
        if "delta_retained_per_1000" in record.metrics
    ]
    return Section(
        "by_seed",
        "The headline by code base and seed",
        (),
        ("code base", "seed", "arm", "kept to frozen per 1,000", "files"),
        tuple(rows),
        3,
    )


def static_nights(report: ReplayReport) -> Section:
    """Return arms at fixed positions, night by night."""
    rows = [
        (
            *place(record),
            number(record, "log_prob", 3),
            with_interval(record, "delta_log_prob", 3),
            percent(record, "exact_match", 1),
            number(record, "matched_characters_per_1000", 0),
            percent(record, "early_stop_rate", 0),
            percent(record, "run_on_rate", 0),
            count(record, "exact_match"),
        )
        for record in ordered(report.find("exam_static"))
    ]
    return Section(
        "static_nights",
        "Static exam, the same positions for every arm and night",
        ("Nats per token of the true text, and the difference to frozen with its 95 % interval.",),
        ("arm", "night", "nats", "to frozen", "exact", "chars", "early", "run-on", "places"),
        tuple(rows),
    )


def strata(report: ReplayReport) -> Section:
    """Return the static exam of the last night by stratum."""
    found = {record.stratum for record in report.records if record.split == "exam_static"}
    records = [
        record
        for stratum in sorted(found - {"all"})
        for record in last_of_each(report.find("exam_static", stratum=stratum))
    ]
    rows = [
        (
            record.stratum,
            record.arm,
            with_interval(record, "delta_log_prob", 3),
            percent_interval(record, "delta_exact_match", unit=""),
            count(record, "exact_match"),
        )
        for record in records
    ]
    return Section(
        "strata",
        "Static exam by stratum, last night, to frozen",
        (
            "Seen: the line and the one above it stand in a file outside the exam, at the end or "
            "on some day.",
        ),
        ("stratum", "arm", "nats", "exact matches, points", "places"),
        tuple(rows),
    )


def prequential(report: ReplayReport) -> Section:
    """Return each day's own lines, measured before that night trained on them."""
    rows = [
        (
            *place(record),
            with_interval(record, "delta_log_prob", 3),
            percent_interval(record, "delta_exact_match", unit=""),
            count(record, "exact_match"),
            percent(record, "shown_rate", 0),
            percent(record, "acceptance_rate", 1),
            number(record, "retained_per_1000", 1),
        )
        for record in ordered(report.find("prequential"))
        if record.arm != FROZEN
    ]
    return Section(
        "prequential",
        "Each day before its night, to frozen",
        (
            "The day's own lines, before any training on them; a day without figures was typed "
            "with the base. Shown, accepted and kept per 1,000: as lived; every day is other text.",
        ),
        ("arm", "day", "nats", "exact, points", "places", "shown", "accepted", "kept"),
        tuple(rows),
    )


def plant(report: ReplayReport) -> Section:
    """Return how often the planted convention and its sister are written."""
    found = {record.stratum for record in report.records if record.split == "plant"}
    rows = [
        (
            record.stratum,
            *place(record),
            percent(record, "exact_match", 1),
            percent_range(record, "exact_match"),
            count(record, "exact_match"),
        )
        for stratum in sorted(found)
        for record in ordered(report.find("plant", stratum=stratum))
    ]
    return Section(
        "plant",
        "Planted convention: how often it is followed",
        ("The sister was not planted and must stay flat. Visible: it stands in the prompt.",),
        ("stratum", "arm", "night", "written", "95 %", "places"),
        tuple(rows),
        3,
    )


def gate(report: ReplayReport) -> Section:
    """Return what the gate said of every night and of every offline arm."""
    rows = [
        (
            short(f"{night.codebase} {night.seed}"),
            night.arm,
            str(night.night),
            night.verdict,
            " ".join(reason if reason.endswith(".") else f"{reason}." for reason in night.reasons),
        )
        for night in report.nights
    ]
    header = ("code base, seed", "arm", "night", "verdict", "reasons")
    return Section("gate", "The gate's decisions", (), header, tuple(rows), 5)


def golden(report: ReplayReport) -> Section:
    """Return what the standard library lost."""
    rows = [
        (
            *place(record),
            with_interval(record, "delta_log_prob", 3),
            percent(record, "exact_match", 1),
            percent_interval(record, "delta_exact_match", unit=""),
            count(record, "exact_match"),
        )
        for record in ordered(report.find("golden"))
    ]
    return Section(
        "golden",
        "Golden set (standard library), to frozen",
        (),
        ("arm", "night", "nats", "exact", "exact matches, points", "items"),
        tuple(rows),
    )


def cost(report: ReplayReport) -> Section:
    """Return what was timed and counted, per code base and as the mean over seeds, by night."""
    told: dict[tuple[str, str, str], list[str]] = {}
    for codebase in report.codebases:
        for record in ordered(report.find("cost", codebase=codebase)):
            for name, metric in record.metrics.items():
                row = told.setdefault((short(codebase), record.arm, name.replace("_", " ")), [])
                row.append(f"{record.night}: {plain(metric)}")
    rows = tuple((*what, "   ".join(values)) for what, values in told.items())
    header = ("code base", "arm", "what", "by night (0: before the first)")
    return Section("cost", "Cost", ("Means over seeds; times in seconds.",), header, rows, 4)
