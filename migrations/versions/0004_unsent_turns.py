"""Store the unsent messages of turns, and the updates on which the bot crashed.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("replies", sa.Column("turn", sa.Text))
    op.add_column(
        "inbox", sa.Column("working", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.add_column("inbox", sa.Column("crashes", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("replies", "turn")
    op.drop_column("inbox", "working")
    op.drop_column("inbox", "crashes")
