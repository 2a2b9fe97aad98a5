"""Turns what the steps of a replay found into a report.

It knows where every result belongs; `tabulate.py` knows what to make of it.
"""

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from trainer.replay import tabulate
from trainer.replay.config import FROZEN, LOOP, ReplayConfig
from trainer.replay.days import Plan
from trainer.replay.exam import PLANTED, SISTER, ExamPosition
from trainer.replay.measures import LoopRequest, LoopRun, StaticScore
from trainer.replay.records import NightResult, Record, ReplayReport, Split
from trainer.replay.sessions import loop_run
from trainer.replay.sitting import Sitting
from trainer.replay.source import Codebase
from trainer.replay.tabulate import Place

Values = list[dict[str, Any]]  # scores as JSON
MAX_UNANSWERED_SHARE = 0.01
MIN_PLANTED = 100
_OF_PLANT = frozenset({PLANTED, SISTER})
_PACKAGES = ("hone", "torch", "transformers", "peft", "trl")


@dataclass
class Found:
    """Everything that was measured, by arm, seed and night."""

    config: ReplayConfig
    codebase: Codebase
    plans: Sequence[Plan]
    static: dict[tuple[str, int, int], Values] = field(default_factory=dict)
    golden: dict[tuple[str, int], Values] = field(default_factory=dict)
    loop: dict[tuple[str, int, int], Mapping[str, Any]] = field(default_factory=dict)
    nights: dict[tuple[int, int], Mapping[str, Any]] = field(default_factory=dict)
    offline: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  # offline arm -> why
    days: dict[tuple[int, int], Sequence[Sitting]] = field(default_factory=dict)
    prequential: dict[tuple[str, int, int], Values] = field(default_factory=dict)
    habits: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    latencies_ms: tuple[float, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    def add_day(
        self, seed: int, day: int, sittings: Sequence[Sitting], scores: Mapping[str, Values] | None
    ) -> None:
        """Keep what was typed on a day, and how both arms score its lines where they differ."""
        self.days[seed, day] = sittings
        for arm, values in (scores or {}).items():
            self.prequential[arm, seed, day] = values

    def sort_by_seed(self) -> None:
        """Bring what the seasons found into the order of the seeds, whichever ended first."""
        of_arms: tuple[dict[Any, Any], ...] = (self.static, self.golden, self.loop)
        _sort(self.habits, lambda seed: seed)
        _sort(self.days, lambda key: key[0])
        for results in (*of_arms, self.prequential):
            _sort(results, lambda key: key[1])


def _sort(results: dict[Any, Any], seed_of: Callable[[Any], int]) -> None:
    ordered = sorted(results.items(), key=lambda entry: seed_of(entry[0]))
    results.clear()
    results.update(ordered)


def report(found: Found, *, wall_seconds: float) -> ReplayReport:
    """Return the report of one code base."""
    static = _static(found)
    loops = {_place(found, *key, "exam_loop"): _run_of(run) for key, run in found.loop.items()}
    days = {
        _place(found, LOOP, seed, day, "prequential"): loop_run(sittings, {})
        for (seed, day), sittings in found.days.items()
    }
    records = [
        *tabulate.static_records(static),
        *tabulate.loop_records(loops),
        *tabulate.loop_records(days),
        *tabulate.cost_records(_costs(found)),
    ]
    return ReplayReport(
        about=_about(found, wall_seconds),
        records=tuple(_merged(records)),
        curves=tuple(tabulate.curves_of(loops)),
        nights=tuple(_nights(found)),
        shortfalls=tuple(_shortfalls(found)),
    )


def as_values(scores: Any) -> Any:
    """Return scores, or a closed-loop run, as JSON values."""
    if isinstance(scores, LoopRun):
        return {**asdict(scores), "characters": dict(scores.characters)}
    return [asdict(score) for score in scores]


def in_strata_of(places: Iterable[ExamPosition], values: Values) -> Values:
    """Return scores in the strata of their places: an older Hone may have told some in others."""
    strata = {place.position_id: place.strata for place in places}
    return [{**v, "strata": strata.get(v["position_id"], v["strata"])} for v in values]


def _static(found: Found) -> dict[Place, list[StaticScore]]:
    """Return all scores at fixed positions by the split they belong to."""
    results: dict[Place, list[StaticScore]] = {}
    for key, values in found.static.items():
        scores = _scores(values)
        planted = [s for s in scores if _OF_PLANT & set(s.strata)]
        plain = [s for s in scores if not _OF_PLANT & set(s.strata)]
        results[_place(found, *key, "exam_static")] = plain
        if planted:
            results[_place(found, *key, "plant")] = planted
    for key, values in found.prequential.items():
        results[_place(found, *key, "prequential")] = _scores(values)
    for (arm, seed), values in found.golden.items():
        night = 0 if arm == FROZEN else found.config.num_days
        results[_place(found, arm, seed, night, "golden")] = _scores(values)
    return results


def _place(found: Found, arm: str, seed: int, night: int, split: Split) -> Place:
    return Place(found.codebase.name, arm, seed, night, split)


def _scores(values: Iterable[Mapping[str, Any]]) -> list[StaticScore]:
    return [StaticScore(**{**value, "strata": tuple(value["strata"])}) for value in values]


def _run_of(values: Mapping[str, Any]) -> LoopRun:
    requests = tuple(LoopRequest(**request) for request in values["requests"])
    return LoopRun(requests, values["characters"])


def _merged(records: Iterable[Record]) -> list[Record]:
    """Join records of the same place: what was scored there and what was done there."""
    found: dict[tuple[Any, ...], Record] = {}
    for r in records:
        key = (r.codebase, r.arm, r.seed, r.night, r.split, r.stratum)
        known = found.get(key)
        found[key] = replace(known, metrics={**known.metrics, **r.metrics}) if known else r
    return list(found.values())


def _costs(found: Found) -> dict[Place, dict[str, float]]:
    """Return the seconds of days, nights (by stage) and offline arms."""
    costs: dict[Place, dict[str, float]] = {}
    for (seed, night), result in found.nights.items():
        stages = result.get("metrics", {}).get("seconds", {})
        costs[_place(found, LOOP, seed, night, "cost")] = {
            "day_seconds": found.seconds.get(f"seed-{seed}.day-{night}", 0.0),
            "night_seconds": found.seconds.get(f"seed-{seed}.night-{night}", 0.0),
            **{f"{stage}_seconds": seconds for stage, seconds in stages.items()},
        }
    for arm in found.offline:
        place = _place(found, arm, 1, found.config.num_days, "cost")
        costs[place] = {"night_seconds": found.seconds.get(f"arm.{arm}-{place.night}", 0.0)}
    return costs


def _nights(found: Found) -> Iterable[NightResult]:
    name = found.codebase.name
    for (seed, night), result in sorted(found.nights.items()):
        decision = result.get("decision") or {}
        yield NightResult(
            codebase=name,
            seed=seed,
            night=night,
            verdict=decision.get("verdict") or "not trained",
            promoted=result["exit_code"] == 0,
            reasons=tuple(result["reasons"]),
            counts=_numbers(result.get("metrics", {}).get("counts", {}))
            | _numbers(decision.get("numbers", {})),
        )
    for arm, judged in found.offline.items():
        yield NightResult(
            codebase=name,
            seed=1,
            night=found.config.num_days,
            verdict=judged["verdict"],
            promoted=judged["promoted"],
            reasons=tuple(judged["reasons"]),
            counts=_numbers(judged["numbers"]) | {"train_rows": float(judged["num_rows"])},
            arm=arm,
        )


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _about(found: Found, wall_seconds: float) -> dict[str, Any]:
    return {
        "source": found.codebase.name,
        "kind": "git history" if found.codebase.history else "folder",
        "revision": found.codebase.revision,
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": {**found.config.settings(), "source": found.codebase.name},
        "habits": {str(seed): dict(habits) for seed, habits in found.habits.items()},
        "latency_ms": _quantiles(found.latencies_ms),
        "skipped": dict(found.codebase.skipped),
        "plan": {str(seed): dict(p.counts) for seed, p in enumerate(found.plans, start=1)},
        "exam_files": list(found.plans[0].exam_files),
        "typed_lines": [[sum(w.num_lines for w in d) for d in p.days] for p in found.plans],
        "hardware": {"machine": platform.machine(), "system": platform.system()},
        "versions": {"python": platform.python_version()} | {p: version(p) for p in _PACKAGES},
        "step_seconds": dict(found.seconds),
        "replay_seconds": round(sum(found.seconds.values()), 1),
        "wall_seconds": round(wall_seconds, 1),
    }


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return quantiles of sorted values."""
    if not values:
        return {}
    shares = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
    return {name: values[int(share * (len(values) - 1))] for name, share in shares.items()}


def _shortfalls(found: Found) -> Iterable[str]:
    """Say what is not as a proof would want it."""
    config = found.config
    if config.is_quick:
        yield "A quick replay: it shows that everything works, it is no evidence."
    for arm, reason in found.left_out.items():
        yield f"The arm {arm} was left out: {reason}."
    strata = [set(score["strata"]) for score in found.static[FROZEN, 0, 0]]
    num_files = len(found.plans[0].exam_files)
    num_positions = sum(not _OF_PLANT & s for s in strata)
    if num_files < config.min_exam_files:
        yield f"The exam has {num_files} files, {config.min_exam_files} are wanted."
    if not config.is_quick and num_positions < 400:
        yield f"The static exam has {num_positions} positions, 400 are wanted."
    num_planted = sum(PLANTED in s for s in strata)
    if config.plant and not config.is_quick and num_planted < MIN_PLANTED:
        yield f"{num_planted} planted places were found, {MIN_PLANTED} are wanted."
    typed = [sum(w.num_lines for w in day) for plan in found.plans for day in plan.days]
    if typed and min(typed) < 0.8 * config.lines_per_day:
        yield f"The shortest day has {min(typed)} lines, {config.lines_per_day} are wanted."
    for (arm, seed, _), run in found.loop.items():
        requests = run["requests"]
        lost = sum(request["confidence"] is None for request in requests)
        if lost > MAX_UNANSWERED_SHARE * len(requests):
            yield (
                f"{lost} of {len(requests)} requests of {arm}, seed {seed}, had no answer in the "
                "closed-loop exam: its figures say how busy the machine was."
            )
