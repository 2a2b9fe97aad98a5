"""Turns a model's name or folder into a Base: shared weights, tokenizer, prompter, identity.

Nothing is downloaded unless the name is a hub id that is not on this machine, which only a user
can have asked for. This module knows nothing of adapters, requests or caches.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from lsp_server.engine.errors import ModelError
from lsp_server.engine.healing import Spelling
from lsp_server.engine.prompt import Family, Prompter, family_of

STARTER = "starter"
STARTER_FOLDER = Path(__file__).parent / "starter"
HEALED_RESERVE_TOKENS = 8  # an answer first spells the healed piece again
MAX_WINDOW_TOKENS = 4096  # longer windows cost latency and memory for little gain in completion
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt"]
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Base:
    """One base model, loaded once, shared by all arms; `sha256` names its exact weights."""

    name: str
    sha256: str
    model: torch.nn.Module
    tokenizer: Any
    prompter: Prompter
    spelling: Spelling
    device: str
    window_tokens: int
    num_threads: int
    best_prompt_tokens: int | None = None  # a longer prompt makes the answers worse

    def prompt_limit(self, max_new_tokens: int) -> int:
        """Return the longest prompt (tokens) before an answer of `max_new_tokens`."""
        room = self.window_tokens - max_new_tokens - HEALED_RESERVE_TOKENS
        return min(room, self.best_prompt_tokens or room)


def load_base(model: str, *, device: str = "auto", num_threads: int | None = None) -> Base:
    """Load `model`: `starter`, a folder, or a hub id. Raises ModelError with one clear line."""
    folder = model_folder(model)
    if num_threads:
        torch.set_num_threads(num_threads)
    device = _device(device)
    transformers_logging.disable_progress_bar()
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        network = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, local_files_only=True, attn_implementation="sdpa"
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"cannot load the model in {folder}: {_first_line(error)}") from error
    network = network.to(device).eval().requires_grad_(False)
    spelling, prompter = _prompter(folder, tokenizer, network.config)
    return Base(
        name=model if model == STARTER else folder.name,
        sha256=weights_sha256(folder),
        model=network,
        tokenizer=tokenizer,
        prompter=prompter,
        spelling=spelling,
        device=device,
        window_tokens=min(_window(network.config), MAX_WINDOW_TOKENS),
        num_threads=torch.get_num_threads(),
        best_prompt_tokens=_declared(folder / "fim.json").get("max_prompt_tokens"),
    )


def model_folder(model: str) -> Path:
    """Return the folder that holds `model`, fetching it only where it is a hub id."""
    folder = STARTER_FOLDER if model == STARTER else Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"no model in {folder}: config.json is missing; name a model folder")
        return folder
    if folder.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1:
        raise ModelError(
            f"model {model!r} not found: name 'starter', an existing folder, or a hub id OWNER/NAME"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, allow_patterns=_HUB_FILES))
    except Exception as error:
        reason = _first_line(error)
        raise ModelError(f"model {model!r} is not here and cannot be fetched: {reason}") from error


def weights_sha256(folder: Path) -> str:
    """Return one SHA-256 over the names and contents of a model's configuration and weights."""
    files = sorted({*folder.glob("*.safetensors"), folder / "config.json"})
    if len(files) < 2:
        raise ModelError(f"no safetensors weights in {folder}: Hone loads no other format")
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        for block in _blocks(file):
            digest.update(block)
    return digest.hexdigest()


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while block := opened.read(1 << 20):
            yield block


def _device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"device {device!r} asked for, but torch sees no GPU here: use 'cpu'")
    return device


def _window(config: Any) -> int:
    return int(getattr(config, "max_position_embeddings", None) or 1024)


def _prompter(folder: Path, tokenizer: Any, config: Any) -> tuple[Spelling, Prompter]:
    """Build the prompter from `fim.json` where the model ships one, else from its vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(f"the model in {folder} has no fast tokenizer; Hone needs one")
    family = _declared_family(folder / "fim.json") or family_of(backend)
    if not family.fills_in_the_middle:
        log.warning("the model in %s has no fill-in-the-middle tokens: prefix only", folder)
    controls = {i: t.content for i, t in backend.get_added_tokens_decoder().items() if _rules(t)}
    end_id = backend.token_to_id(family.end) if family.end else _end_id(tokenizer, config)
    if end_id is None:
        raise ModelError(f"the model in {folder} names no end-of-text token (eos_token)")
    spelling = Spelling(backend, frozenset(controls))
    start_ids = backend.encode("", add_special_tokens=True).ids
    start_ids = [i for i in start_ids if i != end_id]
    prompter = Prompter(
        backend, family, tuple(controls.values()), spelling, end_id=end_id, start_ids=start_ids
    )
    return spelling, prompter


def _rules(token: AddedToken) -> bool:
    """Tell whether an added token is more than text: blanks and single letters that were forgotten
    in the vocabulary are not, such as the umlauts of DeepSeek-Coder."""
    text = token.content.strip()
    return bool(text) and (token.special or len(text) > 1)


def _declared_family(path: Path) -> Family | None:
    facts = _declared(path)
    if not facts:
        return None
    return Family("fim.json", facts["template"], facts.get("end"), bool(facts.get("heal")))


def _declared(path: Path) -> dict[str, Any]:
    """Return what a model says of itself in `fim.json`; {} where it says nothing."""
    if not path.is_file():
        return {}
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(facts["template"], str):
            raise ValueError("template is not a text")
        limit = facts.get("max_prompt_tokens")
        if limit is not None and (not isinstance(limit, int) or limit < 64):
            raise ValueError(f"max_prompt_tokens is {limit!r}, not a whole number from 64 on")
        return facts
    except (ValueError, KeyError) as error:
        raise ModelError(f"cannot read {path}: {_first_line(error)}") from error


def _end_id(tokenizer: Any, config: Any) -> int | None:
    found = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else config.eos_token_id
    first = found[0] if isinstance(found, list) else found
    return None if first is None else int(first)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]
