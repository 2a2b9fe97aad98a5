"""What is learned, and how far a model strays, is told in its own scores, whatever its family."""

from typing import Any

import pytest
import torch
from torch.nn.functional import kl_div, nll_loss
from transformers import AutoModelForCausalLM, CohereConfig, Gemma2Config, GraniteConfig
from transformers.configuration_utils import PreTrainedConfig

from lsp_server.engine.errors import ModelError
from trainer.sft_loss import Head, HeldLoss

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
    monkeypatch.setattr("trainer.sft_loss.TOKENS_AT_ONCE", 3)
    model = made(config)
    ids, others = torch.randint(3, 50, (2, 1, 8))
    state = model.base_model(ids, use_cache=False).last_hidden_state[0].requires_grad_()
    other = model.base_model(others, use_cache=False).last_hidden_state[0]

    head, labels = Head.of(model), torch.randint(3, 50, (8,))
    found = HeldLoss.apply(state, other, labels, head, 0.5)
    (slope,) = torch.autograd.grad(2 * found, state)

    new, old = (model(each, use_cache=False).logits[0].log_softmax(-1) for each in (ids, others))
    assert torch.allclose(found, wanted(new, old, labels, 0.5), rtol=1e-4)
    step = 1e-3 * slope / slope.norm()
    ahead, behind = (HeldLoss.apply(state + s, other, labels, head, 0.5) for s in (step, -step))
    assert torch.allclose((ahead - behind) / 2e-3, slope.norm() / 2, rtol=0.02)


def wanted(
    new: torch.Tensor, old: torch.Tensor, labels: torch.Tensor, weight: float
) -> torch.Tensor:
    strayed = kl_div(new, old, reduction="sum", log_target=True)
    assert strayed > 0.1
    return nll_loss(new, labels, reduction="sum") + weight * strayed


def test_a_family_that_scores_otherwise_is_told_not_trained_wrongly() -> None:
    model = made(FAMILIES[-1])
    model.logit_scale = 1.0  # as if the family kept its factor where nobody looks
    with pytest.raises(ModelError, match=r"`cohere`.*set train\.kl_weight to 0"):
        Head.of(model)


@pytest.mark.parametrize("weight", [0.0, 0.25, 4.0])
def test_the_loss_and_its_gradient_are_those_of_torch(
    weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.sft_loss.TOKENS_AT_ONCE", 3)
    torch.manual_seed(1)
    head = Head(torch.nn.Linear(6, 11, bias=False).requires_grad_(False))
    ours, theirs = torch.randn(8, 6, requires_grad=True), torch.randn(8, 6)
    labels = torch.randint(0, 11, (8,))
    found = HeldLoss.apply(ours, theirs, labels, head, weight)
    (slope,) = torch.autograd.grad(2 * found, ours)
    new, old = head(ours).log_softmax(-1), head(theirs).log_softmax(-1)
    asked = wanted(new, old, labels, weight)
    (asked_slope,) = torch.autograd.grad(2 * asked, ours)
    assert torch.allclose(found, asked, atol=1e-5)
    assert torch.allclose(slope, asked_slope, atol=1e-5)


def test_nothing_is_paid_for_the_base_itself_but_what_it_does_not_know() -> None:
    torch.manual_seed(1)
    head = Head(torch.nn.Linear(6, 11, bias=False).requires_grad_(False))
    states, labels = torch.randn(8, 6), torch.randint(0, 11, (8,))
    free, held = (HeldLoss.apply(states, states, labels, head, weight) for weight in (0.0, 9.0))
    assert torch.allclose(free, held, atol=1e-5)
