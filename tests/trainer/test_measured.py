"""What is measured is learned nowhere: not under another name, and not line by line."""

from collections import Counter
from collections.abc import Callable

import pytest

from feedback_store.schemas import Mode
from feedback_store.visits import Visit
from lsp_server.engine.base import Base
from trainer import pairs
from trainer.code_rows import CodeText, code_rows, recorded_texts
from trainer.dataset import (
    Corpus,
    Limits,
    Tokens,
    build_corpus,
    held_out_positions,
    measured_at,
    select,
    split_of,
    without_copies_of_dev,
)
from trainer.material import code_beside

VisitMaker = Callable[..., Visit]
ABOVE = "import os\n\n\ndef read_it(path):\n"
BLOCK = "with open(path) as source_file:\n        whole_text = source_file.read()\n"
HELD = next(f"h{i}.py" for i in range(99) if split_of(f"r:h{i}.py") == "held_out")
TRAIN = next(f"t{i}.py" for i in range(99) if split_of(f"r:t{i}.py") == "train")
DEV = next(f"d{i}.py" for i in range(999) if split_of(f"r:d{i}.py") == "dev")


def held_block(visit: VisitMaker) -> Visit:
    """A block of two lines that somebody typed in a held-out file."""
    request = {"path": HELD, "mode": Mode.BLOCK}
    return visit(1, ABOVE + "    ", "\n", settled_text=BLOCK, request=request)


@pytest.mark.parametrize("mode", [Mode.LINE, Mode.BLOCK])
def test_no_line_of_a_held_out_block_is_trained_in_a_copy(visit: VisitMaker, mode: Mode) -> None:
    first, second, _ = BLOCK.split("\n")
    prefix, typed = {
        Mode.LINE: (ABOVE + "    " + first + "\n        whole_text = ", "source_file.read()"),
        Mode.BLOCK: ("import os\n\n\n", f"def read_it(path):\n    {first}\n{second}\n"),
    }[mode]
    copied = visit(2, prefix, "\n", settled_text=typed, request={"path": TRAIN, "mode": mode})
    counts: Counter[str] = Counter()
    measured = measured_at(held_out_positions([held_block(visit)], Limits()))
    assert select(pairs.build([copied]), Limits(), counts, measured) == []
    assert counts == {"held_out_under_another_name": 1}
    assert len(select(pairs.build([copied]), Limits(), counts)) == 1


def test_no_line_of_a_held_out_block_is_learned_as_code(base: Base, visit: VisitMaker) -> None:
    measured = measured_at(held_out_positions([held_block(visit)], Limits()))
    copied = CodeText(
        f"r:{TRAIN}",
        f"{ABOVE}    {BLOCK}    return transform_everything(whole_text, path, os.sep)\n",
        visit(3).outcome.completion_id,
    )
    rows = code_rows(
        [copied],
        base.prompter,
        num_cursors=9,
        max_prompt_tokens=200,
        seed=0,
        measured=measured.content_keys,
    )
    said = [base.spelling.text_of(row.chosen_ids) for row in rows]
    assert any("transform_everything" in text for text in said)
    assert not any("source_file" in text for text in said)


@pytest.mark.parametrize(("held", "other"), [("r", "unknown"), ("unknown", "r")])
def test_a_file_is_held_out_before_and_after_its_repository_is_known(
    base: Base, visit: VisitMaker, held: str, other: str
) -> None:
    path = next(
        f"f{i}.py"
        for i in range(999)
        if split_of(f"{held}:f{i}.py") == "held_out" and split_of(f"{other}:f{i}.py") == "train"
    )
    first = visit(1, settled_text="os.environ", request={"path": path, "repository": held})
    later = visit(
        2,
        "import sys\n\ny = ",
        settled_text="sys.path",
        request={"path": path, "repository": other},
    )
    tokens = Tokens(base.prompter, base.spelling, base.window_tokens)
    positions = held_out_positions([first, later], Limits())
    corpus = build_corpus(pairs.build([first, later]), tokens, Limits(), positions)
    assert corpus.train == corpus.dev == ()
    assert corpus.counts == {"held_out": 1, "held_out_under_another_name": 1}
    assert code_beside(corpus, positions, recorded_texts([later]), 9, base, 0) == ()


def test_what_a_dev_row_says_is_not_trained_elsewhere(base: Base, visit: VisitMaker) -> None:
    """Else the dev split would be sure of what was only learned by heart."""
    tried = visit(1, settled_text="os.environ['HOME_OF_IT']", request={"path": DEV})
    copied = visit(2, settled_text="os.environ['HOME_OF_IT']", request={"path": TRAIN})
    other = visit(
        3,
        "import os\nimport sys\n\ny = ",
        settled_text="os.environ['ANOTHER_ONE']",
        request={"path": TRAIN},
    )
    made = pairs.build([tried, copied, other])
    tokens = Tokens(base.prompter, base.spelling, base.window_tokens)
    corpus = without_copies_of_dev(build_corpus(made, tokens, Limits()), made)
    assert [row.completion_id for row in corpus.dev] == [tried.outcome.completion_id]
    assert [row.completion_id for row in corpus.train] == [other.outcome.completion_id]
    assert corpus.counts == {"dev_under_another_name": 1}
    code = code_beside(corpus, (), recorded_texts([copied, other]), 9, base, 0)
    said = [base.spelling.text_of(row.chosen_ids) for row in code]
    assert any("ANOTHER_ONE" in text for text in said)
    assert not any("HOME_OF_IT" in text for text in said)


def test_a_corpus_without_dev_rows_loses_nothing() -> None:
    assert without_copies_of_dev(Corpus((), ()), []) == Corpus((), ())
