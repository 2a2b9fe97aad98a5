"""Turns daily figures into what the dashboard says: by day, by slice, and by stage of the latency.

The headline is retained characters; acceptance rate and shown rate stand beside it. Reads the
roll-up tables alone, so that it costs the same however much is stored. Knows nothing of HTML.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from feedback_store import latency
from feedback_store.database import Database
from feedback_store.intervals import Estimate, ratio, wilson
from feedback_store.latency import WHOLE
from feedback_store.models import AdapterChangeRow, DailyRow
from feedback_store.rollups import ALL

Dimension = Literal["language", "client", "adapter"]
DIMENSIONS: tuple[Dimension, ...] = ("language", "client", "adapter")
MAX_SLICES = 12
_MAX_DAILY = 120  # days that a chart can show one by one
_SERVING = ("promoted", "rolled back")


@dataclass(frozen=True)
class Counts:
    """How far completions got."""

    served: int = 0
    shown: int = 0
    accepted: int = 0
    kept: int = 0
    retained_characters: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.served + other.served,
            self.shown + other.shown,
            self.accepted + other.accepted,
            self.kept + other.kept,
            self.retained_characters + other.retained_characters,
        )

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


@dataclass(frozen=True)
class Wait:
    """Median and 95th percentile of a duration, in milliseconds."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Day:
    """One day."""

    day: date
    counts: Counts


@dataclass(frozen=True)
class Span:
    """What a chart shows at one place: a day, or the week that begins there."""

    day: date
    counts: Counts
    wait: Wait | None  # in the engine as a whole


@dataclass(frozen=True)
class Slice:
    """All that one language, client or adapter did; rates with day-clustered intervals."""

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
    database: Database, *, until: date, num_days: int, by: Dimension = "language"
) -> Figures:
    """Return the figures of `num_days` days up to and with `until`, from one snapshot."""
    since = until - timedelta(days=num_days - 1)
    span_days = 7 if num_days > _MAX_DAILY else 1
    with database.reading() as session:
        rows = _rows(session, ALL, since, until)
        slices = _group(_rows(session, by, since, until))
        everything = latency.merged(row.latency for row in rows)
        return Figures(
            days=tuple(Day(row.day, _counts(row)) for row in rows),
            spans=_spans(rows, since, span_days),
            span_days=span_days,
            earlier=_earlier(session, since - timedelta(days=num_days), since),
            total=_slice("", rows),
            slices=tuple(
                sorted(
                    (_slice(name, some) for name, some in slices.items()),
                    key=lambda one: (-one.counts.served, one.name),
                )
            )[:MAX_SLICES],
            stages=tuple(
                (stage, wait)
                for stage, histogram in everything.items()
                if (wait := _wait(histogram)) is not None
            ),
            kinds=_kinds(rows),
            changes=_changes(session, since, until),
            newest_day=session.scalar(
                select(func.max(DailyRow.day)).where(DailyRow.dimension == ALL)
            ),
        )


def by_adapter(database: Database) -> dict[str, Counts]:
    """Return what each adapter ("" is the bare base) earned, as far as it is kept."""
    sums = [func.sum(getattr(DailyRow, field.name)) for field in fields(Counts)]
    wanted = select(DailyRow.name, *sums).where(DailyRow.dimension == "adapter")
    with database.reading() as session:
        rows = session.execute(wanted.group_by(DailyRow.name))
        return {row[0]: Counts(*(int(number) for number in row[1:])) for row in rows}


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


def _rows(session: Session, dimension: str, since: date, until: date) -> list[Any]:
    columns = [column for column in DailyRow.__table__.columns if column.name != "kinds"]
    if dimension == ALL:
        columns.append(DailyRow.__table__.c.kinds)  # Slices do not tell them.
    wanted = select(*columns).where(
        DailyRow.dimension == dimension, DailyRow.day >= since, DailyRow.day <= until
    )
    return list(session.execute(wanted.order_by(DailyRow.day)))


def _group(rows: Iterable[Any]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        groups[row.name].append(row)
    return groups


def _counts(row: Any) -> Counts:
    return Counts(row.served, row.shown, row.accepted, row.kept, row.retained_characters)


def _slice(name: str, rows: list[Any]) -> Slice:
    days = tuple(Day(row.day, _counts(row)) for row in rows)
    counts = [one.counts for one in days]
    return Slice(
        name=name,
        counts=sum(counts, Counts()),
        retained=ratio([(1000 * one.retained_characters, one.served) for one in counts]),
        acceptance=ratio([(one.accepted, one.shown) for one in counts]),
        shown=ratio([(one.shown, one.served) for one in counts]),
        wait=_wait(_engine(rows)),
        days=days,
    )


def _spans(rows: Sequence[Any], since: date, span_days: int) -> tuple[Span, ...]:
    spans: dict[date, list[Any]] = defaultdict(list)
    for row in rows:
        spans[row.day - timedelta(days=(row.day - since).days % span_days)].append(row)
    return tuple(
        Span(day, sum(map(_counts, some), Counts()), _wait(_engine(some)))
        for day, some in spans.items()
    )


def _engine(rows: Iterable[Any]) -> Mapping[int, int]:
    whole = ({WHOLE: row.latency.get(WHOLE, {})} for row in rows)
    return latency.merged(whole)[WHOLE]


def _wait(histogram: Mapping[int, int]) -> Wait | None:
    p50 = latency.quantile_ms(histogram, 0.5)
    p95 = latency.quantile_ms(histogram, 0.95)
    return None if p50 is None or p95 is None else Wait(p50, p95)


def _kinds(rows: Iterable[Any]) -> tuple[tuple[str, int], ...]:
    total: dict[str, int] = defaultdict(int)
    for row in rows:
        for kind, count in row.kinds.items():
            total[kind] += count
    return tuple(sorted(total.items(), key=lambda one: -one[1]))


def _earlier(session: Session, since: date, before: date) -> tuple[Day, ...]:
    columns = [getattr(DailyRow, field.name) for field in fields(Counts)]
    rows = session.execute(
        select(DailyRow.day, *columns)
        .where(DailyRow.dimension == ALL, DailyRow.day >= since, DailyRow.day < before)
        .order_by(DailyRow.day)
    )
    return tuple(Day(row.day, _counts(row)) for row in rows)


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
