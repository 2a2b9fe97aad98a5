"""Turns a night's rows into rows that must not teach, or that teach less: the control arms.

An adapter trained on flipped labels or on texts from elsewhere must fail the gate, else the gate
measures something other than what was learned. This module knows nothing of models or training.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from feedback_store.schemas import Rule
from trainer.dataset import Limits, Tokens, TrainingRow, tokenise
from trainer.pairs import PreferencePair, is_trained
from trainer.sides import first_difference


def flipped(rows: Sequence[TrainingRow]) -> list[TrainingRow]:
    """Return the pairs with chosen and rejected swapped.

    Kept rows are left out: flipped, they would be texts to avoid, which no objective here can say;
    left as they are, they would teach what is right. So are pairs whose rejected side is only a
    beginning of the chosen one: flipped, nothing is left to learn.
    """
    swapped = (_swapped(row) for row in rows if row.is_pair)
    return [row for row in swapped if row.chosen_start < len(row.chosen_ids)]


def mispaired(
    pairs: Sequence[PreferencePair], tokens: Tokens, limits: Limits, seed: int
) -> list[TrainingRow]:
    """Return rows whose chosen text was settled somewhere else, in a row of another file.

    Every text is used at most once and tokenised from the healed start of its new row. Rows for
    which no other file has a text to give are left out; with one file alone, that is all of them.
    """
    ours = [pair for pair in pairs if is_trained(pair)]
    random.Random(seed).shuffle(ours)
    ours.sort(key=lambda pair: pair.file_key)  # stable: shuffled within a file
    # Turned by the largest file's count, every row meets a text of another file, as long as no
    # file has more than half of all rows.
    turn = max(Counter(pair.file_key for pair in ours).values(), default=0)
    donors = ours[turn:] + ours[:turn]
    made = [
        tokenise(replace(pair, chosen=donor.chosen), tokens, limits)
        for pair, donor in zip(ours, donors, strict=True)
        if pair.file_key != donor.file_key
    ]
    return [row for row in made if isinstance(row, TrainingRow)]


def only_accepted(rows: Sequence[TrainingRow]) -> list[TrainingRow]:
    """Return the rows of suggestions that were accepted or typed through, and kept (R5).

    It is what a system learns that listens to "yes" only.
    """
    return [row for row in rows if row.rule is Rule.KEPT]


def _swapped(row: TrainingRow) -> TrainingRow:
    shared = first_difference(row.chosen_ids, row.rejected_ids)
    # Where the sides part only after the healed piece, both spell it with the same ids. Otherwise
    # the rejected side's loss begins exactly where its own ids have spelled it.
    healed = row.healed_tokens if shared >= row.healed_tokens else row.rejected_start
    return replace(
        row,
        chosen_ids=row.rejected_ids,
        chosen_start=row.rejected_start,
        healed_tokens=healed,
        rejected_ids=row.chosen_ids,
        rejected_start=row.chosen_start,
    )
