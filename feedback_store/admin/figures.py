"""Turns daily figures into what the dashboard says: by day, by slice, and by stage of the latency.

The headline is retained characters; acceptance rate and shown rate stand beside it. Reads the
roll-up tables alone, so that it costs the same however much is stored. Knows nothing of HTML.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple

from pydantic_core import from_json
from sqlalchemy import Select, Text, cast, func, select
from sqlalchemy.orm import Session

from feedback_store import latency
from feedback_store.database import Database
from feedback_store.intervals import Estimate, ratio, wilson
from feedback_store.latency import WHOLE, Histogram
from feedback_store.models import AdapterChangeRow, DailyRow
from feedback_store.rollups import ALL, Key

Dimension = Literal["language", "client", "adapter"]
DIMENSIONS: tuple[Dimension, ...] = ("language", "client", "adapter")
MAX_SLICES = 12
_MAX_DAILY = 120  # days that a chart can show one by one
_SERVING = ("promoted", "rolled back")
_SHARES = (0.5, 0.95)


class Counts(NamedTuple):
    """How far completions got. A tuple: a year by language makes thousands of them."""

    served: int = 0
    shown: int = 0
    accepted: int = 0
    kept: int = 0
    retained_characters: int = 0

    @property
    def retained(self) -> float | None:
        """Retained characters per 1,000 completions: what shown and unshown ones left together."""
        return 1000 * self.retained_characters / self.served if self.served else None

    @property
    def shown_rate(self) -> Estimate | None:
        """Shown over served."""
        return wilson(self.shown, self.served)

    @property
    def acceptance_rate(self) -> Estimate | None:
        """Accepted over shown."""
        return wilson(self.accepted, self.shown)

    @property
    def kept_rate(self) -> Estimate | None:
        """Kept over shown, typed through included."""
        return wilson(self.kept, self.shown)


_COUNTED = tuple(getattr(DailyRow, name) for name in Counts._fields)


def summed(counts: Iterable[Counts]) -> Counts:
    """Add counts up."""
    return Counts(*map(sum, zip(*counts, strict=True)))


@dataclass(frozen=True)
class Wait:
    """Median and 95th percentile of a duration, in milliseconds, with their intervals."""

    p50_ms: Estimate
    p95_ms: Estimate


class Day(NamedTuple):
    """One day."""

    day: date
    counts: Counts


@dataclass(frozen=True)
class Span:
    """What a chart shows at one place: a day, or the week that begins there."""

    day: date
    counts: Counts
    wait: Wait | None  # in the engine as a whole; its intervals as if durations were independent


@dataclass(frozen=True)
class Slice:
    """All that one language, client or adapter did; intervals have days as clusters."""

    name: str
    counts: Counts
    retained: Estimate | None
    acceptance: Estimate | None
    shown: Estimate | None
    wait: Wait | None
    days: tuple[Day, ...]


@dataclass(frozen=True)
class Change:
    """What served from a day on. `adapter` is None for the bare base."""

    day: date
    adapter: str | None
    action: str
    by: str


@dataclass(frozen=True)
class Figures:
    """Everything the dashboard counts."""

    days: tuple[Day, ...]  # those with completions, oldest first
    earlier: tuple[Day, ...]  # as many days before the range
    spans: tuple[Span, ...]  # days, or weeks in a long range
    span_days: int  # 1 or 7
    total: Slice
    slices: tuple[Slice, ...]
    stages: tuple[tuple[str, Wait], ...]
    kinds: tuple[tuple[str, int], ...]
    changes: tuple[Change, ...]
    newest_day: date | None  # with any completion, in or out of the range


def read_figures(
    database: Database,
    *,
    until: date,
    num_days: int,
    by: Dimension = "language",
    of: str | None = None,
) -> Figures:
    """Return the figures of `num_days` days up to and with `until`, from one snapshot.

    `slices` are all of `by`; the rest is of the slice named `of` alone, of everything for None.
    """
    since = until - timedelta(days=num_days - 1)
    span_days = 7 if num_days > _MAX_DAILY else 1
    wanted = (ALL, "") if of is None else (by, of)
    with database.reading() as session:
        rows = _rows_of(session, wanted, since, until)
        groups = _group(_rows_by(session, by, since, until))
        groups.sort(key=lambda one: (-sum(row.counts.served for row in one[1]), one[0]))
        return Figures(
            days=_days(rows),
            spans=_spans(rows, since, span_days),
            span_days=span_days,
            earlier=_earlier(session, wanted, since - timedelta(days=num_days), since),
            total=_slice("", rows),
            slices=tuple(_slice(name, some) for name, some in groups[:MAX_SLICES]),
            stages=tuple(
                (stage, wait)
                for stage in latency.STAGES
                if (wait := _wait(rows, stage)) is not None
            ),
            kinds=_kinds(rows),
            changes=_changes(session, since, until),
            newest_day=session.scalar(
                select(func.max(DailyRow.day)).where(DailyRow.dimension == ALL)
            ),
        )


def by_adapter(database: Database) -> dict[str, Counts]:
    """Return what each adapter ("" is the bare base) earned, as far as it is kept."""
    sums = [func.sum(column) for column in _COUNTED]
    wanted = select(DailyRow.name, *sums).where(DailyRow.dimension == "adapter")
    with database.reading() as session:
        rows = session.execute(wanted.group_by(DailyRow.name))
        return {row[0]: Counts(*map(int, row[1:])) for row in rows}


def choices(database: Database) -> dict[str, list[str]]:
    """Return the languages, clients and adapters there are, the most frequent first."""
    found: dict[str, list[str]] = {name: [] for name in DIMENSIONS}
    with database.reading() as session:
        for dimension, name in session.execute(
            select(DailyRow.dimension, DailyRow.name)
            .where(DailyRow.dimension.in_(DIMENSIONS))
            .group_by(DailyRow.dimension, DailyRow.name)
            .order_by(func.sum(DailyRow.served).desc())
        ):
            found[dimension].append(name)
    return found


class _Row(NamedTuple):
    """A day of one slice."""

    day: date
    name: str
    counts: Counts
    latency: Mapping[str, Histogram]  # by stage
    kinds: Mapping[str, int]


def _rows_of(session: Session, key: Key, since: date, until: date) -> list[_Row]:
    """Return the days of one slice, with all that is known of it."""
    told = _days_between(since, until, DailyRow.latency, DailyRow.kinds)
    dimension, name = key
    wanted = told.where(DailyRow.dimension == dimension, DailyRow.name == name)
    return [
        _Row(
            day,
            name,
            Counts._make(counts),
            {stage: Histogram(*one) for stage, one in histograms.items()},
            kinds,
        )
        for day, name, histograms, kinds, *counts in session.connection().execute(wanted).all()
    ]


def _rows_by(session: Session, dimension: str, since: date, until: date) -> list[_Row]:
    """Return the days of every slice, with what a table of slices tells: thousands in a year."""
    told = _days_between(since, until, cast(DailyRow.latency[WHOLE], Text))
    wanted = told.where(DailyRow.dimension == dimension)
    rows = session.connection().execute(wanted).all()
    # One text to take apart: thousands of small ones take several times as long.
    histograms = from_json(f"[{','.join(row[2] for row in rows)}]")
    return [
        _Row(row[0], row[1], Counts._make(row[3:]), {WHOLE: Histogram._make(histogram)}, {})
        for row, histogram in zip(rows, histograms, strict=True)
    ]


def _days_between(since: date, until: date, *columns: Any) -> Select[Any]:
    """Select days in order. Past the ORM, which would double the time of reading plain rows."""
    return (
        select(DailyRow.day, DailyRow.name, *columns, *_COUNTED)
        .where(DailyRow.day >= since, DailyRow.day <= until)
        .order_by(DailyRow.day)
    )


def _group(rows: Iterable[_Row]) -> list[tuple[str, list[_Row]]]:
    groups: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        groups[row.name].append(row)
    return list(groups.items())


def _days(rows: Iterable[_Row]) -> tuple[Day, ...]:
    return tuple(Day(row.day, row.counts) for row in rows)


def _slice(name: str, rows: Sequence[_Row]) -> Slice:
    days = _days(rows)
    counts = [day.counts for day in days]
    return Slice(
        name=name,
        counts=summed(counts),
        retained=ratio([(1000 * one.retained_characters, one.served) for one in counts]),
        acceptance=ratio([(one.accepted, one.shown) for one in counts]),
        shown=ratio([(one.shown, one.served) for one in counts]),
        wait=_wait(rows),
        days=days,
    )


def _spans(rows: Sequence[_Row], since: date, span_days: int) -> tuple[Span, ...]:
    spans: dict[date, list[_Row]] = defaultdict(list)
    for row in rows:
        spans[row.day - timedelta(days=(row.day - since).days % span_days)].append(row)
    return tuple(
        Span(day, summed(row.counts for row in some), _wait_of_span(some))
        for day, some in spans.items()
    )


def _wait(rows: Iterable[_Row], stage: str = WHOLE) -> Wait | None:
    found = latency.quantiles_by_day([row.latency[stage] for row in rows], _SHARES)
    return Wait(*found) if found else None


def _wait_of_span(rows: Iterable[_Row]) -> Wait | None:
    found = latency.quantiles_alone(latency.merged(row.latency[WHOLE] for row in rows), _SHARES)
    return Wait(*found) if found else None


def _kinds(rows: Iterable[_Row]) -> tuple[tuple[str, int], ...]:
    total: dict[str, int] = defaultdict(int)
    for row in rows:
        for kind, count in row.kinds.items():
            total[kind] += count
    return tuple(sorted(total.items(), key=lambda one: -one[1]))


def _earlier(session: Session, key: Key, since: date, before: date) -> tuple[Day, ...]:
    dimension, name = key
    rows = session.execute(
        select(DailyRow.day, *_COUNTED)
        .where(DailyRow.dimension == dimension, DailyRow.name == name)
        .where(DailyRow.day >= since, DailyRow.day < before)
        .order_by(DailyRow.day)
    )
    return tuple(Day(day, Counts(*counts)) for day, *counts in rows)


def _changes(session: Session, since: date, until: date) -> tuple[Change, ...]:
    rows = session.scalars(
        select(AdapterChangeRow)
        .where(AdapterChangeRow.action.in_(_SERVING))
        .order_by(AdapterChangeRow.change_id)
    )
    return tuple(
        Change(row.changed_at.date(), row.adapter, row.action, row.changed_by)
        for row in rows
        if since <= row.changed_at.date() <= until
    )
