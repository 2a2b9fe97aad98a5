"""Reviews of pairs: more verdicts, what was seen, what was undone, and which pair to judge first.

Turns revision 0003 into 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

VERDICTS = "verdict IN ('agree', 'swap', 'both_bad', 'both_good', 'edit', 'skip', 'up', 'down')"


def upgrade() -> None:
    """Keep the reviews there are; pairs of earlier nights can be judged by their weight."""
    with op.batch_alter_table("reviews") as table:
        table.alter_column("verdict", existing_type=sa.String(8), type_=sa.String(16))
        table.add_column(sa.Column("rule", sa.String(length=8), nullable=True))
        table.add_column(sa.Column("chosen", sa.Text(), nullable=True))
        table.add_column(sa.Column("rejected", sa.Text(), nullable=True))
        table.add_column(
            sa.Column("blind", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        table.add_column(sa.Column("batch", sa.String(length=36), nullable=True))
        table.add_column(sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("undone_by", sa.String(length=128), nullable=True))
        table.create_check_constraint(op.f("ck_reviews_verdict"), VERDICTS)
    op.create_index("ix_reviews_batch", "reviews", ["batch"], unique=False)
    op.add_column(
        "preference_pairs",
        sa.Column("interest", sa.Double(), nullable=False, server_default=sa.text("0")),
    )
    op.add_column(
        "preference_pairs", sa.Column("why", sa.Text(), nullable=False, server_default="")
    )
    op.create_index(
        "ix_preference_pairs_run_id_interest", "preference_pairs", ["run_id", "interest"]
    )
    op.execute(
        "UPDATE preference_pairs SET interest = weight / 2 "
        "WHERE chosen IS NOT NULL AND rejected IS NOT NULL"
    )


def downgrade() -> None:
    """Say with up and down what can be said with them; a skip, or what was undone, says nothing."""
    op.drop_index("ix_preference_pairs_run_id_interest", table_name="preference_pairs")
    with op.batch_alter_table("preference_pairs") as table:
        table.drop_column("why")
        table.drop_column("interest")
    op.execute("DELETE FROM reviews WHERE verdict = 'skip' OR undone_at IS NOT NULL")
    op.execute("UPDATE reviews SET text = chosen WHERE verdict = 'agree' AND rejected IS NOT NULL")
    op.execute(
        "UPDATE reviews SET verdict = 'up' WHERE verdict IN ('swap', 'both_good') "
        "OR (verdict = 'agree' AND rejected IS NULL)"
    )
    op.execute("UPDATE reviews SET verdict = 'down' WHERE verdict <> 'up'")
    op.drop_index("ix_reviews_batch", table_name="reviews")
    with op.batch_alter_table("reviews") as table:
        table.drop_constraint(op.f("ck_reviews_verdict"), type_="check")
        for name in ("undone_by", "undone_at", "batch", "blind", "rejected", "chosen", "rule"):
            table.drop_column(name)
        table.alter_column("verdict", existing_type=sa.String(16), type_=sa.String(8))
