"""The starter model, loaded once, and adapters made for it."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pytest
import torch
from peft import LoraConfig, get_peft_model

from feedback_store.adapter_files import Probe, seal
from lsp_server.engine.arm import share_weights
from lsp_server.engine.base import Base, load_base
from lsp_server.engine.scoring import score_rows

MakeAdapter = Callable[..., tuple[Path, str, tuple[Probe, ...]]]


@pytest.fixture(scope="session")
def base() -> Base:
    return load_base("starter", device="cpu", num_threads=2)


@pytest.fixture(scope="session")
def source() -> str:
    """Real Python that the starter was never trained on."""
    return Path(argparse.__file__).read_text(encoding="utf-8")


@pytest.fixture
def make_adapter(base: Base, tmp_path: Path) -> MakeAdapter:
    """Make a sealed LoRA adapter with random weights: (folder, id, probes)."""

    def make(seed: int = 0, scale: float = 1.0) -> tuple[Path, str, tuple[Probe, ...]]:
        torch.manual_seed(seed)
        config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
        model = get_peft_model(share_weights(base.model), config).eval()
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.data *= scale
        prompt, continuation = (5, 6, 7, 300, 301), (302, 303)
        (scores,) = score_rows(model, [(prompt, continuation)])
        probes = (Probe(prompt, continuation, tuple(scores)),)
        folder = tmp_path / f"adapter-{seed}-{scale}"
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        (folder / "lineage.json").write_text(json.dumps([]))
        sha256 = seal(
            folder,
            base_model="starter",
            base_sha256=base.sha256,
            run_id=f"run-{seed}",
            recipe={},
            probes=probes,
        )
        return folder, sha256, probes

    return make
