"""Daily figures, words to search by, an index to browse by, and how many a canary answers.

Turns revision 0005 into 0006.
"""

from datetime import timedelta

import sqlalchemy as sa
from alembic import op

from feedback_store.columns import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# SQLite's index keeps no text of its own; these keep it in step with the table.
_TRIGGERS = {
    "insert": "INSERT INTO search_words (rowid, words) VALUES (new.document_id, new.words);",
    "delete": "INSERT INTO search_words (search_words, rowid, words) "
    "VALUES ('delete', old.document_id, old.words);",
}
_TRIGGERS["update"] = _TRIGGERS["delete"] + _TRIGGERS["insert"]


def upgrade() -> None:
    """Create the tables, and mark every day as one whose figures have to be made."""
    op.create_table(
        "stale_figures",
        sa.Column("mark_id", ROW_ID, nullable=False),
        sa.Column("completion_id", _uuid(), nullable=True),
        sa.Column("day", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("mark_id", name="pk_stale_figures"),
    )
    op.create_table(
        "daily_figures",
        sa.Column("dimension", sa.String(length=16), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in ("served", "shown", "accepted", "kept", "retained_characters")
        ),
        sa.Column("kinds", sa.JSON(), nullable=False),
        sa.Column("latency", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("dimension", "day", "name", name="pk_daily_figures"),
    )
    op.create_table(
        "search_texts",
        sa.Column("document_id", ROW_ID, nullable=False),
        sa.Column("completion_id", _uuid(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["completion_id"],
            ["completions.completion_id"],
            name="fk_search_texts_completion_id_completions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("document_id", name="pk_search_texts"),
        sa.UniqueConstraint("completion_id", name="uq_search_texts_completion_id"),
    )
    _index_words()
    op.create_index(
        "ix_completions_browse",
        "completions",
        ["served_at", "completion_id", "language", "client", "adapter", "repository"],
    )
    op.drop_index("ix_completions_served_at", table_name="completions")
    op.add_column("adapters", sa.Column("canary_share", sa.Double(), nullable=True))
    _mark_every_day()


def downgrade() -> None:
    """Drop what can be made again from the facts; a canary becomes a candidate."""
    op.execute("UPDATE adapters SET state = 'candidate' WHERE state = 'canary'")
    with op.batch_alter_table("adapters") as table:
        table.drop_column("canary_share")
    op.create_index("ix_completions_served_at", "completions", ["served_at"])
    op.drop_index("ix_completions_browse", table_name="completions")
    if not _is_postgresql():
        op.execute("DROP TABLE search_words")
    op.drop_table("search_texts")
    op.drop_table("daily_figures")
    op.drop_table("stale_figures")


def _is_postgresql() -> bool:
    return bool(op.get_bind().dialect.name == "postgresql")


def _uuid() -> sa.String:
    return sa.String(length=36).with_variant(sa.Uuid(), "postgresql")


def _index_words() -> None:
    if _is_postgresql():
        op.execute(
            "CREATE INDEX search_words ON search_texts USING gin (to_tsvector('simple', words))"
        )
        return
    op.execute(
        "CREATE VIRTUAL TABLE search_words USING fts5("
        "words, content='search_texts', content_rowid='document_id', detail='none')"
    )
    for deed, statement in _TRIGGERS.items():
        op.execute(
            f"CREATE TRIGGER search_texts_{deed} AFTER {deed.upper()} ON search_texts "
            f"BEGIN {statement} END"
        )


def _mark_every_day() -> None:
    completions = sa.table("completions", sa.column("served_at", UtcDateTime()))
    served_at = completions.c.served_at
    span = op.get_bind().execute(sa.select(sa.func.min(served_at), sa.func.max(served_at))).one()
    if span[0] is None:
        return
    first, last = span[0].date(), span[1].date()
    days = [{"day": first + timedelta(days=n)} for n in range((last - first).days + 1)]
    op.bulk_insert(sa.table("stale_figures", sa.column("day", sa.Date())), days)
