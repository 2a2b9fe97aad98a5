"""Turns what people read and left into a filter that hides what nobody would take, if that holds.

Logistic regression (ridge, Newton's method) of "was it of use" on what the host knows of an answer.
A suggestion of use was accepted, in part or whole, or typed by the person itself; one of no use was
refused, typed past, or on the screen unread (rule R8). What was never seen says nothing. Files
that are held out are never fitted on. Every file is judged by a filter that has not seen it: so are
threshold and verdict reached. What the last filter hid is seen only where it was explored, so every
offer counts for all that it stands for (inverse propensity; Horvitz and Thompson 1952), or each
night would hide a fifth of what the last one left. This module knows nothing of databases or hosts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from feedback_store.schemas import OutcomeKind
from lsp_server.engine.show_filter import EXPLORED, FEATURES, Offer, ShowFilter, features
from trainer.bounds import clustered_ratio
from trainer.dataset import split_of
from trainer.sides import file_key_of

if TYPE_CHECKING:  # only a name: the database layer stays out
    from feedback_store.visits import Visit

Floats = npt.NDArray[np.float64]

MIN_OFFERS, MIN_USEFUL, MIN_FILES = 300, 40, 8
MAX_HIDDEN = 0.20  # of what is offered; a filter that hides more is another product
_HIDDEN = (MAX_HIDDEN, 0.15, 0.10, 0.05)  # tried in this order
MAX_LOST = 0.05  # of the characters that were retained
CONFIDENCE = 0.95  # one-sided, that what is hidden is of less use than what is offered
_NUM_FOLDS = 5
_RIDGE = 1.0
_MAX_WEIGHT = 1 / EXPLORED  # of an offer that was shown against the odds
_USEFUL = {OutcomeKind.ACCEPTED, OutcomeKind.PARTIALLY_ACCEPTED, OutcomeKind.TYPED_THROUGH}
_TAKEN = {OutcomeKind.ACCEPTED, OutcomeKind.PARTIALLY_ACCEPTED}


@dataclass(frozen=True)
class SeenOffer:
    """One suggestion that was on a screen: what the host knew, and what became of it."""

    file_key: str
    offer: Offer
    useful: bool
    taken: bool
    retained: int  # characters
    weight: float  # one over the probability with which it was shown


@dataclass(frozen=True)
class Verdict:
    """What hiding would have done to offers of files the filter had not seen, and whether to."""

    passed: bool
    reason: str
    num_offers: int
    num_files: int
    num_hidden: int = 0
    hidden_share: float | None = None  # this and what follows: of all that was answered, by weight
    taken_rate: float | None = None
    taken_rate_shown: float | None = None
    retained_lost: float | None = None  # of the characters

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for the record of a night."""
        return asdict(self)


def seen_offers(visits: Iterable["Visit"]) -> list[SeenOffer]:
    """Return what was on a screen; the first candidate, which is what the host decides on."""
    return [
        SeenOffer(
            file_key=file_key_of(visit.completion.request),
            offer=offer_of(visit),
            useful=visit.outcome.kind in _USEFUL,
            taken=visit.outcome.kind in _TAKEN,
            retained=_retained(visit),
            weight=min(_MAX_WEIGHT, 1 / max(1e-6, visit.completion.propensity)),
        )
        for visit in visits
        if visit.outcome.kind is not OutcomeKind.UNSEEN
        and visit.completion.show
        and visit.completion.candidates
    ]


def offer_of(visit: "Visit") -> Offer:
    """Return what the host knew of the first candidate when it answered."""
    request, first = visit.completion.request, visit.completion.candidates[0]
    return Offer(request.prefix, request.suffix, first.text, first.log_probs, first.finish_reason)


def fit(offers: Sequence[SeenOffer]) -> tuple[ShowFilter | None, Verdict]:
    """Return a filter and what it would have hidden; None where there is too little to learn from.

    A filter whose verdict did not pass is returned too, but nobody should serve it.
    """
    files = {one.file_key for one in offers}
    taught = [one for one in offers if split_of(one.file_key) != "held_out"]
    useful = sum(one.useful for one in taught)
    if len(taught) < MIN_OFFERS or useful < MIN_USEFUL or len(files) < MIN_FILES:
        reason = (
            f"Show filter: {len(taught)} suggestions read in {len(files)} files, {useful} of use; "
            f"it needs {MIN_OFFERS}, {MIN_FILES} and {MIN_USEFUL}."
        )
        return None, Verdict(False, reason, len(offers), len(files))
    found = _fitted(taught)
    return _judged(found, offers, _chances_unseen(found, taught, offers))


def _judged(
    found: ShowFilter, offers: Sequence[SeenOffer], chances: Floats
) -> tuple[ShowFilter, Verdict]:
    """Return the filter with the highest threshold that loses little, and what hiding would do."""
    weights = np.array([one.weight for one in offers])
    for share in _HIDDEN:
        threshold = _quantile(chances, weights, share)
        verdict = _judge(offers, chances, threshold)
        if (verdict.retained_lost or 0.0) <= MAX_LOST:
            return replace(found, threshold=threshold), verdict
    lost = verdict.retained_lost or 0.0
    why = f"Show filter: hiding even {_HIDDEN[-1]:.0%} would lose {lost:.0%} of what is kept."
    return found, replace(verdict, passed=False, reason=why)


def _quantile(values: Floats, weights: Floats, share: float) -> float:
    """Return the greatest of `values` below which at most a `share` of the weight lies."""
    order = np.argsort(values)
    heavier = np.cumsum(weights[order]) > share * weights.sum()
    return float(values[order[np.argmax(heavier)]])


def _judge(offers: Sequence[SeenOffer], chances: Floats, threshold: float) -> Verdict:
    hidden = chances < threshold
    weights = np.array([one.weight for one in offers])
    taken = weights * [one.taken for one in offers]
    retained = weights * [one.retained for one in offers]
    rate = float(taken.sum() / weights.sum())
    # How much more often than the hidden is an offer taken? The file is the unit of evidence.
    gap = clustered_ratio(
        (one.file_key, (rate - one.taken) * one.weight * float(out), one.weight * float(out))
        for one, out in zip(offers, hidden, strict=True)
    )
    verdict = Verdict(
        passed=gap is not None and gap.lower(CONFIDENCE) > 0,
        reason="",
        num_offers=len(offers),
        num_files=len({one.file_key for one in offers}),
        num_hidden=int(hidden.sum()),
        hidden_share=float(weights[hidden].sum() / weights.sum()),
        taken_rate=rate,
        taken_rate_shown=float(taken[~hidden].sum() / weights[~hidden].sum()),
        retained_lost=float(retained[hidden].sum() / max(1.0, retained.sum())),
    )
    return replace(verdict, reason=_sentence(verdict))


def _sentence(verdict: Verdict) -> str:
    rate, shown = verdict.taken_rate or 0.0, verdict.taken_rate_shown or 0.0
    done = "hides" if verdict.passed else "would hide"
    told = (
        f"Show filter: {done} {verdict.hidden_share or 0:.0%} of the suggestions, by "
        f"files it has not seen: {shown:.1%} of the others are taken instead of {rate:.1%}, "
        f"{verdict.retained_lost or 0:.1%} of the kept characters are lost"
    )
    return f"{told}." if verdict.passed else f"{told}; not certain enough to serve."


def _chances_unseen(
    found: ShowFilter, taught: Sequence[SeenOffer], offers: Sequence[SeenOffer]
) -> Floats:
    """Return the chance of every offer, by a filter that was fitted without its file.

    For held-out files that is the one `found`; the others are fitted in folds.
    """
    files = sorted({one.file_key for one in taught})
    fold_of = {file_key: index % _NUM_FOLDS for index, file_key in enumerate(files)}
    filters = [
        _fitted([one for one in taught if fold_of[one.file_key] != fold])
        for fold in range(_NUM_FOLDS)
    ]

    def unseen(file_key: str) -> ShowFilter:
        return filters[fold_of[file_key]] if file_key in fold_of else found

    return np.array([unseen(one.file_key).chance(one.offer) for one in offers])


def _fitted(offers: Sequence[SeenOffer]) -> ShowFilter:
    """Return the filter that explains `offers`, without a threshold."""
    table = np.array([list(features(one.offer).values()) for one in offers])
    wanted = np.array([one.useful for one in offers], dtype=float)
    row_weights = np.array([one.weight for one in offers])
    means, scales = table.mean(axis=0), table.std(axis=0)
    scales[scales < 1e-9] = 1.0
    columns = np.column_stack([(table - means) / scales, np.ones(len(offers))])
    weights = _logistic_regression(columns, wanted, row_weights)
    return ShowFilter(
        names=FEATURES,
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        weights=tuple(weights[:-1].tolist()),
        intercept=float(weights[-1]),
        threshold=0.0,
    )


def _logistic_regression(columns: Floats, wanted: Floats, row_weights: Floats) -> Floats:
    """Minimise the weighted log loss plus a ridge on all columns but the last, the intercept.

    Newton's method with a step that is halved until the loss falls (Hastie et al., 4.4.1).
    """
    ridge = np.full(columns.shape[1], _RIDGE)
    ridge[-1] = 1e-6

    def loss(weights: Floats) -> float:
        logits = columns @ weights
        data = row_weights @ (np.logaddexp(0, logits) - wanted * logits)
        return float(data + 0.5 * ridge @ weights**2)

    weights = np.zeros(columns.shape[1])
    before = loss(weights)
    for _ in range(50):
        chances = 1 / (1 + np.exp(-columns @ weights))
        gradient = columns.T @ (row_weights * (chances - wanted)) + ridge * weights
        curvature = (columns.T * (row_weights * chances * (1 - chances))) @ columns
        step = np.linalg.solve(curvature + np.diag(ridge), gradient)
        size = 1.0
        while loss(weights - size * step) > before and size > 1e-6:
            size /= 2
        weights = weights - size * step
        now = loss(weights)
        if before - now < 1e-9 * abs(before):
            break
        before = now
    return weights


def _retained(visit: "Visit") -> int:
    """Return how many characters of what was taken were there at the last look."""
    outcome = visit.outcome
    if outcome.kind not in _TAKEN:
        return 0
    if outcome.retained_characters is not None:
        return outcome.retained_characters
    return outcome.accepted_length
