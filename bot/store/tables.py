"""Define the tables of the bot's database, which `migrations` creates."""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, stored as UTC: SQLite has no time zones."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the stored form."""
        del dialect
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return an aware time."""
        del dialect
        return value.replace(tzinfo=UTC) if value else None


class WrittenText(TypeDecorator[str]):
    """Text by people. PostgreSQL cannot store the character NUL, so it is left out there."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the stored form."""
        return value.replace("\0", "") if value and dialect.name == "postgresql" else value


class ChatIds(TypeDecorator[frozenset[int]]):
    """A set of ids, stored as text separated by spaces."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: frozenset[int] | None, dialect: Dialect) -> str:
        """Return the stored form."""
        del dialect
        return " ".join(map(str, sorted(value or ())))

    def process_result_value(self, value: str | None, dialect: Dialect) -> frozenset[int]:
        """Return the set."""
        del dialect
        return frozenset(map(int, (value or "").split()))


metadata = MetaData()

messages = Table(
    "messages",
    metadata,
    Column("chat_id", BigInteger, primary_key=True, autoincrement=False),
    Column("message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("topic_id", BigInteger),
    Column("author_id", BigInteger, nullable=False),
    Column("author_name", WrittenText),
    Column("text", WrittenText, nullable=False),
    Column("sent_at", UtcDateTime, nullable=False),
    Column("reply_to", BigInteger),
    Column("is_forward", Boolean, nullable=False),
    Column("is_from_bot", Boolean, nullable=False),
    Column("edited_at", UtcDateTime),
    Index("messages_in_order", "chat_id", "topic_id", "sent_at", "message_id"),
    Index("messages_by_author", "author_id"),
)


inbox = Table(
    "inbox",
    metadata,
    Column("update_id", BigInteger, primary_key=True, autoincrement=False),
    Column("body", Text),
    Column("state", Text, nullable=False),
    Column("begun", Integer, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("working", Boolean, nullable=False, server_default=false()),
    Column("crashes", Integer, nullable=False, server_default="0"),
    Index("inbox_by_state", "state", "update_id"),
)
"""Updates as Telegram sent them; the body is deleted once an update is handled.

`begun`: how often its handlers were started. `working`: the update was started before, and its
handler code is running again now. `crashes`: how often the process died while `working` was true.
"""

replies = Table(
    "replies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("update_id", BigInteger),
    Column("part", Integer, nullable=False),
    Column("chat_id", BigInteger, nullable=False),
    Column("topic_id", BigInteger),
    Column("state", Text, nullable=False),
    Column("begun_at", UtcDateTime, nullable=False),
    Column("generation", Text),
    Column("turn", Text),
    UniqueConstraint("update_id", "part"),
    Index("replies_by_state", "state"),
)
"""The bot's replies to each update, part by part, and their states.

`generation` is JSON: the number of messages that a turn was generated from, and how many candidates
were rejected for each reason. `turn`: the unsent messages in a voice, as JSON; see
`bot.store.outbox`.
"""

lines = Table(
    "lines",
    metadata,
    Column("chat_id", BigInteger, primary_key=True, autoincrement=False),
    Column("message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("reply_id", Integer, nullable=False),
    Column("voice", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("sent_at", UtcDateTime, nullable=False),
    Column("person_id", BigInteger, nullable=False),
)
"""The bot's messages in a voice, and the model version that generated them.

`person_id`: an id of the person whose voice it is.
"""

sources = Table(
    "sources",
    metadata,
    Column("chat_id", BigInteger, primary_key=True, autoincrement=False),
    Column("message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("source_id", BigInteger, primary_key=True, autoincrement=False),
    Column("source_chat_id", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["chat_id", "message_id"], ["lines.chat_id", "lines.message_id"], ondelete="CASCADE"
    ),
    Index("sources_by_source", "source_chat_id", "source_id"),
)
"""The messages that each of the bot's messages was generated from.

`source_chat_id` differs from `chat_id` if the chat became a supergroup while the turn was sent.
"""

groups = Table(
    "groups",
    metadata,
    Column("chat_id", BigInteger, primary_key=True, autoincrement=False),
    Column("title", WrittenText),
    Column("authorised", Boolean, nullable=False),
    Column("allowed", ChatIds, nullable=False),
    Column("moved_from", BigInteger),
    Column("told_privacy", Boolean, nullable=False),
    Column("chatty", Integer, nullable=False),
    Column("quiet_until", UtcDateTime),
    Column("model_folder", Text),
)
"""The groups the bot is in; see `bot.store.groups.Group`."""

decisions = Table(
    "decisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("chat_id", BigInteger, nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("decision", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("update_id", BigInteger),
    Index("decisions_by_user", "user_id", "update_id", unique=True),
)
"""Each /optin and /optout; see `bot.store.groups.StoredDecision`."""

names = Table(
    "names",
    metadata,
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", WrittenText, primary_key=True),
    Column("shown_at", UtcDateTime, nullable=False),
)
"""The names that Telegram showed for people of the models' rosters, and when each was new."""

forgotten = Table(
    "forgotten",
    metadata,
    Column("chat_id", BigInteger, primary_key=True, autoincrement=False),
    Column("message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
)
"""The ids of forgotten messages, which must not be stored or learned from again."""

guesses = Table(
    "guesses",
    metadata,
    Column("poll_id", Text, primary_key=True),
    Column("chat_id", BigInteger, nullable=False),
    Column("message_id", BigInteger, nullable=False),
    Column("right", Integer, nullable=False),
    Column("voice", Text, nullable=False),
    Column("is_machine", Boolean, nullable=False),
    Column("version", Text, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
)
"""The quizzes of /guess; `right` is the index of the correct option."""

answers = Table(
    "answers",
    metadata,
    Column("poll_id", Text, primary_key=True),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_name", WrittenText, nullable=False),
    Column("chosen", Integer, nullable=False),
    ForeignKeyConstraint(["poll_id"], ["guesses.poll_id"], ondelete="CASCADE"),
)
"""People's answers to the quizzes."""

reactions = Table(
    "reactions",
    metadata,
    Column("chat_id", BigInteger, primary_key=True, autoincrement=False),
    Column("message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("emoji", Text, primary_key=True),
    ForeignKeyConstraint(
        ["chat_id", "message_id"], ["lines.chat_id", "lines.message_id"], ondelete="CASCADE"
    ),
)
"""Reactions to the bot's messages."""

stickers = Table(
    "stickers",
    metadata,
    Column("chat_id", BigInteger, primary_key=True, autoincrement=False),
    Column("file_unique_id", Text, primary_key=True),
    Column("emoji", Text, nullable=False),
    Column("file_id", Text, nullable=False),
    Column("used", Integer, nullable=False),
)
"""The stickers that a group has used."""

sends = Table(
    "sends",
    metadata,
    Column("update_id", BigInteger, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
)
"""Messages that are being sent; see `bot.store.send_log`."""

server_metadata = MetaData()
"""The tables that only a PostgreSQL server has; several processes of a bot use them."""

limits = Table(
    "limits",
    server_metadata,
    Column("id", BigInteger, primary_key=True),
    Column("key", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("limits_by_key", "key", "at"),
)
"""When a limited action was performed; see `bot.store.postgres.limits`."""
