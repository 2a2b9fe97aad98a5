"""Prompts: exact order per family, no control tokens from users, budgets, a stable start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from lsp_server.engine.base import Base
from lsp_server.engine.healing import Spelling
from lsp_server.engine.prompt import PREFIX_ONLY, Prompter, family_of

PREFIX, MIDDLE, SUFFIX = 1, 2, 3  # ids of the starter's control tokens


def tokenizer_with(*controls: str) -> Tokenizer:
    """A byte-level tokenizer without merges: one token per byte, plus control tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(list(controls))  # not "special": as in Qwen2.5-Coder's own files
    return tokenizer


def prompter_for(*controls: str) -> Prompter:
    tokenizer = tokenizer_with(*controls, "<|endoftext|>")
    ids = frozenset(tokenizer.get_added_tokens_decoder())
    return Prompter(
        tokenizer,
        family_of(tokenizer),
        [*controls, "<|endoftext|>"],
        Spelling(tokenizer, ids),
        end_id=tokenizer.token_to_id("<|endoftext|>"),
    )


@pytest.mark.parametrize(
    ("family", "controls", "expected"),
    [
        (
            "qwen2.5-coder",
            ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
            "<|fim_prefix|>ab<|fim_suffix|>cd<|fim_middle|>",
        ),
        (
            "starcoder",
            ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
            "<fim_prefix>ab<fim_suffix>cd<fim_middle>",
        ),
        (
            "deepseek-coder",
            ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # noqa: RUF001
            "<｜fim▁begin｜>ab<｜fim▁hole｜>cd<｜fim▁end｜>",  # noqa: RUF001
        ),
        ("codellama", ("▁<PRE>", "▁<SUF>", "▁<MID>"), "▁<PRE>ab▁<SUF>cd▁<MID>"),
        ("codestral", ("[PREFIX]", "[SUFFIX]"), "[SUFFIX]cd[PREFIX]ab"),
    ],
)
def test_each_family_has_its_order(family: str, controls: tuple[str, ...], expected: str) -> None:
    prompter = prompter_for(*controls)
    prompt = prompter.build("ab", "cd", max_prompt_tokens=100)
    tokenizer = prompter._backend
    spelled = "".join(tokenizer.id_to_token(i) for i in prompt.ids)  # type: ignore[attr-defined]
    assert (prompter.family.name, spelled, prompt.healed) == (family, expected, "")
    span = prompter.prefix_span(prompt.ids)
    assert "".join(tokenizer.id_to_token(prompt.ids[i]) for i in span) == "ab"  # type: ignore[attr-defined]


def test_without_fim_tokens_only_the_prefix_is_served_and_healed() -> None:
    prompter = prompter_for()
    prompt = prompter.build("x = foo", "bar", max_prompt_tokens=100)
    assert prompter.family is PREFIX_ONLY
    assert prompt.healed == " foo"
    assert prompter.spelling.bytes_of(prompt.ids[-1]) == b"="
    assert prompter.prefix_span(prompt.ids) == range(len(prompt.ids))


def test_the_starter_takes_suffix_then_prefix(base: Base) -> None:
    prompt = base.prompter.build("def f(a):\n    ret", "\nx = 1\n", max_prompt_tokens=200)
    assert prompt.ids[:2] == (PREFIX, SUFFIX)
    assert prompt.healed == "ret"
    suffix, prefix = prompt.ids[2 : prompt.ids.index(MIDDLE)], prompt.ids
    assert base.spelling.text_of(suffix) == "\nx = 1\n"
    assert base.spelling.text_of(prefix[prefix.index(MIDDLE) :]) == "def f(a):\n    "
    span = base.prompter.prefix_span(prompt.ids)
    assert span == range(prompt.ids.index(MIDDLE) + 1, len(prompt.ids))


@pytest.mark.parametrize("control", ["<|fim_middle|>", "<|endoftext|>", "<|file_sep|>"])
def test_a_control_string_in_source_stays_text(base: Base, control: str) -> None:
    text = f"x = '{control}{control}' + \"{control[1:]}\"\n"
    prompt = base.prompter.build(text + "y", text, max_prompt_tokens=400)
    assert [i for i in prompt.ids if i in base.prompter.control_ids] == [PREFIX, SUFFIX, MIDDLE]
    assert base.spelling.text_of(prompt.ids) == text + text
    continuation = base.prompter.continuation_ids("", text)
    assert not base.prompter.control_ids.intersection(continuation)
    assert base.spelling.text_of(continuation) == text


@given(st.text(), st.text(), st.integers(16, 300))
def test_any_text_fits_the_budget_without_control_tokens(
    base: Base, prefix: str, suffix: str, budget: int
) -> None:
    prompt = base.prompter.build(prefix, suffix, max_prompt_tokens=budget)
    assert len(prompt.ids) <= max(budget, 19)
    assert [i for i in prompt.ids if i in base.prompter.control_ids] == [PREFIX, SUFFIX, MIDDLE]
    assert prefix.endswith(prompt.healed)


def test_the_first_tokens_stay_put_while_somebody_types(base: Base, source: str) -> None:
    starts = {
        base.prompter.build(source[:end], "\n", max_prompt_tokens=500).ids[:20]
        for end in range(15_000, 15_200)
    }
    assert len(starts) <= 2


def test_an_overlong_prefix_is_cut_at_a_line_start(base: Base, source: str) -> None:
    prompt = base.prompter.build(source[:20_000], "", max_prompt_tokens=500)
    text = base.spelling.text_of(prompt.ids) + prompt.healed
    assert 200 < len(prompt.ids) <= 500
    assert source[:20_000].endswith(text)
    assert text.startswith("\n") or source[19_999 - len(text)] == "\n"


@pytest.mark.parametrize(
    "piece", ["\n        ", "\n", "ret", "self", "qzxvret", "naïvezz", "\U0001f600"]
)
def test_a_healed_piece_is_spelled_as_the_tokenizer_would(base: Base, piece: str) -> None:
    owed, spelled = piece.encode(), base.spelling.bytes_of
    allowed = [spelled(token_id) for token_id in base.spelling.allowed(owed)]
    shorter = [one for one in allowed if not one.startswith(owed)]
    if len(base.prompter.continuation_ids("", piece)) == 1:
        assert shorter == []
    else:
        assert len(set(shorter)) == 1
        assert owed.startswith(shorter[0])
    while owed:  # it can always be spelled to its end
        owed = owed[len(spelled(base.spelling.allowed(owed)[-1])) :]


@pytest.mark.parametrize(
    ("healed", "text", "num_healed"), [("", "return", 0), ("\n    ", "x = 1", 1), ("ret", "urn", 0)]
)
def test_the_healed_piece_carries_no_loss(
    base: Base, healed: str, text: str, num_healed: int
) -> None:
    ids = base.prompter.continuation_ids(healed, text)
    assert base.spelling.text_of(ids) == healed + text
    assert base.prompter.num_healed(healed, ids) == num_healed
