"""Create the tables of the first release.

Revision ID: 0001_tables
"""

import sqlalchemy as sa
from alembic import op

revision = "0001_tables"
down_revision = None

_DROP = """
DROP TABLE procrastinate_events, procrastinate_periodic_defers, procrastinate_jobs,
  procrastinate_workers CASCADE;
DO $$
DECLARE one record;
BEGIN
  FOR one IN SELECT oid::regprocedure AS name FROM pg_proc WHERE proname LIKE 'procrastinate%'
  LOOP EXECUTE 'DROP FUNCTION ' || one.name || ' CASCADE'; END LOOP;
END $$;
DROP TYPE procrastinate_job_status, procrastinate_job_event_type, procrastinate_job_to_defer_v1;
"""


def upgrade() -> None:
    """Create the tables; on a server, also those for several processes."""
    _create_updates()
    _create_messages()
    _create_lines()
    _create_groups()
    _create_quizzes()
    if op.get_bind().dialect.name == "postgresql":
        _create_server_tables()


def downgrade() -> None:
    """Drop the tables."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_table("limits")
        _run_script(_DROP)
    for name in (
        "answers",
        "guesses",
        "reactions",
        "sources",
        "lines",
        "sends",
        "replies",
        "inbox",
        "decisions",
        "names",
        "groups",
        "stickers",
        "forgotten",
        "messages",
    ):
        op.drop_table(name)


def _create_updates() -> None:
    op.create_table(
        "inbox",
        sa.Column("update_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("body", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("begun", sa.Integer, nullable=False),
        sa.Column("received_at", sa.DateTime, nullable=False),
        sa.Column("working", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("crashes", sa.Integer, nullable=False, server_default="0"),
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
        sa.Column("generation", sa.Text),
        sa.Column("turn", sa.Text),
        sa.UniqueConstraint("update_id", "part"),
    )
    op.create_index("replies_by_state", "replies", ["state"])
    op.create_table(
        "sends",
        sa.Column("update_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("note", sa.Text, nullable=False),
    )


def _create_messages() -> None:
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
    op.create_index("messages_by_author", "messages", ["author_id"])
    op.create_index(
        "messages_in_order", "messages", ["chat_id", "topic_id", "sent_at", "message_id"]
    )
    op.create_table(
        "forgotten",
        sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("message_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "stickers",
        sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("file_unique_id", sa.Text, primary_key=True),
        sa.Column("emoji", sa.Text, nullable=False),
        sa.Column("file_id", sa.Text, nullable=False),
        sa.Column("used", sa.Integer, nullable=False),
    )


def _create_lines() -> None:
    op.create_table(
        "lines",
        sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("message_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("reply_id", sa.Integer, nullable=False),
        sa.Column("voice", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("sent_at", sa.DateTime, nullable=False),
        sa.Column("person_id", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "sources",
        sa.Column("chat_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("message_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("source_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("source_chat_id", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["chat_id", "message_id"], ["lines.chat_id", "lines.message_id"], ondelete="CASCADE"
        ),
    )
    op.create_index("sources_by_source", "sources", ["source_chat_id", "source_id"])
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


def _create_groups() -> None:
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
        sa.Column("model_folder", sa.Text),
    )
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("chat_id", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("update_id", sa.BigInteger),
    )
    op.create_index("decisions_by_user", "decisions", ["user_id", "update_id"], unique=True)
    op.create_table(
        "names",
        sa.Column("user_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("shown_at", sa.DateTime, nullable=False),
    )


def _create_quizzes() -> None:
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


def _create_server_tables() -> None:
    """Create the tables of several processes, and those of procrastinate, the job queue."""
    from procrastinate.schema import SchemaManager

    op.create_table(
        "limits",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
    )
    op.create_index("limits_by_key", "limits", ["key", "at"])
    _run_script(SchemaManager.get_schema())


def _run_script(script: str) -> None:
    """Run several statements, which the driver allows if they have no parameters."""
    op.get_bind().connection.driver_connection.execute(script)  # type: ignore[union-attr]  # psycopg's
