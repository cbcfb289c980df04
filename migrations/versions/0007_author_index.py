"""Find the messages of an author without reading all messages.

Revision ID: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the index."""
    op.create_index("messages_by_author", "messages", ["author_id"])


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("messages_by_author", "messages")
