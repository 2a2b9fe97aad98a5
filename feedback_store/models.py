"""Turns the facts of the store into tables (SQLAlchemy typed declarative).

Rows stay inside this package: every other module converts them by hand to frozen dataclasses.
Every constraint is named, so that a later migration can find it. Nothing here is particular to
SQLite. This module knows nothing of sessions, migrations or what the rows mean.
"""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from feedback_store.columns import UtcDateTime, UuidText

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite only counts up by itself in a column that it calls INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")


class Row(DeclarativeBase):
    """Base of every table."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {  # noqa: RUF012 - declared by SQLAlchemy
        datetime: UtcDateTime(),
        UUID: UuidText(),
        dict[str, Any]: JSON(),
        list[int]: JSON(),
        list[float]: JSON(),
    }


class CompletionRow(Row):
    """One request and how it was answered."""

    __tablename__ = "completions"
    __table_args__ = (
        # All that a list is filtered by, so that looking for a page of it reads no text.
        Index(
            "ix_completions_browse",
            "served_at",
            "completion_id",
            "language",
            "client",
            "adapter",
            "repository",
        ),
    )

    completion_id: Mapped[UUID] = mapped_column(primary_key=True)
    schema_version: Mapped[int]
    requested_at: Mapped[datetime]
    served_at: Mapped[datetime]
    document_id: Mapped[str] = mapped_column(String(128))
    language: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(String(1024))
    repository: Mapped[str] = mapped_column(String(64), index=True)
    pseudonym: Mapped[str] = mapped_column(String(64), index=True)  # `user` is a word of SQL
    client: Mapped[str] = mapped_column(String(128))
    client_version: Mapped[str] = mapped_column(String(64))
    prefix: Mapped[str] = mapped_column(Text)
    suffix: Mapped[str] = mapped_column(Text)
    line: Mapped[int]
    mode: Mapped[str] = mapped_column(String(16))
    trigger: Mapped[str] = mapped_column(String(16))
    num_candidates: Mapped[int]
    max_new_tokens: Mapped[int]
    temperature: Mapped[float]
    model: Mapped[str] = mapped_column(String(512))
    model_sha256: Mapped[str] = mapped_column(String(64))
    adapter: Mapped[str | None] = mapped_column(String(64))
    arm: Mapped[str] = mapped_column(String(16))
    prompt_ids: Mapped[list[int]]
    healed: Mapped[str] = mapped_column(Text)
    num_cached_tokens: Mapped[int]
    show: Mapped[bool]
    propensity: Mapped[float]
    queue_ms: Mapped[float]
    prompt_ms: Mapped[float]
    prefill_ms: Mapped[float]
    decode_ms: Mapped[float]
    engine_ms: Mapped[float]
    barred: Mapped[bool]
    barred_reason: Mapped[str | None] = mapped_column(String(200))


class CandidateRow(Row):
    """One generation of a completion."""

    __tablename__ = "candidates"

    completion_id: Mapped[UUID] = mapped_column(
        ForeignKey("completions.completion_id", ondelete="CASCADE"), primary_key=True
    )
    candidate_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(Text)
    token_ids: Mapped[list[int]]
    log_probs: Mapped[list[float]]
    finish_reason: Mapped[str] = mapped_column(String(16))


class EventRow(Row):
    """One append-only fact. No foreign key: an event may arrive before its completion."""

    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("event_id"),)

    sequence: Mapped[int] = mapped_column(RowId, primary_key=True)  # order of arrival
    event_id: Mapped[UUID]
    completion_id: Mapped[UUID] = mapped_column(index=True)
    schema_version: Mapped[int]
    kind: Mapped[str] = mapped_column(String(24))
    ordinal: Mapped[int]
    candidate_index: Mapped[int]
    occurred_at: Mapped[datetime]
    received_at: Mapped[datetime]
    source: Mapped[str] = mapped_column(String(16))
    data: Mapped[dict[str, Any]]


class OutcomeRow(Row):
    """What the events of one completion amount to; always recomputable."""

    __tablename__ = "outcomes"

    completion_id: Mapped[UUID] = mapped_column(
        ForeignKey("completions.completion_id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(String(24), index=True)
    candidate_index: Mapped[int]
    suggestion: Mapped[str | None] = mapped_column(Text)
    visible_ms: Mapped[int]
    accepted_length: Mapped[int]
    settled_text: Mapped[str | None] = mapped_column(Text)
    reaches_suffix: Mapped[bool]
    prefix_intact: Mapped[bool]
    reformatted: Mapped[bool]
    edit_distance: Mapped[float | None]
    retained_characters: Mapped[int | None]
    kept: Mapped[bool]
    deleted: Mapped[bool]
    undone: Mapped[bool]
    replaced_text: Mapped[str | None] = mapped_column(Text)
    rating: Mapped[str | None] = mapped_column(String(8))
    correction: Mapped[str | None] = mapped_column(Text)
    last_event_at: Mapped[datetime | None]


class ReviewRow(Row):
    """A human's judgement; of one completion the newest that was not undone, nor a skip, counts.

    `rule`, `chosen` and `rejected` are what the reviewer saw, None in reviews of old (up, down).
    """

    __tablename__ = "reviews"
    __table_args__ = (
        CheckConstraint(
            "verdict IN ('agree', 'swap', 'both_bad', 'both_good', 'edit', 'skip', 'up', 'down')",
            name="verdict",
        ),
    )

    review_id: Mapped[int] = mapped_column(RowId, primary_key=True)
    completion_id: Mapped[UUID] = mapped_column(
        ForeignKey("completions.completion_id", ondelete="CASCADE"), index=True
    )
    reviewer: Mapped[str] = mapped_column(String(128))
    verdict: Mapped[str] = mapped_column(String(16))
    text: Mapped[str | None] = mapped_column(Text)
    judged_at: Mapped[datetime]
    rule: Mapped[str | None] = mapped_column(String(8))
    chosen: Mapped[str | None] = mapped_column(Text)
    rejected: Mapped[str | None] = mapped_column(Text)
    blind: Mapped[bool] = mapped_column(server_default=false())
    batch: Mapped[str | None] = mapped_column(String(36), index=True)  # of a bulk judgement
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[str | None] = mapped_column(String(128))


class TrainingRunRow(Row):
    """One night."""

    __tablename__ = "training_runs"

    run_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    started_at: Mapped[datetime] = mapped_column(index=True)
    finished_at: Mapped[datetime | None]
    exit_code: Mapped[int | None]
    settings: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]
    decision: Mapped[dict[str, Any]]
    adapter: Mapped[str | None] = mapped_column(String(64))
    log_path: Mapped[str] = mapped_column(Text)


class PairRow(Row):
    """One training row that a night made out of a completion."""

    __tablename__ = "preference_pairs"
    __table_args__ = (Index(None, "run_id", "interest"),)

    pair_id: Mapped[int] = mapped_column(RowId, primary_key=True)
    run_id: Mapped[str] = mapped_column(
        ForeignKey("training_runs.run_id", ondelete="CASCADE"), index=True
    )
    completion_id: Mapped[UUID] = mapped_column(
        ForeignKey("completions.completion_id", ondelete="CASCADE"), index=True
    )
    rule: Mapped[str] = mapped_column(String(8))
    weight: Mapped[float]
    chosen: Mapped[str | None] = mapped_column(Text)
    rejected: Mapped[str | None] = mapped_column(Text)
    held_out: Mapped[bool]
    split: Mapped[str] = mapped_column(String(16))
    interest: Mapped[float] = mapped_column(server_default=text("0"))  # in being reviewed
    why: Mapped[str] = mapped_column(Text, server_default="")  # it is interesting, in words


class AdapterRow(Row):
    """One registered adapter; its files lie in `<adapters>/<sha256>`."""

    __tablename__ = "adapters"
    __table_args__ = (
        Index(
            "uq_adapters_live",
            "state",
            unique=True,
            sqlite_where=text("state = 'live'"),
            postgresql_where=text("state = 'live'"),
        ),
    )

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    base_model: Mapped[str] = mapped_column(String(512))
    base_sha256: Mapped[str] = mapped_column(String(64))
    run_id: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    registered_at: Mapped[datetime]
    promoted_at: Mapped[datetime | None]
    promoted_by: Mapped[str | None] = mapped_column(String(128))
    reason: Mapped[str | None] = mapped_column(Text)
    metrics: Mapped[dict[str, Any]]
    barred_reason: Mapped[str | None] = mapped_column(Text)  # set: it must never serve again
    canary_share: Mapped[float | None]  # of people that a canary answers


class AdapterChangeRow(Row):
    """Who changed what serves, and why. No foreign keys: the record outlives the adapter."""

    __tablename__ = "adapter_changes"

    change_id: Mapped[int] = mapped_column(RowId, primary_key=True)
    changed_at: Mapped[datetime]
    action: Mapped[str] = mapped_column(String(16))
    adapter: Mapped[str | None] = mapped_column(String(64))  # None: the bare base
    replaced: Mapped[str | None] = mapped_column(String(64))  # what was live until then
    changed_by: Mapped[str] = mapped_column(String(128))
    reason: Mapped[str] = mapped_column(Text)


class ErasedRow(Row):
    """The id of an erased completion: what still arrives for it is refused."""

    __tablename__ = "erased_completions"

    completion_id: Mapped[UUID] = mapped_column(primary_key=True)
    erased_at: Mapped[datetime]


class ShowFilterRow(Row):
    """What a night learned about which suggestions are worth showing."""

    __tablename__ = "show_filters"

    filter_id: Mapped[int] = mapped_column(RowId, primary_key=True)
    run_id: Mapped[str] = mapped_column(String(64))
    model_sha256: Mapped[str] = mapped_column(String(64), index=True)
    fitted_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(String(16))
    content: Mapped[str] = mapped_column(Text)
    verdict: Mapped[dict[str, Any]]


class OwedFoldRow(Row):
    """A completion, maybe gone since, with events that its outcome does not show yet."""

    __tablename__ = "owed_folds"

    completion_id: Mapped[UUID] = mapped_column(primary_key=True)


class StaleRow(Row):
    """Something changed that daily figures or the search index do not show yet."""

    __tablename__ = "stale_figures"

    mark_id: Mapped[int] = mapped_column(RowId, primary_key=True)
    completion_id: Mapped[UUID | None]  # or, where it is gone or there are many, ...
    day: Mapped[date | None]  # ... the day that it was served on


class DailyRow(Row):
    """What one day came to: in all, or for one language, client or adapter ("" is the base)."""

    __tablename__ = "daily_figures"

    dimension: Mapped[str] = mapped_column(String(16), primary_key=True)  # "all", "language" ...
    day: Mapped[date] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)  # "" in all
    served: Mapped[int]
    shown: Mapped[int]
    accepted: Mapped[int]
    kept: Mapped[int]
    retained_characters: Mapped[int]
    kinds: Mapped[dict[str, Any]]  # outcome -> how many
    latency: Mapped[dict[str, Any]]  # stage -> bucket -> how many; see `latency`


class SearchRow(Row):
    """The words a completion can be found by; the database's full-text index is made of them."""

    __tablename__ = "search_texts"
    __table_args__ = (UniqueConstraint("completion_id"),)

    document_id: Mapped[int] = mapped_column(RowId, primary_key=True)  # about in order of time
    completion_id: Mapped[UUID] = mapped_column(
        ForeignKey("completions.completion_id", ondelete="CASCADE")
    )
    words: Mapped[str] = mapped_column(Text)


class UserRow(Row):
    """A person, or a program, that was given tokens."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("name"),)

    user_id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class TokenRow(Row):
    """What lets a user in. The token itself is nowhere, only its hash."""

    __tablename__ = "tokens"
    __table_args__ = (UniqueConstraint("sha256"),)

    token_id: Mapped[int] = mapped_column(RowId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.user_id"), index=True)
    sha256: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str] = mapped_column(String(64))  # in order, with commas between them
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]  # to within minutes


class AuditRow(Row):
    """Who did what to which thing, and why. No foreign keys: the record outlives the thing."""

    __tablename__ = "audit_log"

    entry_id: Mapped[int] = mapped_column(RowId, primary_key=True)
    happened_at: Mapped[datetime] = mapped_column(index=True)
    who: Mapped[str] = mapped_column(String(128))
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(256))
    reason: Mapped[str] = mapped_column(Text)
