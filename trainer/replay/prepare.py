"""Turns what is asked for into a code base and its planned days, before any model is loaded.

So that what is wrong with a source or a folder is said at once, this module imports nothing that
trains or serves. It plays nothing.
"""

from dataclasses import replace
from typing import Any

from trainer.replay import days, steps
from trainer.replay.config import ReplayConfig
from trainer.replay.plant import CONVENTIONS
from trainer.replay.source import Codebase, read_source


def check(config: ReplayConfig) -> None:
    """Raise, without leaving anything, what a replay would raise of its source and its folder.

    SourceError when the source has too little to type; ReplayError when the folder holds a replay
    of other settings, or something else.
    """
    codebase, plans = read(config)
    config = replace(config, num_days=len(plans[0].days))
    steps.check(config.data / codebase.name, settings(config, codebase), grows(codebase))


def read(config: ReplayConfig) -> tuple[Codebase, list[days.Plan]]:
    """Return the code base and a plan per seed, all with as many days.

    Raises SourceError when the source has too little to type.
    """
    convention = CONVENTIONS[config.plant] if config.plant else None
    codebase = read_source(config.source, convention.rewrite if convention else None)
    plans = [_plan(codebase, config, seed) for seed in range(1, config.num_seeds + 1)]
    num_days = min(len(plan.days) for plan in plans)
    return codebase, [replace(plan, days=plan.days[:num_days]) for plan in plans]


def settings(config: ReplayConfig, codebase: Codebase) -> dict[str, Any]:
    """Return what a second run must share to go on, but for what `grows`."""
    shared = {"revision": codebase.revision, "source_digest": codebase.digest}
    return config.lasting_settings() | shared


def grows(codebase: Codebase) -> tuple[str, ...]:
    """Name what may be more in a second run. A history's days end where it ends: more of them begin
    elsewhere."""
    return () if codebase.history else ("num_days",)


def _plan(codebase: Codebase, config: ReplayConfig, seed: int) -> days.Plan:
    return days.plan(
        codebase,
        num_days=config.num_days,
        lines_per_day=config.lines_per_day,
        exam_share=config.exam_share,
        min_exam_files=config.min_exam_files,
        num_exam_lines=config.num_exam_lines,
        seed=seed,
    )
