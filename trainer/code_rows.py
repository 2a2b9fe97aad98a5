"""Turns code that users have into rows to learn it from: whole passages, and the rest of lines.

What users settle in a night is little; the code around it, which every recorded request shows, is
several times as much and says the same of names and habits. Each line of a file is learned once as
part of a passage, as fill-in-the-middle: in the form in which the model is asked (Bavarian et al.
2022). Some lines are learned once more as they are asked for: their rest behind a cursor. No row
promises an end. This module knows nothing of databases, training or torch.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from lsp_server.engine.prompt import Prompter
from trainer.dataset import TrainingRow
from trainer.sides import REDACTED, bare, content_key, file_key_of, settled_unit

if TYPE_CHECKING:  # only a name: the database layer stays out
    from feedback_store.visits import Visit

PASSAGE_TOKENS, AROUND_TOKENS = 320, 128  # learned at once, and the text shown around them
MAX_PASSAGES = 5000  # of the newest files
MIN_LINE_CHARACTERS, MIN_PASSAGE_CHARACTERS = 4, 40  # a lone bracket is no line to know
MAX_LINE_CHARACTERS = 160
LINE_START_SHARE = 0.3  # of the cursors stand where a line begins
MAX_LINES_MISSING = 12  # below a cursor: where somebody types, what follows is not there yet
PREFIX_CHARACTERS, SUFFIX_CHARACTERS = 8000, 3000


@dataclass(frozen=True)
class CodeText:
    """What a file, or a part of it, said at one time, and the completion that showed it."""

    file_key: str
    text: str
    completion_id: UUID


def recorded_texts(visits: "Iterable[Visit]") -> Iterator[CodeText]:
    """Return what stood around every cursor and at it, the newest first.

    Where nobody knows what became of the cursor's line, that line is left out, and so is what
    followed the cursor there where more was settled than the unit that is known.
    """
    usable = (visit for visit in visits if not visit.barred)
    for visit in sorted(usable, key=lambda visit: visit.completion.served_at, reverse=True):
        request = visit.completion.request
        settled = settled_unit(visit)
        above, below = request.prefix, request.suffix
        if settled is None:
            above = above[: above.rfind("\n") + 1]
            below = below.partition("\n")[2]
        unit, reaches = settled or ("", True)
        if not reaches:
            below = "\n" + below.partition("\n")[2]
        yield CodeText(file_key_of(request), above + unit + below, request.completion_id)


def code_rows(
    texts: Iterable[CodeText],
    prompter: Prompter,
    *,
    num_cursors: int,
    max_prompt_tokens: int,
    seed: int,
    measured: frozenset[str] = frozenset(),
) -> list[TrainingRow]:
    """Return rows that learn every line of the texts once, and `num_cursors` lines' rests.

    What is known from an earlier text of the file is not learned again. `measured` are the content
    keys of lines that are measured: wherever they stand, they are not learned.
    """
    known: dict[str, set[str]] = defaultdict(set)
    passages: list[TrainingRow] = []
    places: list[tuple[CodeText, list[_Line], int]] = []
    for text in texts:
        if len(passages) >= MAX_PASSAGES:
            break
        lines = _lines(text.text, known[text.file_key], measured)
        known[text.file_key].update(line.bare for line in lines if line.is_new)
        places += [(text, lines, i) for i, line in enumerate(lines) if _is_asked_for(line)]
        for start, end in _passages(lines, text.text, prompter):
            passages += _row(text, (start, end), end, prompter, AROUND_TOKENS)
    generator = random.Random(f"code:{seed}")
    generator.shuffle(places)
    rests: list[TrainingRow] = []
    for text, lines, index in places:
        if len(rests) >= num_cursors:
            break
        span, below = _cursor(text.text, lines, index, generator)
        rests += _row(text, span, below, prompter, max_prompt_tokens)
    return passages + rests


@dataclass(frozen=True)
class _Line:
    start: int
    end: int  # without its line break
    bare: str  # without white space
    is_new: bool


def _lines(text: str, known: set[str], measured: frozenset[str]) -> list[_Line]:
    """Return the lines of a text; none where too little of it is new."""
    written = text.split("\n")
    bares = [bare(line) for line in written]
    if sum(len(line) for line in bares if line not in known) < MIN_PASSAGE_CHARACTERS:
        return []
    lines: list[_Line] = []
    start, above = 0, ["", ""]
    for line, said in zip(written, bares, strict=True):
        is_new = len(said) >= MIN_LINE_CHARACTERS and said not in known and REDACTED not in line
        if is_new and measured and content_key([a for a in above if a], said) in measured:
            is_new = False
        lines.append(_Line(start, start + len(line), said, is_new))
        start += len(line) + 1
        if said:
            above = [above[-1], said]
    return lines


def _passages(lines: Sequence[_Line], text: str, prompter: Prompter) -> Iterator[tuple[int, int]]:
    """Return where passages of new lines begin and end; brackets and blank lines go with them."""
    run: list[_Line] = []
    num_tokens = 0
    for line in lines:
        is_filler = len(line.bare) < MIN_LINE_CHARACTERS
        goes_on = line.is_new or (bool(run) and is_filler)
        size = 0
        if goes_on:
            size = len(prompter.continuation_ids("", text[line.start : line.end])) + 1
        if run and (not goes_on or num_tokens + size > PASSAGE_TOKENS):
            yield from _passage(run)
            run, num_tokens = [], 0
            goes_on = line.is_new
        if goes_on:
            run.append(line)
            num_tokens += size
    yield from _passage(run)


def _passage(run: Sequence[_Line]) -> Iterator[tuple[int, int]]:
    if sum(len(line.bare) for line in run) >= MIN_PASSAGE_CHARACTERS:
        yield run[0].start, max(line.end for line in run if line.bare)


def _is_asked_for(line: _Line) -> bool:
    return line.is_new and line.end - line.start <= MAX_LINE_CHARACTERS


def _cursor(
    text: str, lines: Sequence[_Line], index: int, generator: random.Random
) -> tuple[tuple[int, int], int]:
    """Return (where the rest of a line begins and ends, where the text below goes on)."""
    line = lines[index]
    written = text[line.start : line.end]
    indent = len(written) - len(written.lstrip())
    is_start = generator.random() < LINE_START_SHARE
    column = 0 if is_start else generator.randrange(len(written.strip()))
    last = min(len(lines) - 1, index + generator.randrange(MAX_LINES_MISSING))
    rest = line.start + indent + column, line.start + len(written.rstrip())
    return rest, lines[last].end


def _row(
    text: CodeText, span: tuple[int, int], below: int, prompter: Prompter, max_prompt_tokens: int
) -> list[TrainingRow]:
    """Return the row that learns a span between the text above it and the one from `below` on."""
    start, end = span
    prompt = prompter.build(
        text.text[max(0, start - PREFIX_CHARACTERS) : start],
        text.text[below : below + SUFFIX_CHARACTERS],
        max_prompt_tokens=max_prompt_tokens,
    )
    ids = prompter.continuation_ids(prompt.healed, text.text[start:end])
    ids = ids[: PASSAGE_TOKENS + AROUND_TOKENS]  # a single line may be longer
    healed = prompter.num_healed(prompt.healed, ids)
    if healed >= len(ids):
        return []
    return [
        TrainingRow(
            completion_id=text.completion_id,
            rule=None,
            weight=1.0,
            file_key=text.file_key,
            prompt_ids=prompt.ids,
            chosen_ids=ids,
            chosen_start=healed,
            healed_tokens=healed,
        )
    ]
