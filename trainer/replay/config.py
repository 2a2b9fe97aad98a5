"""What a replay is run with: one frozen object, built at the front door and passed inwards."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

FROZEN, LOOP, CODE_SFT, NGRAM = "frozen", "loop", "code_sft", "ngram"
UNGATED = "ungated"  # what the loop would have served without the gate, where it served the base
OFFLINE_ARMS = (
    "sft_chosen", "sft_accepted", "context_only", "flipped", "mispaired", CODE_SFT, UNGATED,
)  # fmt: skip
USUAL_DAYS, QUICK_DAYS = 5, 2
CONTROLS = ("flipped", "mispaired")  # the gate must refuse them
LOOP_EXAM_ARMS = (CODE_SFT, UNGATED)  # offline arms that also play the closed-loop exam
QUICK_ARMS = (FROZEN, LOOP, "sft_chosen", NGRAM)  # the gate lacks evidence after two short days
ARMS = (FROZEN, LOOP, *OFFLINE_ARMS, NGRAM)


@dataclass(frozen=True)
class ReplayConfig:
    """One replay of one code base. `num_threads` None: all cores, since nothing else runs."""

    source: Path
    data: Path
    num_days: int = USUAL_DAYS
    num_seeds: int = 1
    arms: tuple[str, ...] = ARMS
    plant: str | None = None
    is_quick: bool = False
    model: str = "starter"
    device: str = "auto"
    num_threads: int | None = None
    lines_per_day: int = 200
    exam_share: float = 0.35
    min_exam_files: int = 12
    num_exam_lines: int = 480
    num_positions: int = 450  # of the static exam
    num_golden: int = 1500
    min_pairs: int = 100

    def quick(self) -> Self:
        """Return a short replay, meant to end within ten minutes on two cores; it proves little."""
        return replace(
            self,
            is_quick=True,
            num_days=min(self.num_days, QUICK_DAYS),
            num_seeds=1,
            arms=QUICK_ARMS if self.arms == ARMS else self.arms,
            lines_per_day=90,
            num_exam_lines=120,
            num_positions=150,
            num_golden=120,
            min_pairs=40,
        )

    def settings(self) -> dict[str, Any]:
        """Return plain values for the report."""
        values = asdict(self)
        del values["data"], values["num_threads"]
        return values | {"source": self.source.name, "arms": list(self.arms)}

    def lasting_settings(self) -> dict[str, Any]:
        """Return what a second run must share to go on; seeds and arms may be added."""
        added = ("num_seeds", "arms")
        return {name: value for name, value in self.settings().items() if name not in added}
