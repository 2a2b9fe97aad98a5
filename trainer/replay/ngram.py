"""Turns the days' texts into the answers of a program that only copies lines, for scale.

What stands left of the cursor is looked up among the beginnings of known lines, those of the file
itself first; with nothing there, what most often follows the line above. No model, no tokens.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from trainer.replay.exam import ExamPosition
from trainer.replay.measures import StaticScore
from trainer.replay.work import Work
from trainer.sides import first_difference

MIN_LEFT_CHARACTERS = 3


class CopyBaseline:
    """Lines of the days' texts, by what stands above them."""

    def __init__(self, works: Iterable[Work]) -> None:
        """Read the text that every sitting ends with."""
        self._lines: Counter[str] = Counter()
        self._after: dict[str, Counter[str]] = defaultdict(Counter)
        for text in {work.path: work.after for work in works}.values():
            self._read(text, self._lines, self._after)

    def answer(self, prefix: str) -> str:
        """Return the rest of the line that a copy would write at the end of `prefix`."""
        *above, left = prefix.split("\n")
        left = left.lstrip()
        here: Counter[str] = Counter()
        after: dict[str, Counter[str]] = defaultdict(Counter)
        self._read("\n".join(above), here, after)
        before = next((bare for line in reversed(above) if (bare := line.strip())), "")
        for known in (after.get(before), self._after.get(before)):
            if known and (found := _most_frequent(known, left)):
                return found[len(left) :]
        if len(left) >= MIN_LEFT_CHARACTERS:
            for lines in (here, self._lines):
                if found := _most_frequent(lines, left):
                    return found[len(left) :]
        return ""

    def _read(self, text: str, lines: Counter[str], after: dict[str, Counter[str]]) -> None:
        filled = [bare for line in text.split("\n") if (bare := line.strip())]
        lines.update(filled)
        for before, line in pairwise(filled):
            after[before][line] += 1


def copy_scores(works: Iterable[Work], positions: Sequence[ExamPosition]) -> list[StaticScore]:
    """Return what the copy baseline scores; it has no likelihood, and always ends its answer."""
    baseline = CopyBaseline(works)
    return [_score(place, baseline.answer(place.position.request.prefix)) for place in positions]


def _score(place: ExamPosition, answer: str) -> StaticScore:
    text, complete = place.position.text, place.position.complete
    matched = first_difference(answer, text)
    ran_on = complete and matched == len(text) < len(answer)
    return StaticScore(
        position_id=place.position_id,
        file_id=place.position.file_key,
        num_tokens=0,
        num_characters=len(text),
        log_prob=None,
        matched=matched,
        exact=matched == len(text) and not ran_on,
        stopped_early=matched == len(answer) < len(text),
        ran_on=ran_on,
        strata=place.strata,
    )


def _most_frequent(lines: Counter[str], left: str) -> str:
    """Return the most frequent line that begins with `left` and goes on; "" without one."""
    fitting = ((n, line) for line, n in lines.items() if line.startswith(left) and line != left)
    return max(fitting, default=(0, ""))[1]
