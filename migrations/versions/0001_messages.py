"""Store messages.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table of messages."""
    op.create_table(
        "messages",
        sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("message_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("topic_id", sa.BigInteger),
        sa.Column("author_id", sa.BigInteger, nullable=False),
        sa.Column("author_name", sa.Text),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("sent_at", sa.DateTime, nullable=False),
        sa.Column("reply_to", sa.BigInteger),
        sa.Column("is_forward", sa.Boolean, nullable=False),
        sa.Column("is_from_bot", sa.Boolean, nullable=False),
        sa.Column("edited_at", sa.DateTime),
    )
    op.create_index(
        "messages_in_order", "messages", ["chat_id", "topic_id", "sent_at", "message_id"]
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("messages")
