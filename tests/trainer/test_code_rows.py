"""Code that stood around the cursors is learned once, in passages and as rests of lines."""

from collections import Counter
from collections.abc import Callable
from uuid import UUID

import pytest

from feedback_store.visits import Visit
from lsp_server.engine.base import Base
from trainer.code_rows import (
    AROUND_TOKENS,
    PASSAGE_TOKENS,
    CodeText,
    code_rows,
    recorded_texts,
)
from trainer.dataset import Limits, TrainingRow, held_out_positions, measured_at, split_of
from trainer.sides import bare

VisitMaker = Callable[..., Visit]
STEP = "def step_{i}(values):\n    return total(values, {i})\n"
TEXT = "\n".join(STEP.format(i=i) for i in range(60))


def text(said: str, *, file_key: str = "r:a.py", number: int = 1) -> CodeText:
    return CodeText(file_key, said, UUID(int=number))


def rows_of(
    base: Base, *texts: CodeText, num_cursors: int = 0, **more: object
) -> list[TrainingRow]:
    return code_rows(
        texts,
        base.prompter,
        num_cursors=num_cursors,
        max_prompt_tokens=base.prompt_limit(96),
        seed=1,
        **more,  # type: ignore[arg-type]
    )


def learned(base: Base, row: TrainingRow) -> str:
    return base.spelling.text_of(row.chosen_ids[row.healed_tokens :])


def lines(base: Base, rows: list[TrainingRow]) -> Counter[str]:
    """Count the bare lines that the rows learn."""
    told = (line for row in rows for line in learned(base, row).split("\n"))
    return Counter(said for line in told if (said := bare(line)))


def test_every_line_is_learned_once_in_passages_of_a_bounded_size(base: Base) -> None:
    rows = rows_of(base, text(TEXT))
    assert lines(base, rows) == Counter(said for line in TEXT.split("\n") if (said := bare(line)))
    assert len(rows) > 3
    for row in rows:
        assert (row.rule, row.is_pair, row.weight) == (None, False, 1.0)
        assert len(row.prompt_ids) <= AROUND_TOKENS
        assert len(row.chosen_ids) <= PASSAGE_TOKENS + 40
        assert learned(base, row).strip() in TEXT


def test_an_older_text_adds_only_what_the_newer_does_not_say(base: Base) -> None:
    newer = "import os\nvalue = compute(os.name)\nother = load_everything(value)\n"
    older = newer.replace("other = load", "second = value.first_of_all(os)\nthird = save")
    rows = rows_of(base, text(newer, number=2), text(older, number=1))
    assert [learned(base, row).strip() for row in rows] == [
        newer.strip(),
        "second = value.first_of_all(os)\nthird = save_everything(value)",
    ]
    assert [row.completion_id.int for row in rows] == [2, 1]
    assert len(rows_of(base, text(newer), text(newer, number=2))) == 1
    assert len(rows_of(base, text(newer), text(newer, file_key="r:b.py"))) == 2


def test_the_rest_of_a_line_is_asked_for_as_it_is_served(base: Base) -> None:
    rows = rows_of(base, text(TEXT), num_cursors=25)
    rests = rows[len(rows_of(base, text(TEXT))) :]
    assert len(rests) == 25
    assert rests == rows_of(base, text(TEXT), num_cursors=25)[-25:]
    for row in rests:
        said = learned(base, row)
        assert "\n" not in said.strip("\n")
        assert any(line.endswith(said.strip()) for line in TEXT.split("\n"))
        assert len(row.prompt_ids) <= base.prompt_limit(96)
    few = rows_of(base, text("value = compute(os.name, os.getcwd(), os.sep)\n"), num_cursors=9)
    assert len(few) == 2  # the passage, and its only line
    assert rows_of(base, num_cursors=9) == []


def test_held_out_lines_and_redacted_ones_are_not_learned(base: Base, visit: VisitMaker) -> None:
    path = next(f"f{i}.py" for i in range(99) if split_of(f"r:f{i}.py") == "held_out")
    above = "first = compute_it()\nsecond = compute_it(first)\n"
    held = visit(1, above + "third = ", settled_text="secret_sum(1)", request={"path": path})
    measured = measured_at(held_out_positions([held], Limits())).content_keys
    copied = above + "third = secret_sum(1)\nfourth = compute_it(key='<redacted:key>')\nfifth = 5\n"
    said = lines(base, rows_of(base, text(copied), num_cursors=9, measured=measured))
    assert said["first=compute_it()"] >= 1
    assert not any("secret_sum" in line or "redacted" in line for line in said)
    elsewhere = rows_of(
        base,
        text("other = compute_it_again(everything)\n" + copied[len(above) :]),
        measured=measured,
    )
    assert any("secret_sum" in learned(base, row) for row in elsewhere)  # below other lines


@pytest.mark.parametrize(
    ("settled", "expected"),
    [
        ("os.getcwd()", "import os\n\nx = os.getcwd()\nprint(x)\n"),
        (None, "import os\n\nprint(x)\n"),  # nobody knows what became of the line
    ],
)
def test_a_visit_shows_its_file_as_it_became(
    visit: VisitMaker, settled: str | None, expected: str
) -> None:
    (found,) = recorded_texts([visit(1, settled_text=settled)])
    assert (found.text, found.file_key) == (expected, "r:a.py")


def test_a_line_that_was_cut_short_is_not_joined_with_what_followed(visit: VisitMaker) -> None:
    """More was settled than the rest of a line: the bracket served belongs further down."""
    typed = visit(
        1, "x = compute_total(", ")\nprint(x)\n", settled_text="first_argument,\n    second_one"
    )
    (found,) = recorded_texts([typed])
    assert found.text == "x = compute_total(first_argument,\nprint(x)\n"


def test_newest_texts_come_first_and_barred_ones_not_at_all(visit: VisitMaker) -> None:
    visits: list[Visit] = [visit(1), visit(3), visit(2), visit(4, barred=True)]
    assert [found.completion_id.int for found in recorded_texts(visits)] == [4, 3, 2]
