"""Turns days before and after into one honest sentence: is it getting better, and why. Pure.

Compared are the days since the last change of adapter with as many days before it; without a
change, the later half of the days with the earlier half. An interval that holds zero is said to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import log
from typing import Literal

from feedback_store.admin.figures import Change, Counts, Day, summed
from feedback_store.intervals import Estimate, difference

MIN_DAYS = 3
MAX_DAYS_BEFORE = 28


@dataclass(frozen=True)
class Progress:
    """The answer; `change` is in retained characters per 1,000 completions."""

    tone: Literal["better", "worse", "unsure", "unknown"]
    sentence: str
    change: Estimate | None = None


def tell(days: Sequence[Day], earlier: Sequence[Day], changes: Sequence[Change]) -> Progress:
    """Compare; `earlier` are days before the range, used where the change lies near its start."""
    every = [*earlier, *days]
    found = _around_change(every, changes) or _halves(days)
    if found is None:
        return Progress("unknown", _too_few(days))
    since, before, after = found
    change = difference(_clusters(after), _clusters(before))
    old, new = _sum(before), _sum(after)
    if change is None or old.retained is None or new.retained is None:
        return Progress("unknown", _too_few(days))
    head = (
        f"{since}, {new.retained:,.0f} characters were retained per 1,000 completions, against "
        f"{old.retained:,.0f} in the {len(before)} working days before"
    )
    if change.low is None or change.high is None:
        return Progress("unsure", f"{head}: too few days to tell this from chance.", change)
    told = f"{head} ({change.value:+,.0f}, 95 % {change.low:+,.0f} to {change.high:+,.0f})"
    if not change.is_sure:
        return Progress(
            "unsure", f"Not proven: {_lower(told)}. The interval includes zero.", change
        )
    tone: Literal["better", "worse"] = "better" if change.value > 0 else "worse"
    why = _why(old, new)
    return Progress(tone, f"Getting {tone}: {_lower(told)}{why}.", change)


def _around_change(
    days: Sequence[Day], changes: Sequence[Change]
) -> tuple[str, Sequence[Day], Sequence[Day]] | None:
    """Return the newest change that has days enough on both sides; its own day counts to none."""
    for change in reversed(changes):
        after = [day for day in days if day.day > change.day]
        before = [day for day in days if day.day < change.day][-min(len(after), MAX_DAYS_BEFORE) :]
        if len(after) >= MIN_DAYS and len(before) >= MIN_DAYS:
            name = f"adapter {change.adapter[:12]}" if change.adapter else "the bare base"
            return f"Since {name} went live on {_named(change.day)}", before, after
    return None


def _halves(days: Sequence[Day]) -> tuple[str, Sequence[Day], Sequence[Day]] | None:
    if len(days) < 2 * MIN_DAYS:
        return None
    middle = len(days) // 2
    return f"Since {_named(days[middle].day)}", days[:middle], days[middle:]


def _too_few(days: Sequence[Day]) -> str:
    if not days:
        return "Nothing was recorded in this time."
    so_far = f"{len(days)} day{'' if len(days) == 1 else 's'} with completions"
    return f"Too early to tell: {so_far}, and a comparison needs {2 * MIN_DAYS}."


def _clusters(days: Sequence[Day]) -> list[tuple[float, float]]:
    return [(1000 * day.counts.retained_characters, day.counts.served) for day in days]


def _sum(days: Sequence[Day]) -> Counts:
    return summed(day.counts for day in days)


def _why(old: Counts, new: Counts) -> str:
    """Name the factor of retained = shown rate x acceptance rate x length that moved most."""
    if not (old.retained_characters and new.retained_characters):
        return ""
    factors = (
        ("of the completions were shown", old.shown / old.served, new.shown / new.served),
        ("of what was shown was accepted", old.accepted / old.shown, new.accepted / new.shown),
        (
            "characters stayed of an accepted suggestion",
            old.retained_characters / old.accepted,
            new.retained_characters / new.accepted,
        ),
    )
    is_up = new.retained_characters / new.served > old.retained_characters / old.served
    name, was, now = max(factors, key=lambda f: log(f[2] / f[1]) * (1 if is_up else -1))
    figures = f"{was:.1%} to {now:.1%}" if max(was, now) <= 1 else f"{was:.1f} to {now:.1f}"
    return f", mostly because {'more' if now > was else 'fewer'} {name} ({figures})"


def _named(day: date) -> str:
    return f"{day.day} {day:%B}"


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]
