"""The bot's database: `Store` has a repository for each kind of data."""

from dataclasses import dataclass

from bot.store.database import Database
from bot.store.erasure import Eraser
from bot.store.groups import Decisions, Groups
from bot.store.inbox import Inbox
from bot.store.messages import MessageStore, Reactions, Stickers
from bot.store.names import Names
from bot.store.outbox import Outbox
from bot.store.quizzes import Quizzes
from bot.store.vacuum import Vacuum


@dataclass(frozen=True, slots=True)
class Store:
    """The repositories of one database, one for each kind of data."""

    database: Database
    messages: MessageStore
    inbox: Inbox
    outbox: Outbox
    groups: Groups
    decisions: Decisions
    names: Names
    reactions: Reactions
    stickers: Stickers
    quizzes: Quizzes
    eraser: Eraser
    vacuum: Vacuum

    @classmethod
    def of(cls, database: Database) -> "Store":
        """Return the repositories of a database."""
        return cls(
            database,
            MessageStore(database),
            Inbox(database),
            Outbox(database),
            Groups(database),
            Decisions(database),
            Names(database),
            Reactions(database),
            Stickers(database),
            Quizzes(database),
            Eraser(database),
            Vacuum(database),
        )
