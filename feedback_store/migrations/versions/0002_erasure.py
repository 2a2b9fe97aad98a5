"""Erasure: remember what was erased, and bar adapters that were trained on it.

Turns revision 0001 into 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
UUID = sa.String(36).with_variant(sa.Uuid(), "postgresql")


def upgrade() -> None:
    """Add the table of erased completions and the bar on adapters."""
    op.create_table(
        "erased_completions",
        sa.Column("completion_id", UUID, nullable=False),
        sa.Column("erased_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("completion_id", name="pk_erased_completions"),
    )
    op.add_column("adapters", sa.Column("barred_reason", sa.Text(), nullable=True))


def downgrade() -> None:
    """Forget what was erased, and which adapters are barred."""
    with op.batch_alter_table("adapters") as adapters:
        adapters.drop_column("barred_reason")
    op.drop_table("erased_completions")
