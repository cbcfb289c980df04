"""Handle `/stats`: who talks when, each friend's characteristic words, and how `/guess` goes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from telegram import Message
from telegram.error import TelegramError

from bot.application import Context
from bot.handlers.guess import describe_machine
from bot.services.picture import Picture, PictureTexts, can_draw, draw_statistics
from bot.services.state import BotState
from bot.services.statistics import MAX_MESSAGES, Statistics, compute_statistics
from bot.store.messages import Place, Ref
from bot.texts.en import Wording
from bot.transport.incoming import place_of
from bot.transport.outgoing import typing

PAUSE_SECONDS = 60.0
"""Seconds before a place can get its statistics again."""
MIN_MESSAGES = 20
"""Minimum messages for statistics."""
MAX_TRIES = 3
"""Attempts to compute the statistics if somebody withdraws in the meantime."""
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
        made = await _make(place, context)
        for _ in range(MAX_TRIES - 1):
            if not isinstance(made, str) and not await made.may_send():
                made = await _make(place, context)
        if isinstance(made, str):
            return made
        sent = await context.delivery.show(place, made.png, made.text, made.may_send)
        if sent is None:
            return None
        self.sent_at[place] = time.monotonic()
        if not await made.may_send():
            with suppress(TelegramError):
                await context.bot.delete_message(sent.chat.id, sent.message_id)
        return None


@dataclass(frozen=True, slots=True)
class _Made:
    """A picture, if it could be drawn, and the text below it.

    `may_send` is false once somebody in them has withdrawn, or forgotten a message.
    """

    png: bytes | None
    text: str
    may_send: Callable[..., Awaitable[bool]]


async def _make(place: Place, context: Context) -> _Made | str:
    """Compute the statistics of a place, or return why there are none."""
    state, texts = context.state, context.texts
    access = state.access_in(place.chat_id)
    agreed = access.voices
    if not agreed:
        return texts.no_voices
    authors = {number for person in agreed for number in person.ids}
    messages = await state.store.messages.find_by_authors(place, authors, MAX_MESSAGES)
    found = await asyncio.to_thread(compute_statistics, messages, access.roster, agreed)
    if found is None or found.messages < MIN_MESSAGES:
        count = texts.format_count(texts.messages, found.messages if found else 0)
        return texts.stats_too_few.format(messages=count)
    may_send = partial(_is_valid, found, authors, place, state)
    machine = describe_machine(await state.store.quizzes.score(place.chat_id), texts)
    if not can_draw():
        return _Made(None, describe(found, texts, (), with_hours=True) + machine, may_send)
    picture = await _draw(found, texts)
    text = describe(found, texts, picture.people, with_hours=False)
    return _Made(picture.png, text + machine, may_send)


async def _draw(found: Statistics, texts: Wording) -> Picture:
    weekdays = tuple(day[:_WEEKDAY_LETTERS] for day in texts.weekdays.split())
    words = PictureTexts(texts.stats_hours, texts.stats_words, weekdays)
    return await asyncio.to_thread(draw_statistics, found, words)


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


async def _is_valid(
    found: Statistics, authors: set[int], place: Place, state: BotState, _: str = ""
) -> bool:
    """Whether nobody has withdrawn, or forgotten a message, since the statistics were computed."""
    voices = state.access_in(place.chat_id).voices
    still = {number for person in voices for number in person.ids}
    refs = [Ref(place.chat_id, number) for number in found.sources]
    return authors <= still and not await state.store.eraser.find_forgotten(refs)
