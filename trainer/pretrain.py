"""Turns the Python source of this machine into the starter model, or a model's folder into figures.

    python -m trainer.pretrain --minutes 110 --out starter              # 2 CPU cores
    python -m trainer.pretrain --minutes 45 --out starter --from old    # go on, same tokenizer
    python -m trainer.pretrain --evaluate starter --samples 200         # figures only

Corpus: the standard library and the installed packages (permissive licences), exact duplicates
removed; packages in HELD_OUT are never trained on. Tokenizer: byte-level BPE with Qwen2.5-Coder's
control tokens. Model: Llama architecture, so that transformers, vLLM and llama.cpp load it as it
is. Objective: next token, on 70 % fill-in-the-middle windows (Bavarian et al. 2022, SPM order: the
middle follows the prefix, which a model this small can use at once) and 30 % plain windows. Prefix
and middle are tokenised as one text, so it is served with token healing. This module knows nothing
of feedback, adapters or the store.
"""

import argparse
import hashlib
import json
import os
import random
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.progress import Progress, TextColumn, TimeRemainingColumn
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from trainer.starter_exam import evaluate

CONTROLS = (
    "<|endoftext|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)
END, PREFIX, MIDDLE, SUFFIX, PAD = range(5)
FIM = {
    "order": "suffix-prefix-middle",
    "template": "<|fim_prefix|><|fim_suffix|>{suffix}<|fim_middle|>{prefix}",
    "end": "<|endoftext|>",
    "window_tokens": 1024,
    "max_prompt_tokens": 448,  # most of its training windows have 512; longer prompts do harm
    "languages": ["python"],
    "heal": True,
}
HELD_OUT = frozenset(
    [
        "rich",
        "click",
        "starlette",
        "httpx",
        "httpx2",
        "httpcore2",
        "typer",
        "fastapi",
        "alembic",
        "werkzeug",
        "argparse.py",
        "shutil.py",
        "dataclasses.py",
    ]
)
SKIPPED = frozenset(
    [
        "site-packages",
        "test",
        "tests",
        "testing",
        "idlelib",
        "lib2to3",
        "encodings",
        "__pycache__",
        "_vendor",
        "pip",
    ]
)
FILE_BYTES = (400, 120_000)
MAX_LINE_CHARACTERS = 400
VOCABULARY, WINDOW, BATCH = 8192, 512, 24
TOKENIZER_SAMPLE = 3500  # files
LONG_SHARE = 0.1  # of the time goes to windows of twice the length, at a tenth of the rates
SAVE_EVERY = 400  # steps

Batches = Queue[NDArray[np.int64]]


@dataclass(frozen=True)
class Phase:
    """One stretch of training: how long, on what batches, with what scale of learning rates."""

    seconds: float
    batch: int
    length: int
    peak: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Train or evaluate as the command line says; prints one JSON line of figures at the end."""
    options = _parser().parse_args(arguments)
    train, held_out = read_corpus()
    if options.evaluate:
        print(json.dumps(evaluate(options.evaluate, held_out, options.samples)))
        return
    torch.manual_seed(0)
    texts = list(train.values())
    tokenizer, model = _start(options.checkpoint, texts)
    size = sum(map(len, texts)) / 1e6
    print(
        f"{len(texts)} files, {size:.0f} M characters, {model.num_parameters() / 1e6:.2f} M weights"
    )
    seconds = 60 * options.minutes
    phases = (
        Phase(seconds * (1 - LONG_SHARE), BATCH, WINDOW, options.peak),
        Phase(seconds * LONG_SHARE, BATCH // 2, 2 * WINDOW, 0.1 * options.peak),
    )
    for seed, phase in enumerate(phases, start=1):
        fit(model, batches(texts, tokenizer, phase, seed), phase, options.out)
    save(model, tokenizer, options.out)
    print(json.dumps(evaluate(options.out, held_out, options.samples)))


def read_corpus() -> tuple[dict[str, str], dict[str, str]]:
    """Return (train, held out), each {path relative to its root: source text}."""
    train: dict[str, str] = {}
    held_out: dict[str, str] = {}
    seen: set[bytes] = set()
    paths = sysconfig.get_paths()
    for root in (Path(paths["stdlib"]), Path(paths["purelib"])):
        for path in _source_files(root):
            text = path.read_text(encoding="utf-8", errors="ignore").replace("\r\n", "\n")
            digest = hashlib.sha256(text.encode()).digest()
            if digest in seen or max(map(len, text.split("\n"))) > MAX_LINE_CHARACTERS:
                continue
            seen.add(digest)
            relative = path.relative_to(root)
            (held_out if relative.parts[0] in HELD_OUT else train)[relative.as_posix()] = text
    return train, held_out


def train_tokenizer(texts: Sequence[str]) -> Tokenizer:
    """Return a byte-level BPE tokenizer in which a newline with its indentation is one piece."""
    tokenizer = Tokenizer(models.BPE())
    pieces = Regex(r"\n[ \t]*| ?[A-Za-z_]+| ?\d| ?[^\sA-Za-z_\d]+|[ \t]+(?=[^ \t\n])|[ \t]+|\s")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pieces, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    sample = random.Random(0).sample(list(texts), min(TOKENIZER_SAMPLE, len(texts)))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        sample,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY, special_tokens=list(CONTROLS), initial_alphabet=alphabet
        ),
    )
    return tokenizer


def new_model() -> LlamaForCausalLM:
    """Return the 3.9 M-parameter model with random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=6,
            num_attention_heads=3,
            num_key_value_heads=1,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            bos_token_id=None,
            eos_token_id=END,
            pad_token_id=PAD,
        )
    )


def middle_of(text: str, rng: random.Random) -> tuple[int, int]:
    """Return (cursor, end) in characters.

    70 % reach to the end of the line, 15 % over a few lines, 15 % end inside the line.
    """
    cursor, kind = rng.randrange(len(text)), rng.random()
    end_of_line = text.find("\n", cursor)
    end = end_of_line if end_of_line >= 0 else len(text)
    if kind >= 0.85:
        end = min(len(text), cursor + rng.randrange(1, 40))
    elif kind >= 0.70:
        for _ in range(rng.randrange(1, 6)):
            following = text.find("\n", end + 1)
            end = following if following > 0 else len(text)
    return cursor, end if end - cursor >= 2 else min(len(text), cursor + rng.randrange(2, 60))


def window(
    text: str, encode: Callable[[str], list[int]], rng: random.Random, reach: int
) -> list[int]:
    """Return the token ids of one training window; `reach` is the longest prefix in characters."""
    if rng.random() < 0.30:
        start = text.rfind("\n", 0, rng.randrange(max(1, len(text) - reach))) + 1
        stop = start + 4 * reach // 3
        return encode(text[start:stop]) + ([END] if stop >= len(text) else [])
    cursor, end = middle_of(text, rng)
    start = max(0, cursor - rng.choice([reach // 4, reach // 2, reach]))
    start = text.rfind("\n", 0, start) + 1 if start else 0
    stop = min(len(text), end + rng.choice([0, 200, 500]))
    # Prefix and middle are tokenised as one text, as it stands in a file: serving heals the seam.
    return [PREFIX, SUFFIX, *encode(text[end:stop]), MIDDLE, *encode(text[start:end]), END]


def batches(texts: Sequence[str], tokenizer: Tokenizer, phase: Phase, seed: int) -> Batches:
    """Fill a queue from a thread with flat arrays of batch * length + 1 token ids."""
    shares = np.cumsum([len(text) for text in texts], dtype=float)
    shares /= shares[-1]
    rng, queue, size = random.Random(seed), Batches(8), phase.batch * phase.length

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text).ids)

    def feed() -> None:
        buffer: list[int] = []
        while True:
            while len(buffer) < size + 1:
                text = texts[int(np.searchsorted(shares, rng.random()))]
                buffer += window(text, encode, rng, reach=3 * phase.length)
            queue.put(np.array(buffer[: size + 1]))
            buffer = buffer[size:]

    threading.Thread(target=feed, daemon=True).start()
    return queue


def fit(model: Any, queue: Batches, phase: Phase, out: Path) -> None:
    """Train `model` in place for `phase.seconds`; saves a checkpoint into `out` now and then.

    Muon for the matrices, AdamW for the rest; the rates fall over the last 40 % of the time.
    """
    optimizers = _optimizers(model)
    compiled = torch.compile(_loss_of(model))
    begun, step, mean = time.monotonic(), 0, 0.0
    columns = (TextColumn("{task.description}"), *Progress.get_default_columns()[1:3])
    with Progress(*columns, TimeRemainingColumn()) as bar:
        task = bar.add_task("training", total=phase.seconds)
        while (done := (time.monotonic() - begun) / phase.seconds) < 1:
            scale = phase.peak * min(1, step / 40) * _decay(done)
            loss = _step(compiled, optimizers, queue.get(), phase, scale)
            mean = loss if not step else 0.95 * mean + 0.05 * loss
            step += 1
            tokens = step * phase.batch * phase.length / 1e6
            told = f"{step} steps, {tokens:.2f} M tokens, loss {mean:.3f}"
            bar.update(task, completed=done * phase.seconds, description=told)
            if step % SAVE_EVERY == 0:
                model.save_pretrained(out)
    print(told)


def save(model: Any, tokenizer: Tokenizer, out: Path) -> None:
    """Write model (bf16 safetensors), tokenizer and `fim.json` into `out`."""
    model.to(torch.bfloat16).save_pretrained(out)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=CONTROLS[END],
        pad_token=CONTROLS[PAD],
        additional_special_tokens=[*CONTROLS[1:PAD], *CONTROLS[PAD + 1 :]],
    ).save_pretrained(out)
    (out / "fim.json").write_text(json.dumps(FIM, indent=2) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m trainer.pretrain",
        description=summary,
        epilog="examples:\n" + rest.partition("\n\n")[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=110, help="how long to train (110)")
    parser.add_argument("--out", type=Path, default=Path("starter"), help="folder to write to")
    parser.add_argument(
        "--from", dest="checkpoint", type=Path, metavar="FOLDER", help="go on from this model"
    )
    parser.add_argument("--peak", type=float, default=1.0, help="scale of the learning rates")
    parser.add_argument("--evaluate", type=Path, metavar="FOLDER", help="print figures and stop")
    parser.add_argument("--samples", type=int, default=400, help="positions to evaluate (400)")
    return parser


def _source_files(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in sorted(files):
            path = Path(folder, name)
            if path.suffix == ".py" and FILE_BYTES[0] < path.stat().st_size < FILE_BYTES[1]:
                yield path


def _start(checkpoint: Path | None, texts: Sequence[str]) -> tuple[Tokenizer, Any]:
    if checkpoint is None:
        return train_tokenizer(texts), new_model()
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    return tokenizer, LlamaForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)


def _optimizers(model: Any) -> list[tuple[torch.optim.Optimizer, float]]:
    """Return optimizers with their full learning rates."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in named if not (p.ndim == 2 and "embed" not in name)]
    muon = torch.optim.Muon(
        matrices, lr=0.02, momentum=0.95, weight_decay=0.01, adjust_lr_fn="original"
    )
    return [(muon, 0.02), (torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.95)), 3e-3)]


def _loss_of(model: Any) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    def loss(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        hidden = model.model(input_ids=inputs, use_cache=False).last_hidden_state
        scores = (hidden @ model.lm_head.weight.T).float()
        return F.cross_entropy(scores.view(-1, scores.shape[-1]), targets.reshape(-1))

    return loss


def _decay(done: float) -> float:
    return 1.0 if done < 0.6 else max(0.02, (1 - done) / 0.4)


def _step(
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    optimizers: Sequence[tuple[torch.optim.Optimizer, float]],
    flat: NDArray[np.int64],
    phase: Phase,
    scale: float,
) -> float:
    tokens = torch.from_numpy(flat)
    inputs = tokens[:-1].view(phase.batch, phase.length)
    targets = tokens[1:].view(phase.batch, phase.length)
    for optimizer, rate in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * scale
    with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
        loss = loss_of(inputs, targets)
    loss.backward()  # type: ignore[no-untyped-call]
    for optimizer, _ in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return float(loss.item())


if __name__ == "__main__":
    main()
