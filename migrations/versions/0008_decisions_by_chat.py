"""Drop the models of decisions: an `/optin` counts in the chat in which it was sent.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Drop the column."""
    op.drop_column("decisions", "model_folder")


def downgrade() -> None:
    """Add the column again."""
    op.add_column("decisions", sa.Column("model_folder", sa.Text))
