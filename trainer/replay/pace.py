"""Turns a replay's settings into how long it should take, and into how much of it goes at once.

It knows what steps there are, nothing of how one works.
"""

from lsp_server.engine.base import Base
from trainer.dataset import HELD_OUT_SHARE
from trainer.gate import GateConfig
from trainer.replay.config import LOOP_EXAM_ARMS, OFFLINE_ARMS, ReplayConfig

# Seconds a step takes on two cores, for the progress bar.
SURVEY_S, DAY_S, LOOP_EXAM_S, STATIC_S, GOLDEN_S, FILTER_S = 60, 60, 100, 30, 120, 1
TRAINED_LINE_S = 0.4  # of a night or an offline arm, for every line typed so far
UNTRAINED_NIGHT_S = 10
# Each seed that is under way has a host or a night of its own, with the model in its memory.
MAX_SEEDS_AT_ONCE = 4
SMALL_PARAMETERS = 100_000_000  # a larger model makes good use of all threads alone


def seeds_at_once(base: Base, num_seeds: int) -> int:
    """Return how many seeds are played side by side: no more than there are threads for."""
    if sum(parameter.numel() for parameter in base.model.parameters()) > SMALL_PARAMETERS:
        return 1
    return max(1, min(num_seeds, base.num_threads, MAX_SEEDS_AT_ONCE))


def night_s(config: ReplayConfig, night: int) -> float:
    """Return the seconds of a night. Where the gate has too few held-out positions, about one for
    each line of a fifth of the files, it trains nothing."""
    num_lines = night * config.lines_per_day
    trains = config.is_quick or num_lines * HELD_OUT_SHARE >= GateConfig().min_positions
    return TRAINED_LINE_S * num_lines if trains else UNTRAINED_NIGHT_S


def arm_s(config: ReplayConfig) -> float:
    """Return the seconds that an offline arm trains, on the lines of all days."""
    return TRAINED_LINE_S * config.num_days * config.lines_per_day


def total_s(config: ReplayConfig, num_at_once: int) -> float:
    """Return the seconds of all steps; seeds that go side by side take theirs together."""
    scale = config.num_exam_lines / 480
    per_day = DAY_S * config.lines_per_day / 200 + 2 * STATIC_S * scale
    nights = sum(night_s(config, night) for night in range(1, config.num_days + 1))
    per_seed = config.num_days * per_day + nights + 2 * LOOP_EXAM_S * scale + GOLDEN_S + FILTER_S
    seasons = (config.num_seeds * per_seed + GOLDEN_S) / num_at_once
    offline = sum(arm in config.arms for arm in OFFLINE_ARMS)
    exams = sum(arm in config.arms for arm in LOOP_EXAM_ARMS)
    arms = offline * (arm_s(config) + STATIC_S * scale) + exams * LOOP_EXAM_S * scale
    return SURVEY_S * scale + STATIC_S * scale + seasons + arms
