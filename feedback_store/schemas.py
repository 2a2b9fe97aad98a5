"""The wire contract between editor, host and store: pydantic models, nothing else.

Editors send `CompletionRequest` and receive `CompletionAnswer`; they send `EventBatch` and receive
`IngestReport`. Every time is UTC; every text length is in UTF-16 code units only where its name
says so, in characters elsewhere. This module knows nothing of HTTP, databases or editors.
"""

from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha1
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

# Counted up when a field is added; added fields are optional, and what is told by an older editor
# is taken for ever (tests/feedback_store/wire holds what each version sent).
SCHEMA_VERSION = 1
MAX_PREFIX_CHARACTERS = 16 * 1024
MAX_SUFFIX_CHARACTERS = 8 * 1024
MAX_EVENT_TEXT_CHARACTERS = 16 * 1024
MAX_BATCH_EVENTS = 500
# What is valid on the wire must fit every database: one row that does not would stop them all.
MAX_INTEGER = 2**31 - 1
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


class Wire(BaseModel):
    """Base of everything on the wire: immutable, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Mode(StrEnum):
    """How much text is asked for: the rest of one line, or a whole block by syntax."""

    LINE = "line"
    BLOCK = "block"


class EventKind(StrEnum):
    """What can happen to a suggestion (design, section 4)."""

    SHOWN = "shown"
    ACCEPTED = "accepted"
    PARTIALLY_ACCEPTED = "partially_accepted"
    DISMISSED = "dismissed"
    TYPED_THROUGH = "typed_through"
    DIVERGED = "diverged"
    UNDONE = "undone"
    CYCLED = "cycled"
    SETTLED = "settled"
    PERSISTED = "persisted"
    LOST = "lost"
    RATED = "rated"


class OutcomeKind(StrEnum):
    """What became of a completion, folded from its events."""

    UNSEEN = "unseen"
    TYPED_THROUGH = "typed_through"
    ACCEPTED = "accepted"
    PARTIALLY_ACCEPTED = "partially_accepted"
    DIVERGED = "diverged"
    DISMISSED = "dismissed"
    IGNORED = "ignored"


class Rule(StrEnum):
    """How an outcome becomes a training row (design, section 5)."""

    ACCEPTED_THEN_EDITED = "R1"
    TYPED_INSTEAD = "R2"
    CHOSE_ANOTHER = "R3"
    PARTIAL_THEN_DIVERGED = "R4"
    KEPT = "R5"
    ACCEPTED_THEN_DELETED = "R6"
    DISMISSED_OR_UNDONE = "R7"
    IGNORED = "R8"
    HUMAN = "R9"


class AdapterState(StrEnum):
    """Life of an adapter in the registry."""

    CANDIDATE = "candidate"
    CANARY = "canary"
    LIVE = "live"
    RETIRED = "retired"
    REJECTED = "rejected"


class CompletionRequest(Wire):
    """One question of an editor. `prefix` and `suffix` are already redacted."""

    schema_version: Literal[1] = 1
    completion_id: UUID
    document_id: str = Field(max_length=128)  # opaque; a newer request of it cancels the older
    record: bool = False  # false: the host writes nothing anywhere
    language: str = Field(default="plaintext", max_length=64)
    path: str = Field(default="", max_length=1024)  # relative to the workspace, "" if unknown
    repository: str = Field(default="unknown", max_length=64)  # root-commit hash
    user: str = Field(default="anonymous", max_length=64)  # pseudonym
    client: str = Field(default="unknown", max_length=128)
    client_version: str = Field(default="", max_length=64)
    prefix: str = Field(max_length=MAX_PREFIX_CHARACTERS)
    suffix: str = Field(default="", max_length=MAX_SUFFIX_CHARACTERS)
    line: int = Field(default=0, ge=0, le=MAX_INTEGER)  # zero-based line of the cursor
    mode: Mode = Mode.LINE
    trigger: Literal["automatic", "invoked"] = "automatic"
    num_candidates: int = Field(default=1, ge=1, le=4)
    max_new_tokens: int = Field(default=48, ge=1, le=256)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)  # of candidates after the first
    requested_at: AwareDatetime = Field(ge=EARLIEST, lt=LATEST)


class CandidateAnswer(Wire):
    """One generation: `text` continues `prefix` exactly where it ended (healing undone)."""

    index: int
    text: str
    finish_reason: Literal["stop", "end", "length"]  # our stop rule, the model's end, the budget
    sum_log_prob: float  # nats, over all generated tokens
    num_tokens: int


class Timings(Wire):
    """Where the host's time went, in milliseconds."""

    queue_ms: float
    prompt_ms: float  # tokenisation and prompt building
    prefill_ms: float
    decode_ms: float
    engine_ms: float  # from the engine's entry to its answer; includes all of the above


class CompletionAnswer(Wire):
    """The host's answer. `adapter` is the SHA-256 that served, or None for the bare base."""

    completion_id: UUID
    model: str
    adapter: str | None
    arm: Literal["live", "canary"] = "live"
    candidates: tuple[CandidateAnswer, ...]
    num_prompt_tokens: int
    num_cached_tokens: int
    show: bool = True  # the display decision ...
    propensity: float = 1.0  # ... and the probability with which it was taken
    timings: Timings


class EventData(Wire):
    """Facts of one event; which fields a kind needs stands in `REQUIRED_FIELDS`."""

    text: str | None = Field(default=None, max_length=MAX_EVENT_TEXT_CHARACTERS)
    # shown: the suggestion, whole, from the anchor · diverged, settled, persisted: the text that
    # now stands from the anchor on (settled: up to where the served suffix begins)
    reaches_suffix: bool | None = None  # settled, persisted: `text` ends at the served suffix
    prefix_intact: bool | None = None  # settled: the text before the anchor is as it was served
    reformatted: bool | None = None  # settled, persisted: a formatter touched the region
    visible_ms: int | None = Field(default=None, ge=0)  # accepted, diverged, dismissed ...: so far
    accepted_length: int | None = Field(default=None, ge=0)  # UTF-16 units, cumulative
    unit: Literal["word", "line", "other"] | None = None
    after_seconds: int | None = Field(default=None, ge=0)  # persisted
    edit_distance: float | None = Field(default=None, ge=0.0, le=1.0)
    retained_characters: int | None = Field(default=None, ge=0)
    reason: str | None = Field(default=None, max_length=200)  # lost, dismissed, unseen-making facts
    rating: Literal["up", "down"] | None = None
    comment: str | None = Field(default=None, max_length=2000)
    correction: str | None = Field(default=None, max_length=MAX_EVENT_TEXT_CHARACTERS)


REQUIRED_FIELDS: dict[EventKind, tuple[str, ...]] = {
    EventKind.SHOWN: ("text",),
    EventKind.PARTIALLY_ACCEPTED: ("accepted_length", "unit"),
    EventKind.SETTLED: ("text", "reaches_suffix", "prefix_intact"),
    EventKind.PERSISTED: ("text", "after_seconds", "edit_distance", "retained_characters"),
    EventKind.LOST: ("reason",),
    EventKind.RATED: ("rating",),
}


def event_id_of(completion_id: UUID, kind: EventKind, ordinal: int) -> UUID:
    """Return the id of a fact: the same fact, inferred and told twice, collides by construction.

    It is `uuid5(completion_id, "kind:ordinal")` (RFC 9562, section 5.5), made in half the time,
    because every event that arrives is compared with it.
    """
    name = f"{kind}:{ordinal}".encode()
    digest = sha1(completion_id.bytes + name, usedforsecurity=False).digest()
    return UUID(bytes=digest[:16], version=5)


class Event(Wire):
    """One append-only fact about one completion."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1)
    event_id: UUID
    completion_id: UUID
    kind: EventKind
    ordinal: int = Field(ge=0)  # n-th event of this kind of this completion
    candidate_index: int = Field(default=0, ge=0)
    occurred_at: AwareDatetime
    source: Literal["inferred", "explicit"] = "inferred"
    data: EventData = EventData()

    @model_validator(mode="after")
    def _check(self) -> Self:
        missing = [n for n in REQUIRED_FIELDS.get(self.kind, ()) if getattr(self.data, n) is None]
        if missing:
            raise ValueError(f"a {self.kind} event needs data.{', data.'.join(missing)}")
        if self.event_id != event_id_of(self.completion_id, self.kind, self.ordinal):
            raise ValueError("event_id is not uuid5(completion_id, kind:ordinal)")
        return self

    @field_validator("occurred_at")
    @classmethod
    def _in_utc(cls, moment: datetime) -> datetime:
        try:
            return moment.astimezone(UTC) if moment.utcoffset() else moment
        except OverflowError as error:
            raise ValueError(f"{moment} is no time in UTC") from error

    @field_validator("schema_version")
    @classmethod
    def _check_version(cls, version: int) -> int:
        if version > SCHEMA_VERSION:
            raise ValueError(
                f"{version} is newer than this host knows ({SCHEMA_VERSION}): update Hone there"
            )
        return version

    @classmethod
    def new(
        cls,
        completion_id: UUID,
        kind: EventKind,
        ordinal: int,
        occurred_at: datetime,
        *,
        candidate_index: int = 0,
        source: Literal["inferred", "explicit"] = "inferred",
        **data: object,
    ) -> Self:
        """Build an event with its derived id; `data` are fields of `EventData`."""
        return cls(
            event_id=event_id_of(completion_id, kind, ordinal),
            completion_id=completion_id,
            kind=kind,
            ordinal=ordinal,
            candidate_index=candidate_index,
            occurred_at=occurred_at,
            source=source,
            data=EventData.model_validate(data),
        )


class EventBatch(Wire):
    """What `POST /v1/events` takes. Items are checked one by one, so they travel as raw objects."""

    events: Annotated[tuple[dict[str, object], ...], Field(max_length=MAX_BATCH_EVENTS)]


class ItemReport(Wire):
    """What became of one event of a batch, in the order sent."""

    event_id: str | None
    status: Literal["stored", "duplicate", "refused"]
    reason: str | None = None


class IngestReport(Wire):
    """What `POST /v1/events` answers: acknowledged means durable."""

    items: tuple[ItemReport, ...]


class Health(Wire):
    """What `GET /health` answers."""

    status: Literal["ok", "starting"]
    version: str
    model: str
    adapter: str | None
    device: str


class Told(BaseModel):
    """Base of what a host only tells: a field that an older editor does not know is no matter."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class LiveAdapter(Told):
    """What serves, and what its gate measured on held-out code against what was live before."""

    sha256: str
    number: int  # it is the n-th that was ever promoted
    since: AwareDatetime
    promoted_by: str  # "gate", or a person's name
    matched_change: float | None = None  # of the matched characters, relative; .08 is 8 % more
    gain_nats: float | None = None  # mean log-probability per token of the settled text
    num_positions: int | None = None


class Acceptance(Told):
    """What one user did with suggestions since a given time."""

    num_shown: int
    num_accepted: int


class HostStatus(Told):
    """What `GET /v1/hone/status` answers: what an editor shows of its host."""

    version: str
    model: str
    adapter: LiveAdapter | None  # None: the bare base
    today: Acceptance | None = None  # of the user asked about
