"""Store whose voice a message is in, and which models groups and decisions belong to.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("lines", sa.Column("person_id", sa.BigInteger))
    op.add_column("groups", sa.Column("model_folder", sa.Text))
    op.add_column("decisions", sa.Column("model_folder", sa.Text))


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("lines", "person_id")
    op.drop_column("groups", "model_folder")
    op.drop_column("decisions", "model_folder")
