"""The tables of the bot's database; their history is in `migrations`."""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, kept as UTC: SQLite knows no time zones."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return what is kept."""
        del dialect
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return what was kept, aware."""
        del dialect
        return value.replace(tzinfo=UTC) if value else None


metadata = MetaData()

messages = Table(
    "messages",
    metadata,
    Column("chat_id", BigInteger, primary_key=True, autoincrement=False),
    Column("message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("topic_id", BigInteger),
    Column("author_id", BigInteger, nullable=False),
    Column("author_name", Text),
    Column("text", Text, nullable=False),
    Column("sent_at", UtcDateTime, nullable=False),
    Column("reply_to", BigInteger),
    Column("is_forward", Boolean, nullable=False),
    Column("is_from_bot", Boolean, nullable=False),
    Column("edited_at", UtcDateTime),
    Index("messages_in_order", "chat_id", "topic_id", "sent_at", "message_id"),
)
