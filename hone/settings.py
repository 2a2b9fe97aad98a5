"""Turns flags, `HONE_*` variables and hone.toml into one frozen tree of settings.

A flag wins over the environment, the environment over hone.toml, hone.toml over the default.
It is read once, at the front door, and knows nothing of what the settings do; `hone.wiring` hands
them on. Every setting carries its description: docs/settings.md is made from this file.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _split(value: object) -> object:
    """A list may be written `a, b` in the environment, where TOML's brackets are a nuisance."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _default_data() -> Path:
    return platformdirs.user_data_path("hone", appauthor=False)


def _expand(model: str) -> str:
    return str(Path(model).expanduser()) if model.startswith("~") else model


_URL = r"^https?://[^/\s]+(/\S*)?$"
# Absolute, because what is printed of it is pasted into editors that run somewhere else.
Folder = Annotated[Path, AfterValidator(lambda folder: folder.expanduser().absolute())]


class Section(BaseModel):
    """Base of the sections: immutable, and unknown settings are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EditorSettings(Section):
    """`hone lsp`, one process per editor."""

    debounce_ms: int = Field(
        0, ge=0, le=2000, description="How long a request waits for the next key, in milliseconds."
    )
    timeout_ms: int = Field(
        3500, ge=50, le=60_000, description="How long the host may take, in milliseconds."
    )
    exclude: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        (), description="Files that never leave the editor: patterns as in .gitignore."
    )
    max_outbox_mb: int = Field(
        64, ge=1, le=4096, description="Most disk that unsent feedback may take, in MB."
    )
    num_candidates: int = Field(1, ge=1, le=4, description="Suggestions asked for each time.")
    temperature: float = Field(
        0.4, ge=0.0, le=2.0, description="Sampling temperature of all suggestions but the first."
    )
    clock: Literal["system", "client"] = Field(
        "system", description="`client`: time advances only by the client's `hone/tick` (tests)."
    )


class EngineSettings(Section):
    """`hone serve`, the process that holds the model."""

    num_threads: int | None = Field(
        None, ge=1, le=1024, description="CPU threads of the engine; unset: all cores."
    )
    max_batch: int = Field(16, ge=1, le=1024, description="Most requests decoded together.")
    max_prompt_tokens: int | None = Field(
        None, ge=64, le=1_000_000, description="Longest prompt; unset: chosen from the model."
    )
    requests_per_minute: int = Field(
        6000, ge=60, le=1_000_000, description="Most requests of one token in a minute."
    )
    adapter_source: str | None = Field(
        None,
        pattern=_URL,
        examples=["http://gpu-1.example:8750"],
        description="Another host on the same database, which sends adapters not in our folder.",
    )
    show_filter: bool = Field(
        True, description="Hide what, by the nights' filter, nobody would take (a fifth at most)."
    )


class TrainSettings(Section):
    """`hone train`, one night of training."""

    objective: Literal["auto", "sft", "dpo"] = Field(
        "auto", description="Recipe; `auto` chooses by the number of pairs, then by trial."
    )
    window_days: int = Field(90, ge=1, le=3650, description="How far back a night looks, in days.")
    min_pairs: int = Field(
        100,
        ge=1,
        description="Fewest preference pairs a night trains on, held-out and repeated ones aside.",
    )
    dpo_min_pairs: int = Field(
        500, ge=1, description="Fewest pairs with which `auto` also tries preferences (DPO)."
    )
    max_pairs: int = Field(5000, ge=1, description="Most pairs of one night.")
    epochs: float = Field(2.0, gt=0, le=100, description="Passes over the rows.")
    learning_rate: float | None = Field(
        None, gt=0, lt=1, description="Step size; unset: chosen by the size of the model."
    )
    rank: int = Field(16, ge=1, le=512, description="Rank of the LoRA adapter.")
    beta: float = Field(0.1, gt=0, le=10, description="How far DPO may move from the base.")
    dpo_weight: float = Field(
        0.3, ge=0, le=100, description="Weight of the preference itself in DPO."
    )
    sft_weight: float = Field(
        1.0, ge=0, le=100, description="Weight of the likelihood of the kept text beside DPO."
    )
    kl_weight: float = Field(
        0.25, ge=0, le=100, description="What SFT pays for straying from the base (KL divergence)."
    )
    batch_size: int = Field(16, ge=1, le=4096, description="Pairs per training step.")
    learn_code: bool = Field(
        True, description="Learn the recorded code around the cursors too, not the feedback alone."
    )
    without_evidence: bool = Field(
        False, description="Train where held-out positions are too few: a candidate to try by hand."
    )
    seed: int = Field(0, ge=0, description="Seed of everything random in a night.")
    num_threads: int | None = Field(
        None, ge=1, le=1024, description="CPU threads of a night; unset: half the cores."
    )


class GateSettings(Section):
    """What a new adapter must show before it serves."""

    min_positions: int = Field(
        150, ge=1, description="Fewest held-out positions that count as evidence."
    )
    min_files: int = Field(8, ge=1, description="Fewest files they must come from.")
    min_gain_nats: float = Field(
        0.02, ge=0, le=10, description="Gain per token that must be exceeded, in nats."
    )
    confidence: float = Field(
        0.99, gt=0.5, lt=1, description="Confidence of that bound (one-sided)."
    )
    refresh_confidence: float = Field(
        0.90, gt=0.5, lt=1, description="Confidence asked of a later night of the same recipe."
    )
    refresh_floor_nats: float = Field(
        -0.03, ge=-10, le=0, description="Loss that such a refresh must exclude, in nats."
    )
    min_share_new: float = Field(
        0.05, ge=0, le=1, description="Share of its rows that a refresh must have learned anew."
    )
    max_matched_loss: float = Field(
        0.05, ge=0, le=1, description="Share of the matched characters that may be lost."
    )
    max_run_on_increase: float = Field(
        0.05, ge=0, le=1, description="How much more often answers may go on too long (a share)."
    )
    max_latency_ratio: float = Field(
        1.5, ge=1, le=1000, description="Median latency allowed, in multiples of the live one's."
    )
    max_golden_loss_nats: float = Field(
        0.15, ge=0, le=10, description="Loss on the golden set that must be excluded, in nats."
    )


class RetentionSettings(Section):
    """How much is kept, and for how long."""

    max_age_days: int = Field(
        365, ge=1, le=36_500, description="Age at which completions and feedback go, in days."
    )
    max_database_mb: int = Field(
        2048, ge=16, description="Size at which the oldest completions go, in MB."
    )
    max_adapters: int = Field(20, ge=2, description="Adapters kept on disk, the live one included.")


class PrivacySettings(Section):
    """What is kept of what people write."""

    content: Literal["full", "off"] = Field(
        "full",
        description="`off`: outcomes and figures are stored, code is not; nothing is learned.",
    )


class LogSettings(Section):
    """What the host writes into its log."""

    format: Literal["text", "json"] = Field(
        "text", description="`json`: one object a line, for a machine to read."
    )


class NightSettings(Section):
    """When `hone up` trains."""

    at: str = Field(
        "03:00",
        pattern=r"^(off|([01]\d|2[0-3]):[0-5]\d)$",
        examples=["03:00", "off"],
        description="Local time of the nightly training, as HH:MM; `off`: never.",
    )


class Settings(BaseSettings):
    """Everything that can be set. Build it with `hone.configuration.load`, not directly."""

    model_config = SettingsConfigDict(
        env_prefix="HONE_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
    )

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address the host listens on; anything but loopback needs `token`, or users.",
    )
    port: int = Field(8750, ge=1, le=65_535, description="Port the host listens on.")
    data: Folder = Field(
        default_factory=_default_data,
        description="Folder of database, adapters, logs and outbox; unset: the platform's own.",
    )
    url: str | None = Field(
        None,
        pattern=_URL,
        examples=["http://127.0.0.1:8750"],
        description="Where `hone lsp` finds the host; unset: one that runs on `data`, else `http://HOST:PORT`.",
    )
    model: Annotated[str, AfterValidator(_expand)] = Field(
        "starter",
        min_length=1,
        description="`starter`, a folder with a Hugging Face causal model, or a hub id.",
    )
    database_url: str | None = Field(
        None, description="SQLAlchemy URL of the database; unset: SQLite in the data folder."
    )
    token: str | None = Field(
        None,
        min_length=8,
        description="Secret that the host asks for and the editor sends; a user's own works too.",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        examples=["auto", "cpu", "cuda:0"],
        description="`auto`, `cpu`, `cuda`, `cuda:N` or `mps`.",
    )
    editor: EditorSettings = EditorSettings()
    engine: EngineSettings = EngineSettings()
    train: TrainSettings = TrainSettings()
    gate: GateSettings = GateSettings()
    retention: RetentionSettings = RetentionSettings()
    privacy: PrivacySettings = PrivacySettings()
    log: LogSettings = LogSettings()
    night: NightSettings = NightSettings()

    @property
    def client_url(self) -> str:
        """Where the language server finds the host."""
        return self.url or self.local_url

    @property
    def local_url(self) -> str:
        """Where a client on this machine reaches the host that these settings start."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def setting_names() -> dict[str, Any]:
    """Return every setting by its dotted name, with the pydantic field that describes it."""
    names: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            names |= {f"{name}.{inner}": f for inner, f in annotation.model_fields.items()}
        else:
            names[name] = field
    return names


def variable_of(name: str) -> str:
    """Return the environment variable of a setting: `train.min_pairs` -> HONE_TRAIN__MIN_PAIRS."""
    return "HONE_" + name.replace(".", "__").upper()
