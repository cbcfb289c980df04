"""Store how each turn was generated.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column."""
    op.add_column("replies", sa.Column("generation", sa.Text))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("replies", "generation")
