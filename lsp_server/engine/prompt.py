"""Turns prefix and suffix into the exact token ids that a model is served, per FIM family.

The prompt of a completion is built here once and stored; training reads the stored ids, so what is
trained is what was served. User text never becomes a control token: every control string found in
it is tokenised in two halves. Where the family asks for it the prompt is *healed*: it ends before
the last piece of the prefix, and the first generated tokens spell that piece again.

This module knows nothing of models, devices or HTTP.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

MAX_HEALED_TOKENS = 8
SUFFIX_SHARE = 0.25  # of the prompt budget, at most
CUT_SHARE = 0.25  # an overlong prefix is cut in steps of this share, so that its start stays put
CHARACTERS_PER_TOKEN = 8  # an upper bound for code: longer text is cut before it is tokenised


@dataclass(frozen=True)
class Family:
    """How a model family writes a fill-in-the-middle prompt.

    `template` holds control strings with `{prefix}` and `{suffix}`; without `{suffix}` the family
    is prefix-only. Sources: Bavarian et al. 2022 (PSM and SPM order) and the model cards.
    """

    name: str
    template: str
    end: str | None = None
    heal: bool = False

    @property
    def fills_in_the_middle(self) -> bool:
        return "{suffix}" in self.template


FAMILIES = (
    Family("qwen2.5-coder", "<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>"),
    Family("starcoder", "<fim_prefix>{prefix}<fim_suffix>{suffix}<fim_middle>"),
    Family("deepseek-coder", "<｜fim▁begin｜>{prefix}<｜fim▁hole｜>{suffix}<｜fim▁end｜>"),  # noqa: RUF001
    Family("codellama", "▁<PRE>{prefix}▁<SUF>{suffix}▁<MID>"),
    Family("codestral", "[SUFFIX]{suffix}[PREFIX]{prefix}"),
)
PREFIX_ONLY = Family("prefix-only", "{prefix}", heal=True)


@dataclass(frozen=True)
class Prompt:
    """Exact served ids, and the healed piece that the first generated tokens spell again."""

    ids: tuple[int, ...]
    healed: str


class Encoding(Protocol):
    """What one tokenised text tells (the shape of `tokenizers.Encoding`)."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    word_ids: list[int | None]


class Spells(Protocol):
    """Knows what tokens spell (see `healing.Spelling`)."""

    def bytes_of(self, token_id: int) -> bytes: ...


class Backend(Protocol):
    """A fast tokenizer (the shape of `tokenizers.Tokenizer`)."""

    def encode(self, sequence: str, *, add_special_tokens: bool) -> Encoding: ...
    def token_to_id(self, token: str) -> int | None: ...


def family_of(backend: Backend) -> Family:
    """Return the first known family all of whose control strings the tokenizer has."""
    for family in FAMILIES:
        controls = [part for part in _parts(family.template) if not part.startswith("{")]
        if all(backend.token_to_id(control) is not None for control in controls):
            return family
    return PREFIX_ONLY


class Prompter:
    """Builds prompts and continuations for one tokenizer and family.

    `controls` are all added tokens of the tokenizer that user text must never turn into;
    `start_ids` stand before every prompt (a BOS token where the model wants one).
    """

    def __init__(
        self,
        backend: Backend,
        family: Family,
        controls: Sequence[str],
        spelling: Spells,
        *,
        end_id: int,
        start_ids: Sequence[int] = (),
    ) -> None:
        self.family = family
        self.spelling = spelling
        self.end_id = end_id
        self._backend = backend
        self._start_ids = tuple(start_ids)
        visible = sorted((c for c in controls if c.strip()), key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, visible)) or r"(?!)")
        ids = (backend.token_to_id(control) for control in visible)
        self.control_ids = frozenset(i for i in ids if i is not None)
        self._template = [
            part if part.startswith("{") else self._control_id(part)
            for part in _parts(family.template)
        ]

    def build(self, prefix: str, suffix: str, *, max_prompt_tokens: int) -> Prompt:
        """Return the prompt, at most `max_prompt_tokens` long, for a cursor between two texts."""
        fixed = len(self._start_ids) + len(self._template)
        budget = max(16, max_prompt_tokens - fixed)
        suffix_ids = self._suffix_ids(suffix, budget) if self.family.fills_in_the_middle else []
        prefix_ids, healed = self._prefix_ids(prefix, budget - len(suffix_ids))
        filled: list[int] = list(self._start_ids)
        for part in self._template:
            if isinstance(part, int):
                filled.append(part)
            else:
                filled += prefix_ids if part == "{prefix}" else suffix_ids
        return Prompt(tuple(filled), healed)

    def continuation_ids(self, healed: str, text: str) -> tuple[int, ...]:
        """Return the ids of the healed piece and `text` as one text, as training must see them."""
        return tuple(self._encode(healed + text))

    def num_healed(self, healed: str, ids: Sequence[int]) -> int:
        """Return how many leading ids lie wholly inside the healed piece: no loss there."""
        owed, spelled = len(healed.encode()), 0
        for count, token in enumerate(ids):
            spelled += len(self.spelling.bytes_of(token))
            if spelled > owed:
                return count
        return len(ids)

    def prefix_span(self, prompt_ids: Sequence[int]) -> range:
        """Return the indices of the prefix's tokens in a prompt of this family."""
        place = self._template.index("{prefix}")
        before, after = self._template[:place], self._template[place + 1 :]
        start = len(self._start_ids)
        if before and isinstance(before[-1], int):  # user text never holds a control token
            start = len(prompt_ids) - list(reversed(prompt_ids)).index(before[-1])
        end = len(prompt_ids)
        if after and isinstance(after[0], int):
            end = list(prompt_ids).index(after[0], start)
        return range(start, end)

    def _control_id(self, control: str) -> int:
        found = self._backend.token_to_id(control)
        if found is None:
            raise ValueError(f"the tokenizer has no control token {control!r}")
        return found

    def _suffix_ids(self, suffix: str, budget: int) -> list[int]:
        limit = int(budget * SUFFIX_SHARE)
        return self._encode(suffix[: limit * CHARACTERS_PER_TOKEN])[:limit]

    def _prefix_ids(self, prefix: str, budget: int) -> tuple[list[int], str]:
        """Return (ids, healed piece) of the prefix, cut at its start to the budget."""
        text = _cut_characters(prefix, budget * CHARACTERS_PER_TOKEN)
        ids, starts, words = self._encode_with_places(text)
        first = _first_kept(text, starts, budget)
        healed = ""
        if self.family.heal and ids:
            start = _healed_start(words, first)
            piece = b"".join(map(self.spelling.bytes_of, ids[start:])).decode(errors="replace")
            if piece and text.endswith(piece):
                healed, ids = piece, ids[:start]
        return ids[first:], healed

    def _encode(self, text: str) -> list[int]:
        return self._encode_with_places(text)[0]

    def _encode_with_places(self, text: str) -> tuple[list[int], list[int], list[int]]:
        """Return per token: id, first character, number of its pre-token (unique over parts)."""
        ids: list[int] = []
        starts: list[int] = []
        words: list[int] = []
        begin = word_base = 0
        for end in [*self._breaks(text), len(text)]:
            encoding = self._backend.encode(text[begin:end], add_special_tokens=False)
            rows = zip(encoding.ids, encoding.offsets, encoding.word_ids, strict=True)
            for token, (start, _), word in rows:
                if token not in self.control_ids:
                    ids.append(token)
                    starts.append(begin + start)
                    words.append(word_base + (word or 0))
            word_base = words[-1] + 1 if words else 0
            begin = end
        return ids, starts, words

    def _breaks(self, text: str) -> list[int]:
        """Return where text is split so that no control string reaches the tokenizer whole."""
        return [match.start() + 1 for match in self._control.finditer(text)]


def _parts(template: str) -> list[str]:
    """Split a template into control strings and the two placeholders."""
    pieces = re.split(r"(\{prefix\}|\{suffix\})", template)
    controls = r"<\|[^|]*\|>|▁?<[^<>]*>|\[[A-Z]+\]"
    found: list[str] = []
    for piece in pieces:
        found += [piece] if piece.startswith("{") else re.findall(controls, piece)
    return found


def _cut_characters(text: str, limit: int) -> str:
    """Cut the start of an overlong text in quantised steps, at a line start where there is one."""
    if len(text) <= limit:
        return text
    step = max(1, int(limit * CUT_SHARE))
    cut = -(-(len(text) - limit) // step) * step
    line = text.find("\n", cut, cut + step)
    return text[line + 1 if line >= 0 else cut :]


def _first_kept(text: str, starts: Sequence[int], budget: int) -> int:
    """Return the first token kept of an overlong prefix: quantised, at a line start if possible."""
    if len(starts) <= budget:
        return 0
    step = max(1, int(budget * CUT_SHARE))
    cut = min(-(-(len(starts) - budget) // step) * step, len(starts) - 1)
    for index in range(cut, min(cut + step, len(starts))):
        if text[starts[index] - 1] == "\n" or text[starts[index]] == "\n":
            return index
    return cut


def _healed_start(words: Sequence[int], first: int) -> int:
    """Return the index of the first token of the last pre-token, a bounded number back."""
    start = len(words) - 1
    floor = max(first, len(words) - MAX_HEALED_TOKENS)
    while start > floor and words[start - 1] == words[-1]:
        start -= 1
    return start
