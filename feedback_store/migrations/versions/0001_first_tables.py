"""First tables: completions and their events, nights and their pairs, adapters.

Turns an empty database into revision 0001. Types are spelled out here, not imported: this step
must stay as it is when the models move on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
UUID = sa.String(36).with_variant(sa.Uuid(), "postgresql")
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLES = (
    "completions",
    "candidates",
    "events",
    "outcomes",
    "reviews",
    "training_runs",
    "preference_pairs",
    "adapters",
    "adapter_changes",
)


def upgrade() -> None:
    """Create every table; those that others point to come first."""
    _create_completions()
    _create_candidates()
    _create_events()
    _create_outcomes()
    _create_reviews()
    _create_training_runs()
    _create_preference_pairs()
    _create_adapters()
    _create_adapter_changes()


def downgrade() -> None:
    """Drop every table, with all that is in it."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _create_completions() -> None:
    op.create_table(
        "completions",
        sa.Column("completion_id", UUID, nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("requested_at", TIME, nullable=False),
        sa.Column("served_at", TIME, nullable=False),
        sa.Column("document_id", sa.String(length=128), nullable=False),
        sa.Column("language", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("repository", sa.String(length=64), nullable=False),
        sa.Column("pseudonym", sa.String(length=64), nullable=False),
        sa.Column("client", sa.String(length=128), nullable=False),
        sa.Column("client_version", sa.String(length=64), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("suffix", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("trigger", sa.String(length=16), nullable=False),
        sa.Column("num_candidates", sa.Integer(), nullable=False),
        sa.Column("max_new_tokens", sa.Integer(), nullable=False),
        sa.Column("temperature", sa.Double(), nullable=False),
        sa.Column("model", sa.String(length=512), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("adapter", sa.String(length=64), nullable=True),
        sa.Column("arm", sa.String(length=16), nullable=False),
        sa.Column("prompt_ids", sa.JSON(), nullable=False),
        sa.Column("healed", sa.Text(), nullable=False),
        sa.Column("num_cached_tokens", sa.Integer(), nullable=False),
        sa.Column("show", sa.Boolean(), nullable=False),
        sa.Column("propensity", sa.Double(), nullable=False),
        sa.Column("queue_ms", sa.Double(), nullable=False),
        sa.Column("prompt_ms", sa.Double(), nullable=False),
        sa.Column("prefill_ms", sa.Double(), nullable=False),
        sa.Column("decode_ms", sa.Double(), nullable=False),
        sa.Column("engine_ms", sa.Double(), nullable=False),
        sa.Column("barred", sa.Boolean(), nullable=False),
        sa.Column("barred_reason", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("completion_id", name="pk_completions"),
    )
    op.create_index("ix_completions_pseudonym", "completions", ["pseudonym"], unique=False)
    op.create_index("ix_completions_repository", "completions", ["repository"], unique=False)
    op.create_index("ix_completions_served_at", "completions", ["served_at"], unique=False)


def _create_candidates() -> None:
    op.create_table(
        "candidates",
        sa.Column("completion_id", UUID, nullable=False),
        sa.Column("candidate_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("token_ids", sa.JSON(), nullable=False),
        sa.Column("log_probs", sa.JSON(), nullable=False),
        sa.Column("finish_reason", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["completion_id"],
            ["completions.completion_id"],
            name="fk_candidates_completion_id_completions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("completion_id", "candidate_index", name="pk_candidates"),
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("sequence", ROW_ID, nullable=False),
        sa.Column("event_id", UUID, nullable=False),
        sa.Column("completion_id", UUID, nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("candidate_index", sa.Integer(), nullable=False),
        sa.Column("occurred_at", TIME, nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_events"),
        sa.UniqueConstraint("event_id", name="uq_events_event_id"),
    )
    op.create_index("ix_events_completion_id", "events", ["completion_id"], unique=False)


def _create_outcomes() -> None:
    op.create_table(
        "outcomes",
        sa.Column("completion_id", UUID, nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("candidate_index", sa.Integer(), nullable=False),
        sa.Column("suggestion", sa.Text(), nullable=True),
        sa.Column("visible_ms", sa.Integer(), nullable=False),
        sa.Column("accepted_length", sa.Integer(), nullable=False),
        sa.Column("settled_text", sa.Text(), nullable=True),
        sa.Column("reaches_suffix", sa.Boolean(), nullable=False),
        sa.Column("prefix_intact", sa.Boolean(), nullable=False),
        sa.Column("reformatted", sa.Boolean(), nullable=False),
        sa.Column("edit_distance", sa.Double(), nullable=True),
        sa.Column("retained_characters", sa.Integer(), nullable=True),
        sa.Column("kept", sa.Boolean(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("undone", sa.Boolean(), nullable=False),
        sa.Column("replaced_text", sa.Text(), nullable=True),
        sa.Column("rating", sa.String(length=8), nullable=True),
        sa.Column("correction", sa.Text(), nullable=True),
        sa.Column("last_event_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["completion_id"],
            ["completions.completion_id"],
            name="fk_outcomes_completion_id_completions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("completion_id", name="pk_outcomes"),
    )
    op.create_index("ix_outcomes_kind", "outcomes", ["kind"], unique=False)


def _create_reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("review_id", ROW_ID, nullable=False),
        sa.Column("completion_id", UUID, nullable=False),
        sa.Column("reviewer", sa.String(length=128), nullable=False),
        sa.Column("verdict", sa.String(length=8), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("judged_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["completion_id"],
            ["completions.completion_id"],
            name="fk_reviews_completion_id_completions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("review_id", name="pk_reviews"),
    )
    op.create_index("ix_reviews_completion_id", "reviews", ["completion_id"], unique=False)


def _create_training_runs() -> None:
    op.create_table(
        "training_runs",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("finished_at", TIME, nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("decision", sa.JSON(), nullable=False),
        sa.Column("adapter", sa.String(length=64), nullable=True),
        sa.Column("log_path", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_training_runs"),
    )
    op.create_index("ix_training_runs_started_at", "training_runs", ["started_at"], unique=False)


def _create_preference_pairs() -> None:
    op.create_table(
        "preference_pairs",
        sa.Column("pair_id", ROW_ID, nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("completion_id", UUID, nullable=False),
        sa.Column("rule", sa.String(length=8), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("chosen", sa.Text(), nullable=True),
        sa.Column("rejected", sa.Text(), nullable=True),
        sa.Column("held_out", sa.Boolean(), nullable=False),
        sa.Column("split", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["completion_id"],
            ["completions.completion_id"],
            name="fk_preference_pairs_completion_id_completions",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["training_runs.run_id"],
            name="fk_preference_pairs_run_id_training_runs",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("pair_id", name="pk_preference_pairs"),
    )
    op.create_index(
        "ix_preference_pairs_completion_id", "preference_pairs", ["completion_id"], unique=False
    )
    op.create_index("ix_preference_pairs_run_id", "preference_pairs", ["run_id"], unique=False)


def _create_adapters() -> None:
    op.create_table(
        "adapters",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("base_model", sa.String(length=512), nullable=False),
        sa.Column("base_sha256", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("registered_at", TIME, nullable=False),
        sa.Column("promoted_at", TIME, nullable=True),
        sa.Column("promoted_by", sa.String(length=128), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_adapters"),
    )
    op.create_index(
        "uq_adapters_live",
        "adapters",
        ["state"],
        unique=True,
        sqlite_where=sa.text("state = 'live'"),
        postgresql_where=sa.text("state = 'live'"),
    )


def _create_adapter_changes() -> None:
    op.create_table(
        "adapter_changes",
        sa.Column("change_id", ROW_ID, nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("adapter", sa.String(length=64), nullable=True),
        sa.Column("replaced", sa.String(length=64), nullable=True),
        sa.Column("changed_by", sa.String(length=128), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("change_id", name="pk_adapter_changes"),
    )
