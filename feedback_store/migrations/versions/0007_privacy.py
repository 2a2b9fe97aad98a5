"""Consents, what the second scan found and by which rules, and sessions that were ended.

Turns revision 0006 into 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UUID = sa.String(length=36).with_variant(sa.Uuid(), "postgresql")


def upgrade() -> None:
    """Create the four tables, all empty: what is stored came with consent, and is not scanned."""
    op.create_table(
        "consents",
        sa.Column("consent_id", ROW_ID, nullable=False),
        sa.Column("pseudonym", sa.String(length=64), nullable=False),
        sa.Column("repository", sa.String(length=64), nullable=False),
        sa.Column("client", sa.String(length=128), nullable=False),
        sa.Column("given_at", TIME, nullable=True),
        sa.Column("withdrawn_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("consent_id", name="pk_consents"),
        sa.UniqueConstraint("pseudonym", "repository", name="uq_consents_pseudonym_repository"),
    )
    op.create_table(
        "scan_hits",
        sa.Column("completion_id", UUID, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("found_at", TIME, nullable=False),
        sa.Column("found_in", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("completion_id", "kind", name="pk_scan_hits"),
    )
    op.create_index("ix_scan_hits_found_at", "scan_hits", ["found_at"])
    op.create_table(
        "scan_rules",
        sa.Column("rules", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("rescanned_at", TIME, nullable=True),
        sa.PrimaryKeyConstraint("rules", name="pk_scan_rules"),
    )
    op.create_table(
        "ended_sessions",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_ended_sessions"),
    )


def downgrade() -> None:
    """Forget them; what was withdrawn is recorded again as far as editors say so."""
    for table in ("ended_sessions", "scan_rules", "scan_hits", "consents"):
        op.drop_table(table)
