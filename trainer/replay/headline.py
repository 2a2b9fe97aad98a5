"""Turns a report into the few sentences that answer it, and the biases that always stand beside.

Whatever the numbers are, the sentence says what they are: a gain, no gain shown, or harm. It knows
nothing of tables or pages.
"""

from collections import defaultdict

from trainer.gate import Verdict
from trainer.replay.config import CODE_SFT, CONTROLS, FROZEN, LOOP, UNGATED
from trainer.replay.loop_measures import FEWER_SHARE
from trainer.replay.records import POOLED, Metric, NightResult, Record, ReplayReport, Split
from trainer.replay.tabulate import RIVAL_PREFIX

HEADLINE = "delta_retained_per_1000"
RETAINED = "retained characters per 1,000 typed"
PUBLISHED_GAIN = 0.28  # in acceptance, with 21 % fewer suggestions: the best published figure
MAX_GOLDEN_LOSS = 0.02  # of exact matches on the golden set

_RIVALRY: tuple[tuple[Split, str, str, int], ...] = (
    ("exam_loop", "retained_per_1000", RETAINED, 1),
    ("exam_static", "log_prob", "nats per token in the static exam", 3),
)
_FAULTS = {"delta_run_on_rate": "run-on rate", "delta_early_stop_rate": "early-stop rate"}

BIASES = (
    "The target text is fixed: a valid alternative that the author did not write counts as wrong.",
    "Commits are not keystrokes, and retyping removed bodies is not writing: real typing wanders.",
    "Acceptance is a text match near the training target, so part of a gain is tautological.",
    "The typist is simulated. Nothing here says what developers would accept.",
    "Suggestions dropped to reach the frozen arm's shown rate count as nothing retained, although "
    "other offers would have followed: to the disadvantage of the arm that shows more.",
    "Intervals are over files, for these seeds and these code bases; what another seed would train "
    "is not in them.",
)
CLAIM = (
    "What a gain may be called: the loop recovers what this code prefers. Never: developers accept "
    "so many per cent more."
)


def headline(report: ReplayReport) -> str:
    """Return the answer in one sentence: loop against frozen, in the closed-loop exam."""
    record = report.last("exam_loop", LOOP)
    metric = record.metrics.get(HEADLINE) if record else None
    if record is None or metric is None:
        return "No gain shown: the loop and the frozen arm have no closed-loop exam in common."
    said = f"{metric.value:+.1f} {RETAINED} ({_evidence(record, metric, 1)}) {_where(report)}"
    if metric.low is None or metric.high is None:
        return f"No gain shown: {said}; one file gives no interval."
    if metric.low > 0:
        return f"The loop recovers what this code prefers: {said}."
    if metric.high < 0:
        return f"The loop does harm: {said}."
    return f"No gain shown: {said}; the interval includes 0."


def sentences(report: ReplayReport) -> list[str]:
    """Return what else the issue asks to be said plainly, one sentence each, if it was measured."""
    said = (
        _promotions(report),
        _wanting(report),
        _rival(report),
        _ungated(report),
        *((_published(report), _faults(report), _golden(report)) if _has_served(report) else ()),
        _controls(report),
    )
    return [sentence for sentence in said if sentence is not None]


def _has_served(report: ReplayReport) -> bool:
    """Tell whether the loop ever was more than the base: of a base there is nothing to regress."""
    nights = [night for night in report.nights if night.arm == LOOP]
    return not nights or any(night.promoted for night in nights)


def interval(metric: Metric, digits: int, unit: str = "", scale: float = 1.0) -> str:
    """Return "+4.1 .. +20.5", or "no interval" where there is none."""
    if metric.low is None or metric.high is None:
        return "no interval"
    return f"{metric.low * scale:+.{digits}f} .. {metric.high * scale:+.{digits}f}{unit}"


def _promotions(report: ReplayReport) -> str | None:
    nights = [night for night in report.nights if night.arm == LOOP]
    if not nights:
        return None
    promoted = sum(night.promoted for night in nights)
    if not promoted:
        return f"The gate promoted nothing in {len(nights)} nights: the loop arm is the base."
    return f"The gate promoted or refreshed in {promoted} of {len(nights)} nights."


def _wanting(report: ReplayReport) -> str | None:
    """Say where the loop stayed the base for want of evidence: that is no verdict on the loop."""
    seasons: dict[tuple[str, int], list[NightResult]] = defaultdict(list)
    for night in report.nights:
        if night.arm == LOOP:
            seasons[night.codebase, night.seed].append(night)
    wanting = sum(
        nights[-1].verdict == Verdict.NOT_ENOUGH_EVIDENCE and not any(n.promoted for n in nights)
        for nights in seasons.values()
    )
    if not wanting:
        return None
    return (
        f"In {wanting} of {_count(len(seasons), 'season')} (a code base and a seed) the gate "
        "wanted more held-out positions to the end, and the loop stayed the base: more days "
        "(--days) may tell."
    )


def _rival(report: ReplayReport) -> str | None:
    """Say whether the loop beats code-SFT: by the closed-loop exam, else by the static one."""
    for split, name, what, digits in _RIVALRY:
        record = report.last(split, LOOP)
        metric = record.metrics.get(RIVAL_PREFIX + name) if record else None
        if record is None or metric is None:
            continue
        beats = metric.low is not None and metric.low > 0
        verdict = "beats" if beats else "does not beat"
        rival = report.last(split, CODE_SFT)
        evidence = _evidence(rival or record, metric, digits)
        return f"The loop {verdict} {CODE_SFT}: {metric.value:+.{digits}f} {what} ({evidence})."
    return f"The loop was not compared with {CODE_SFT}."


def _ungated(report: ReplayReport) -> str | None:
    """Say what the loop would have kept where the gate let nothing through."""
    record = report.last("exam_loop", UNGATED)
    metric = record.metrics.get(HEADLINE) if record else None
    if record is None or metric is None:
        return None
    said = f"{metric.value:+.1f} {RETAINED} ({_evidence(record, metric, 1, seeds=False)})"
    rival = record.metrics.get(f"{RIVAL_PREFIX}retained_per_1000")
    over = f", {rival.value:+.1f} over {CODE_SFT} (95 % {interval(rival, 1)})" if rival else ""
    return f"Without the gate, which let nothing through, it would have been {said}{over}."


def _published(report: ReplayReport) -> str | None:
    record, frozen = (report.last("exam_loop", arm) for arm in (LOOP, FROZEN))
    ours = record.metrics.get("relative_acceptance_at_79") if record else None
    if record is None or ours is None:
        return None
    alone = frozen.metrics.get("relative_acceptance_at_79") if frozen else None
    said = (
        f"With {100 * (1 - FEWER_SHARE):.0f} % fewer suggestions than frozen showed (the surest), "
        f"the loop's acceptance rate is {_percent(ours)} relative to frozen's "
        f"(95 % {interval(ours, 0, ' %', 100)})"
    )
    if alone is not None:
        said += f"; the threshold alone gives frozen {_percent(alone)}"
    filtered = record.metrics.get("relative_acceptance_filtered_at_79")
    if filtered is not None:
        said += (
            f"; with its show filter it is {_percent(filtered)} "
            f"(95 % {interval(filtered, 0, ' %', 100)})"
        )
    return f"{said}. The best published figure is +{100 * PUBLISHED_GAIN:.0f} %."


def _faults(report: ReplayReport) -> str | None:
    """Name the faults that became more frequent at fixed positions, beyond chance."""
    record = report.last("exam_static", LOOP)
    told = (
        {name: record.metrics[name] for name in _FAULTS if name in record.metrics} if record else {}
    )
    if not told:
        return None
    worse = [
        f"{_FAULTS[name]} {100 * metric.value:+.1f} points (95 % {interval(metric, 1, scale=100)})"
        for name, metric in told.items()
        if metric.low is not None and metric.low > 0
    ]
    if worse:
        return f"Regressions at fixed positions: {'; '.join(worse)}."
    return "No regression is shown in run-on or early-stop rates at fixed positions."


def _golden(report: ReplayReport) -> str | None:
    record = report.last("golden", LOOP)
    metric = record.metrics.get("delta_exact_match") if record else None
    if metric is None:
        return None
    holds = metric.low is not None and metric.low > -MAX_GOLDEN_LOSS
    verdict = "Nothing much is forgotten" if holds else "Forgetting is not ruled out"
    return (
        f"{verdict}: golden set {metric.value * 100:+.1f} points of exact matches "
        f"(95 % {interval(metric, 1, scale=100)}, {metric.num_items} items; "
        f"the limit is {-100 * MAX_GOLDEN_LOSS:.0f})."
    )


def _controls(report: ReplayReport) -> str | None:
    """Say whether the gate refused what was made wrong on purpose."""
    judged = [night for night in report.nights if night.arm in CONTROLS]
    if not judged:
        return None
    let_through = sorted({f"{n.arm} on {n.codebase}" for n in judged if n.promoted})
    if let_through:
        return f"The gate let through what it must refuse: {', '.join(let_through)}."
    unsure = sum(night.verdict == Verdict.NOT_ENOUGH_EVIDENCE for night in judged)
    names = " and ".join(arm for arm in CONTROLS if any(night.arm == arm for night in judged))
    wanting = f", and had too few positions to judge {unsure}" if unsure else ""
    return (
        f"Of {_count(len(judged), 'control')} ({names}: feedback made wrong on purpose) the gate "
        f"refused {len(judged) - unsure}{wanting}."
    )


def _evidence(record: Record, metric: Metric, digits: int, seeds: bool = True) -> str:
    told = [f"95 % {interval(metric, digits)}", _count(metric.num_files, "file")]
    return ", ".join(told + ([_count(record.num_seeds, "seed")] if seeds else []))


def _percent(metric: Metric) -> str:
    return f"{100 * metric.value:+.0f} %"


def _where(report: ReplayReport) -> str:
    if report.scope != POOLED:
        return f"on {report.scope}"
    return f"pooled over {', '.join(report.codebases)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
