"""Turns a candidate adapter and held-out positions into a Report against what is live.

Both arms answer through the path that serves (`trainer.measure`); the golden set is measured
against the bare base, because forgetting adds up over nights. This module knows nothing of how
the candidate was made, nor of what is decided from the report.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lsp_server.engine.base import Base
from trainer import dev_split
from trainer.dataset import Position, TrainingRow
from trainer.golden import golden_positions
from trainer.measure import answered_of, load_model, measure_arms, num_tokens
from trainer.report import ArmScore, PositionScore, Report

Progress = Callable[[int, int], None]  # done, total


@dataclass(frozen=True)
class Work:
    """What a candidate is measured on. Answers are costly, so only the first so many by hash."""

    positions: Sequence[Position]
    dev: Sequence[TrainingRow] = ()
    max_generated: int = 300
    num_golden: int = 120


@dataclass(frozen=True)
class Contest:
    """Two adapter folders on one base; None is the bare base."""

    base: Base
    candidate: Path
    live: Path | None


def evaluate(contest: Contest, work: Work, *, progress: Progress | None = None) -> Report:
    """Measure a candidate against what is live; leaves both folders and the base as they are."""
    base, candidate = contest.base, contest.candidate
    golden = golden_positions(base.prompter, work.num_golden)
    num_answered = len(answered_of(work.positions, work.max_generated))
    first = 2 * (len(work.positions) + num_answered)
    total = first + 2 * len(golden)

    def passed_on(already: int) -> Progress:
        return lambda done, _: progress(already + done, total) if progress else None

    against_live = measure_arms(
        base,
        (candidate, contest.live),
        work.positions,
        max_generated=work.max_generated,
        progress=passed_on(0),
    )
    against_base = measure_arms(
        base, (candidate, None), golden, max_generated=0, progress=passed_on(first)
    )
    model = load_model(base, candidate)
    dev = dev_split.without_ends(work.dev, base.prompter.end_id)
    return Report(
        positions=_paired(base, work.positions, *against_live),
        golden=_paired(base, golden, *against_base),
        preference_accuracy=dev_split.preference_accuracy(model, base.model, dev),
        dev_gain_nats=dev_split.gain(model, base.model, dev),
    )


def _paired(
    base: Base,
    positions: Sequence[Position],
    candidate: Sequence[ArmScore],
    live: Sequence[ArmScore],
) -> tuple[PositionScore, ...]:
    return tuple(
        PositionScore(place.file_key, len(place.text), num_tokens(base, place), new, old)
        for place, new, old in zip(positions, candidate, live, strict=True)
    )
