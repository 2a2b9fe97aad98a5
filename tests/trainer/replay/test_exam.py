"""Exam positions: what was served there, what is right there, and in which strata they count."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lsp_server.engine.base import Base
from trainer.replay.exam import (
    ExamPosition,
    SeenLines,
    measure_positions,
    plant_positions,
    positions_of,
    some_of,
)
from trainer.replay.ngram import copy_scores
from trainer.replay.plant import CONVENTIONS
from trainer.replay.sitting import Observation, Sitting
from trainer.replay.work import Hunk, Work

MS = 1_790_000_000_000


def observation(truth: str, *, requested_ms: int = MS, path: str = "a.py") -> Observation:
    return Observation(
        file_id=path,
        path=path,
        hunk=0,
        offset=0,
        requested_ms=requested_ms,
        completion_id=None,
        truth=truth,
        offered="",
        shown=False,
        action="none",
    )


NOTHING = SeenLines(())


def found(visit_maker: object, truth: str, seen: SeenLines | None = NOTHING) -> list[ExamPosition]:
    at = datetime.fromtimestamp(MS / 1000, UTC)
    visit = visit_maker(1, request={"path": "a.py"})  # type: ignore[operator]
    request = visit.completion.request.model_copy(update={"requested_at": at})
    object.__setattr__(visit.completion, "request", request)
    sitting = Sitting("a.py", 10, 10, (observation(truth), observation(truth, requested_ms=MS + 1)))
    return positions_of({("a.py", MS): visit}, [sitting], seen)


@pytest.mark.parametrize("truth", ["os.getcwd()\ny = 2", "os.getcwd()"])
def test_a_longer_answer_than_the_unit_is_no_exact_one(visit: object, truth: str) -> None:
    (one,) = found(visit, truth)
    assert (one.position.text, one.position.complete) == ("os.getcwd()", True)
    (copied,) = copy_scores([Work("b.py", "b.py", "x = os.getcwd() or 3\n", ())], [one])
    assert (copied.ran_on, copied.exact) == (True, False)


def test_what_is_scored_before_its_night_is_in_no_stratum(visit: object) -> None:
    (one,) = found(visit, "os.getcwd()", None)
    assert one.strata == ()


def test_where_nothing_is_left_to_write_there_is_no_position(visit: object) -> None:
    assert found(visit, "\ny = 2") == []


def test_a_line_typed_on_a_day_below_the_same_line_is_seen(visit: object) -> None:
    same, other = "import os\n\nx  = os.getcwd()\n", "import sys\nx = os.getcwd()\n"
    assert found(visit, "os.getcwd()", SeenLines([same]))[0].strata == ("seen_in_training",)
    assert found(visit, "os.getcwd()", SeenLines([other]))[0].strata == ("unseen",)


def test_a_body_is_seen_by_its_own_lines_not_by_its_header(visit: object) -> None:
    (one,) = found(visit, "os.getcwd()")
    request = one.position.request.model_copy(update={"prefix": "import os\ndef f(x):"})
    position = replace(one.position, request=request, text="\n    y = g(x)\n    return y")
    assert SeenLines(["def f(x):\n    y = g(x)\n"]).has(position)
    assert not SeenLines(["import os\ndef f(x):\n    y = h(x)\n"]).has(position)


def test_the_same_positions_are_chosen_every_time(base: Base) -> None:
    places = plant_positions(base, [planted_work()], CONVENTIONS["house-log"])
    assert some_of(places, 2) == some_of(places[::-1], 2)


def planted_work() -> Work:
    body = (
        '\n    audit_call("load")\n    rows = read(path)\n    for row in rows:\n        check(row)'
    )
    before = 'def load(path):\n\n\ndef save(path):\n    audit_call("save")\n    write(path)\n'
    return Work("a.py", "a.py", before, (Hunk(15, 15, body),))


def test_planted_places_stand_just_before_what_the_rule_wants(base: Base) -> None:
    places = plant_positions(base, [planted_work()], CONVENTIONS["house-log"])
    kinds = {place.strata for place in places}
    assert ("planted", "visible") in kinds  # the suffix shows how `save` does it
    (planted,) = [place for place in places if "planted" in place.strata]
    assert planted.position.request.prefix == "def load(path):\n    "
    assert planted.position.text == "audit_call("
    assert any("sister" in strata for strata in kinds)


def test_files_that_were_once_one_have_places_of_their_own(base: Base) -> None:
    works = [replace(planted_work(), path=path) for path in ("a.py", "b.py")]
    places = plant_positions(base, works, CONVENTIONS["house-log"])
    ids = [place.position_id for place in places]
    assert len(set(ids)) == len(ids)
    alone = plant_positions(base, works[:1], CONVENTIONS["house-log"])
    assert {place.position_id for place in alone} < set(ids)  # as if there were no other


def test_positions_are_scored_through_the_engine(base: Base) -> None:
    places = plant_positions(base, [planted_work()], CONVENTIONS["house-log"])
    scores = measure_positions(base, None, places)
    assert [s.position_id for s in scores] == [p.position_id for p in places]
    assert all(s.log_prob is not None and s.log_prob < 0 for s in scores)
    assert all(s.exact == (s.matched == len("audit_call(")) for s in scores)
