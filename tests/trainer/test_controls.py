"""Controls keep everything of the rows but what they are to get wrong."""

from collections import Counter
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_store.schemas import Rule
from feedback_store.visits import Visit
from lsp_server.engine.base import Base
from trainer import pairs
from trainer.controls import flipped, mispaired, only_accepted
from trainer.dataset import Limits, Tokens, TrainingRow, build_corpus, tokenise
from trainer.pairs import PreferencePair

KEPT = TrainingRow(UUID(int=2), Rule.KEPT, 1.0, "r:b", (5, 6), (40, 41), 1, 1)


@pytest.fixture(scope="session")
def tokens(base: Base) -> Tokens:
    return Tokens(base.prompter, base.spelling, base.window_tokens)


@pytest.fixture(scope="session")
def made(lessons: list[Visit]) -> list[PreferencePair]:
    return pairs.build(lessons)


@pytest.fixture(scope="session")
def rows(made: list[PreferencePair], tokens: Tokens) -> tuple[TrainingRow, ...]:
    return build_corpus(made, tokens, Limits()).train


def test_flipped_rows_prefer_what_was_rejected(rows: tuple[TrainingRow, ...]) -> None:
    found = flipped([*rows, KEPT])
    assert len(found) == len(rows)
    for new, old in zip(found, rows, strict=True):
        assert (new.chosen_ids, new.rejected_ids) == (old.rejected_ids, old.chosen_ids)
        assert (new.prompt_ids, new.weight) == (old.prompt_ids, old.weight)
    assert flipped(found) == list(rows)  # twice is nothing


def test_a_flipped_row_is_what_flipped_texts_would_make(
    made: list[PreferencePair], tokens: Tokens
) -> None:
    for pair in made[:60]:
        closed = replace(pair, complete_chosen=False, complete_rejected=False, served_ids=())
        other = replace(closed, chosen=pair.rejected, rejected=pair.chosen)
        row, expected = (tokenise(p, tokens, Limits()) for p in (closed, other))
        assert isinstance(row, TrainingRow)
        assert flipped([row]) == [expected]


def test_a_beginning_teaches_nothing_when_flipped() -> None:
    pair = replace(KEPT, chosen_ids=(40, 41, 42), chosen_start=2, rejected_ids=(40, 41))
    assert flipped([replace(pair, rejected_start=2)]) == []


def test_mispaired_rows_want_texts_of_other_files(
    made: list[PreferencePair], rows: tuple[TrainingRow, ...], tokens: Tokens
) -> None:
    ours = {row.completion_id for row in rows}
    own = [pair for pair in made if pair.completion_id in ours]
    found = mispaired(own, tokens, Limits(), seed=3)
    assert found == mispaired(own, tokens, Limits(), seed=3) != mispaired(own, tokens, Limits(), 4)
    assert len(found) > 0.9 * len(rows)
    pair_of = {pair.completion_id: pair for pair in own}
    for row in found:
        pair = pair_of[row.completion_id]
        text = tokens.spelling.text_of(row.chosen_ids).removesuffix("<|endoftext|>")
        assert text.startswith(pair.healed)
        donors = [p for p in own if p.chosen == text[len(pair.healed) :]]
        assert any(donor.file_key != pair.file_key for donor in donors)
        assert tokens.spelling.text_of(row.rejected_ids[: row.rejected_start]) in text


@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=20),
    st.integers(0, 9),
)
def test_every_text_is_given_once_and_to_another_file(
    made: list[PreferencePair], tokens: Tokens, files: list[str], seed: int
) -> None:
    ours = [
        replace(made[0], completion_id=UUID(int=n), file_key=file, chosen=f"value_{n:02}")
        for n, file in enumerate(files)
    ]
    found = mispaired(ours, tokens, Limits(), seed)
    texts = [tokens.spelling.text_of(row.chosen_ids) for row in found]
    donors = [int(text.split("value_")[1][:2]) for text in texts]
    assert len(set(donors)) == len(donors)
    assert all(
        files[donor] != files[row.completion_id.int]
        for row, donor in zip(found, donors, strict=True)
    )
    if max(Counter(files).values()) <= len(files) / 2:
        assert len(found) == len(files)


def test_one_file_has_nobody_to_swap_with(made: list[PreferencePair], tokens: Tokens) -> None:
    alone = [replace(pair, file_key="r:a.py") for pair in made[:5]]
    assert mispaired(alone, tokens, Limits(), 0) == []
    assert mispaired([], tokens, Limits(), 0) == []


def test_only_what_was_kept_counts_as_accepted(rows: tuple[TrainingRow, ...]) -> None:
    assert only_accepted([*rows, KEPT]) == [KEPT]
