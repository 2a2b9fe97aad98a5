"""What a night is run with: one frozen object, built at the front door and passed inwards."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from feedback_store.privacy import Retention
from trainer.gate import GateConfig


@dataclass(frozen=True)
class NightConfig:
    """One night. `learning_rate` None: by the size of the model; `num_threads` None: torch's."""

    data: Path
    database_url: str | None = None
    model: str = "starter"
    device: str = "auto"
    num_threads: int | None = None
    window_days: int = 90
    min_pairs: int = 100
    dpo_min_pairs: int = 500
    max_pairs: int = 5000
    epochs: float = 2.0
    learning_rate: float | None = None
    rank: int = 16
    beta: float = 0.1
    dpo_weight: float = 0.3
    sft_weight: float = 1.0
    kl_weight: float = 0.25
    batch_size: int = 16
    learn_code: bool = True
    seed: int = 0
    objective: Literal["auto", "sft", "dpo"] = "auto"
    without_evidence: bool = False  # train where the gate is sure to refuse: for people to try
    max_generated: int = 300  # held-out positions that are also answered, not only scored
    num_golden: int = 120
    gate: GateConfig = field(default_factory=GateConfig)
    retention: Retention = field(default_factory=Retention)

    def settings(self) -> dict[str, Any]:
        """Return plain values for the run record, without what may hold a password."""
        settings = asdict(self)
        del settings["database_url"]
        return settings | {"data": str(self.data)}
