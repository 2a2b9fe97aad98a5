"""The null simulation: how often the gate promotes what is no better, in twenty nights.

Every night draws a fresh candidate without any true difference and fresh effects of its files, so
that twenty nights are twenty chances; real nights resemble each other and give fewer. Evidence
grows from the floor (150 positions in 8 files) by five positions and a file a night. Some files
are large, tails are heavy, and answers follow likelihood, as they did where it was measured.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from trainer.bounds import Estimate, clustered_mean
from trainer.gate import GateConfig, LiveArm, Verdict, decide
from trainer.report import ArmScore, PositionScore, Report

NUM_NIGHTS = 20
CONFIG = GateConfig()
RECIPE = "sft"
Floats = npt.NDArray[np.float64]
MayPass = Callable[[Estimate], bool]


@dataclass(frozen=True)
class World:
    """What chance looks like: standard deviations in nats per token, shares as fractions."""

    noise: float
    file_effect: float
    heavy_share: float = 0.1  # of the positions vary three times as much
    changed_share: float = 0.2  # of the answers match more, or less, than before
    agreement: float = 1.3  # log odds, per standard deviation of likelihood, that they match more
    changed_length: float = 7.0  # characters, mean
    expected_noise: float = 0.6  # characters that an answer drawn by chance matches, within files
    expected_file_effect: float = 0.15
    expected_heavy: float = 10.0  # times as much varies a tenth of the positions: kurtosis 25
    expected_agreement: float = 0.5  # correlation with likelihood, of positions and of files
    expected_live: float = 1.35  # characters, mean


# What 280 positions in 20 files of real code showed of an adapter trained on 350 rows: within
# files .31 nats per token (kurtosis 8), between them .04, 22 % of the answers changed. Expected
# matches: four adapters of replayed nights, 170 to 231 positions (within .46 to .61, between .12
# to .24, kurtosis 24 to 27, correlation .35 to .5; with .58 nats of noise: 1.3 and .24).
AS_MEASURED = World(noise=0.3, file_effect=0.05)
TWICE_AS_WILD = World(noise=0.6, file_effect=0.1, expected_noise=1.2, expected_file_effect=0.3)


@pytest.mark.parametrize("world", [AS_MEASURED, TWICE_AS_WILD])
def test_chance_promotes_in_at_most_one_of_twenty_stretches_of_twenty_nights(world: World) -> None:
    """Of 8,000 stretches: 2.4 % where chance is as measured, 4.3 % where it is twice as wild."""
    rng = np.random.default_rng(20261120)
    promoted = sum(_is_promoted_once(world, LiveArm(), rng) for _ in range(2000))
    assert promoted <= 100


def test_the_same_data_never_refresh() -> None:
    """A/A, the same rows and recipe with another seed: only the full gain could promote it.

    Where the rows are new, the same reports refresh often: that is what a refresh is for.
    """
    rng = np.random.default_rng(7)
    same, new = (LiveArm("ab" * 32, RECIPE, share) for share in (0.0, 0.3))
    reports = [night(AS_MEASURED, i % NUM_NIGHTS, rng, _refreshes) for i in range(400)]
    found = [report for report in reports if report is not None]
    verdicts = {arm: [judge(report, arm) for report in found] for arm in (same, new)}
    assert Verdict.REFRESH not in verdicts[same]
    assert verdicts[same].count(Verdict.PROMOTE) <= len(reports) / 100
    assert verdicts[new].count(Verdict.REFRESH) > len(found) / 5


def _is_promoted_once(world: World, live: LiveArm, rng: np.random.Generator) -> bool:
    reports = (night(world, number, rng, _promotes) for number in range(NUM_NIGHTS))
    verdicts = [judge(report, live) for report in reports if report is not None]
    return Verdict.PROMOTE in verdicts


def _promotes(gain: Estimate) -> bool:
    return gain.lower(CONFIG.confidence) > CONFIG.min_gain_nats


def _refreshes(gain: Estimate) -> bool:
    return gain.mean > 0


def judge(report: Report, live: LiveArm) -> Verdict:
    return decide(report, live, recipe=RECIPE, config=CONFIG).verdict


def night(world: World, number: int, rng: np.random.Generator, may_pass: MayPass) -> Report | None:
    """Return what a night measures; None where its gain cannot pass, whatever else it shows."""
    num_files, num = 8 + number, 150 + 5 * number
    files = np.minimum(rng.exponential(num_files / 3, num).astype(int), num_files - 1)
    files[:num_files] = np.arange(num_files)
    scale = world.noise * np.where(rng.random(num) < world.heavy_share, 3.0, 1.0)
    of_files, of_positions = rng.normal(0, 1, num_files), rng.normal(0, 1, num)
    deltas = world.file_effect * of_files[files] + scale * of_positions
    if not may_pass(clustered_mean(zip(map(str, files.tolist()), deltas.tolist(), strict=True))):
        return None
    new, old = _matches(world, deltas, rng)
    live = rng.exponential(2 * world.expected_live, num) * (rng.random(num) < 0.5)
    drawn = live + _expected_change(world, files, of_files, of_positions, rng)
    rows = zip(*(v.tolist() for v in (files, deltas, new, old, drawn, live)), strict=True)
    return Report(tuple(_score(*row) for row in rows), golden=())


def _score(file: int, delta: float, new: int, old: int, drawn: float, live: float) -> PositionScore:
    candidate, other = ArmScore(delta, drawn, matched=new), ArmScore(0.0, live, matched=old)
    return PositionScore(f"f{file}", 20, 6, candidate, other)


def _expected_change(
    world: World,
    files: npt.NDArray[np.int64],
    of_files: Floats,
    of_positions: Floats,
    rng: np.random.Generator,
) -> Floats:
    """Return how many characters more an answer drawn by chance matches; nought in the mean."""
    heavy = np.where(rng.random(len(files)) < 0.1, world.expected_heavy, 1.0)
    heavy /= np.sqrt(0.1 * world.expected_heavy**2 + 0.9)

    def like(values: Floats) -> Floats:
        own = np.sqrt(1 - world.expected_agreement**2) * rng.normal(0, 1, len(values))
        return world.expected_agreement * values + own

    change = world.expected_file_effect * like(of_files)[files]
    return change + world.expected_noise * heavy * like(of_positions)


def _matches(
    world: World, deltas: Floats, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the matched characters of (candidate, live): alike, but for the changed answers."""
    num = len(deltas)
    both = np.where(rng.random(num) < 0.7, rng.geometric(1 / 4, num), 0)
    changed = rng.random(num) < world.changed_share
    more = rng.random(num) < 1 / (1 + np.exp(-world.agreement * deltas / deltas.std()))
    length = rng.geometric(1 / world.changed_length, num)
    return both + length * (changed & more), both + length * (changed & ~more)
