"""Made-up replays with a known effect, for tests of measures, reports and pages."""

import random
from dataclasses import replace
from functools import cache

from trainer.replay.measures import LoopRequest, LoopRun, StaticScore
from trainer.replay.records import NightResult, Record, ReplayReport
from trainer.replay.tabulate import (
    Place,
    cost_records,
    curves_of,
    loop_records,
    static_records,
)

NIGHTS = 5
OFFLINE = {"sft_chosen": 0.25, "sft_accepted": 0.15, "context_only": 0.1, "flipped": -0.3,
           "mispaired": 0.0,
           "code_sft": 0.2, "ungated": 0.35}  # fmt: skip


def score(position: int, file_id: str, gain: float, luck: random.Random) -> StaticScore:
    """One position of an arm that is `gain` nats better than the base."""
    base = random.Random(f"{file_id}:{position}").gauss(-1.4, 0.5)
    exact = luck.random() < 0.25 + 0.3 * gain
    return StaticScore(
        position_id=f"{file_id}:{position}",
        file_id=file_id,
        num_tokens=8,
        num_characters=20,
        log_prob=min(0.0, base + gain + luck.gauss(0, 0.1)),
        matched=20 if exact else luck.randint(0, 10),
        exact=exact,
        stopped_early=luck.random() < 0.1,
        ran_on=luck.random() < 0.08,
        strata=("seen_in_training" if position % 3 == 0 else "unseen",),
    )


def scores(name: str, gain: float, *, num_files: int = 14, per_file: int = 30) -> list[StaticScore]:
    """The scores of one arm at all positions."""
    luck = random.Random(name)
    return [score(i, f"f{f}.py", gain, luck) for f in range(num_files) for i in range(per_file)]


def without_likelihood(found: list[StaticScore]) -> list[StaticScore]:
    """The scores as a copy baseline has them."""
    return [replace(s, log_prob=None, num_tokens=0) for s in found]


def request(file_id: str, **fields: object) -> LoopRequest:
    """A request that offered nothing, but for `fields`."""
    nothing = LoopRequest(file_id, False, None, 0, 0, 0, 0.0, "none", False)
    return replace(nothing, **fields)  # type: ignore[arg-type]


def loop_run(name: str, gain: float, *, num_files: int = 14, per_file: int = 25) -> LoopRun:
    """A closed-loop exam: the surer a suggestion, the likelier it is taken; more so with a gain."""
    luck = random.Random(name)
    requests = []
    for f in range(num_files):
        for _ in range(per_file):
            confidence = luck.uniform(-1.6, 0.0)
            shown = luck.random() < 0.7 + 0.2 * gain
            takes = shown and luck.random() < max(0.05, 0.45 + 0.3 * confidence + 0.5 * gain)
            length = luck.randint(8, 30) if takes else 0
            requests.append(
                LoopRequest(
                    f"f{f}.py",
                    shown,
                    confidence,
                    length,
                    max(0, length - luck.randint(0, 4)),
                    luck.randint(0, 2) if takes else 0,
                    luck.uniform(300, 900) if shown else 0.0,
                    "accepted" if takes else "typed_on" if shown else "none",
                    takes or luck.random() < 0.07,
                )
            )
    return LoopRun(tuple(requests), {f"f{f}.py": 800 + 90 * f for f in range(num_files)})


@cache
def report(codebase: str = "rich", *, gain: float = 0.3, num_seeds: int = 2) -> ReplayReport:
    """A whole report in which the loop gains `gain` nats by the last night."""
    static, loop, days, cost = {}, {}, {}, {}

    def put(arm: str, seed: int, night: int, split: str, effect: float, **size: int) -> None:
        place = Place(codebase, arm, seed, night, split)  # type: ignore[arg-type]
        static[place] = scores(f"{codebase}{place}", effect, **size)

    put("frozen", 0, 0, "exam_static", 0.0)
    put("ngram", 0, NIGHTS, "exam_static", 0.0)
    ngram = Place(codebase, "ngram", 0, NIGHTS, "exam_static")
    static[ngram] = without_likelihood(static[ngram])
    put("frozen", 0, 0, "golden", 0.0, num_files=60, per_file=10)
    for seed in range(1, num_seeds + 1):
        for night in range(1, NIGHTS + 1):
            grown = gain * night / NIGHTS
            put("loop", seed, night, "exam_static", grown)
            put("frozen", seed, night, "prequential", 0.0, num_files=20, per_file=8)
            put("loop", seed, night, "prequential", grown * 0.8, num_files=20, per_file=8)
            day = Place(codebase, "loop", seed, night, "prequential")
            days[day] = loop_run(f"{codebase}{seed}{night}", grown, num_files=20)
            cost[Place(codebase, "loop", seed, night, "cost")] = {
                "typing_seconds": 41.0 + seed, "training_seconds": 66.0 + night,
                "rows": 130.0 * night,
            }  # fmt: skip
        put("loop", seed, NIGHTS, "golden", -0.01, num_files=60, per_file=10)
        for arm, night, effect in (("frozen", 0, 0.0), ("loop", NIGHTS, gain)):
            place = Place(codebase, arm, seed, night, "exam_loop")
            loop[place] = loop_run(f"{codebase}{arm}{seed}", effect)
    for arm, share in OFFLINE.items():
        put(arm, 1, NIGHTS, "exam_static", share * gain / 0.3)
    loop[Place(codebase, "code_sft", 1, NIGHTS, "exam_loop")] = loop_run(f"{codebase}c", gain / 2)
    return ReplayReport(
        about={"source": codebase, "seconds": 1234.5678, "hardware": {"cores": 2}},
        records=(*joined(static_records(static), loop_records(days)), *loop_records(loop),
                 *planted(codebase), *cost_records(cost)),
        curves=tuple(curves_of(loop)),
        nights=tuple(nights(codebase, num_seeds)),
        shortfalls=("only 14 exam files",),
    )  # fmt: skip


def joined(records: list[Record], others: list[Record]) -> list[Record]:
    """Records with the metrics of `others` added where they tell of the same place."""
    known = {(r.arm, r.seed, r.night, r.split, r.stratum): r.metrics for r in others}
    return [
        replace(
            r, metrics={**r.metrics, **known.get((r.arm, r.seed, r.night, r.split, r.stratum), {})}
        )
        for r in records
    ]


def planted(codebase: str) -> list[Record]:
    """Records of a convention that is followed more and more."""
    found = {}
    for night in range(NIGHTS + 1):
        luck, arm = random.Random(f"{codebase}{night}"), "loop" if night else "frozen"
        found[Place(codebase, arm, min(night, 1), night, "plant")] = [
            replace(
                score(i, f"f{i % 12}.py", 0.0, luck),
                exact=luck.random() < (0.02 if i % 2 else 0.02 + 0.15 * night),
                strata=("sister" if i % 2 else "planted", "visible" if i % 3 else "not_visible"),
            )
            for i in range(240)
        ]
    return static_records(found)


def nights(codebase: str, num_seeds: int) -> list[NightResult]:
    """What the gate said, night by night."""
    found = []
    for seed in range(1, num_seeds + 1):
        for night in range(1, NIGHTS + 1):
            verdict = (
                "not enough evidence" if night == 1 else "promote" if night == 2 else "refresh"
            )
            reasons = (
                "Better: +0.123 nats per token against the base, 99% bound +0.045 > +0.020."
                if night > 1 else "Not enough evidence, keep what is live: 31 more positions.",
            )  # fmt: skip
            found.append(
                NightResult(codebase, seed, night, verdict, night > 1, reasons, {"pairs": 90.0})
            )
    found.append(
        NightResult(
            codebase, 1, NIGHTS, "not better", False, ("Not better: -0.010.",), {}, "mispaired"
        )
    )
    return found
