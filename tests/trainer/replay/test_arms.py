"""The rival's rows come from saved files alone and are served-like, line by line."""

from pathlib import Path
from typing import Any

from lsp_server.engine.base import Base
from trainer.recipe import Recipe
from trainer.replay.arms import Workshop, code_rows

TEXT = "\n".join(f"def step_{i}(values):\n    return total(values, {i})\n" for i in range(40))


def test_as_many_rows_as_asked_for_from_places_drawn_by_seed(base: Base) -> None:
    rows = code_rows(base, {"a.py": TEXT, "b.py": TEXT.upper()}, 30, seed=1)
    assert len(rows) == 30
    assert len({row.completion_id for row in rows}) == 30
    assert {row.file_key for row in rows} == {"a.py", "b.py"}
    again = code_rows(base, {"a.py": TEXT, "b.py": TEXT.upper()}, 30, seed=1)
    assert rows == again
    assert rows != code_rows(base, {"a.py": TEXT, "b.py": TEXT.upper()}, 30, seed=2)


def test_a_row_is_the_rest_of_its_line_behind_the_prompt_that_would_be_served(base: Base) -> None:
    for row in code_rows(base, {"a.py": TEXT}, 20, seed=3):
        assert not row.is_pair
        assert len(row.prompt_ids) <= base.prompt_limit(96)
        assert 0 <= row.chosen_start < len(row.chosen_ids)
        written = base.spelling.text_of(row.chosen_ids)
        assert "\n" not in written.lstrip("\n")
        assert any(line.rstrip().endswith(written.strip()) for line in TEXT.split("\n"))


def test_fewer_lines_than_rows_give_what_there_is(base: Base) -> None:
    assert 0 < len(code_rows(base, {"a.py": "x = 1\ny = compute(x)\n"}, 50, seed=1)) <= 2
    assert code_rows(base, {}, 50, seed=1) == []


def test_the_gate_does_not_judge_what_has_read_its_held_out_files(base: Base) -> None:
    nothing: Any = None
    workshop = Workshop(base, nothing, nothing, {"a.py": TEXT}, Recipe())
    judged = workshop._judged("code_sft", Path("nowhere"), Recipe())
    assert (judged["verdict"], judged["promoted"]) == ("not judged", False)
