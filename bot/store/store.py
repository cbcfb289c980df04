"""All repositories of one database."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from bot.store.erasure import Erasing
from bot.store.groups import Decisions, Groups
from bot.store.inbox import Inbox
from bot.store.messages import Reactions, Stickers, Store
from bot.store.outbox import Journal
from bot.store.quizzes import Guesses


@dataclass(frozen=True, slots=True)
class Shelves:
    """All that the bot keeps, by kind; one database."""

    messages: Store
    inbox: Inbox
    journal: Journal
    groups: Groups
    decisions: Decisions
    reactions: Reactions
    stickers: Stickers
    guesses: Guesses
    erasing: Erasing

    @classmethod
    def of(cls, engine: AsyncEngine) -> "Shelves":
        """Return what an engine's database keeps."""
        return cls(
            Store(engine),
            Inbox(engine),
            Journal(engine),
            Groups(engine),
            Decisions(engine),
            Reactions(engine),
            Stickers(engine),
            Guesses(engine),
            Erasing(engine),
        )
