"""Store the update of each decision, so that handling it again stores nothing twice.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column, and put it into the index."""
    op.add_column("decisions", sa.Column("update_id", sa.BigInteger))
    op.drop_index("decisions_by_user", "decisions")
    op.create_index("decisions_by_user", "decisions", ["user_id", "update_id"], unique=True)


def downgrade() -> None:
    """Drop the column."""
    op.drop_index("decisions_by_user", "decisions")
    op.drop_column("decisions", "update_id")
    op.create_index("decisions_by_user", "decisions", ["user_id", "id"])
