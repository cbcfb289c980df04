"""Store updates, replies, groups, decisions, guesses, reactions and stickers.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables."""
    _of_updates()
    _of_lines()
    _of_groups()
    _of_games()


def downgrade() -> None:
    """Drop the tables."""
    for name in (
        "stickers",
        "reactions",
        "answers",
        "guesses",
        "forgotten",
        "decisions",
        "groups",
        "sources",
        "lines",
        "replies",
        "inbox",
    ):
        op.drop_table(name)


def _of_updates() -> None:
    """Create the tables of updates and replies."""
    op.create_table(
        "inbox",
        sa.Column("update_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("body", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("begun", sa.Integer, nullable=False),
        sa.Column("received_at", sa.DateTime, nullable=False),
    )
    op.create_index("inbox_by_state", "inbox", ["state", "update_id"])
    op.create_table(
        "replies",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("update_id", sa.BigInteger),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("chat_id", sa.BigInteger, nullable=False),
        sa.Column("topic_id", sa.BigInteger),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("begun_at", sa.DateTime, nullable=False),
        sa.UniqueConstraint("update_id", "part"),
    )
    op.create_index("replies_by_state", "replies", ["state"])


def _of_lines() -> None:
    """Create the tables of the bot's own lines."""
    op.create_table(
        "lines",
        sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("message_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("reply_id", sa.Integer, nullable=False),
        sa.Column("voice", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("sent_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "sources",
        sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("message_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("source_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.ForeignKeyConstraint(
            ["chat_id", "message_id"], ["lines.chat_id", "lines.message_id"], ondelete="CASCADE"
        ),
    )
    op.create_index("sources_by_source", "sources", ["chat_id", "source_id"])
    op.create_table(
        "reactions",
        sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("message_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("emoji", sa.Text, primary_key=True),
        sa.ForeignKeyConstraint(
            ["chat_id", "message_id"], ["lines.chat_id", "lines.message_id"], ondelete="CASCADE"
        ),
    )


def _of_groups() -> None:
    """Create the tables of groups and decisions."""
    op.create_table(
        "groups",
        sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("title", sa.Text),
        sa.Column("authorised", sa.Boolean, nullable=False),
        sa.Column("allowed", sa.Text, nullable=False),
        sa.Column("moved_from", sa.BigInteger),
        sa.Column("told_privacy", sa.Boolean, nullable=False),
        sa.Column("chatty", sa.Integer, nullable=False),
        sa.Column("quiet_until", sa.DateTime),
    )
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("chat_id", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
    )
    op.create_index("decisions_by_user", "decisions", ["user_id", "id"])
    op.create_table(
        "forgotten",
        sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("message_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime, nullable=False),
    )


def _of_games() -> None:
    """Create the tables of guesses and stickers."""
    op.create_table(
        "guesses",
        sa.Column("poll_id", sa.Text, primary_key=True),
        sa.Column("chat_id", sa.BigInteger, nullable=False),
        sa.Column("message_id", sa.BigInteger, nullable=False),
        sa.Column("right", sa.Integer, nullable=False),
        sa.Column("voice", sa.Text, nullable=False),
        sa.Column("is_machine", sa.Boolean, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("asked_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "answers",
        sa.Column("poll_id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("chosen", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["poll_id"], ["guesses.poll_id"], ondelete="CASCADE"),
    )
    op.create_table(
        "stickers",
        sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("file_unique_id", sa.Text, primary_key=True),
        sa.Column("emoji", sa.Text, nullable=False),
        sa.Column("file_id", sa.Text, nullable=False),
        sa.Column("used", sa.Integer, nullable=False),
    )
