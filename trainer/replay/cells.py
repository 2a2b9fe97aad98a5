"""Turns metrics into the short strings of a table's cells, and sorts what the rows are made from.

A metric that was not measured is a dash. It knows nothing of tables.
"""

from collections.abc import Callable, Sequence

from trainer.replay.config import ARMS
from trainer.replay.headline import interval
from trainer.replay.records import Metric, Record

MISSING = "-"
MAX_NAME = 24


def ordered(records: Sequence[Record]) -> list[Record]:
    """Return records by arm, in the order in which arms are always named, then by night."""
    return sorted(records, key=lambda r: (arm_rank(r.arm), r.night))


def arm_rank(arm: str) -> tuple[int, str]:
    """Return what sorts arms: the known ones first."""
    return (ARMS.index(arm) if arm in ARMS else len(ARMS), arm)


def number(record: Record, name: str, digits: int) -> str:
    """Return a metric's value, "-" where it was not measured."""
    return told(record, name, lambda m: f"{m.value:.{digits}f}")


def percent(record: Record, name: str, digits: int) -> str:
    """Return a rate in per cent."""
    return told(record, name, lambda m: f"{100 * m.value:.{digits}f} %")


def with_interval(record: Record, name: str, digits: int) -> str:
    """Return a signed value with its interval."""
    return told(record, name, lambda m: f"{m.value:+.{digits}f} [{interval(m, digits)}]")


def count(record: Record, name: str) -> str:
    """Return the number of items in a metric."""
    return told(record, name, lambda m: str(m.num_items))


def short(name: str) -> str:
    """Return a name that leaves room for numbers."""
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 3]}..."


def files(record: Record, name: str) -> str:
    """Return the number of files in a metric."""
    return told(record, name, lambda m: str(m.num_files))


def percent_interval(record: Record, name: str, unit: str = " %") -> str:
    """Return a signed change in per cent (or, with another unit, in points) with its interval."""
    return told(
        record,
        name,
        lambda m: f"{100 * m.value:+.1f}{unit} [{interval(m, 1, scale=100)}]",
    )


def percent_range(record: Record, name: str) -> str:
    """Return the interval of a rate, in per cent and within what a rate can be."""

    def ends(metric: Metric) -> str:
        if metric.low is None or metric.high is None:
            return "no interval"
        return f"{100 * max(0.0, metric.low):.0f} .. {100 * min(1.0, metric.high):.0f} %"

    return told(record, name, ends)


def told(record: Record, name: str, of: Callable[[Metric], str]) -> str:
    """Return what `of` says of a metric, "-" where it was not measured."""
    metric = record.metrics.get(name)
    return MISSING if metric is None else of(metric)


def plain(metric: Metric) -> str:
    """Return a count or a time."""
    return f"{metric.value:,.0f}" if abs(metric.value) >= 100 else f"{metric.value:.3g}"


def place(record: Record) -> tuple[str, str]:
    """Return arm and night."""
    return record.arm, str(record.night)


def last_of_each(records: Sequence[Record]) -> list[Record]:
    """Return each arm's last record, of those that were paired with frozen."""
    last = {record.arm: record for record in sorted(records, key=lambda r: r.night)}
    return [record for record in ordered(list(last.values())) if "delta_log_prob" in record.metrics]
