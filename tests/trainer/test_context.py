"""Each line above a cursor is learned once, by the first row that shows it."""

from dataclasses import replace
from uuid import UUID

from feedback_store.schemas import Rule
from lsp_server.engine.base import Base
from trainer.context import learn_context
from trainer.dataset import TrainingRow


def row(base: Base, prefix: str, chosen: str, *, file_key: str = "r:a") -> TrainingRow:
    prompt = base.prompter.build(prefix, "\nend()\n", max_prompt_tokens=400)
    ids = base.prompter.continuation_ids(prompt.healed, chosen)
    healed = base.prompter.num_healed(prompt.healed, ids)
    return TrainingRow(
        UUID(int=1), Rule.TYPED_INSTEAD, 1.0, file_key, prompt.ids, ids, healed, healed
    )


def check(base: Base, rows: list[TrainingRow], *expected: str) -> None:
    """`expected` is the text each row learns before its cursor."""
    found = learn_context(rows, base.prompter, base.spelling)
    for before, after, text in zip(rows, found, expected, strict=True):
        assert replace(after, num_context=0) == before
        span = base.prompter.prefix_span(after.prompt_ids)
        learned = after.prompt_ids[span.stop - after.num_context : span.stop]
        assert base.spelling.text_of(learned) == text


TOP = "import os\nvalue = compute(os.name)\n"


def test_the_first_row_learns_all_and_the_next_what_is_new(base: Base) -> None:
    check(
        base,
        [
            row(base, TOP + "first = ", "value + 1"),
            row(base, TOP + "first = value + 1\nsecond = ", "value + 2"),
            row(base, TOP + "first = value + 1\nextra = 7\nthird = ", "value + 3"),
        ],
        TOP + "first =",
        "\nsecond =",
        "\nextra = 7\nthird =",
    )


def test_another_file_is_learned_for_itself(base: Base) -> None:
    check(
        base,
        [row(base, TOP + "a = ", "1"), row(base, TOP + "a = ", "1", file_key="r:b")],
        TOP + "a =",
        TOP + "a =",
    )


def test_a_lone_bracket_is_no_line_to_stop_at(base: Base) -> None:
    call = "rows = load(\n    path,\n)\n"
    check(
        base,
        [
            row(base, call + "first = ", "1"),
            row(base, call + "first = 1\nsecond = make(\n    2,\n)\nthird = ", "3"),
        ],
        call + "first =",
        "\nsecond = make(\n    2,\n)\nthird =",
    )
