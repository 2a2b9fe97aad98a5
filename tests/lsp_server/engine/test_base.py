"""Any causal LM of Hugging Face serves: other architectures, other orders, no FIM tokens."""

import logging
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Starcoder2Config,
    Starcoder2ForCausalLM,
)

from lsp_server.engine.base import Base, load_base, weights_sha256
from lsp_server.engine.engine import EngineConfig, GenerationRequest, LocalEngine
from lsp_server.engine.errors import ModelError

END = "<|endoftext|>"
QWEN = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
STARCODER = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")


def save_model(folder: Path, architecture: str, controls: tuple[str, ...]) -> Path:
    """Make a small random model with a byte-level tokenizer that has these control tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens([*controls, END])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=END)
    tokenizer.save_pretrained(folder)
    size = len(tokenizer)
    torch.manual_seed(0)
    common = {"vocab_size": size, "bos_token_id": None, "eos_token_id": size - 1}
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
    }
    network: torch.nn.Module
    if architecture == "qwen2":
        network = Qwen2ForCausalLM(Qwen2Config(**shape, **common))
    elif architecture == "starcoder2":
        network = Starcoder2ForCausalLM(Starcoder2Config(**shape, **common, sliding_window=None))
    else:
        network = GPT2LMHeadModel(
            GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=512, **common)
        )
    network.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("architecture", "controls", "family"),
    [
        ("qwen2", QWEN, "qwen2.5-coder"),
        ("starcoder2", STARCODER, "starcoder"),
        ("gpt2", (), "prefix-only"),
    ],
)
async def test_other_models_serve_what_they_would_generate(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    architecture: str,
    controls: tuple[str, ...],
    family: str,
) -> None:
    folder = save_model(tmp_path, architecture, controls)
    with caplog.at_level(logging.WARNING):
        base = load_base(str(folder), device="cpu")
    assert base.prompter.family.name == family
    assert ("prefix only" in caplog.text) == (family == "prefix-only")
    engine = LocalEngine(base)
    for number, prefix in enumerate(("def f(", "def f(x", "x = [1,")):
        request = GenerationRequest(str(number), str(number), prefix, ")\n", max_new_tokens=12)
        answer = await engine.complete(request)
        (generation,) = answer.generations
        if not answer.prompt.healed:
            expected = greedy(base.model, answer.prompt.ids, len(generation.token_ids))
            assert list(generation.token_ids) == expected
        else:
            spelled = base.spelling.text_of(generation.token_ids)
            assert spelled.startswith(answer.prompt.healed)
    await engine.close()


def test_letters_that_a_vocabulary_forgot_are_text(tmp_path: Path) -> None:
    """DeepSeek-Coder keeps some umlauts among its added tokens, as no special ones."""
    base = load_base(str(save_model(tmp_path, "qwen2", ("ü", "Á", *QWEN))), device="cpu")
    prompter, text = base.prompter, "# grüße für Ágnes"
    prompt = prompter.build(text + "\n", "", max_prompt_tokens=200)
    assert base.spelling.text_of(prompt.ids) + prompt.healed == text + "\n"
    assert base.spelling.text_of(prompter.continuation_ids("", "ü = 1")) == "ü = 1"
    named = {base.tokenizer.convert_tokens_to_ids(c) for c in (*QWEN, END)}
    assert prompter.control_ids == named
    sneaky = prompter.continuation_ids("", QWEN[0])
    assert not named & set(sneaky)
    assert base.spelling.text_of(sneaky) == QWEN[0]


def greedy(model: torch.nn.Module, prompt: tuple[int, ...], num_tokens: int) -> list[int]:
    ids = torch.tensor([prompt])
    for _ in range(num_tokens):
        scores = model(input_ids=ids, use_cache=False).logits[0, -1]
        ids = torch.cat([ids, scores.argmax()[None, None]], dim=1)
    return ids[0, len(prompt) :].tolist()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("./no/such/folder", "not found"),
        ("nonsense", "not found"),
        ("nobody/has-this-model", "cannot be fetched"),
    ],
)
def test_a_missing_model_is_one_clear_line(model: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load_base(model)
    assert model in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        load_base(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot load the model"):
        load_base(str(tmp_path))


def test_weights_in_another_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(ModelError, match="no safetensors"):
        weights_sha256(tmp_path)


def test_a_gpu_that_is_not_there_is_one_clear_line() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ModelError, match="sees no GPU"):
        load_base("starter", device="cuda")


async def test_the_starter_is_not_asked_longer_prompts_than_it_learned(base: Base) -> None:
    engine = LocalEngine(base, EngineConfig())
    prefix = "value = compute(1, 2)\n" * 300
    prompt = engine._prompt(GenerationRequest("a", "a", prefix, "\nreturn value\n"))
    assert 300 < len(prompt.ids) <= 448
    wider = LocalEngine(base, EngineConfig(max_prompt_tokens=800))
    assert len(wider._prompt(GenerationRequest("a", "a", prefix, "")).ids) > 448
    await engine.close()
    await wider.close()


@pytest.mark.parametrize("limit", ["0", "63", '"many"', "1.5"])
def test_a_model_that_declares_nonsense_is_refused(tmp_path: Path, limit: str) -> None:
    folder = save_model(tmp_path, "qwen2", QWEN)
    facts = '{"template": "{prefix}", "max_prompt_tokens": ' + limit + "}"
    (folder / "fim.json").write_text(facts, encoding="utf-8")
    with pytest.raises(ModelError, match="max_prompt_tokens is"):
        load_base(str(folder))
