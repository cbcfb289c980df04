"""Handle `/stats`: a picture of who talks when, and of everyone's own words."""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass, field

from telegram import Message
from telegram.error import TelegramError

from bot.application import Context
from bot.services.picture import PictureTexts, can_draw, draw_statistics, list_drawn_people
from bot.services.state import BotState
from bot.services.statistics import MAX_MESSAGES, Statistics, compute_statistics
from bot.store.messages import Place
from bot.texts.wording import Wording
from bot.transport.incoming import place_of
from bot.transport.outgoing import typing

PAUSE_SECONDS = 60.0
"""Seconds in which a place gets its statistics only once."""
MIN_MESSAGES = 20
"""Messages below which there is nothing to see."""
_BARS = "·▁▂▃▄▅▆▇█"
_WEEKDAY_LETTERS = 3


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """Sends the statistics of a group or topic; one picture is drawn at a time.

    `sent_at` is when a place last got them, `pending` are the places that wait for them.
    """

    sent_at: dict[Place, float] = field(default_factory=dict)
    pending: set[Place] = field(default_factory=set)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def show(self, message: Message, context: Context) -> str | None:
        """Send the statistics, or return why there are none."""
        place, texts = place_of(message), context.texts
        if place.chat_id > 0:
            return texts.groups_only
        if place in self.pending:
            return texts.busy
        last = self.sent_at.get(place)
        if last is not None and time.monotonic() - last < PAUSE_SECONDS:
            return texts.stats_recent
        self.pending.add(place)
        try:
            async with typing(context.bot, place), self.lock:
                return await self._send(place, context)
        finally:
            self.pending.discard(place)

    async def _send(self, place: Place, context: Context) -> str | None:
        state, texts = context.state, context.texts
        agreed = state.access.voices
        authors = {number for person in agreed for number in person.ids}
        if not authors:
            return texts.no_voices
        roster = state.access.roster
        messages = await state.store.messages.find_by_authors(place, authors, MAX_MESSAGES)
        found = await asyncio.to_thread(compute_statistics, messages, roster, agreed)
        if found is None or found.messages < MIN_MESSAGES:
            count = texts.format_count(texts.messages, found.messages if found else 0)
            return texts.stats_too_few.format(messages=count)
        picture, drawn = None, list[str]()
        if can_draw():
            drawn = await asyncio.to_thread(list_drawn_people, found)
            weekdays = tuple(day[:_WEEKDAY_LETTERS] for day in texts.weekdays.split())
            words = PictureTexts(texts.stats_hours, texts.stats_words, weekdays)
            picture = await asyncio.to_thread(draw_statistics, found, words)

        async def may_send(_: str) -> bool:
            """Return False if somebody withdrew, or forgot a message, in the meantime."""
            return _is_valid(found, authors, place, state)

        text = describe(found, texts, drawn, with_hours=picture is None)
        sent = await context.delivery.show(place, picture, text, may_send)
        if sent is None:
            return None
        self.sent_at[place] = time.monotonic()
        if not await may_send(text):  # it was withdrawn while the picture was being sent
            await _delete(context, sent)
        return None


def describe(found: Statistics, texts: Wording, drawn: Collection[str], *, with_hours: bool) -> str:
    """Return the statistics as text.

    The words of `drawn` people are in the picture above it. `with_hours` adds the hours of the day
    as bars.
    """
    weekday, hour = found.busiest
    parts = [
        texts.stats_summary.format(
            messages=texts.format_count(texts.messages, found.messages),
            date=f"{found.since:%Y-%m-%d}",
            weekday=texts.weekdays.split()[weekday],
            hour=hour,
            end=hour + 1,
        )
    ]
    if with_hours:
        totals = [sum(day[hour] for day in found.hours) for hour in range(24)]
        most = max(totals)
        bars = "".join(_BARS[-(-total * (len(_BARS) - 1) // most)] for total in totals)
        parts.append(f"0 h {bars} 24 h")
    for person in found.people:
        words = "" if person.name in drawn else ", ".join(person.words)
        own = " ".join(filter(None, (words, *person.emoji)))
        count = texts.format_number(person.messages)
        parts.append(f"{person.name} ({count}){f': {own}' if own else ''}")
    return "\n".join(parts)


def _is_valid(found: Statistics, authors: set[int], place: Place, state: BotState) -> bool:
    still = {number for person in state.access.voices for number in person.ids}
    forgotten = state.forgotten.get(place.chat_id, set())
    return authors <= still and forgotten.isdisjoint(found.sources)


async def _delete(context: Context, sent: Message) -> None:
    try:
        await context.bot.delete_message(sent.chat.id, sent.message_id)
    except TelegramError:
        return
