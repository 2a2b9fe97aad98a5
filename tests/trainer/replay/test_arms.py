"""The rival learns from saved files alone, as much as the loop learns in all."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from nights import fill, night

from feedback_store import runs
from feedback_store.models import TrainingRunRow
from feedback_store.schemas import Rule
from feedback_store.visits import Visit
from lsp_server.engine.base import Base
from trainer.config import NightConfig
from trainer.dataset import Corpus, TrainingRow, split_of
from trainer.errors import DatasetError
from trainer.material import Material
from trainer.pairs import PreferencePair
from trainer.recipe import Recipe
from trainer.replay.arms import Workshop

TEXT = "\n".join(f"def step_{i}(values):\n    return total(values, {i})\n" for i in range(40))
PATHS = [f"file_{number}.py" for number in range(40)]
ROW = TrainingRow(
    UUID(int=1), Rule.TYPED_INSTEAD, 0.6, "r:a", (5, 6, 7), (20, 21, 22), 1, 1, (20, 30), 1
)
KEPT = replace(ROW, rule=Rule.KEPT, rejected_ids=(), rejected_start=0)
CODE = replace(KEPT, rule=None)


@pytest.fixture(scope="module")
def workshop(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    dev_key = next(f"r:{path}" for path in PATHS if split_of(f"r:{path}") == "train")
    train = (ROW,) * 12 + (KEPT,) * 3
    corpus = Corpus(train, (replace(ROW, file_key=dev_key),), code=(CODE,) * 20)
    pair: Any = PreferencePair.__new__(PreferencePair)
    object.__setattr__(pair, "file_key", "r:a")
    material = Material((pair,), corpus, (), {}, (Recipe(),))
    config = NightConfig(data=tmp_path_factory.mktemp("data"))
    return Workshop(base, config, material, {path: TEXT for path in PATHS}, Recipe(objective="dpo"))


def test_the_rival_leaves_out_what_the_loop_leaves_out(workshop: Workshop) -> None:
    rows, recipe = workshop._rows("code_sft")
    assert (recipe.objective, recipe.learn_code) == ("sft", True)
    learned = {row.file_key for row in rows}
    assert {split_of(key) for key in learned} == {"train"}
    assert learned.isdisjoint(row.file_key for row in workshop.material.corpus.dev)
    assert all(row.rule is None for row in rows)
    rests = [row for row in rows if "\n" not in _learned(workshop.base, row).strip("\n")]
    assert len(rests) == 2 * len(workshop.material.corpus.train)


def test_every_arm_learns_what_it_is_named_after(workshop: Workshop) -> None:
    corpus = workshop.material.corpus
    assert workshop._rows("sft_chosen")[0] == corpus.train
    assert workshop._rows("sft_accepted")[0] == [KEPT] * 3
    assert workshop._rows("context_only")[0] == corpus.code
    ungated, recipe = workshop._rows("ungated")
    assert ungated == (*corpus.train, *corpus.code)
    assert (recipe.objective, recipe.learn_code) == ("sft", True)
    flipped, recipe = workshop._rows("flipped")
    assert {row.chosen_ids for row in flipped} == {ROW.rejected_ids}
    assert (recipe.objective, recipe.learn_code) == ("dpo", False)
    with pytest.raises(ValueError, match="no offline arm"):
        workshop._rows("loop")


def test_where_nothing_was_recorded_there_is_no_rival(workshop: Workshop) -> None:
    empty = replace(workshop, material=replace(workshop.material, rows=()))
    with pytest.raises(DatasetError, match="nothing was recorded"):
        empty._rows("code_sft")


def test_an_arm_added_later_reads_what_the_last_night_read(
    base: Base, lessons: list[Visit], tmp_path: Path
) -> None:
    database = fill(tmp_path, lessons[:20])  # served an hour ago
    runs.start(database, "last", {}, "log")
    with database.session() as session:
        run = session.get(TrainingRunRow, "last")
        assert run is not None
        run.started_at -= timedelta(hours=2)
    database.close()
    workshop = Workshop.open(base, night(tmp_path, window_days=0), tmp_path / "w", "sft")
    assert workshop.material.counts["visits"] == 20


def _learned(base: Base, row: TrainingRow) -> str:
    return base.spelling.text_of(row.chosen_ids[row.healed_tokens :])
