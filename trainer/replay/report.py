"""Turns replays of several code bases into one report, and a report into a table of plain text.

What a report holds is in `records.py`; which tables it has, in `tables.py`. Pure.
"""

import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import add

from trainer.replay.headline import BIASES, CLAIM, headline, sentences
from trainer.replay.records import POOLED, Metric, Record, ReplayReport, Split
from trainer.replay.tables import Section, sections
from trainer.replay.tallies import metric_of

__all__ = ["ReplayReport", "merge", "table"]

WIDTH = 100
_MIN_LAST_COLUMN = 24


def merge(reports: Sequence[ReplayReport]) -> ReplayReport:
    """Return one report of several, with records of the code base "pooled" added.

    Pooled: seed-averaged records that every code base has; clusters are (code base, file). Nights
    meet where they have one number, and at the end: each code base's last night counts as last.
    Raises ValueError without a report, or where two tell of the same code base.
    """
    if not reports:
        raise ValueError("no report to merge")
    names = [name for report in reports for name in report.codebases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two reports tell of {twice[0]!r}: pooling would count its files twice")
    if len(names) < 2:
        return reports[0]
    own = [r for report in reports for r in report.records if r.codebase != POOLED]
    nights = {name: max(r.night for r in own if r.codebase == name) for name in names}
    shortfalls = [s for report in reports for s in _named_shortfalls(report)]
    if partial := _not_everywhere(own, len(names)):
        shortfalls.append(
            f"Not pooled, since some code base lacks them: {', '.join(partial)}. Their figures "
            "stand in the code bases' own results, what the gate said of them is below."
        )
    if len(set(nights.values())) > 1:
        told = ", ".join(f"{name} {night}" for name, night in nights.items())
        shortfalls.append(
            f"Numbers of nights differ ({told}): each code base's own last night is pooled as "
            f"night {max(nights.values())}, and before it only common nights are."
        )
    return ReplayReport(
        about={"reports": [report.about for report in reports]},
        records=(*_pooled(own, nights), *own),
        curves=tuple(curve for report in reports for curve in report.curves),
        nights=tuple(night for report in reports for night in report.nights),
        shortfalls=tuple(shortfalls),
    )


def table(report: ReplayReport) -> str:
    """Return the report as text of at most 100 columns: the answer first, the biases last."""
    parts = [_wrapped(headline(report))]
    parts += [_wrapped(sentence) for sentence in sentences(report)]
    blocks = ["\n".join(parts)]
    if report.shortfalls:
        blocks.append(_bullets("What falls short", report.shortfalls))
    blocks += [_text(section) for section in sections(report)]
    blocks.append(_bullets("Known biases", (*BIASES, CLAIM)))
    return "\n\n".join(blocks) + "\n"


def _named_shortfalls(report: ReplayReport) -> list[str]:
    if len(report.codebases) != 1:
        return list(report.shortfalls)
    return [f"{report.codebases[0]}: {shortfall}" for shortfall in report.shortfalls]


def _not_everywhere(records: Sequence[Record], num_codebases: int) -> list[str]:
    """Name the arms that only some code bases have."""
    where: dict[str, set[str]] = defaultdict(set)
    for record in records:
        where[record.arm].add(record.codebase)
    return [arm for arm, codebases in where.items() if len(codebases) < num_codebases]


def _pooled(records: Sequence[Record], last_nights: Mapping[str, int]) -> list[Record]:
    groups: dict[tuple[str, int, Split, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.seed is None and record.split != "cost":
            for night in _nights_of(record, last_nights):
                groups[record.arm, night, record.split, record.stratum].append(record)
    return [
        replace(
            group[0],
            codebase=POOLED,
            night=night,
            metrics=metrics,
            num_seeds=min(record.num_seeds for record in group),
        )
        for (_, night, _, _), group in groups.items()
        if len(group) == len(last_nights) and (metrics := _pooled_metrics(group))
    ]


def _nights_of(record: Record, last_nights: Mapping[str, int]) -> set[int]:
    """Return the nights that a record counts as: its own, and the last of all if it is its last.

    A day's own lines are those of that day only, whichever day was the last.
    """
    is_last = record.night == last_nights[record.codebase] and record.split != "prequential"
    return {record.night, max(last_nights.values())} if is_last else {record.night}


def _pooled_metrics(group: Sequence[Record]) -> dict[str, Metric]:
    """Return the metrics that all records of a group have."""
    found = {}
    for name in group[0].metrics:
        told = [record.metrics[name] for record in group if name in record.metrics]
        sums = [metric.sums for metric in told if metric.sums is not None]
        metric = metric_of(reduce(add, sums)) if len(sums) == len(group) else None
        if metric is not None:
            found[name] = metric
    return found


def _text(section: Section) -> str:
    """Return a section as aligned columns; only the last column wraps."""
    rows = [section.header, *section.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(section.header))]
    room = WIDTH - sum(widths[:-1]) - 2 * (len(widths) - 1)
    if widths[-1] > room:
        widths[-1] = max(_MIN_LAST_COLUMN, room)
    lines = [_underlined(section.title)]
    lines += [_wrapped(note) for note in section.notes]
    for row in rows:
        lines += _row(row, widths, section.num_text_columns)
    return "\n".join(lines)


def _row(row: Sequence[str], widths: Sequence[int], num_text_columns: int) -> list[str]:
    cells = [
        cell.ljust(width) if i < num_text_columns else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row[:-1], widths[:-1], strict=True))
    ]
    last = textwrap.wrap(row[-1], widths[-1]) or [""]
    if num_text_columns < len(row):
        last = [line.rjust(widths[-1]) for line in last]
    indent = " " * (sum(widths[:-1]) + 2 * len(cells))
    lines = ["  ".join([*cells, last[0]]), *(indent + line for line in last[1:])]
    return [line.rstrip() for line in lines]


def _bullets(title: str, items: Sequence[str]) -> str:
    wrapped = (textwrap.fill(f"- {item}", WIDTH, subsequent_indent="  ") for item in items)
    return "\n".join([_underlined(title), *wrapped])


def _underlined(title: str) -> str:
    return f"{title}\n{'-' * len(title)}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH)
