"""Turns an adapter directory into its checked manifest, or says what is wrong and where. No torch.

A directory is sealed once: `manifest.json` names every file with its SHA-256, and the SHA-256 of
the manifest itself is the adapter's id. Whoever loads an adapter checks it first, because pickled
weights run code, and a torn, foreign or NaN adapter would answer with nonsense. This module knows
nothing of the registry or of models.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from feedback_store.errors import AdapterError
from feedback_store.tensor_file import check_tensors

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
LINEAGE = "lineage.json"
_REQUIRED = (WEIGHTS, CONFIG, LINEAGE)
_HARMLESS = frozenset({".json", ".md", ".txt"})
_CODE = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".py"})
_MAX_MANIFEST_BYTES = 64 * 1024 * 1024
_PIECE_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Probe:
    """A prompt, a continuation, and the adapter's log-probabilities (nats) of its tokens.

    `device` is the kind that they were scored on, "cpu" or "cuda"; older manifests do not tell.
    """

    prompt_ids: tuple[int, ...]
    continuation_ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    device: str | None = None


@dataclass(frozen=True)
class Manifest:
    """What an adapter says of itself. `files` maps each file's name to its SHA-256."""

    format_version: int
    base_model: str
    base_sha256: str
    run_id: str
    created_at: str
    recipe: dict[str, Any]
    files: dict[str, str]
    probes: tuple[Probe, ...]


def seal(
    directory: Path,
    *,
    base_model: str,
    base_sha256: str,
    run_id: str,
    recipe: Mapping[str, Any],
    probes: Sequence[Probe],
) -> str:
    """Write the manifest of a finished adapter directory; return the adapter's id (SHA-256).

    AdapterError when the directory holds something that no adapter may hold, or lacks something.
    """
    (directory / MANIFEST).unlink(missing_ok=True)
    names = _names(directory)
    _check_names(directory, names)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        base_model=base_model,
        base_sha256=base_sha256,
        run_id=run_id,
        created_at=datetime.now(UTC).isoformat(),
        recipe=dict(recipe),
        files={name: hash_file(directory / name) for name in sorted(names)},
        probes=tuple(probes),
    )
    _check_contents(directory)
    try:
        text = json.dumps(asdict(manifest), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AdapterError(
            f"{directory}: recipe or probes cannot be written down: {error}"
        ) from error
    content = text.encode("ascii") + b"\n"
    unfinished = directory / f"{MANIFEST}.tmp"
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(directory / MANIFEST)
    return sha256(content).hexdigest()


def check(
    directory: Path, *, base_sha256: str | None = None, expected_sha256: str | None = None
) -> Manifest:
    """Return the manifest of `directory` after checking every file against it.

    AdapterError, naming what is wrong and where: manifest missing or torn, not the id expected,
    made for another base, a file missing, extra, altered, or of a kind that can run code, no LoRA
    configuration, a torn weights file, a NaN or infinite value.
    """
    content = _read(directory / MANIFEST, _MAX_MANIFEST_BYTES)
    found = sha256(content).hexdigest()
    if expected_sha256 is not None and found != expected_sha256:
        raise AdapterError(
            f"{directory}: its manifest hashes to {found[:12]}, not to {expected_sha256[:12]}: "
            "altered, or another adapter"
        )
    manifest = _parse(directory / MANIFEST, content)
    if base_sha256 is not None and manifest.base_sha256 != base_sha256:
        raise AdapterError(
            f"{directory}: trained on base {manifest.base_model} ({manifest.base_sha256[:12]}), "
            f"not on the base that serves ({base_sha256[:12]})"
        )
    names = _names(directory) - {MANIFEST}
    _check_names(directory, names)
    _check_hashes(directory, manifest, names)
    _check_contents(directory)
    return manifest


def adapter_id(directory: Path) -> str:
    """Return the id of a sealed directory; AdapterError when it has no manifest."""
    return sha256(_read(directory / MANIFEST, _MAX_MANIFEST_BYTES)).hexdigest()


def lineage(directory: Path) -> frozenset[UUID]:
    """Return the ids of the completions that an adapter was trained on."""
    path = directory / LINEAGE
    try:
        listed = json.loads(_read(path, _MAX_MANIFEST_BYTES))
        if not isinstance(listed, list):
            raise TypeError(f"a list is expected, not {type(listed).__name__}")
        return frozenset(UUID(item) for item in listed)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise AdapterError(f"{path}: not a list of completion ids ({error})") from error


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    digest = sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
    except OSError as error:
        raise AdapterError(f"{path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError as error:
        raise AdapterError(f"{path}: missing") from error
    except OSError as error:
        raise AdapterError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > limit:
        raise AdapterError(f"{path}: larger than {limit} bytes")
    return content


def _parse(path: Path, content: bytes) -> Manifest:
    try:
        raw = json.loads(content)
        if raw["format_version"] != FORMAT_VERSION:
            raise AdapterError(
                f"{path}: format version {raw['format_version']!r}, this Hone knows "
                f"{FORMAT_VERSION}: upgrade Hone"
            )
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            **{
                name: _text(raw, name)
                for name in ("base_model", "base_sha256", "run_id", "created_at")
            },
            recipe=dict(raw["recipe"]),
            files={name: _hash_text(name, value) for name, value in raw["files"].items()},
            probes=tuple(_probe(probe) for probe in raw["probes"]),
        )
        if datetime.fromisoformat(manifest.created_at).tzinfo is None:
            raise ValueError("created_at has no time zone")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise AdapterError(
            f"{path}: torn, or not a manifest ({type(error).__name__}: {error})"
        ) from error
    return manifest


def _text(raw: Mapping[str, Any], name: str) -> str:
    if not isinstance(raw[name], str):
        raise TypeError(f"{name} is {type(raw[name]).__name__}, not text")
    return str(raw[name])


def _hash_text(name: str, value: object) -> str:
    # A name that leads out of the directory would have us read, and vouch for, other files.
    if name != Path(name).name or "\\" in name or name in ("", ".", ".."):
        raise ValueError(f"file name {name!r} leads out of the directory")
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError(f"file {name} has no SHA-256")
    return value


def _probe(raw: Mapping[str, Any]) -> Probe:
    probe = Probe(
        prompt_ids=tuple(int(token) for token in raw["prompt_ids"]),
        continuation_ids=tuple(int(token) for token in raw["continuation_ids"]),
        log_probs=tuple(float(value) for value in raw["log_probs"]),
        device=None if raw.get("device") is None else _text(raw, "device"),
    )
    if len(probe.continuation_ids) != len(probe.log_probs):
        raise ValueError("a probe needs one log-probability per token of its continuation")
    return probe


def _names(directory: Path) -> set[str]:
    """Return the names in `directory`; refuse whatever is not a plain file."""
    try:
        entries = list(os.scandir(directory))
    except OSError as error:
        raise AdapterError(f"{directory}: cannot be read ({error.strerror})") from error
    for entry in entries:
        if not entry.is_file(follow_symlinks=False):
            raise AdapterError(f"{directory / entry.name}: not a plain file, remove it")
    return {entry.name for entry in entries}


def _check_names(directory: Path, names: set[str]) -> None:
    for name in sorted(names):
        suffix = Path(name).suffix.lower()
        if suffix in _CODE:
            raise AdapterError(
                f"{directory / name}: {suffix} files can run code when loaded, "
                "save the adapter as safetensors only"
            )
        if suffix not in _HARMLESS and name != WEIGHTS:
            raise AdapterError(f"{directory / name}: does not belong into an adapter, remove it")
    for name in _REQUIRED:
        if name not in names:
            raise AdapterError(f"{directory / name}: missing")


def _check_hashes(directory: Path, manifest: Manifest, names: set[str]) -> None:
    for name in sorted(names ^ set(manifest.files)):
        problem = "not in the manifest" if name in names else "in the manifest, but missing"
        raise AdapterError(f"{directory / name}: {problem}")
    for name, promised in manifest.files.items():
        found = hash_file(directory / name)
        if found != promised:
            raise AdapterError(
                f"{directory / name}: hashes to {found[:12]}, the manifest says {promised[:12]}: "
                "torn or altered"
            )


def _check_contents(directory: Path) -> None:
    path = directory / CONFIG
    try:
        config = json.loads(_read(path, _MAX_MANIFEST_BYTES))
        kind = config.get("peft_type")
    except (ValueError, AttributeError, RecursionError) as error:
        raise AdapterError(f"{path}: not a PEFT configuration ({error})") from error
    if kind != "LORA":
        raise AdapterError(f"{path}: peft_type is {kind!r}, only LORA is served")
    lineage(directory)
    names = check_tensors(directory / WEIGHTS)
    if not any("lora_" in name for name in names):
        raise AdapterError(f"{directory / WEIGHTS}: holds no LoRA tensors")
