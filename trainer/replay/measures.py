"""Turns scores at fixed positions into metrics of an arm, alone or paired with another arm.

Every metric is a ratio of sums over files, with an interval clustered by file. Pure; this module
knows nothing of models, of nights or of how a score came about.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainer.replay.records import ALL, Metric
from trainer.replay.tallies import Tallies, metrics_of, tally


@dataclass(frozen=True)
class StaticScore:
    """One arm at one position. `log_prob` is nats per token of the true text, mean over its tokens;
    None where an arm has no likelihood (the copy baseline). `matched` is in characters."""

    position_id: str
    file_id: str
    num_tokens: int
    num_characters: int
    log_prob: float | None
    matched: int
    exact: bool
    stopped_early: bool
    ran_on: bool
    strata: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoopRequest:
    """One request of a closed-loop exam. Counts are characters of the suggestion; `confidence` is
    the mean log-probability of the generation; `was_right`: the offer is what the truth has;
    `features` are what a show filter decides on, `chance` is what it says of them."""

    file_id: str
    shown: bool
    confidence: float | None
    accepted: int
    retained: int
    deleted: int
    read_ms: float
    action: str
    was_right: bool
    features: Mapping[str, float] | None = None
    chance: float | None = None


@dataclass(frozen=True)
class LoopRun:
    """A closed-loop exam of one arm. `characters`: of true text, by file, of every exam file."""

    requests: tuple[LoopRequest, ...]
    characters: Mapping[str, int]


def static_metrics(scores: Sequence[StaticScore]) -> dict[str, Metric]:
    """Return log_prob (nats per token, mean over positions, as the gate takes it), exact_match,
    matched_characters_per_1000 of true text, early_stop_rate and run_on_rate."""
    return metrics_of(static_tallies(scores))


def paired_static(
    arm: Sequence[StaticScore], reference: Sequence[StaticScore]
) -> dict[str, Metric]:
    """Return the same as differences, arm minus reference, at the positions both have."""
    return metrics_of(paired_static_tallies(arm, reference))


def static_tallies(scores: Sequence[StaticScore]) -> Tallies:
    """Return what `static_metrics` is made from."""
    return {
        "log_prob": tally((s.file_id, (s.log_prob, 1)) for s in scores if s.log_prob is not None),
        "exact_match": tally((s.file_id, (s.exact, 1)) for s in scores),
        "matched_characters_per_1000": tally(
            (s.file_id, (1000 * s.matched, s.num_characters)) for s in scores
        ),
        "early_stop_rate": tally((s.file_id, (s.stopped_early, 1)) for s in scores),
        "run_on_rate": tally((s.file_id, (s.ran_on, 1)) for s in scores),
    }


def paired_static_tallies(
    arm: Sequence[StaticScore], reference: Sequence[StaticScore], prefix: str = "delta_"
) -> Tallies:
    """Return what `paired_static` is made from. Raises ValueError where a position occurs twice."""
    known = _by_position(reference)
    pairs = [(a, known[i]) for i, a in _by_position(arm).items() if i in known]
    return {
        f"{prefix}log_prob": tally(
            (a.file_id, (a.log_prob - r.log_prob, 1))
            for a, r in pairs
            if a.log_prob is not None and r.log_prob is not None
        ),
        f"{prefix}exact_match": tally((a.file_id, (a.exact - r.exact, 1)) for a, r in pairs),
        f"{prefix}matched_characters_per_1000": tally(
            (a.file_id, (1000 * (a.matched - r.matched), a.num_characters)) for a, r in pairs
        ),
        f"{prefix}early_stop_rate": tally(
            (a.file_id, (a.stopped_early - r.stopped_early, 1)) for a, r in pairs
        ),
        f"{prefix}run_on_rate": tally((a.file_id, (a.ran_on - r.ran_on, 1)) for a, r in pairs),
    }


def by_stratum(scores: Sequence[StaticScore]) -> dict[str, list[StaticScore]]:
    """Return the scores of each stratum that occurs, with those of all."""
    found: dict[str, list[StaticScore]] = defaultdict(list)
    for score in scores:
        for stratum in (ALL, *score.strata):
            found[stratum].append(score)
    return dict(found)


def _by_position(scores: Sequence[StaticScore]) -> dict[tuple[str, tuple[str, ...]], StaticScore]:
    """Key scores by place. Two questions may be asked at one place, in strata of their own."""
    found = {(score.position_id, score.strata): score for score in scores}
    if len(found) != len(scores):
        raise ValueError(f"{len(scores) - len(found)} positions occur twice in one arm's scores")
    return found
