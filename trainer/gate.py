"""Turns a candidate's report into a decision: promote, or keep what is live, with reasons.

The primary measure is the mean log-probability per token of the settled text at held-out
positions, candidate minus live, clustered by file (design, section 5). Preference accuracy is
reported, never gated: random noise scores .55 on it and mispaired text .71. "Not enough evidence"
is an answer of its own and names what is missing. Pure: it measures nothing and promotes nothing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

from trainer.bounds import Estimate, clustered_mean, clustered_ratio
from trainer.report import ArmScore, PositionScore, Report

MAX_TOKENS = 16


@dataclass(frozen=True)
class GateConfig:
    """Thresholds. Nats are per token; rates and shares are fractions."""

    min_positions: int = 150
    min_files: int = 8
    min_gain_nats: float = 0.02  # the lower bound must exceed this
    confidence: float = 0.99
    refresh_confidence: float = 0.90  # a later night of the same recipe: estimate positive, ...
    refresh_floor_nats: float = -0.03  # ... this bound exceeded ...
    min_share_new: float = 0.05  # ... and so many of its rows not in what is live
    guard_confidence: float = 0.90
    max_matched_loss: float = 0.05  # of the live arm's matched characters
    max_run_on_increase: float = 0.05
    max_early_stop_increase: float = 0.05
    max_parse_loss: float = 0.05
    max_latency_ratio: float = 1.5
    golden_confidence: float = 0.95
    max_golden_loss_nats: float = 0.15


@dataclass(frozen=True)
class LiveArm:
    """What serves now: None is the bare base. `recipe` names how it was made.

    `share_new` is the share of the candidate's training rows that the live adapter was not made
    from. Nought: the same data with another seed, which has nothing to refresh.
    """

    sha256: str | None = None
    recipe: str | None = None
    share_new: float = 0.0


@dataclass(frozen=True)
class Control:
    """An adapter that must fail (flipped or mispaired labels), measured like the candidate."""

    name: str
    report: Report


class Verdict(StrEnum):
    """What the gate says."""

    PROMOTE = "promote"
    REFRESH = "refresh"
    NOT_ENOUGH_EVIDENCE = "not enough evidence"
    NOT_BETTER = "not better"
    GUARDRAIL = "guardrail"


@dataclass(frozen=True)
class Decision:
    """The gate's answer. Counts of missing evidence are 0 where evidence is not what is missing."""

    verdict: Verdict
    reasons: tuple[str, ...]
    positions_still_needed: int = 0
    files_still_needed: int = 0
    numbers: dict[str, float | None] = field(default_factory=dict)

    @property
    def promote(self) -> bool:
        return self.verdict in (Verdict.PROMOTE, Verdict.REFRESH)


def decide(
    candidate: Report,
    live: LiveArm,
    controls: Sequence[Control] = (),
    *,
    recipe: str = "",
    config: GateConfig = GateConfig(),
) -> Decision:
    """Decide on a candidate made by `recipe` against what is live."""
    if refused := _not_measured(candidate):
        return refused
    primary = _primary(candidate)
    numbers = _numbers(candidate, primary, config)
    numbers["share_new"] = live.share_new if live.sha256 else None
    missing = missing_evidence(primary.num_items, primary.num_clusters, config)
    if missing is not None:
        return replace(missing, numbers=numbers)
    step = _primary_step(primary, live, recipe, config)
    if not step.promote:
        return replace(step, numbers=numbers)
    failures = [*_failed_guardrails(candidate, config), *_passing_controls(controls, config)]
    if failures:
        return Decision(Verdict.GUARDRAIL, (*failures, "Keep what is live."), numbers=numbers)
    return replace(step, numbers=numbers)


def missing_evidence(num_positions: int, num_files: int, config: GateConfig) -> Decision | None:
    """Return the answer of a gate with so few held-out positions, in so many files; None if enough.

    It is known before anything is trained.
    """
    positions = max(0, config.min_positions - num_positions)
    files = max(0, config.min_files - num_files)
    if not positions and not files:
        return None
    found = (
        f"{num_positions} held-out positions in {num_files} files; the gate needs "
        f"{config.min_positions} in {config.min_files}."
    )
    numbers: dict[str, float | None] = {"positions": num_positions, "files": num_files}
    return replace(_not_enough(positions, files, found), numbers=numbers)


def _not_measured(report: Report) -> Decision | None:
    """Refuse a candidate where a score of either arm is no number: such scores prove nothing."""
    for arm in ("candidate", "live"):
        scores: list[ArmScore] = [getattr(p, arm) for p in (*report.positions, *report.golden)]
        num_bad = sum(not math.isfinite(s.log_prob + s.expected_matched) for s in scores)
        if num_bad:
            whose = "candidate's" if arm == "candidate" else "live arm's"
            why = f"{num_bad} of {len(scores)} of the {whose} scores are not finite (NaN, infinite)"
            numbers: dict[str, float | None] = {"positions": len(report.positions)}
            told = (f"{why}: it cannot be compared.", "Keep what is live.")
            return Decision(Verdict.GUARDRAIL, told, numbers=numbers)
    return None


def _primary(report: Report) -> Estimate:
    """Return the mean difference per token: a text of one token says less than one of ten.

    A long block counts as `MAX_TOKENS` of its tokens, so that a few of them do not decide.
    """
    weighed = ((p, min(p.num_tokens, MAX_TOKENS)) for p in report.positions)
    items = ((p.file_key, p.delta_nats * weight, weight) for p, weight in weighed)
    return clustered_ratio(items) or clustered_mean(())


def _primary_step(primary: Estimate, live: LiveArm, recipe: str, config: GateConfig) -> Decision:
    """Ask for the full gain, or for less where the same recipe only learned more of the same."""
    bound, asked = primary.lower(config.confidence), config.min_gain_nats
    found = f"{_beside(primary.mean, asked)} nats per token against {live.sha256 or 'the base'}"
    sure = f"{config.confidence:.0%} bound {_beside(bound, asked)}"
    if bound > asked:
        return Decision(Verdict.PROMOTE, (f"Better: {found}, {sure} > {asked:+.3f}.",))
    if live.recipe == recipe and live.share_new >= config.min_share_new:
        refresh, floor = primary.lower(config.refresh_confidence), config.refresh_floor_nats
        if primary.mean > 0 and refresh > floor:
            sure = f"{config.refresh_confidence:.0%} bound {_beside(refresh, floor)} > {floor:+.3f}"
            return Decision(Verdict.REFRESH, (f"Refresh by the same recipe: {found}, {sure}.",))
    needed = primary.items_for(asked, config.confidence)
    if needed is None:
        why = f"Not better: {found}, at least {asked:+.3f} is asked for."
        return Decision(Verdict.NOT_BETTER, (why, "Keep what is live."))
    return _not_enough(max(1, needed - primary.num_items), 0, f"{found}, {sure}.")


def _not_enough(positions: int, files: int, found: str) -> Decision:
    spread = f" in {files} more files" if files else ""
    what = (
        f"{positions} more positions{spread} needed" if positions else f"{files} more files needed"
    )
    return Decision(
        Verdict.NOT_ENOUGH_EVIDENCE,
        (f"Not enough evidence, keep what is live: {what}.", found),
        positions_still_needed=positions,
        files_still_needed=files,
    )


def _failed_guardrails(report: Report, config: GateConfig) -> list[str]:
    """Return one sentence per guardrail that does not hold."""
    checks = (
        _matched_failure(report, config),
        *(_rise(report, trait, config) for trait in _traits(config)),
        _latency_failure(report, config),
        _golden_failure(report, config),
    )
    return [failure for failure in checks if failure is not None]


def _matched_failure(report: Report, config: GateConfig) -> str | None:
    """Matched characters must stay above (1 - loss) of the live arm's.

    Of answers drawn by chance that must be proved by a lower bound, at every held-out position.
    The greedy answers that were really given must not say otherwise: they are few, and most match
    nothing, so of them the mean is asked, not a bound.
    """
    given = _given_margin(report, config)
    if given.num_items == 0:
        return "Matched characters: nothing was generated at held-out positions."
    fallen = f"Matched characters may have fallen by more than {config.max_matched_loss:.0%}"
    if given.mean < 0:
        return f"{fallen}: the margin of the answers given is {given.mean:+.2f} characters."
    margin = _expected_margin(report, config)
    bound = margin.lower(config.guard_confidence)
    # With no match on either side there is nothing to lose, and no variance either.
    if bound > 0 or (margin.mean == 0 and margin.standard_error == 0):
        return None
    needed = margin.items_for(0.0, config.guard_confidence)
    more = f", {max(1, needed - margin.num_items)} more positions needed" if needed else ""
    return (
        f"{fallen}: {config.guard_confidence:.0%} bound of the expected margin is {bound:+.2f} "
        f"characters{more}."
    )


def _given_margin(report: Report, config: GateConfig) -> Estimate:
    """Return the mean of candidate - (1 - loss) x live, in characters of greedy answers."""
    kept = 1 - config.max_matched_loss
    return clustered_mean(
        (p.file_key, (p.candidate.matched or 0) - kept * (p.live.matched or 0))
        for p in report.positions
        if p.is_generated
    )


def _expected_margin(report: Report, config: GateConfig) -> Estimate:
    """Return the same of answers drawn by chance, in the mean over all of them."""
    kept = 1 - config.max_matched_loss
    return clustered_mean(
        (p.file_key, p.candidate.expected_matched - kept * p.live.expected_matched)
        for p in report.positions
    )


def _rise(report: Report, trait: "_Trait", config: GateConfig) -> str | None:
    """A rate fails when it rose by more than its limit, and by more than chance explains."""
    rise = clustered_mean(
        (p.file_key, float(trait.of(p.candidate)) - float(trait.of(p.live)))
        for p in report.positions
        if trait.is_told(p)
    )
    if rise.mean <= trait.limit or rise.lower(config.guard_confidence) <= 0:
        return None
    return f"{trait.name} rose by {rise.mean:.1%} points, more than {trait.limit:.1%}."


@dataclass(frozen=True)
class _Trait:
    """Something an arm should not do more often than before."""

    name: str
    of: Callable[[ArmScore], bool]
    limit: float
    is_told: Callable[[PositionScore], bool] = lambda position: position.is_generated


def _traits(config: GateConfig) -> tuple[_Trait, ...]:
    return (
        _Trait("The run-on rate", lambda s: s.ran_on, config.max_run_on_increase),
        _Trait("The early-stop rate", lambda s: s.stopped_early, config.max_early_stop_increase),
        _Trait(
            "The rate of syntax errors",
            lambda s: not s.parses,
            config.max_parse_loss,
            lambda p: p.candidate.parses is not None and p.live.parses is not None,
        ),
    )


def _latency_failure(report: Report, config: GateConfig) -> str | None:
    ratio = report.latency_ratio()
    if ratio is None or ratio <= config.max_latency_ratio:
        return None
    return f"The median latency is {ratio:.2f} x the live arm's (limit {config.max_latency_ratio})."


def _golden_failure(report: Report, config: GateConfig) -> str | None:
    if not report.golden:
        return None
    golden = _golden(report)
    bound, floor = golden.lower(config.golden_confidence), -config.max_golden_loss_nats
    if bound > floor:
        return None
    return (
        f"Golden set: {golden.mean:+.3f} nats per token against the base, "
        f"{config.golden_confidence:.0%} bound {_beside(bound, floor)} is not above {floor:+.3f}."
    )


def _beside(value: float, limit: float) -> str:
    """Write a figure with as many digits, three to six, as tell it from the limit beside it."""
    digits = next((d for d in range(3, 6) if f"{value:.{d}f}" != f"{limit:.{d}f}"), 6)
    return f"{value:+.{digits}f}"


def _golden(report: Report) -> Estimate:
    return clustered_mean((p.file_key, p.delta_nats) for p in report.golden)


def _passing_controls(controls: Sequence[Control], config: GateConfig) -> list[str]:
    """A control that would pass shows that the measure cannot be trusted tonight."""
    return [
        f"The control '{control.name}' passes the primary measure, so it proves nothing tonight."
        for control in controls
        if _primary(control.report).lower(config.confidence) > config.min_gain_nats
    ]


def _numbers(report: Report, primary: Estimate, config: GateConfig) -> dict[str, float | None]:
    """Return the figures that go into the run record."""
    bound, refresh = primary.lower(config.confidence), primary.lower(config.refresh_confidence)
    return {
        "positions": primary.num_items,
        "files": primary.num_clusters,
        "gain_nats": primary.mean,
        "gain_bound_nats": _finite(bound),
        "gain_refresh_bound_nats": _finite(refresh),
        "matched_margin": _finite(_given_margin(report, config).mean),
        "matched_expected_margin_bound": _finite(
            _expected_margin(report, config).lower(config.guard_confidence)
        ),
        "matched_candidate": _matched_share(report, "candidate"),
        "matched_live": _matched_share(report, "live"),
        "run_on_candidate": report.rate("candidate", lambda s: s.ran_on),
        "run_on_live": report.rate("live", lambda s: s.ran_on),
        "early_stop_candidate": report.rate("candidate", lambda s: s.stopped_early),
        "early_stop_live": report.rate("live", lambda s: s.stopped_early),
        "parse_candidate": report.parse_rate("candidate"),
        "parse_live": report.parse_rate("live"),
        "latency_ratio": report.latency_ratio(),
        "golden_nats": _golden(report).mean if report.golden else None,
        "preference_accuracy": report.preference_accuracy,
        "dev_gain_nats": report.dev_gain_nats,
    }


def _matched_share(report: Report, arm: Literal["candidate", "live"]) -> float | None:
    """Return matched characters over settled characters, of the generated positions."""
    generated = [p for p in report.positions if p.is_generated]
    total = sum(p.num_characters for p in generated)
    return sum(getattr(p, arm).matched for p in generated) / total if total else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no infinity
