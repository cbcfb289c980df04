"""All shelves of one database."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from bot.store.decisions import Decisions
from bot.store.erasing import Erasing
from bot.store.groups import Groups
from bot.store.guesses import Guesses
from bot.store.inbox import Inbox
from bot.store.journal import Journal
from bot.store.messages import Store
from bot.store.reactions import Reactions
from bot.store.stickers import Stickers


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
