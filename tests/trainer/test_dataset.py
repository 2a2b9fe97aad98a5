"""Splits that never leak, masks that start where they should, ids that are the served ones."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback_store.completions import ServedCandidate
from feedback_store.schemas import OutcomeKind
from feedback_store.visits import Visit
from lsp_server.engine.base import Base
from trainer import pairs
from trainer.dataset import (
    Limits,
    Tokens,
    TrainingRow,
    build_corpus,
    draw,
    held_out_positions,
    select,
    split_of,
    tokenise,
)

VisitMaker = Callable[..., Visit]
LIMITS = Limits()
TRAIN_PATH = next(f"t{i}.py" for i in range(99) if split_of(f"r:t{i}.py") == "train")
HELD_PATH = next(f"h{i}.py" for i in range(99) if split_of(f"r:h{i}.py") == "held_out")


@pytest.fixture(scope="session")
def tokens(base: Base) -> Tokens:
    return Tokens(base.prompter, base.spelling, base.window_tokens)


@pytest.fixture
def row(visit: VisitMaker, tokens: Tokens) -> Callable[..., TrainingRow | str]:
    """Serve `prefix`, answer `answer`, settle `settled`; return the training row."""

    def make(
        prefix: str, answer: str, settled: str, *, reason: str = "stop", **outcome: Any
    ) -> TrainingRow | str:
        prompt = tokens.prompter.build(prefix, "\nprint(x)\n", max_prompt_tokens=400)
        ids = tokens.prompter.continuation_ids(prompt.healed, answer)
        served = {
            "prompt_ids": prompt.ids,
            "healed": prompt.healed,
            "candidates": (ServedCandidate(0, answer, ids, (-1.0,) * len(ids), reason),),
        }
        made = visit(1, prefix, answers=(answer,), served=served, settled_text=settled, **outcome)
        (pair,) = pairs.build([made])
        return tokenise(pair, tokens, LIMITS)

    return make


def spelled(tokens: Tokens, ids: tuple[int, ...]) -> str:
    return tokens.spelling.text_of(ids)


def test_a_file_keeps_its_split_for_ever() -> None:
    expected = {"r:a.py": "train", "r:src/b.py": "train", "x:f0.py": "held_out"}
    found = {key: split_of(key) for key in expected}
    assert found == {key: split_of(key) for key in expected}
    shares = Counter(split_of(f"repo:{i}.py") for i in range(5000))
    assert 0.18 < shares["held_out"] / 5000 < 0.22
    assert 0.06 < shares["dev"] / 5000 < 0.10


def test_split_hashes_are_frozen() -> None:
    """Changing the hash would move held-out files into training: these must never change."""
    keys = [f"repo:pkg/m{i}.py" for i in range(12)]
    assert "".join(split_of(key)[0] for key in keys) == "ttthttttthht"


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(found=st.lists(st.tuples(st.integers(0, 30), st.text(min_size=1, max_size=5)), max_size=25))
def test_no_held_out_file_is_ever_selected(visit: VisitMaker, found: list[tuple[int, str]]) -> None:
    visits = [
        visit(n, settled_text=text, request={"path": f"{file}.py", "line": n})
        for n, (file, text) in enumerate(found)
    ]
    chosen = select(pairs.build(visits), LIMITS, Counter())
    assert all(split_of(pair.file_key) != "held_out" for pair in chosen)


def test_the_same_line_is_learned_once(visit: VisitMaker) -> None:
    request = {"path": TRAIN_PATH}
    visits = [
        visit(1, "a\n\nx = ", settled_text="1 + 2", request=request),
        visit(2, "b\n\nx = ", settled_text="1 +  2", request=request),  # moved, same line
        visit(3, "b\n\nx = ", settled_text="1 + 2", request={"path": TRAIN_PATH, "line": 90}),
        visit(4, "b\n\ny = ", settled_text="1 + 2", request={"path": TRAIN_PATH, "line": 91}),
    ]
    counts: Counter[str] = Counter()
    kept = select(pairs.build(visits), LIMITS, counts)
    assert [pair.completion_id.int - 1 for pair in kept] == [3, 4]
    assert counts["duplicate"] == 2


def test_caps_keep_the_newest_of_a_file_and_a_user(visit: VisitMaker) -> None:
    visits = [
        visit(
            n,
            f"# {n}\n\nx = ",
            settled_text=f"{n}",
            request={"path": TRAIN_PATH, "line": n, "user": "ab"[n % 2]},
        )
        for n in range(10)
    ]
    made = pairs.build(visits)
    counts: Counter[str] = Counter()
    newest = select(made, Limits(max_rows_per_file=4), counts)
    assert [pair.completion_id.int - 1 for pair in newest] == [6, 7, 8, 9]
    assert counts == {"over_file_cap": 6}
    per_user = select(made, Limits(max_rows_per_user=2), Counter())
    assert [pair.completion_id.int - 1 for pair in per_user] == [6, 7, 8, 9]
    assert len(select(made, Limits(max_rows=3), Counter())) == 3


def test_kept_texts_do_not_crowd_out_pairs(visit: VisitMaker) -> None:
    kept = {"kind": OutcomeKind.TYPED_THROUGH, "settled_text": "os.getcwd()"}
    visits = [
        visit(
            n,
            f"# {n}\n\nx{n} = ",
            request={"path": TRAIN_PATH, "line": n},
            **({"settled_text": "1"} if n < 3 else kept),
        )
        for n in range(10)
    ]
    limits = Limits(max_rows=3, max_rows_per_file=3, max_rows_per_user=3)
    chosen = select(pairs.build(visits), limits, Counter())
    assert [pair.completion_id.int - 1 for pair in chosen] == [0, 1, 2, 7, 8, 9]


def test_what_does_not_train_yet_is_counted(visit: VisitMaker) -> None:
    ignored = visit(1, kind=OutcomeKind.IGNORED, request={"path": TRAIN_PATH})
    counts: Counter[str] = Counter()
    assert select(pairs.build([ignored]), LIMITS, counts) == []
    assert counts == {"not_trained_yet": 1}


def test_both_sides_spell_the_healed_piece_and_the_text(
    row: Callable[..., TrainingRow], tokens: Tokens
) -> None:
    made = row("def f(x):\n    retu", "rn x", "rn None", reason="end")
    assert spelled(tokens, made.chosen_ids).endswith("return None")
    assert spelled(tokens, made.rejected_ids).endswith("return x")
    end = tokens.prompter.end_id
    assert (made.chosen_ids[-1], made.rejected_ids[-1]) == (end, end)
    assert made.prompt_ids[-1] != end


def test_the_loss_starts_where_the_sides_differ(
    row: Callable[..., TrainingRow], tokens: Tokens
) -> None:
    made = row("x = os.pa", "th.join(a)", "th.exists(a)")
    start = made.chosen_start
    assert made.chosen_ids[:start] == made.rejected_ids[:start]
    assert made.chosen_ids[start] != made.rejected_ids[made.rejected_start]
    assert spelled(tokens, made.chosen_ids[:start]).endswith("path.")


def test_a_kept_text_counts_from_the_healed_piece_on(
    row: Callable[..., TrainingRow], tokens: Tokens
) -> None:
    made = row("x = ", "os.getcwd()", "os.getcwd()", kind=OutcomeKind.TYPED_THROUGH)
    assert not made.is_pair
    assert made.chosen_start == made.healed_tokens
    assert spelled(tokens, made.chosen_ids[made.chosen_start :]).strip() == "os.getcwd()"


def test_an_open_end_is_taken_from_both_sides(
    row: Callable[..., TrainingRow], tokens: Tokens
) -> None:
    made = row("x = ", "os.getcwd()", "os.environ", reason="end", reaches_suffix=False)
    assert tokens.prompter.end_id not in made.chosen_ids + made.rejected_ids


def test_served_ids_are_trained_as_they_were_served(visit: VisitMaker, tokens: Tokens) -> None:
    prompt = tokens.prompter.build("x = ", "", max_prompt_tokens=100)
    whole = tokens.prompter.continuation_ids(prompt.healed, "getcwd()")
    odd = tuple(i for c in prompt.healed + "getcwd()" for i in _ids(tokens, c))
    assert odd != whole
    served = {
        "prompt_ids": prompt.ids,
        "healed": prompt.healed,
        "candidates": (ServedCandidate(0, "getcwd()", odd, (-1.0,) * len(odd), "stop"),),
    }
    made = visit(1, "x = ", answers=("getcwd()",), served=served, settled_text="1")
    (pair,) = pairs.build([made])
    found = tokenise(pair, tokens, LIMITS)
    assert isinstance(found, TrainingRow)
    assert found.rejected_ids == odd
    cut = replace(pair, rejected="getcwd")  # what was offered is a beginning of it
    found = tokenise(cut, tokens, LIMITS)
    assert isinstance(found, TrainingRow)
    assert found.rejected_ids == odd[:-2]
    other = replace(pair, rejected="get_cwd()")  # the post-processor changed it: new ids
    found = tokenise(other, tokens, LIMITS)
    assert isinstance(found, TrainingRow)
    assert spelled(tokens, found.rejected_ids).endswith("get_cwd()")


def _ids(tokens: Tokens, text: str) -> tuple[int, ...]:
    return tokens.prompter.continuation_ids("", text)


def test_a_side_that_is_too_long_is_cut_at_a_token_and_loses_its_end(
    visit: VisitMaker, tokens: Tokens
) -> None:
    made = visit(1, settled_text="+".join(f"name{i}" for i in range(400)))
    (pair,) = pairs.build([made])
    found = tokenise(pair, tokens, Limits(max_continuation_tokens=50))
    assert isinstance(found, TrainingRow)
    assert len(found.chosen_ids) == 49
    assert found.chosen_ids[-1] != tokens.prompter.end_id
    full = replace(pair, prompt_ids=(5,) * (tokens.window_tokens - 1))
    assert tokenise(full, tokens, LIMITS) == "prompt_fills_window"


def test_a_visit_without_an_offer_is_a_position_too(visit: VisitMaker) -> None:
    held, unseen = {"path": HELD_PATH}, OutcomeKind.UNSEEN
    visits = [
        visit(1, "a\n\nx = ", answers=(), kind=unseen, settled_text="1", request=held),
        visit(2, "b\n\nx = ", kind=unseen, visible_ms=0, settled_text="2", request=held),
        visit(3, "c\n\nx = ", served={"show": False}, settled_text="3", request=held),
    ]
    assert [p.text for p in held_out_positions(visits, LIMITS)] == ["1", "2", "3"]
    assert pairs.build(visits[:2]) == []  # they teach nothing all the same


def test_held_out_positions_are_one_per_line_shown_or_not(visit: VisitMaker) -> None:
    held = {"path": HELD_PATH}
    visits = [
        visit(1, "a\n\nx = ", settled_text="1 + 2", request=held, kind=OutcomeKind.UNSEEN),
        visit(2, "a\n\nx = 1", settled_text=" + 2", request=held),
        visit(3, "a\nb\nx = ", settled_text="7\ny = 8", request=held),
        visit(4, "a\nc\nx = ", settled_text="7", request=held, prefix_intact=False),
        visit(5, "a\nd\nx = ", settled_text=None, request=held),
        visit(6, "a\ne\nx = ", settled_text="7", request={"path": TRAIN_PATH}),
        visit(7, "a\nf\nx = ", settled_text="7", request=held, barred=True),
    ]
    found = held_out_positions(visits, LIMITS)
    assert [(p.text, p.complete) for p in found] == [("1 + 2", True), ("7", True)]
    assert {p.file_key for p in found} == {f"r:{HELD_PATH}"}
    assert len(held_out_positions(visits, Limits(max_positions_per_file=1))) == 1


@pytest.mark.parametrize(
    ("prefix", "settled", "line", "is_trained"),
    [
        ("a\nb\nx = ", "1 + 2", 2, False),  # the same place, in a file of another name
        ("#\n\na\n\nb\n\n  x = 1 ", "+ 2", 7, False),  # moved, indented, from another column
        ("a\nb\nx = ", "1 + 3", 2, True),
        ("a\nc\nx = ", "1 + 2", 2, True),  # such a line stands in many places
    ],
)
def test_a_held_out_line_is_not_trained_under_another_name(
    visit: VisitMaker, tokens: Tokens, prefix: str, settled: str, line: int, is_trained: bool
) -> None:
    held = visit(1, "a\nb\nx = ", settled_text="1 + 2", request={"path": HELD_PATH, "line": 2})
    again = visit(2, prefix, settled_text=settled, request={"path": TRAIN_PATH, "line": line})
    positions = held_out_positions([held, again], LIMITS)
    corpus = build_corpus(pairs.build([held, again]), tokens, LIMITS, positions)
    assert bool(corpus.train) is is_trained
    assert corpus.counts.get("held_out_under_another_name", 0) == (not is_trained)


@pytest.mark.parametrize(
    ("settled", "reaches", "whole"),
    [("1 + 2", False, False), ("1 + 2", True, True), ("1 + 2\ny = 3", False, True)],
)
def test_more_than_a_known_line_is_too_much(
    visit: VisitMaker, settled: str, reaches: bool, whole: bool
) -> None:
    held = visit(
        1, settled_text=settled, reaches_suffix=reaches, request={"path": HELD_PATH, "line": 2}
    )
    (position,) = held_out_positions([held], LIMITS)
    assert (position.text, position.complete) == ("1 + 2", whole)


def test_positions_over_the_cap_are_left_out_by_hash(visit: VisitMaker) -> None:
    visits = [
        visit(n, f"{n}\n\nx = ", settled_text="1", request={"path": HELD_PATH, "line": n})
        for n in range(12)
    ]
    few = held_out_positions(visits, Limits(max_positions=5))
    assert len(few) == 5
    later = held_out_positions(visits[:3] + visits[4:], Limits(max_positions=5))
    assert len(set(p.request.line for p in few) & {p.request.line for p in later}) >= 4


def test_a_corpus_says_what_it_left_out(visit: VisitMaker, tokens: Tokens) -> None:
    paths = [TRAIN_PATH, HELD_PATH]
    visits = [visit(i, settled_text=f"{i}", request={"path": p}) for i, p in enumerate(paths)]
    corpus = build_corpus(pairs.build(visits), tokens, LIMITS)
    assert (len(corpus.train), corpus.num_pairs, corpus.counts) == (1, 1, {"held_out": 1})


@given(
    st.lists(st.sampled_from([0.4, 0.5, 0.6, 0.8, 1.0, 2.0]), min_size=1, max_size=40),
    st.integers(1, 200),
    st.integers(0, 5),
)
def test_weights_become_frequencies(weights: list[float], num_draws: int, seed: int) -> None:
    drawn = draw(weights, num_draws, seed)
    assert drawn == draw(weights, num_draws, seed)
    assert len(drawn) == num_draws
    counts = Counter(drawn)
    for index, weight in enumerate(weights):
        expected = num_draws * weight / sum(weights)
        assert abs(counts[index] - expected) < 1 + 1e-6
