"""Turns token rows into an adapter directory: LoRA by SFT on chosen texts, or by DPO + SFT.

The only file that knows trl. Both recipes train on our own ids: a collator (DPO) or ready-made
labels (SFT) leave nothing of TRL's tokenisation. Training always starts from the bare base, never
from yesterday's adapter. This module knows nothing of rules, databases, gates or registries.
"""

import json
import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import trl.trainer.utils
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig, PeftModel
from transformers import PrinterCallback, TrainerCallback, set_seed
from transformers.utils import logging as transformers_logging
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from feedback_store.adapter_files import WEIGHTS
from lsp_server.engine.arm import share_weights
from lsp_server.engine.base import Base
from trainer import batches
from trainer.dataset import TrainingRow
from trainer.errors import DatasetError, TrainingDiverged
from trainer.recipe import Recipe
from trainer.sft_loss import Head, HeldLoss

CURVE_FILE = "training_curve.json"
NUM_CURVE_POINTS = 100
WARMUP_SHARE = 0.05
CONTINUED_RATE = 0.1  # of the rate of a fresh adapter: what is learned already is to stay
# What each token attends to stays as it is: names are copied from the lines above by that, and an
# adapter of these projections copies less (docs/learning-log.md). Fused ones are adapted whole.
FROZEN = ("q_proj", "k_proj")
# A larger model keeps a state per layer and makes the rest anew on its way back (Chen et al. 2016).
LARGE_PARAMETERS = 100_000_000

Progress = Callable[[int, int], None]  # done, total
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """What a training run did: one dict per logged step, with `step`, `loss`, `rewards/margins`."""

    num_steps: int
    learning_rate: float
    curve: tuple[dict[str, float], ...]


def train(
    base: Base,
    rows: Sequence[TrainingRow],
    recipe: Recipe,
    folder: Path,
    *,
    scratch: Path,
    progress: Progress | None = None,
) -> Training:
    """Train a LoRA adapter on `rows` and save it as safetensors into `folder`.

    It is a fresh one, or goes on from the one that lies in `folder` already: that is the reference
    in DPO then, and the rate is `CONTINUED_RATE` of the recipe's.
    Rows are drawn by weight, `epochs` times their number in all. Raises DatasetError without rows,
    TrainingDiverged when the loss is no longer finite and ModelError where the divergence that
    `kl_weight` asks for cannot be told; nothing is saved then.
    """
    if recipe.objective == "dpo" and not any(row.is_pair for row in rows):
        raise DatasetError("no pairs to train DPO on; use the SFT recipe or gather more feedback")
    if not rows:
        raise DatasetError("no rows to train on; gather more feedback first")
    quieten()
    set_seed(recipe.seed)
    order = batches.ordered(rows, recipe)
    with warnings.catch_warnings(), _completion_scores_only():
        warnings.simplefilter("ignore")  # advice of the libraries to each other
        start = folder if (folder / WEIGHTS).exists() else None
        trainer = _trainer(base, rows, recipe, order, scratch, start)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(_Watch(progress))
        trainer.train()
        curve = tuple(_points(trainer.state.log_history))
        _save(trainer.model, base, folder, curve)
    return Training(trainer.state.global_step, trainer.args.learning_rate, curve)


def default_learning_rate(num_parameters: int) -> float:
    """Return a LoRA learning rate for a model of this size.

    4e-3 was best for the 3.9 M starter in one epoch, weakened afterwards (docs/learning-log.md);
    published models of half a billion parameters and more want 2e-5; between them the logarithm is
    interpolated.
    """
    small, large = (4e6, 4e-3), (5e8, 2e-5)
    share = math.log(num_parameters / small[0]) / math.log(large[0] / small[0])
    share = min(1.0, max(0.0, share))
    return float(small[1] * (large[1] / small[1]) ** share)


class ExactTokens(DataCollatorForPreference):  # type: ignore[misc]
    """Rows of ours (`prompt_tokens`, `chosen_tokens`, ...) -> a DPO batch of exactly those ids.

    What TRL tokenised from the placeholder texts is ignored; tokens before `*_start` carry no loss.
    A kept row has its chosen side on both sides, so that its preference term is constant and its
    gradient nought: it trains the SFT term alone.
    """

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the padded batch: chosen rows first, then rejected ones, in the same order."""
        ours = [
            {
                **row,
                "prompt_ids": row["prompt_tokens"],
                "chosen_ids": row["chosen_tokens"],
                "rejected_ids": row["rejected_tokens"],
            }
            for row in examples
        ]
        batch: dict[str, Any] = super().torch_call(ours)
        for index, row in enumerate(ours):
            first = len(row["prompt_ids"])
            chosen, rejected = index, len(ours) + index
            batch["completion_mask"][chosen, first : first + row["chosen_start"]] = 0
            batch["completion_mask"][rejected, first : first + row["rejected_start"]] = 0
        return batch


def preference_columns(row: TrainingRow) -> dict[str, Any]:
    """Return a row for the preference trainer; the three texts are placeholders it wants to see."""
    rejected, rejected_start = row.rejected_ids, row.rejected_start
    if not row.is_pair:
        rejected, rejected_start = row.chosen_ids, row.chosen_start
    return {
        "prompt": "x",
        "chosen": "y",
        "rejected": "z",
        "prompt_tokens": list(row.prompt_ids),
        "chosen_tokens": list(row.chosen_ids),
        "chosen_start": row.chosen_start,
        "rejected_tokens": list(rejected),
        "rejected_start": rejected_start,
    }


def supervised_columns(row: TrainingRow) -> dict[str, Any]:
    """Return a row for the supervised trainer: the whole chosen text counts, not only its focus."""
    ids = [*row.prompt_ids, *row.chosen_ids]
    start = len(row.prompt_ids) + row.healed_tokens
    return {"input_ids": ids, "labels": [-100] * start + ids[start:]}


def _trainer(
    base: Base,
    rows: Sequence[TrainingRow],
    recipe: Recipe,
    order: Sequence[int],
    scratch: Path,
    start: Path | None,
) -> Any:
    """Build the trainer of a recipe around a model that shares the base's weights."""
    is_dpo = recipe.objective == "dpo"
    columns = preference_columns if is_dpo else supervised_columns
    kind, arguments = (_OrderedDpo, _dpo_config) if is_dpo else (_OrderedSft, _sft_config)
    collator = {"data_collator": ExactTokens(_pad_id(base))} if is_dpo else {}
    settings = _shared_settings(base, recipe, len(order), scratch)
    settings |= batches.in_parts(rows, recipe)
    model, fresh = share_weights(base.model), None
    if start is None:
        fresh = LoraConfig(
            r=recipe.rank,
            lora_alpha=2 * recipe.rank,
            lora_dropout=0.0,
            target_modules="all-linear",
            exclude_modules=_frozen(base.model),
            task_type="CAUSAL_LM",
        )
    else:
        model = PeftModel.from_pretrained(
            model, str(start), is_trainable=True, use_safetensors=True, local_files_only=True
        )
        settings["learning_rate"] *= CONTINUED_RATE
    trainer = kind(
        model=model,
        args=arguments(recipe, settings),
        train_dataset=Dataset.from_list([columns(row) for row in rows]),
        processing_class=base.tokenizer,
        peft_config=fresh,
        **collator,
    )
    trainer.order = order
    if not is_dpo and recipe.kl_weight:
        trainer.kl_weight, trainer.head = recipe.kl_weight, Head.of(base.model)
    return trainer


def _frozen(model: torch.nn.Module) -> list[str] | None:
    """Return the names in `FROZEN` that this model has: PEFT warns of others, here and later."""
    names = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    return [name for name in FROZEN if name in names] or None


def _shared_settings(base: Base, recipe: Recipe, num_draws: int, scratch: Path) -> dict[str, Any]:
    """Return the settings that both trainers share."""
    num_parameters = sum(parameter.numel() for parameter in base.model.parameters())
    on_cpu = base.device == "cpu"
    num_steps = max(1, math.ceil(num_draws / recipe.batch_size))
    return {
        "output_dir": str(scratch),
        "learning_rate": recipe.learning_rate or default_learning_rate(num_parameters),
        "num_train_epochs": 1,  # the drawn order already holds every epoch
        "warmup_steps": WARMUP_SHARE,
        "lr_scheduler_type": "linear",
        "max_grad_norm": 1.0,
        "seed": recipe.seed,
        "logging_steps": max(1, num_steps // NUM_CURVE_POINTS),
        "logging_nan_inf_filter": False,
        "remove_unused_columns": False,
        "max_length": None,  # rows were cut by us, at whole tokens
        "gradient_checkpointing": num_parameters > LARGE_PARAMETERS,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": on_cpu,
        "bf16": not on_cpu and torch.cuda.is_bf16_supported(),
        "dataloader_pin_memory": not on_cpu,
    }


def _dpo_config(recipe: Recipe, shared: dict[str, Any]) -> DPOConfig:
    return DPOConfig(
        loss_type=["sigmoid", "sft"],
        loss_weights=[recipe.dpo_weight, recipe.sft_weight],
        beta=recipe.beta,
        precompute_ref_log_probs=True,
        **shared,
    )


def _sft_config(recipe: Recipe, shared: dict[str, Any]) -> SFTConfig:
    return SFTConfig(dataset_kwargs={"skip_prepare_dataset": True}, **shared)


class _Ordered:
    """Feeds a trainer its rows in the order drawn by weight, instead of once each."""

    order: Sequence[int] = ()

    def _get_train_sampler(self, train_dataset: object = None) -> batches.FixedOrder:
        return batches.FixedOrder(self.order)


class _OrderedDpo(_Ordered, DPOTrainer):  # type: ignore[misc]
    pass


class _OrderedSft(_Ordered, SFTTrainer):  # type: ignore[misc]
    """Adds to the loss, per token that has one, `kl_weight` times how far the model left the base.

    The mean is over the tokens of the whole batch, of which this may be a part. TRL's loss makes
    the logits for itself, twice, and again for what nobody reads here.

    A few rows at a high rate make a small model forget what it does well beside them, copying from
    the lines above first of all (Li and Hoiem 2016, Learning without Forgetting).
    """

    kl_weight = 0.0
    head: Head

    def compute_loss(self, model: PeftModel, inputs: dict[str, Any], **options: Any) -> Any:
        if not self.kl_weight:
            return super().compute_loss(model, inputs, **options)
        layers = self.accelerator.unwrap_model(model).get_base_model().base_model
        asked = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        labels = inputs["labels"][:, 1:]
        counts = labels != -100
        with self.accelerator.autocast():
            ours = layers(**asked, use_cache=False).last_hidden_state
            with torch.no_grad(), model.disable_adapter():
                theirs = layers(**asked, use_cache=False).last_hidden_state
            ours, theirs = (state[:, :-1][counts] for state in (ours, theirs))
            paid = HeldLoss.apply(ours, theirs, labels[counts], self.head, self.kl_weight)  # type: ignore[no-untyped-call]
        num_tokens = options.get("num_items_in_batch")
        return paid / (num_tokens or max(1, len(ours)))


class _Watch(TrainerCallback):  # type: ignore[misc]
    """Reports every step, and stops a run whose loss is not a number."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._progress is not None:
            self._progress(state.global_step, state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        for name in ("loss", "grad_norm"):
            value = (logs or {}).get(name)
            if value is not None and not math.isfinite(float(value)):
                raise TrainingDiverged(
                    f"{name} is {value} at step {state.global_step} with learning rate "
                    f"{args.learning_rate:g}; lower train.learning_rate"
                )


@contextmanager
def _completion_scores_only() -> Iterator[None]:
    """Have TRL project only the tokens with loss onto the vocabulary, on every device.

    Without Triton it projects whole prompts, so that compiled devices see one shape only; on a CPU
    that is half of a step. The choice hangs on a private name; without it we only train slower.
    """
    chosen = getattr(trl.trainer.utils, "_use_triton", None)
    if chosen is None:
        yield
        return
    trl.trainer.utils._use_triton = lambda device: True
    try:
        yield
    finally:
        trl.trainer.utils._use_triton = chosen


def _points(history: Sequence[dict[str, Any]]) -> Iterator[dict[str, float]]:
    """Keep what a curve shows of the trainer's log."""
    names = ("loss", "rewards/margins", "rewards/accuracies", "grad_norm", "mean_token_accuracy")
    for entry in history:
        if "loss" in entry:
            found = {name: float(entry[name]) for name in names if name in entry}
            yield {"step": float(entry["step"]), **found}


def _save(model: Any, base: Base, folder: Path, curve: Sequence[dict[str, float]]) -> None:
    """Write adapter and curve; the configuration names the base, never a path of this machine."""
    for config in model.peft_config.values():
        config.base_model_name_or_path = base.name
    # Beside ours there may be TRL's copy of it, the reference. `inference_mode` is set in the file.
    model.save_pretrained(folder, safe_serialization=True, selected_adapters=["default"])
    (folder / CURVE_FILE).write_text(json.dumps(curve, indent=1), encoding="utf-8")


def _pad_id(base: Base) -> int:
    pad_id = base.tokenizer.pad_token_id
    return int(base.prompter.end_id if pad_id is None else pad_id)


def quieten() -> None:
    """Keep the libraries' progress bars and advice out of our output, in this process."""
    disable_progress_bars()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.getLogger("trl").setLevel(logging.ERROR)  # it warns of the placeholder texts
    os.environ.setdefault("TQDM_DISABLE", "1")  # TRL's bar over reference log-probabilities
