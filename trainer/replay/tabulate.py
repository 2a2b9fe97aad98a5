"""Turns what every arm scored and did into records: per seed, and averaged over seeds.

Arms are paired with the frozen arm, which never changes, and the loop with its rival. This module
knows nothing of how arms were trained or measured, nor of how records are shown.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from trainer.replay import loop_measures, measures
from trainer.replay.config import CODE_SFT, FROZEN, LOOP, UNGATED
from trainer.replay.measures import LoopRun, StaticScore
from trainer.replay.records import ALL, Curve, Metric, Record, Split
from trainer.replay.tallies import Tallies, averaged, metrics_of, plain

RIVAL_PREFIX = f"over_{CODE_SFT}_"  # differences of the loop to code-SFT
_SEEDLESS = 0  # the seed of what does not depend on one
_OF_PLANTED = frozenset({"visible", "not_visible"})
T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """What was measured where. Seed 0: the same for every seed (the frozen arm, the baseline)."""

    codebase: str
    arm: str
    seed: int
    night: int
    split: Split


@dataclass(frozen=True)
class _Entry:
    place: Place
    stratum: str
    tallies: Tallies


def static_records(results: Mapping[Place, Sequence[StaticScore]]) -> list[Record]:
    """Return records of arms at fixed positions, by stratum, with differences to the frozen arm.

    In the split "plant" the strata "visible" and "not_visible" hold no sister positions.
    """
    entries = []
    for place, scores in results.items():
        frozen = _frozen_for(place, results)
        rival = _rival_for(place, results)
        for stratum, part in _strata(place, scores).items():
            tallies = dict(measures.static_tallies(part))
            if frozen is not None:
                tallies |= measures.paired_static_tallies(part, frozen)
            if rival is not None:
                tallies |= measures.paired_static_tallies(part, rival, RIVAL_PREFIX)
            entries.append(_Entry(place, stratum, tallies))
    return _records(entries)


def loop_records(results: Mapping[Place, LoopRun]) -> list[Record]:
    """Return records of closed-loop exams. Plain names: as it was played; "at_frozen_rate": the
    surest suggestions, as many as frozen showed, on which differences are also taken."""
    return _records([_Entry(place, ALL, _loop_tallies(place, results)) for place in results])


def curves_of(results: Mapping[Place, LoopRun]) -> list[Curve]:
    """Return the retained-versus-shown curve of every closed-loop exam."""
    return [
        Curve(p.codebase, p.arm, p.seed, p.night, tuple(loop_measures.retention_curve(run)))
        for p, run in results.items()
    ]


def cost_records(results: Mapping[Place, Mapping[str, float]]) -> list[Record]:
    """Return records of what was timed or counted once per place, with the mean over seeds."""
    records = [
        _record(place, ALL, {name: plain(value) for name, value in values.items()})
        for place, values in results.items()
    ]
    groups: dict[tuple[str, str, int, Split], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.codebase, record.arm, record.night, record.split].append(record)
    for (codebase, arm, night, split), group in groups.items():
        names = dict.fromkeys(name for record in group for name in record.metrics)
        told = {n: [r.metrics[n].value for r in group if n in r.metrics] for n in names}
        means = {name: plain(sum(v) / len(v), len(v)) for name, v in told.items()}
        records.append(Record(codebase, arm, None, night, split, ALL, means, len(group)))
    return records


def _strata(place: Place, scores: Sequence[StaticScore]) -> dict[str, list[StaticScore]]:
    strata = measures.by_stratum(scores)
    if place.split != "plant":
        return strata
    strata.pop(ALL)  # planted and sister positions together mean nothing
    return {
        name: [s for s in part if name not in _OF_PLANTED or "sister" not in s.strata]
        for name, part in strata.items()
    }


def _loop_tallies(place: Place, results: Mapping[Place, LoopRun]) -> Tallies:
    run, frozen = results[place], _frozen_for(place, results)
    tallies = dict(loop_measures.loop_tallies(run))
    base = run if place.arm == FROZEN else frozen
    if base is not None:
        limited = loop_measures.surest(run, loop_measures.num_shown(base))
        for name, tally in loop_measures.loop_tallies(limited).items():
            tallies[f"{name}_at_frozen_rate"] = tally
        tallies |= loop_measures.fewer_tallies(run, base)
    if frozen is not None:
        tallies |= loop_measures.paired_loop_tallies(run, frozen)
        rival = _rival_for(place, results)
        if rival is not None:
            tallies |= loop_measures.paired_loop_tallies(run, frozen, rival, RIVAL_PREFIX)
    return tallies


def _frozen_for(place: Place, results: Mapping[Place, T]) -> T | None:
    """Return the frozen arm's result for the same seed; its night does not matter."""
    if place.arm == FROZEN:
        return None
    found = [
        (p.seed == place.seed, p.night == place.night, p.night, p)
        for p in results
        if (p.codebase, p.split, p.arm) == (place.codebase, place.split, FROZEN)
        and p.seed in (place.seed, _SEEDLESS)
    ]
    return results[max(found, key=lambda f: f[:3])[3]] if found else None


def _rival_for(place: Place, results: Mapping[Place, T]) -> T | None:
    """Return what code-SFT did in the same place, for the loop, gated or not."""
    if place.arm not in (LOOP, UNGATED):
        return None
    rival = Place(place.codebase, CODE_SFT, place.seed, place.night, place.split)
    return results.get(rival)


def _records(entries: Sequence[_Entry]) -> list[Record]:
    """Return one record per entry, then one per group of seeds, which alone can be pooled."""
    records = [_record(e.place, e.stratum, metrics_of(e.tallies)) for e in entries]
    groups: dict[tuple[str, str, int, Split, str], list[Tallies]] = defaultdict(list)
    for e in entries:
        key = (e.place.codebase, e.place.arm, e.place.night, e.place.split, e.stratum)
        groups[key].append(e.tallies)
    for (codebase, arm, night, split, stratum), seeds in groups.items():
        metrics = metrics_of(averaged(seeds))
        records.append(Record(codebase, arm, None, night, split, stratum, metrics, len(seeds)))
    return records


def _record(place: Place, stratum: str, metrics: dict[str, Metric]) -> Record:
    return Record(place.codebase, place.arm, place.seed, place.night, place.split, stratum, metrics)
