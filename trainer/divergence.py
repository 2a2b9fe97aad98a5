"""Turns two hidden states into how far one model's next tokens strayed from the other's, in nats.

Knows nothing of trainers, rows or adapters.
"""

from typing import Any

import torch
from torch.nn.functional import kl_div

TOKENS_AT_ONCE = 1024  # over whose vocabulary the divergence is summed


class Divergence(torch.autograd.Function):
    """KL(theirs || ours), nats summed over tokens, of two hidden states (tokens x width) each.

    The output layer is frozen, so the gradient is made on the way, some tokens at a time: logits
    over a large vocabulary are never kept.
    """

    @staticmethod
    def forward(
        ctx: Any, ours: torch.Tensor, theirs: torch.Tensor, head: torch.nn.Linear
    ) -> torch.Tensor:
        gradient, total = torch.empty_like(ours), ours.new_zeros((), dtype=torch.float32)
        for begin in range(0, len(ours), TOKENS_AT_ONCE):
            part = slice(begin, begin + TOKENS_AT_ONCE)
            new, old = (head(side[part]).float().log_softmax(-1) for side in (ours, theirs))
            total += kl_div(new, old, reduction="sum", log_target=True)
            gradient[part] = (new.exp() - old.exp()).to(head.weight.dtype) @ head.weight
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        return slopes[0].to(gradient.dtype) * gradient, None, None
