"""Store the chat of each source: a line can be in the supergroup that its chat has become.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column: the chat for which the line's turn was generated."""
    op.drop_index("sources_by_source", "sources")
    op.add_column("sources", sa.Column("source_chat_id", sa.BigInteger))
    op.execute(
        "UPDATE sources SET source_chat_id = coalesce((SELECT replies.chat_id FROM replies JOIN "
        "lines ON lines.reply_id = replies.id WHERE lines.chat_id = sources.chat_id AND "
        "lines.message_id = sources.message_id), chat_id)"
    )
    with op.batch_alter_table("sources") as table:
        table.alter_column("source_chat_id", existing_type=sa.BigInteger, nullable=False)
    op.create_index("sources_by_source", "sources", ["source_chat_id", "source_id"])


def downgrade() -> None:
    """Drop the column again."""
    op.drop_index("sources_by_source", "sources")
    op.drop_column("sources", "source_chat_id")
    op.create_index("sources_by_source", "sources", ["chat_id", "source_id"])
