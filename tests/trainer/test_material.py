"""What a night finds in the store: what counts as enough, as new, and as a position."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from nights import fill, night, sealed

import trainer.material
from feedback_store import runs
from feedback_store.database import Database, default_url
from feedback_store.registry import Registry
from feedback_store.schemas import OutcomeKind, Rule
from feedback_store.visits import Visit
from lsp_server.engine.base import Base
from trainer.code_rows import recorded_texts
from trainer.config import NightConfig
from trainer.dataset import Corpus, Limits, TrainingRow, held_out_positions, split_of
from trainer.gate import LiveArm
from trainer.material import (
    Material,
    code_beside,
    gather,
    live_arm,
    nothing_new,
    recipes_for,
    too_little,
)
from trainer.sides import file_key_of

VisitMaker = Callable[..., Visit]
CONFIG = NightConfig(Path("data"))
PAIR = TrainingRow(
    UUID(int=1), Rule.TYPED_INSTEAD, 0.6, "r:a", (5, 6, 7), (20, 21, 22), 1, 1, (20, 30), 1
)
KEPT = replace(PAIR, rule=Rule.KEPT, rejected_ids=(), rejected_start=0)


def rows(count: int, kind: TrainingRow = PAIR, begin: int = 0) -> tuple[TrainingRow, ...]:
    return tuple(replace(kind, completion_id=UUID(int=begin + i)) for i in range(count))


def material(corpus: Corpus, config: NightConfig = CONFIG) -> Material:
    return Material(
        (), corpus, (), {"visits": 1, "visits_of_other_models": 0}, recipes_for(config, corpus)
    )


def kept(visit: Visit) -> Visit:
    """The same visit, but the suggestion was taken and is still there."""
    taken = {"kind": OutcomeKind.ACCEPTED, "settled_text": visit.outcome.suggestion, "kept": True}
    return replace(visit, outcome=replace(visit.outcome, **taken))


@pytest.mark.parametrize(
    ("train", "dev", "kept", "objective", "expected"),
    [
        (400, 99, 900, "auto", ["sft"]),
        (400, 100, 0, "auto", ["sft", "dpo"]),
        (400, 100, 0, "sft", ["sft"]),
        (20, 0, 0, "dpo", ["dpo"]),
        (0, 600, 50, "auto", ["sft"]),  # nothing to prefer is trained on
        (0, 0, 50, "dpo", ["sft"]),
    ],
)
def test_the_recipes_follow_the_pairs(
    train: int, dev: int, kept: int, objective: str, expected: list[str]
) -> None:
    config = replace(CONFIG, objective=objective)  # type: ignore[arg-type]
    corpus = Corpus(rows(train) + rows(kept, KEPT), rows(dev))
    found = recipes_for(config, corpus)
    assert [recipe.objective for recipe in found] == expected
    assert len({recipe.seed for recipe in found}) == 1
    assert [recipe.after_sft for recipe in found] == [False, True][: len(found)]


@pytest.mark.parametrize(
    ("change", "is_same"),
    [({"kl_weight": 0.0}, False), ({"epochs": 3.0}, False), ({"seed": 9}, True)],
)
def test_a_recipe_after_sft_is_named_by_what_made_that_part_too(
    change: dict[str, float], is_same: bool
) -> None:
    corpus = Corpus(rows(400), rows(100))
    (_, before), (_, after) = (
        recipes_for(config, corpus)
        for config in (CONFIG, replace(CONFIG, **change))  # type: ignore[arg-type]
    )
    assert before.after_sft
    assert (before.name == after.name) is is_same


def test_only_pairs_that_can_teach_tonight_are_counted() -> None:
    enough = replace(CONFIG, min_pairs=5)
    assert too_little(enough, material(Corpus(rows(3), rows(2)))) == ()
    (why,) = too_little(enough, material(Corpus(rows(3) + rows(9, KEPT), rows(1))))
    assert why == "not enough pairs: have 4, need 5"
    (why,) = too_little(enough, material(Corpus((), rows(7))))
    assert "dev split" in why


def test_the_same_rows_and_recipe_are_nothing_new() -> None:
    found = material(Corpus(rows(10), ()))
    (recipe,) = found.recipes
    lineage = [UUID(int=i) for i in range(30)]  # of more: some rows have left the window since
    assert found.share_new(frozenset(lineage)) == 0.0
    assert found.share_new(frozenset(lineage[:9])) == pytest.approx(0.1)
    assert material(Corpus((), ())).share_new(frozenset()) == 0.0
    # What people said, or took back, since the adapter was made is new as well.
    noon = datetime(2026, 11, 3, 12, tzinfo=UTC)
    said = replace(found, reviewed={UUID(int=3): noon, UUID(int=20): noon})
    before, after = noon - timedelta(hours=1), noon + timedelta(hours=1)
    assert said.share_new(frozenset(lineage), before) == pytest.approx(0.2)
    assert said.share_new(frozenset(lineage), after) == 0.0
    # But not what is learned neither tonight nor was then: of the dev split, or over a cap.
    beside = replace(found, reviewed={UUID(int=99): noon})
    assert beside.share_new(frozenset(lineage), before) == 0.0
    (why,) = nothing_new(found, LiveArm("ab" * 32, recipe.name, 0.0))
    assert why.startswith("nothing new since adapter abababababab")
    assert why.endswith("wait for more feedback")
    assert nothing_new(found, LiveArm("ab" * 32, recipe.name, 0.01)) == ()
    assert nothing_new(found, LiveArm("ab" * 32, "another recipe", 0.0)) == ()
    assert nothing_new(found, LiveArm()) == ()


def test_what_is_judged_while_a_night_trains_is_new_to_the_next(tmp_path: Path) -> None:
    database = Database.open(default_url(tmp_path))
    runs.start(database, "night-1", {}, tmp_path / "night-1.log")
    begun_at = datetime.now(UTC)
    made = sealed(tmp_path / "made", "b" * 64, (UUID(int=i) for i in range(10)))
    registry = Registry(database, tmp_path / "adapters")
    found = material(Corpus(rows(10), ()))
    (recipe,) = found.recipes
    told = {"recipe": recipe.name}
    live = registry.register(made, base_sha256="b" * 64, run_id="night-1", metrics=told)
    assert begun_at < live.created_at

    def share_new(judged_at: datetime) -> float:
        said = replace(found, reviewed={UUID(int=3): judged_at})
        arm = live_arm(database, live, said)
        assert bool(nothing_new(said, arm)) is (arm.share_new == 0.0)
        return arm.share_new

    assert share_new(begun_at - timedelta(hours=1)) == 0.0
    assert share_new(begun_at) == pytest.approx(0.1)
    assert share_new(live.created_at + timedelta(hours=1)) == pytest.approx(0.1)
    assert live_arm(database, None, found) == LiveArm()
    database.close()


def test_pairs_come_from_the_window_and_positions_from_all_that_is_kept(
    tmp_path: Path, lessons: list[Visit], base: Base
) -> None:
    served = datetime.now(UTC) - timedelta(hours=1)
    database = fill(tmp_path, lessons[:60])
    config = night(tmp_path, window_days=90)
    soon = gather(config, database, base, served + timedelta(days=1))
    later = gather(config, database, base, served + timedelta(days=200))
    bare = gather(replace(config, learn_code=False), database, base, served + timedelta(days=1))
    database.close()
    assert soon.corpus.train
    assert bare.corpus == replace(soon.corpus, code=())
    assert len(soon.corpus.code) > len(soon.corpus.train)  # passages, and as many rests of lines
    learned = {row.file_key for row in soon.corpus.code}
    assert {split_of(key) for key in learned} == {"train"}
    assert learned.isdisjoint(row.file_key for row in soon.corpus.dev)
    assert later.rows == ()
    assert later.corpus.train == later.corpus.code == ()
    assert later.positions == soon.positions
    held = [v for v in lessons[:60] if split_of(f"r:{v.completion.request.path}") == "held_out"]
    assert len(soon.positions) == len(held) > 0
    (why, *_) = too_little(replace(config, min_pairs=1000), soon)
    assert why == f"not enough pairs: have {soon.num_pairs}, need 1000"
    assert soon.num_pairs <= 60 - len(held)


def test_pairs_that_the_dev_split_takes_are_no_reason_to_prefer(
    tmp_path: Path, lessons: list[Visit], base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database.open(default_url(tmp_path))
    config = night(tmp_path, dpo_min_pairs=1, learn_code=False)

    def found(visits: list[Visit]) -> Material:
        monkeypatch.setattr(trainer.material, "load_window", lambda *_, **__: visits)
        return gather(config, database, base, datetime.now(UTC))

    only_pairs = found(lessons)
    assert [recipe.objective for recipe in only_pairs.recipes] == ["sft", "dpo"]
    tried = {row.file_key for row in only_pairs.corpus.dev}
    assert "train" in map(split_of, tried)  # the hash alone gives the dev split too few
    mixed = [
        visit if file_key_of(visit.completion.request) in tried else kept(visit)
        for visit in lessons
    ]
    found_mixed = found(mixed)
    database.close()
    assert found_mixed.num_pairs > config.dpo_min_pairs
    assert not any(row.is_pair for row in found_mixed.corpus.train)
    assert [recipe.objective for recipe in found_mixed.recipes] == ["sft"]


def test_code_is_learned_neither_from_held_out_files_nor_from_copies_of_their_lines(
    base: Base, visit: VisitMaker
) -> None:
    paths = {split_of(f"r:f{i}.py"): f"f{i}.py" for i in range(99)}
    above = "first = compute_it(of_nothing)\nsecond = compute_it(first)\n"
    held = visit(1, above + "x = ", settled_text="held_sum(1)", request={"path": paths["held_out"]})
    copy = visit(2, above + "x = held_sum(1)\ny = ", request={"path": paths["train"]})
    positions = held_out_positions([held, copy], Limits())
    assert len(positions) == 1
    texts = list(recorded_texts([held, copy]))
    for measured, is_learned in (((), True), (positions, False)):
        rows = code_beside(Corpus((), ()), measured, texts, 9, base, seed=1)
        said = "".join(base.spelling.text_of(row.chosen_ids) for row in rows)
        assert {row.file_key for row in rows} == {f"r:{paths['train']}"}
        assert "second" in said
        assert ("held_sum" in said) is is_learned


def test_a_night_on_a_store_without_code_says_so() -> None:
    counts = {"visits": 0, "visits_of_other_models": 0, "visits_without_content": 7}
    empty = replace(material(Corpus((), ())), counts=counts)
    why = " ".join(too_little(CONFIG, empty))
    assert "7 completions are stored without code (privacy.content is off" in why
    assert "nothing to train on" in why
