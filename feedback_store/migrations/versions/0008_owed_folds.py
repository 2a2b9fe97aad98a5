"""Completions whose events were stored in a hurry: their outcomes are folded a little later.

Turns revision 0007 into 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

UUID = sa.String(length=36).with_variant(sa.Uuid(), "postgresql")


def upgrade() -> None:
    """Create the table, empty: until now every event was folded as it was stored."""
    op.create_table(
        "owed_folds",
        sa.Column("completion_id", UUID, nullable=False),
        sa.PrimaryKeyConstraint("completion_id", name="pk_owed_folds"),
    )


def downgrade() -> None:
    """Forget it. What is still owed then is made good by `hone store refold`."""
    op.drop_table("owed_folds")
