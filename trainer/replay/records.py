"""What a replay's report is made of, and the turning of it into JSON and back.

Metrics with intervals per arm, seed, night and split, as plain frozen values. This module knows
nothing of how they were measured, nor of how they are shown.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from trainer.bounds import ClusterSums

Split = Literal["exam_static", "exam_loop", "prequential", "plant", "golden", "cost"]
POOLED = "pooled"  # the code base of records made from several code bases
ALL = "all"  # the stratum of everything
_DIGITS = 6
_SUMS_DIGITS = 12  # squares of sums cancel; six digits would not survive it


@dataclass(frozen=True)
class Metric:
    """An estimate with its two-sided 95 % t interval, clustered by file; None: no interval.

    `sums` are what the estimate was made from, kept where it may be pooled with other code bases.
    """

    value: float
    low: float | None
    high: float | None
    num_items: int
    num_files: int
    sums: ClusterSums | None = None


@dataclass(frozen=True)
class Record:
    """All metrics of one arm after one night (0: before the first) in one split and stratum.

    `seed` None: files averaged over `num_seeds` seeds, then clustered. Records of one seed and
    records of all seeds stand side by side.
    """

    codebase: str
    arm: str
    seed: int | None
    night: int
    split: Split
    stratum: str
    metrics: dict[str, Metric]
    num_seeds: int = 1


@dataclass(frozen=True)
class CurvePoint:
    """What an arm would do if only suggestions at least as sure as `threshold` were shown."""

    threshold: float | None  # mean log-probability of the generation; None: unknown
    num_shown: int
    shown_rate: float  # of requests
    retained_per_1000: float
    keystrokes_saved_per_1000: float
    acceptance_rate: float | None  # None: nothing is shown


@dataclass(frozen=True)
class Curve:
    """The retained-versus-shown curve of one arm in the closed-loop exam, surest first."""

    codebase: str
    arm: str
    seed: int
    night: int
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class NightResult:
    """What the gate said after one night, or of one offline arm, and the counts it saw."""

    codebase: str
    seed: int
    night: int
    verdict: str
    promoted: bool
    reasons: tuple[str, ...]
    counts: dict[str, float] = field(default_factory=dict)
    arm: str = "loop"


@dataclass(frozen=True)
class ReplayReport:
    """Everything a replay found. `about` is JSON: source, settings, habits, hardware, versions,
    wall seconds. `shortfalls` say what is not as it should be, one sentence each."""

    about: dict[str, Any]
    records: tuple[Record, ...]
    curves: tuple[Curve, ...] = ()
    nights: tuple[NightResult, ...] = ()
    shortfalls: tuple[str, ...] = ()

    @property
    def codebases(self) -> tuple[str, ...]:
        """The code bases measured, in order of first mention, without the pooled one."""
        return tuple(dict.fromkeys(r.codebase for r in self.records if r.codebase != POOLED))

    @property
    def scope(self) -> str:
        """Where the headline is read: the pooled figures where several code bases were pooled."""
        if any(record.codebase == POOLED for record in self.records):
            return POOLED
        return self.codebases[0] if self.codebases else ""

    def find(
        self,
        split: Split,
        arm: str | None = None,
        *,
        stratum: str = ALL,
        codebase: str | None = None,
    ) -> list[Record]:
        """Return the seed-averaged records of a split, by night; of `scope` unless one is named."""
        where = codebase or self.scope
        found = (
            r
            for r in self.records
            if r.codebase == where and r.split == split and r.stratum == stratum and r.seed is None
        )
        return sorted((r for r in found if arm in (None, r.arm)), key=lambda r: r.night)

    def last(self, split: Split, arm: str, *, codebase: str | None = None) -> Record | None:
        """Return an arm's seed-averaged record of its last night in a split."""
        found = self.find(split, arm, codebase=codebase)
        return found[-1] if found else None

    def to_json(self) -> str:
        """Return the report as JSON, one record a line; floats have six significant digits.

        Raises ValueError for a value that is no number; metrics without data are left out.
        """
        values = {
            "about": _rounded(self.about),
            "records": [_of_record(record) for record in self.records],
            "curves": [_rounded(asdict(curve)) for curve in self.curves],
            "nights": [_rounded(asdict(night)) for night in self.nights],
            "shortfalls": list(self.shortfalls),
        }
        parts = (f"{json.dumps(name)}: {_lines(value)}" for name, value in values.items())
        return "{\n" + ",\n".join(parts) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> "ReplayReport":
        """Return the report of `to_json`; ValueError, KeyError or TypeError on other text."""
        values = json.loads(text)
        return cls(
            values["about"],
            tuple(_to_record(record) for record in values["records"]),
            tuple(
                Curve(**{**curve, "points": tuple(CurvePoint(**p) for p in curve["points"])})
                for curve in values["curves"]
            ),
            tuple(NightResult(**{**n, "reasons": tuple(n["reasons"])}) for n in values["nights"]),
            tuple(values["shortfalls"]),
        )


def _of_record(record: Record) -> dict[str, Any]:
    """Return a record's JSON values; sums only where they can be pooled."""
    values = _rounded(asdict(record))
    for name, metric in record.metrics.items():
        sums = values["metrics"][name].pop("sums")
        if record.seed is None and sums is not None and metric.sums is not None:
            told = asdict(metric.sums)
            values["metrics"][name]["sums"] = {
                **told,
                "totals": _rounded(told["totals"], _SUMS_DIGITS),
                "products": _rounded(told["products"], _SUMS_DIGITS),
            }
    return dict(values)


def _to_record(values: Mapping[str, Any]) -> Record:
    metrics = {name: _to_metric(metric) for name, metric in values["metrics"].items()}
    return Record(**{**values, "metrics": metrics})


def _to_metric(values: Mapping[str, Any]) -> Metric:
    sums = values.get("sums")
    if sums is not None:
        sums = ClusterSums(
            sums["num_items"], sums["num_clusters"], tuple(sums["totals"]), tuple(sums["products"])
        )
    return Metric(**{**values, "sums": sums})


def _rounded(value: Any, digits: int = _DIGITS) -> Any:
    """Return JSON values with every float rounded to significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, dict):
        return {str(name): _rounded(inner, digits) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner, digits) for inner in value]
    return value


def _lines(value: Any) -> str:
    """Return JSON with one entry of a list a line, so that two reports can be compared."""
    if not isinstance(value, list) or not value:
        return json.dumps(value, allow_nan=False)
    return "[\n" + ",\n".join(json.dumps(entry, allow_nan=False) for entry in value) + "\n]"
