"""All repositories of one database."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from bot.store.erasure import Eraser
from bot.store.groups import Decisions, Groups
from bot.store.inbox import Inbox
from bot.store.messages import MessageStore, Reactions, Stickers
from bot.store.outbox import Outbox
from bot.store.quizzes import Quizzes


@dataclass(frozen=True, slots=True)
class Store:
    """All that the bot keeps, by kind; one database."""

    messages: MessageStore
    inbox: Inbox
    outbox: Outbox
    groups: Groups
    decisions: Decisions
    reactions: Reactions
    stickers: Stickers
    quizzes: Quizzes
    eraser: Eraser

    @classmethod
    def of(cls, engine: AsyncEngine) -> "Store":
        """Return what an engine's database keeps."""
        return cls(
            MessageStore(engine),
            Inbox(engine),
            Outbox(engine),
            Groups(engine),
            Decisions(engine),
            Reactions(engine),
            Stickers(engine),
            Quizzes(engine),
            Eraser(engine),
        )
