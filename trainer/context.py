"""Turns rows into rows that also learn the lines above their cursor, each line of a file once.

The chosen texts of a night are few and short; the code that they continue is the same user's. But
the lines above one cursor stand above the next one too: learned with every row, they are learned by
heart and everything else is forgotten. This module knows nothing of models or of training.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from lsp_server.engine.healing import Spelling
from lsp_server.engine.prompt import Prompter
from trainer.dataset import TrainingRow

MIN_LINE_CHARACTERS = 4  # a lone bracket says nothing about where it stands


def learn_context(
    rows: Iterable[TrainingRow], prompter: Prompter, spelling: Spelling
) -> list[TrainingRow]:
    """Return the rows with `num_context` set: the tokens of lines no earlier row has learned.

    They are counted back from the cursor to the first line that is known already.
    """
    known: dict[str, set[str]] = defaultdict(set)
    return [_with_context(row, known[row.file_key], prompter, spelling) for row in rows]


def _with_context(
    row: TrainingRow, known: set[str], prompter: Prompter, spelling: Spelling
) -> TrainingRow:
    span = prompter.prefix_span(row.prompt_ids)
    lines = _lines([spelling.text_of((row.prompt_ids[i],)) for i in span])
    num_tokens, learned = 0, []
    for position, (text, size) in enumerate(reversed(lines)):
        if position and text in known:  # the cursor's own line is never whole
            break
        num_tokens += size
        learned.append(text)
    answer = spelling.text_of(row.chosen_ids).split("\n")
    begun = lines[-1][0] if lines else ""
    told = [*learned[1:], begun + _bare(answer[0]), *map(_bare, answer[1:])]
    known.update(text for text in told if len(text) >= MIN_LINE_CHARACTERS)
    return replace(row, num_context=num_tokens)


def _lines(pieces: Sequence[str]) -> list[tuple[str, int]]:
    """Return each line without white space, with its number of tokens; a break begins a line."""
    lines: list[tuple[str, int]] = []
    text, size = "", 0
    for piece in pieces:
        if "\n" in piece and size:
            lines.append((_bare(text), size))
            text, size = "", 0
        text += piece
        size += 1
    return [*lines, (_bare(text), size)] if size else lines


def _bare(text: str) -> str:
    return "".join(text.split())
