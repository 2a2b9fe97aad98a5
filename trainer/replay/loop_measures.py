"""Turns closed-loop exams into what was kept, shown and saved, alone or paired with another arm.

Arms are compared at the same number of shown suggestions: an arm that shows more keeps only its
surest ones, and what it dropped counts as nothing retained, although the typist would have got
other offers later; that is to its disadvantage. Pure; it knows nothing of models or of typing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Literal

from trainer.replay.measures import LoopRequest, LoopRun
from trainer.replay.records import CurvePoint, Metric
from trainer.replay.tallies import Tallies, Tally, metrics_of, tally

KEY_GAP_MS = 170.0  # the median time between two keys, by which reading is turned into keys
FEWER_SHARE = 0.79  # "21 % fewer suggestions": the published aim
_UNREAD = frozenset({"none", "late", "missed"})


def loop_metrics(run: LoopRun, *, shown_limit: int | None) -> dict[str, Metric]:
    """Return rates, retained characters and keys saved, of the `shown_limit` surest suggestions.

    "per_1000" is per 1,000 characters of true text. Keys saved = retained - 1 per accept -
    deleted - reading time in keys. None: all suggestions that were shown.
    """
    return metrics_of(loop_tallies(surest(run, shown_limit)))


def paired_loop(arm: LoopRun, frozen: LoopRun) -> dict[str, Metric]:
    """Return the differences to `frozen`, and relative acceptance at 79 % of what it showed."""
    return metrics_of({**paired_loop_tallies(arm, frozen), **fewer_tallies(arm, frozen)})


def num_shown(run: LoopRun) -> int:
    """Return how many suggestions were shown."""
    return sum(request.shown for request in run.requests)


def surest(
    run: LoopRun, shown_limit: int | None, by: Literal["confidence", "chance"] = "confidence"
) -> LoopRun:
    """Return the run as if only the surest `shown_limit` of its shown suggestions had been shown.

    Equally sure ones keep the order in which they were asked for; unknown confidence comes last.
    """
    if shown_limit is None or num_shown(run) <= shown_limit:
        return run
    dropped = set(_by_confidence(run, by)[shown_limit:])
    return replace(
        run, requests=tuple(_hidden(r) if i in dropped else r for i, r in enumerate(run.requests))
    )


def loop_tallies(run: LoopRun) -> Tallies:
    """Return what `loop_metrics` is made from.

    Raises ValueError where a request names a file whose true text is not known.
    """
    shown = [r for r in run.requests if r.shown]
    return {
        "retained_per_1000": _per_1000(run, lambda r: r.retained),
        "accepted_per_1000": _per_1000(run, lambda r: r.accepted),
        "keystrokes_saved_per_1000": _per_1000(run, keystrokes_saved),
        "shown_rate": tally((r.file_id, (r.shown, 1)) for r in run.requests),
        "acceptance_rate": tally((r.file_id, (r.accepted > 0, 1)) for r in shown),
        "kept_share": tally((r.file_id, (r.retained, r.accepted)) for r in shown if r.accepted),
        "correct_rejection_rate": tally(
            (r.file_id, (r.was_right, 1)) for r in shown if is_rejection(r)
        ),
    }


def paired_loop_tallies(
    arm: LoopRun, frozen: LoopRun, rival: LoopRun | None = None, prefix: str = "delta_"
) -> Tallies:
    """Return the differences per file between an arm and `rival` (`frozen` where there is none).

    Both keep at most as many suggestions as frozen showed. Files count that both have.
    """
    limit = num_shown(frozen)
    ours, theirs = surest(arm, limit), surest(rival or frozen, limit)
    return {
        f"{prefix}retained_per_1000": _difference(ours, theirs, lambda r: r.retained),
        f"{prefix}keystrokes_saved_per_1000": _difference(ours, theirs, keystrokes_saved),
    }


def fewer_tallies(arm: LoopRun, frozen: LoopRun) -> Tallies:
    """Return acceptance at 79 % of frozen's suggestions, relative to frozen with all of its own
    ("at_79") and with as few ("both_at_79"). Of frozen itself: what the threshold alone does.

    "filtered": the same where the loop's show filter chooses, and the share of the retained
    characters that it leaves.
    """
    limit = round(FEWER_SHARE * num_shown(frozen))
    ours, theirs = surest(arm, limit), surest(frozen, limit)
    tallies = {
        "acceptance_rate_at_79": loop_tallies(ours)["acceptance_rate"],
        "relative_acceptance_at_79": _relative_acceptance(ours, frozen),
        "relative_acceptance_both_at_79": _relative_acceptance(ours, theirs),
    }
    if any(r.chance is not None for r in arm.requests):
        chosen = surest(arm, limit, "chance")
        tallies["relative_acceptance_filtered_at_79"] = _relative_acceptance(chosen, frozen)
        tallies["retained_share_filtered_at_79"] = tally(
            (r.file_id, (left.retained, r.retained))
            for r, left in zip(arm.requests, chosen.requests, strict=True)
        )
    return tallies


def retention_curve(run: LoopRun, max_points: int = 60) -> list[CurvePoint]:
    """Return points by falling confidence: nothing shown first, all that was shown last."""
    order = _by_confidence(run)
    chosen = [run.requests[i] for i in order]
    retained = [0.0, *accumulate(r.retained for r in chosen)]
    accepted = [0, *accumulate(r.accepted > 0 for r in chosen)]
    saved = [0.0, *accumulate(map(keystrokes_saved, chosen))]
    per_1000 = 1000 / (sum(run.characters.values()) or 1)
    return [
        CurvePoint(
            threshold=chosen[n - 1].confidence if n else None,
            num_shown=n,
            shown_rate=n / (len(run.requests) or 1),
            retained_per_1000=retained[n] * per_1000,
            keystrokes_saved_per_1000=saved[n] * per_1000,
            acceptance_rate=accepted[n] / n if n else None,
        )
        for n in _spread(len(chosen), max_points)
    ]


def keystrokes_saved(request: LoopRequest) -> float:
    """Return keys saved by one request; reading what is not taken costs keys too."""
    spent = (request.accepted > 0) + request.deleted + request.read_ms / KEY_GAP_MS
    return request.retained - spent


def is_rejection(request: LoopRequest) -> bool:
    """Tell whether a suggestion was shown and read, and no part of it was taken."""
    was_read = request.read_ms > 0 and request.action not in _UNREAD
    return request.shown and was_read and request.accepted == 0


def _by_confidence(run: LoopRun, by: Literal["confidence", "chance"] = "confidence") -> list[int]:
    """Return the indices of the shown requests, surest first."""
    sure = {i: getattr(r, by) for i, r in enumerate(run.requests) if r.shown}
    return sorted(sure, key=lambda i: -(float("-inf") if (c := sure[i]) is None else c))


def _hidden(request: LoopRequest) -> LoopRequest:
    return replace(
        request, shown=False, accepted=0, retained=0, deleted=0, read_ms=0.0, action="none"
    )


def _sums(run: LoopRun, of: Callable[[LoopRequest], float]) -> dict[str, float]:
    """Return the sum of a value per file, 0 for files where nothing was asked."""
    sums = dict.fromkeys(run.characters, 0.0)
    for request in run.requests:
        if request.file_id not in sums:
            raise ValueError(f"a request in {request.file_id!r}, whose true text is not counted")
        sums[request.file_id] += of(request)
    return sums


def _per_1000(run: LoopRun, of: Callable[[LoopRequest], float]) -> Tally:
    sums = _sums(run, of)
    return _with_items(
        ((file_id, (1000 * total, run.characters[file_id])) for file_id, total in sums.items()), run
    )


def _difference(ours: LoopRun, theirs: LoopRun, of: Callable[[LoopRequest], float]) -> Tally:
    mine, other = _sums(ours, of), _sums(theirs, of)
    shared = (file_id for file_id in mine if file_id in other)
    return _with_items(
        ((f, (1000 * (mine[f] - other[f]), theirs.characters[f])) for f in shared), ours
    )


def _with_items(items: Iterable[tuple[str, Sequence[float]]], run: LoopRun) -> Tally:
    """Count the suggestions shown as the items, instead of one item per file."""
    counts: dict[str, int] = defaultdict(int)
    for request in run.requests:
        counts[request.file_id] += request.shown
    return {f: replace(cell, num_items=counts[f]) for f, cell in tally(items).items()}


def _relative_acceptance(ours: LoopRun, theirs: LoopRun) -> Tally:
    mine = ((r.file_id, (r.accepted > 0, 1, 0, 0)) for r in ours.requests if r.shown)
    other = ((r.file_id, (0, 0, r.accepted > 0, 1)) for r in theirs.requests if r.shown)
    return _with_items([*mine, *other], ours)


def _spread(count: int, max_points: int) -> list[int]:
    """Return at most `max_points` counts from 0 to `count`, both ends among them."""
    steps = min(count, max_points - 1)
    return sorted({round(i * count / steps) for i in range(steps + 1)}) if steps else [0]
