"""Turns what stands in the prompt, or was answered before, into guesses at the next tokens.

Prompt-lookup drafting: where the last two tokens occurred before, what followed them then is a
guess that one forward pass can check whole (Yang et al. 2023, "Inference with Reference").
The answer to the request before, one character earlier, is the best source there is: unless the
character contradicts it, all of it is right. Greedy text is unchanged, since every guess is
checked. This module knows nothing of models or batches.
"""

from collections.abc import Sequence

FIRST_GUESSES = 4
MOST_GUESSES = 16


class Drafter:
    """Guesses for one sequence; guesses more after being right, less after being wrong.

    `previous` are the tokens of an earlier sequence, from shortly before it parts from `prompt`.
    """

    def __init__(self, prompt: Sequence[int], previous: Sequence[int]) -> None:
        self._known = [*prompt, *previous]
        pairs = zip(self._known, self._known[1:], strict=False)
        self._after = {pair: place for place, pair in enumerate(pairs, start=2)}
        self._num_guesses = FIRST_GUESSES

    def guess(self, before_last: int, last: int, most: int) -> list[int]:
        """Return up to `most` guesses at what follows the two last tokens."""
        place = self._after.get((before_last, last))
        if place is None:
            return []
        return self._known[place : place + min(self._num_guesses, most)]

    def learn(self, num_right: int, num_guessed: int) -> None:
        """Hear how many of the last guesses were right."""
        if num_right == num_guessed:
            self._num_guesses = min(MOST_GUESSES, 2 * self._num_guesses)
        elif num_right == 0:
            self._num_guesses = max(1, self._num_guesses // 2)
