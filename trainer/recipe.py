"""How an adapter is made: plain values, known before anything heavy has to be imported."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Objective = Literal["sft", "dpo"]


@dataclass(frozen=True)
class Recipe:
    """How an adapter is made. `learning_rate` None: chosen by the size of the model.

    `learn_code`: the code that stood around the cursors is learned too (`code_rows.py`).
    `after_sft`: DPO goes on from the night's SFT candidate, which is its reference then, and learns
    from the pairs alone: the rest is learned already (Rafailov et al. 2023, section 4). That one
    was made with the same settings, but with `sft_epochs`.
    `kl_weight`: what SFT pays, beside the likelihood, for every nat of divergence from the base, so
    that it strays where the rows ask for it and nowhere else.
    """

    objective: Objective = "sft"
    learning_rate: float | None = None
    epochs: float = 2.0
    rank: int = 16
    beta: float = 0.1
    dpo_weight: float = 0.3
    sft_weight: float = 1.0
    kl_weight: float = 0.25
    batch_size: int = 16
    learn_code: bool = True
    after_sft: bool = False
    sft_epochs: float = 2.0
    seed: int = 0

    @property
    def name(self) -> str:
        """What makes two nights "the same recipe" for the gate: everything but the seed.

        After SFT that is also what made the SFT part. The objective is part of it: where SFT
        serves, a DPO candidate of the next night is another recipe, may not refresh it, and has to
        show the full gain. Data are no part of it: that a night learned something new is asked for
        beside the recipe (`LiveArm.share_new`).
        """
        rate = "auto" if self.learning_rate is None else f"{self.learning_rate:g}"
        weights = f" beta={self.beta:g} dpo={self.dpo_weight:g} sft={self.sft_weight:g}"
        extra = weights if self.objective == "dpo" else f" kl={self.kl_weight:g}"
        extra += " code" if self.learn_code else ""
        if self.after_sft:
            extra += f" after sft epochs={self.sft_epochs:g} kl={self.kl_weight:g}"
        extra += " frozen=qk"  # see `train.FROZEN`: earlier nights adapted them too
        return (
            f"{self.objective} r={self.rank} lr={rate} epochs={self.epochs:g} "
            f"batch={self.batch_size}{extra}"
        )


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values, for the manifest and the run record."""
    return {**asdict(recipe), "name": recipe.name}
