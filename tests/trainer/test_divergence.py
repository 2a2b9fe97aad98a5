"""How far a model strayed is told in the scores that it gives itself, whatever its family."""

from typing import Any

import pytest
import torch
from torch.nn.functional import kl_div
from transformers import AutoModelForCausalLM, CohereConfig, Gemma2Config, GraniteConfig
from transformers.configuration_utils import PreTrainedConfig

from lsp_server.engine.errors import ModelError
from trainer.divergence import Divergence, Head

SMALL: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "initializer_range": 0.5,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES = [
    GraniteConfig(**SMALL, logits_scaling=6.0),
    Gemma2Config(**SMALL, final_logit_softcapping=3.0),
    CohereConfig(**SMALL, logit_scale=0.25),
]


def made(config: PreTrainedConfig) -> torch.nn.Module:
    torch.manual_seed(1)
    model: torch.nn.Module = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    return model


@pytest.mark.parametrize("config", FAMILIES, ids=lambda config: config.model_type)
def test_it_is_told_in_the_scores_of_the_model(
    config: PreTrainedConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Granite divides its logits, Gemma 2 caps them, Cohere multiplies them."""
    monkeypatch.setattr("trainer.divergence.TOKENS_AT_ONCE", 3)
    model = made(config)
    ids, others = torch.randint(3, 50, (2, 1, 8))
    state = model.base_model(ids, use_cache=False).last_hidden_state[0].requires_grad_()
    other = model.base_model(others, use_cache=False).last_hidden_state[0]

    head = Head.of(model)
    found = Divergence.apply(state, other, head)
    (slope,) = torch.autograd.grad(2 * found, state)

    new, old = (model(each, use_cache=False).logits[0].log_softmax(-1) for each in (ids, others))
    wanted = kl_div(new, old, reduction="sum", log_target=True)
    assert wanted > 0.1
    assert torch.allclose(found, wanted, rtol=1e-4)
    step = 1e-3 * slope / slope.norm()
    ahead, behind = (Divergence.apply(state + s, other, head) for s in (step, -step))
    assert torch.allclose((ahead - behind) / 2e-3, slope.norm() / 2, rtol=0.02)


def test_a_family_that_scores_otherwise_is_told_not_trained_wrongly() -> None:
    model = made(FAMILIES[-1])
    model.logit_scale = 1.0  # as if the family kept its factor where nobody looks
    with pytest.raises(ModelError, match=r"`cohere`.*set train\.kl_weight to 0"):
        Head.of(model)


def test_the_divergence_and_its_gradient_are_those_of_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainer.divergence.TOKENS_AT_ONCE", 3)
    torch.manual_seed(1)
    head = Head(torch.nn.Linear(6, 11, bias=False).requires_grad_(False))
    ours, theirs = torch.randn(8, 6, requires_grad=True), torch.randn(8, 6)
    found = Divergence.apply(ours, theirs, head)
    (slope,) = torch.autograd.grad(2 * found, ours)
    new, old = head(ours).log_softmax(-1), head(theirs).log_softmax(-1)
    wanted = kl_div(new, old, reduction="sum", log_target=True)
    (wanted_slope,) = torch.autograd.grad(2 * wanted, ours)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert torch.allclose(slope, wanted_slope, atol=1e-5)
    assert float(Divergence.apply(theirs, theirs, head)) == 0.0
