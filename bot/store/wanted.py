"""Which messages are to be forgotten, and which of the bot's go with them, as queries."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store.scrubbing import Ref
from bot.store.tables import guesses, lines, messages, sources
from model.marker import spoken


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be forgotten: single messages, or all of somebody's, by the ids they write under.

    `own` are lines of the bot's. `voices` are names whose lines go, whatever they were made from;
    `bots` are the ids under which the bot said them.
    """

    messages: tuple[Ref, ...] = ()
    own: tuple[Ref, ...] = ()
    authors: frozenset[int] = frozenset()
    voices: tuple[str, ...] = ()
    bots: frozenset[int] = frozenset()


async def lines_of(connection: AsyncConnection, wanted: Wanted) -> frozenset[Ref]:
    """Return the bot's messages that go too: made from these, or in the voices, quizzes as well."""
    made_from = select(sources.c.chat_id, sources.c.message_id).join(
        messages,
        and_(messages.c.chat_id == sources.c.chat_id, messages.c.message_id == sources.c.source_id),
    )
    queries = [
        made_from.where(_is_meant(wanted)),
        *(
            select(sources.c.chat_id, sources.c.message_id).filter_by(
                chat_id=ref.chat_id, source_id=ref.message_id
            )
            for ref in wanted.messages
        ),
        select(lines.c.chat_id, lines.c.message_id).where(lines.c.voice.in_(wanted.voices)),
        select(guesses.c.chat_id, guesses.c.message_id).where(guesses.c.voice.in_(wanted.voices)),
        select(messages.c.chat_id, messages.c.message_id).where(_is_spoken(wanted)),
    ]
    found = set(wanted.own)
    for query in queries:
        found.update(Ref(*row) for row in await connection.execute(query))
    return frozenset(found)


def _is_meant(wanted: Wanted) -> ColumnElement[bool]:
    one_by_one = (
        and_(messages.c.chat_id == ref.chat_id, messages.c.message_id == ref.message_id)
        for ref in wanted.messages
    )
    return or_(messages.c.author_id.in_(wanted.authors), *one_by_one)


def _is_spoken(wanted: Wanted) -> ColumnElement[bool]:
    """Whether a message is the bot's, in one of the voices: of old ones the text alone tells."""
    starts = (messages.c.text.startswith(spoken(v, ""), autoescape=True) for v in wanted.voices)
    return and_(messages.c.author_id.in_(wanted.bots), or_(False, *starts))  # noqa: FBT003
