"""Filters that hide what nobody would take.

Turns revision 0004 into 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table, empty: everything is shown."""
    op.create_table(
        "show_filters",
        sa.Column("filter_id", ROW_ID, nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("fitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("verdict", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("filter_id", name="pk_show_filters"),
    )
    op.create_index("ix_show_filters_model_sha256", "show_filters", ["model_sha256"])


def downgrade() -> None:
    """Forget the filters; everything is shown again."""
    op.drop_table("show_filters")
