"""Daily figures tell every stage of the latency of slices too, as lists of counts.

Turns revision 0008 into 0009.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Have the figures of every day made anew; the host does it, beside its work."""
    figures = sa.table("daily_figures", sa.column("day", sa.Date()))
    stale = sa.table("stale_figures", sa.column("day", sa.Date()))
    op.execute(stale.insert().from_select(["day"], sa.select(figures.c.day).distinct()))
    op.execute(figures.delete())


def downgrade() -> None:
    """Do the same: an older host writes them as it reads them."""
    upgrade()
