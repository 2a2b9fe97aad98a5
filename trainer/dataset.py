"""Turns preference pairs into token rows to train on, and visits into held-out positions.

Files are split for ever by a hash of repository and path: 20 % are held out and never trained on,
a tenth of the rest is the inner dev split, which may take more where it has to choose. Prompts are
the served ids, never made anew and never cut. Both sides start at the healed piece; the loss starts
where the piece is spelled and, in a pair, where the sides differ. This module knows nothing of
torch, trl or databases.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from feedback_store.schemas import CompletionRequest, Rule
from lsp_server.engine.healing import Spelling
from lsp_server.engine.prompt import Prompter
from trainer.measured import NOTHING, Measured
from trainer.pairs import PreferencePair, is_pair, is_trained
from trainer.sides import (
    content_keys_of,
    file_key,
    file_key_of,
    first_difference,
    is_whole_unit,
    line_key_of,
    settled_unit,
)

if TYPE_CHECKING:  # only a name: the database layer stays out
    from feedback_store.visits import Visit

HELD_OUT_SHARE = 0.20
MAX_HUMAN_SHARE = 0.05  # of what is drawn for training
DEV_SHARE = 0.10  # of the files that are not held out
# What the dev split needs before it can choose between two candidates, and what it may take.
MIN_DEV_FILES, MIN_DEV_ROWS, MAX_DEV_ROW_SHARE = 4, 40, 0.20

Split = Literal["train", "dev", "held_out"]


@dataclass(frozen=True)
class Limits:
    """Caps that keep one file, one user or one long text from ruling a night.

    Pairs and kept texts are capped apart: kept texts are many, and would crowd out the pairs.
    """

    max_rows: int = 5000
    max_rows_per_file: int = 200
    max_rows_per_user: int = 2500
    max_continuation_tokens: int = 256
    max_positions_per_file: int = 100
    max_positions: int = 4000  # of all; evaluating them has to end before morning


@dataclass(frozen=True)
class Tokens:
    """What turns text into ids: the prompter that serves, its spelling and the model's window."""

    prompter: Prompter
    spelling: Spelling
    window_tokens: int


@dataclass(frozen=True)
class TrainingRow:
    """Exact ids. `rejected_ids` is empty in a kept row; `*_start` is the first id with loss."""

    completion_id: UUID
    rule: Rule | None  # None: code that stood around, no feedback
    weight: float
    file_key: str
    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    chosen_start: int
    healed_tokens: int  # leading ids of `chosen_ids` that only spell the healed piece
    rejected_ids: tuple[int, ...] = ()
    rejected_start: int = 0
    least_weight: float = 0.0  # the cap on people's words takes no more than it gave

    @property
    def is_pair(self) -> bool:
        return bool(self.rejected_ids)

    @property
    def num_tokens(self) -> int:
        """Return the length of the longer side with its prompt."""
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))


@dataclass(frozen=True)
class Position:
    """One held-out place: what was served there and what stands there now.

    `complete` tells that `text` is the whole of what was asked for, so that more is too much.
    """

    file_key: str
    request: CompletionRequest
    prompt_ids: tuple[int, ...]
    healed: str
    text: str
    complete: bool

    @property
    def content_keys(self) -> frozenset[str]:
        """What its lines say, wherever they stand."""
        return content_keys_of(self.request, self.text)


@dataclass(frozen=True)
class Corpus:
    """A night's rows by split, and what was left out, counted by reason."""

    train: tuple[TrainingRow, ...]
    dev: tuple[TrainingRow, ...]
    counts: dict[str, int] = field(default_factory=dict)
    code: tuple[TrainingRow, ...] = ()  # learned beside `train`: the code around (`code_rows.py`)
    dev_content_keys: frozenset[str] = frozenset()  # what the dev split's lines say

    @property
    def num_pairs(self) -> int:
        """Return the pairs that can teach tonight: those to train on and those of the dev split."""
        return sum(row.is_pair for row in (*self.train, *self.dev))


def split_of(file_key: str) -> Split:
    """Return the split of a file; it depends on nothing but the key, so it never changes."""
    if _share(f"held-out:{file_key}") < HELD_OUT_SHARE:
        return "held_out"
    return "dev" if _share(f"dev:{file_key}") < DEV_SHARE else "train"


def is_held_out(repository: str, path: str) -> bool:
    """Return whether a file, or the document of one without a path, is never trained on."""
    return split_of(file_key(repository, path)) == "held_out"


def build_corpus(
    pairs: Sequence[PreferencePair],
    tokens: Tokens,
    limits: Limits,
    positions: Sequence[Position] = (),
) -> Corpus:
    """Return the token rows of all pairs that may be trained on.

    Held-out files are left out, and so is elsewhere what stands at one of the held-out `positions`.
    """
    counts: Counter[str] = Counter()
    rows: dict[Split, list[TrainingRow]] = {"train": [], "dev": [], "held_out": []}
    for pair in select(pairs, limits, counts, measured_at(positions)):
        row = tokenise(pair, tokens, limits)
        if isinstance(row, str):
            counts[row] += 1
        else:
            rows[split_of(pair.file_key)].append(row)
    return Corpus(tuple(rows["train"]), tuple(rows["dev"]), dict(counts))


def with_enough_dev(corpus: Corpus) -> Corpus:
    """Return the corpus with more files in its dev split, where the hash gave it too few.

    With two dozen files the hash may give it one, or none. Files follow by the same hash, so that
    the same ones are taken every night; a file that would make the split too large is passed over.
    """
    files: dict[str, list[TrainingRow]] = defaultdict(list)
    for row in corpus.train:
        files[row.file_key].append(row)
    dev, most = list(corpus.dev), MAX_DEV_ROW_SHARE * (len(corpus.train) + len(corpus.dev))
    taken: set[str] = set()
    for file in sorted(files, key=lambda file: _share(f"dev:{file}")):
        num_files = len({row.file_key for row in dev})
        if num_files >= MIN_DEV_FILES and len(dev) >= MIN_DEV_ROWS:
            break
        if len(dev) + len(files[file]) <= most:
            taken.add(file)
            dev += files[file]
    train = tuple(row for row in corpus.train if row.file_key not in taken)
    return replace(corpus, train=train, dev=tuple(dev))


def without_copies_of_dev(corpus: Corpus, pairs: Iterable[PreferencePair]) -> Corpus:
    """Return the corpus without training rows that say in another file what a dev row says."""
    keys = {pair.completion_id: pair.content_keys for pair in pairs}
    tried = frozenset().union(*(keys[row.completion_id] for row in corpus.dev))
    train = tuple(row for row in corpus.train if not keys[row.completion_id] & tried)
    counts = Counter(corpus.counts)
    counts["dev_under_another_name"] += len(corpus.train) - len(train)
    return replace(corpus, train=train, dev_content_keys=tried, counts=dict(+counts))


def select(
    pairs: Sequence[PreferencePair],
    limits: Limits,
    counts: Counter[str],
    measured: Measured = NOTHING,
) -> list[PreferencePair]:
    """Drop what is held out, repeated or over a cap, newest first; `counts` says why.

    What people said goes first: no newer row may repeat it, and no cap leaves it out.

    Nothing that is `measured` is kept, whatever file it stands in.
    """
    kept: list[PreferencePair] = []
    seen: set[object] = set()
    per_kind: Counter[bool] = Counter()
    per_file: Counter[tuple[str, bool]] = Counter()
    per_user: Counter[tuple[str, bool]] = Counter()
    first = sorted(pairs, key=lambda p: (p.rule is Rule.HUMAN, p.served_at), reverse=True)
    for pair in first:
        keys, kind, reason = _duplicate_keys(pair), is_pair(pair), None
        file, user = (pair.file_key, kind), (pair.user, kind)
        if not is_trained(pair):
            reason = "not_trained_yet"
        elif split_of(pair.file_key) == "held_out":
            reason = "held_out"
        elif measured.has_file(pair.file_key) or pair.content_keys & measured.content_keys:
            reason = "held_out_under_another_name"
        elif seen.intersection(keys):
            reason = "duplicate"
        elif per_file[file] >= limits.max_rows_per_file:
            reason = "over_file_cap"
        elif per_user[user] >= limits.max_rows_per_user or per_kind[kind] >= limits.max_rows:
            reason = "over_cap"
        if reason is not None:
            counts[reason] += 1
            continue
        seen.update(keys)
        per_kind[kind] += 1
        per_file[file] += 1
        per_user[user] += 1
        kept.append(pair)
    return sorted(kept, key=lambda pair: pair.served_at)


def tokenise(pair: PreferencePair, tokens: Tokens, limits: Limits) -> TrainingRow | str:
    """Return the row of a pair, or the reason why it has none.

    A side that is too long is cut at a whole token, and then both sides lose their end token.
    """
    room = min(limits.max_continuation_tokens, tokens.window_tokens - len(pair.prompt_ids))
    if room < 2:
        return "prompt_fills_window"
    chosen = tokens.prompter.continuation_ids(pair.healed, pair.chosen or "")
    rejected = _rejected_ids(pair, tokens) if is_pair(pair) else ()
    fits = max(len(chosen), len(rejected)) < room
    chosen, rejected = chosen[: room - 1], rejected[: room - 1]
    end = (tokens.prompter.end_id,)
    if pair.complete_chosen and fits:
        chosen += end
        rejected += end if pair.complete_rejected else ()
    healed = tokens.prompter.num_healed(pair.healed, chosen)
    shared = first_difference(chosen, rejected) if rejected else 0
    start = max(healed, shared)
    if start >= len(chosen):
        return "nothing_to_learn"
    rejected_start = max(tokens.prompter.num_healed(pair.healed, rejected), shared)
    return TrainingRow(
        completion_id=pair.completion_id,
        rule=pair.rule,
        weight=pair.weight,
        file_key=pair.file_key,
        prompt_ids=pair.prompt_ids,
        chosen_ids=chosen,
        chosen_start=start,
        healed_tokens=healed,
        rejected_ids=rejected,
        rejected_start=rejected_start if rejected else 0,
        least_weight=pair.least_weight,
    )


def held_out_positions(visits: Iterable["Visit"], limits: Limits) -> list[Position]:
    """Return one position per held-out line visited, shown or not, the earliest visit first."""
    found: dict[str, Position] = {}
    per_file: Counter[str] = Counter()
    for visit in visits:
        request = visit.completion.request
        key, line = file_key_of(request), line_key_of(request)
        if visit.barred or split_of(key) != "held_out" or line in found:
            continue
        settled = settled_unit(visit)
        if settled is None or per_file[key] >= limits.max_positions_per_file:
            continue
        per_file[key] += 1
        served, unit = visit.completion, settled[0]
        whole = is_whole_unit(visit, unit)
        found[line] = Position(key, request, served.prompt_ids, served.healed, unit, whole)
    if len(found) > limits.max_positions:  # by hash, so that the same ones are measured every night
        kept = set(sorted(found, key=_share)[: limits.max_positions])
        return [position for line, position in found.items() if line in kept]
    return list(found.values())


def measured_at(positions: Iterable[Position]) -> Measured:
    """Return what may be learned nowhere, since it is measured at `positions`."""
    return Measured.of((position.file_key, position.content_keys) for position in positions)


def draw_weights(rows: Sequence[TrainingRow]) -> list[float]:
    """Return how often each row is to be drawn, in proportion: by weight, but people's words are
    few and choosy, so together they get at most `MAX_HUMAN_SHARE`.

    Unless what happened weighed more already: a judgement never makes a row count for less.
    """
    said = sum(row.weight for row in rows if row.rule is Rule.HUMAN)
    others = sum(row.weight for row in rows) - said
    allowed = others * MAX_HUMAN_SHARE / (1 - MAX_HUMAN_SHARE)
    scale = min(1.0, allowed / said) if said and others else 1.0
    return [
        max(row.least_weight, row.weight * scale) if row.rule is Rule.HUMAN else row.weight
        for row in rows
    ]


def draw(weights: Sequence[float], num_draws: int, seed: int) -> list[int]:
    """Return `num_draws` indices, each as often as its weight says, give or take one; shuffled.

    DPO in TRL has no weight per sample, so weights become frequencies (systematic resampling).
    """
    total = sum(weights)
    if total <= 0 or num_draws <= 0:
        return []
    generator = random.Random(seed)
    step = total / num_draws
    target, reached = generator.random() * step, 0.0
    drawn: list[int] = []
    for index, weight in enumerate(weights):
        reached += weight
        while target < reached and len(drawn) < num_draws:
            drawn.append(index)
            target += step
    generator.shuffle(drawn)
    return drawn


def _share(text: str) -> float:
    """Return a number in [0, 1) that depends on the text alone."""
    return int.from_bytes(sha256(text.encode("utf-8", errors="replace")).digest()[:8]) / 2**64


def _duplicate_keys(pair: PreferencePair) -> tuple[object, ...]:
    """Return what makes two rows the same: the exact texts, or the same whole line in a file."""
    line = "".join(pair.line_text.split())
    return (
        (pair.prompt_ids, pair.healed, pair.chosen, pair.rejected),
        (pair.file_key, is_pair(pair), line),
    )


def _rejected_ids(pair: PreferencePair, tokens: Tokens) -> tuple[int, ...]:
    """Return the ids as they were served where they spell the rejected side, else new ones."""
    served = pair.served_ids
    if served and served[-1] == tokens.prompter.end_id:
        served = served[:-1]
    wanted = pair.healed + (pair.rejected or "")
    for length in range(len(served), 0, -1):  # what was offered may be a beginning of it
        if tokens.spelling.text_of(served[:length]) == wanted:
            return served[:length]
    return tokens.prompter.continuation_ids(pair.healed, pair.rejected or "")
