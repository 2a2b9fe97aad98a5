"""The starter's script: windows, one step of learning, a folder that the engine can serve."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.engine.base import load_base
from trainer import pretrain
from trainer.pretrain import MIDDLE, PREFIX, SUFFIX, Phase
from trainer.starter_exam import evaluate

SOURCE = (
    "import os\n\n\ndef read(path):\n    with open(path) as file:\n        return file.read()\n"
)


@given(st.text(alphabet="ab\n ", min_size=3, max_size=200), st.integers(0, 1000))
def test_a_middle_lies_inside_its_text(text: str, seed: int) -> None:
    cursor, end = pretrain.middle_of(text, random.Random(seed))
    assert 0 <= cursor < len(text)
    assert cursor <= end <= len(text)


def test_a_window_is_suffix_then_prefix_and_middle_as_one() -> None:
    def encode(text: str) -> list[int]:
        return [ord(character) for character in text]

    kinds = [pretrain.window(SOURCE, encode, random.Random(seed), 60) for seed in range(40)]
    filled = [ids for ids in kinds if ids[0] == PREFIX]
    assert 20 <= len(filled) <= 35
    for ids in filled:
        assert ids[1] == SUFFIX
        seam = ids.index(MIDDLE)
        after = "".join(map(chr, ids[2:seam]))
        before = "".join(map(chr, ids[seam + 1 : -1]))
        assert before + after in SOURCE


def test_the_corpus_keeps_its_packages_apart() -> None:
    train, held_out = pretrain.read_corpus()
    assert any(path.startswith("argparse") for path in held_out)
    assert not {path.split("/")[0] for path in train} & pretrain.HELD_OUT
    assert not set(train.values()) & set(held_out.values())


def test_a_new_model_learns_and_can_be_served(tmp_path: Path) -> None:
    tokenizer = pretrain.train_tokenizer([SOURCE * 3])
    model, phase = pretrain.new_model(), Phase(1.0, 2, 32, 1.0)
    assert 3.8e6 < model.num_parameters() < 4.0e6
    optimizers, loss_of = pretrain._optimizers(model), pretrain._loss_of(model)
    flat = np.array((tokenizer.encode(SOURCE).ids * 9)[: 2 * 32 + 1])
    losses = [pretrain._step(loss_of, optimizers, flat, phase, 0.2) for _ in range(4)]
    assert losses[-1] < losses[0]
    pretrain.save(model, tokenizer, tmp_path)
    base = load_base(str(tmp_path), device="cpu")
    assert base.prompter.family.heal
    assert base.window_tokens == 1024
    figures = evaluate(tmp_path, {"a.py": SOURCE * 2}, num_samples=2)
    assert figures["samples"] == 2
    assert 0.0 <= figures["exact_match"] <= 1.0


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pretrain.main(["--help"])
    assert "--evaluate starter --samples 200" in capsys.readouterr().out
