"""Turns shared base weights plus one immutable adapter into an arm that answers jobs.

Every arm has its own module tree over the very same base tensors, its own LoRA tensors, its own KV
cache and its own step loop, so no cache ever mixes two adapters and a swap needs no surgery.
Runs anywhere: a step loop of ours on a CPU, transformers' continuous batching on CUDA.
"""

import asyncio
import copy
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from peft import PeftModel
from peft.tuners.lora.layer import Linear as LoraLinear
from safetensors import SafetensorError
from torch.nn.functional import linear

from feedback_store.adapter_files import Probe
from lsp_server.engine.base import Base
from lsp_server.engine.continuous import ContinuousLoop
from lsp_server.engine.errors import AdapterRefused
from lsp_server.engine.jobs import Job
from lsp_server.engine.scoring import score_rows
from lsp_server.engine.step_loop import LoopConfig, StepLoop

PROBE_TOLERANCE_NATS = {"cpu": 0.02, "cuda": 0.25}  # per token; bf16 is coarse, there or here


class Loop(Protocol):
    """What runs an arm's jobs."""

    def start(self) -> None: ...
    def submit(self, job: Job) -> None: ...
    def cancel(self, job: Job) -> None: ...
    def close(self) -> None: ...
    @property
    def num_pending(self) -> int: ...


class Arm:
    """One adapter (or the bare base, `adapter` None) ready to answer."""

    def __init__(self, base: Base, adapter_dir: Path | None, sha256: str | None) -> None:
        self.adapter = sha256
        self.model = share_weights(base.model)
        if adapter_dir is not None:
            self.model = load_adapter(self.model, adapter_dir)
        self.model.eval().requires_grad_(False)
        self._loop: Loop | None = None
        self._base = base

    def start(self, config: LoopConfig) -> None:
        """Start the step loop that fits the device."""
        name = (self.adapter or "base")[:12]
        if self._base.device.startswith("cuda"):
            self._loop = ContinuousLoop(self.model, config, name)
        else:
            self._loop = StepLoop(self.model, config, name)
        self._loop.start()

    @property
    def loop(self) -> Loop:
        """The running loop."""
        if self._loop is None:
            raise RuntimeError("the arm has not been started")
        return self._loop

    def check_probes(self, probes: Sequence[Probe]) -> None:
        """Raise AdapterRefused when the arm does not score the probes as training recorded them."""
        if not probes:
            return
        rows = [(probe.prompt_ids, probe.continuation_ids) for probe in probes]
        for probe, scores in zip(probes, score_rows(self.model, rows), strict=True):
            is_exact = {self._base.device, probe.device or "cpu"} == {"cpu"}
            tolerance = PROBE_TOLERANCE_NATS["cpu" if is_exact else "cuda"]
            for expected, found in zip(probe.log_probs, scores, strict=True):
                if not math.isfinite(found) or abs(found - expected) > tolerance:
                    raise AdapterRefused(
                        f"adapter {self.adapter} scores {found:.3f} nats where training recorded "
                        f"{expected:.3f}: it is not the adapter that was trained for this base"
                    )

    async def drain(self) -> None:
        """Wait until every job has ended, then stop the loop."""
        while self.loop.num_pending:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Stop the loop; what is pending ends with EngineClosed."""
        if self._loop is not None:
            self._loop.close()


def share_weights(model: torch.nn.Module) -> torch.nn.Module:
    """Copy the module tree; every parameter and buffer stays the very same tensor."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def load_adapter(model: torch.nn.Module, adapter_dir: Path) -> torch.nn.Module:
    """Put a LoRA adapter's layers into `model` (changed in place); raises AdapterRefused."""
    try:
        with warnings.catch_warnings():  # peft 0.21 asks transformers 5.23 for an old name
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
            wrapped = PeftModel.from_pretrained(
                model,
                str(adapter_dir),
                is_trainable=False,
                use_safetensors=True,
                local_files_only=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise AdapterRefused(f"cannot load the adapter in {adapter_dir}: {reason}") from error
    loaded: torch.nn.Module = wrapped.get_base_model()
    return _slim(loaded)


class LowRankLinear(torch.nn.Module):
    """A frozen linear layer plus a low-rank update: y = W x + b + U (D x), U scaled beforehand.

    What PEFT's layer computes when it serves one adapter, without its bookkeeping, which costs a
    small model on a CPU half of its decode step again (Hu et al. 2021, LoRA).
    """

    def __init__(
        self, base: torch.nn.Linear, down: torch.Tensor, up: torch.Tensor, scaling: float
    ) -> None:
        super().__init__()
        self.base = base
        self.down = torch.nn.Parameter(down, requires_grad=False)
        self.up = torch.nn.Parameter(up * scaling, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [..., out] for [..., in]."""
        output: torch.Tensor = self.base(x)
        return output + linear(linear(x, self.down), self.up)


def _slim(model: torch.nn.Module) -> torch.nn.Module:
    """Replace PEFT's plain LoRA layers by ours; any other kind of layer stays as it is."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is LoraLinear and (slim := _slim_layer(child)) is not None:
                setattr(parent, name, slim)
    return model


def _slim_layer(layer: LoraLinear) -> LowRankLinear | None:
    """Return the lean form of a layer, or None where it does more than plain LoRA."""
    if len(layer.active_adapters) != 1 or layer.merged or layer.fan_in_fan_out:
        return None
    (name,) = layer.active_adapters
    base, up = layer.base_layer, layer.lora_B[name]
    if type(base) is not torch.nn.Linear or up.bias is not None or name in layer.lora_variant:
        return None
    down = layer.lora_A[name].weight.to(base.weight.dtype)
    return LowRankLinear(base, down, up.weight.to(base.weight.dtype), layer.scaling[name])
