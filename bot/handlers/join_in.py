"""Handle `/chatty` and `/quiet`; join a conversation unprompted."""

import asyncio
import random
import re
from collections import defaultdict, deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from telegram import Message, Update

from bot.handlers.speaking import Speaking
from bot.services.access import is_group_admin
from bot.services.context import Context
from bot.services.state import BotState
from bot.store.messages import Place
from bot.transport.incoming import after_command, place_of
from model.chat.conversation import Message as Said
from model.joining import LEVELS, LOOKBACK_LINES, is_conversation_line

MOST_AN_HOUR = 6
HEATED = 8
"""Messages of the last minute from which on the bot keeps out of it."""
NIGHT = (23, 8)
"""Hours between which it joins in nowhere, by the clock of its machine."""
FRESH = timedelta(minutes=1)
"""What is older when it arrives, after an outage, is joined no more."""
USUAL_QUIET = timedelta(hours=8)
LONGEST_QUIET = timedelta(days=365)

_SPAN = re.compile(r"([0-9]{1,4})\s*(m|min|h|d)?", re.IGNORECASE)
_UNITS = {"m": timedelta(minutes=1), "min": timedelta(minutes=1), "d": timedelta(days=1)}
_OFF = {"0", "off", "no", "não", "nao"}


@dataclass(frozen=True, slots=True)
class Joining:
    """The handlers of `/chatty`, `/quiet` and of talk that may be joined."""

    state: BotState
    speaking: Speaking
    chance: random.Random = field(default_factory=random.Random)
    joined: dict[int, deque[datetime]] = field(default_factory=lambda: defaultdict(deque))

    async def chatty(self, update: Update, context: Context) -> None:
        """Let a group's admin say how often the bot joins in; tell anybody how often it does."""
        message = update.message
        if message is None or not self.state.access.may_speak_in(message.chat.id):
            return
        place, texts = place_of(message), context.texts
        group, words = self.state.known(message.chat.id), after_command(message)
        if not words:
            await context.delivery.say(place, texts.chatty_level.format(level=group.chatty))
            return
        level = int(words) if words.isascii() and words.isdecimal() and len(words) < 4 else -1  # noqa: PLR2004  digits
        if not 0 <= level <= LEVELS[-1]:
            text = texts.chatty_usage
        elif not await is_group_admin(context.bot, message, self.state.settings.admins):
            text = texts.group_admins_only
        elif self.state.model_holder.now.propensity is None:
            text = texts.chatty_unavailable
        else:
            await self.state.change(replace(group, chatty=level))
            text = texts.chatty_level.format(level=level)
        await context.delivery.say(place, text)

    async def quiet(self, update: Update, context: Context) -> None:
        """Keep the bot from joining in for a while; anybody may ask for that."""
        message = update.message
        if message is None or not self.state.access.may_speak_in(message.chat.id):
            return
        span = span_of(after_command(message))
        place, texts = place_of(message), context.texts
        if span is None:
            await context.delivery.say(place, texts.quiet_usage)
            return
        until = datetime.now(UTC) + span if span else None
        group = self.state.known(message.chat.id)
        await self.state.change(replace(group, quiet_until=until))
        text = texts.quiet_on.format(time=texts.span(span)) if span else texts.quiet_off
        await context.delivery.say(place, text)

    async def talk(self, update: Update, context: Context) -> None:
        """Join in after a message, now and then, as a friend who would have."""
        message = update.message
        if message is None or self._is_answered_anyway(message):
            return
        place = place_of(message)
        if await self.speaking.resume(context, place, lambda: self._is_welcome(place.chat_id)):
            return
        if not self._may(message, datetime.now(UTC)):
            return
        if voice := await self._voice(place, message):
            self.joined[place.chat_id].append(message.date)
            chat_id = place.chat_id
            await self.speaking.join(
                context, place, voice, message.date, lambda: self._is_welcome(chat_id)
            )

    def _may(self, message: Message, now: datetime) -> bool:
        """Whether this is a group, a moment and a message in which to join at all."""
        chat_id = message.chat.id
        if not self._is_welcome(chat_id) or not self.state.access.may_speak_in(chat_id):
            return False
        if now - message.date > FRESH:
            return False
        return not is_night(now) and self._has_room(chat_id, now)

    def _is_answered_anyway(self, message: Message) -> bool:
        """Whether a message replies to one of the bot's."""
        replied = message.reply_to_message
        author = replied.from_user if replied else None
        return author is not None and author.id == self.state.model_holder.bot_id

    def _is_welcome(self, chat_id: int) -> bool:
        """Whether a group wants to be joined, and has not asked for quiet."""
        group = self.state.groups.get(chat_id)
        if group is None or not group.chatty:
            return False
        return not group.quiet_until or datetime.now(UTC) >= group.quiet_until

    def _has_room(self, chat_id: int, now: datetime) -> bool:
        """Whether the hour's joinings are not yet used up."""
        times = self.joined[chat_id]
        while times and now - times[0] > timedelta(hours=1):
            times.popleft()
        return len(times) < MOST_AN_HOUR

    async def _voice(self, place: Place, message: Message) -> str | None:
        """Return who would have answered, None for nobody."""
        serving, access = self.state.model_holder.now, self.state.access
        if serving.propensity is None:
            return None
        earlier = await self.state.store.messages.earlier(
            place, LOOKBACK_LINES, lambda one: is_conversation_line(one, serving.roster)
        )
        if not earlier or earlier[-1].message_id != message.message_id or is_heated(earlier):
            return None
        gap = serving.card.window.gap
        chances = await asyncio.to_thread(
            serving.propensity.probabilities, earlier, serving.roster, gap
        )
        agreed = {person.name for person in access.voices}
        likely = {name: chance for name, chance in chances.items() if name in agreed}
        level = self.state.group(place.chat_id).chatty
        return serving.propensity.choose_joiner(likely, level, self.chance)


def span_of(words: str) -> timedelta | None:
    """Return the span that `8h`, `30m`, `2d` or a number of hours means, None for anything else."""
    if not words:
        return USUAL_QUIET
    if words.casefold() in _OFF:
        return timedelta(0)
    found = _SPAN.fullmatch(words.strip())
    if found is None:
        return None
    span = int(found[1]) * _UNITS.get((found[2] or "h").lower(), timedelta(hours=1))
    return span if timedelta(0) < span <= LONGEST_QUIET else None


def is_night(now: datetime) -> bool:
    """Whether people sleep, by the clock of the bot's machine."""
    start, end = NIGHT
    hour = now.astimezone().hour
    return hour >= start or hour < end


def is_heated(messages: list[Said]) -> bool:
    """Whether people talk too fast for another one."""
    newest = messages[-1].sent_at
    return sum(newest - one.sent_at < timedelta(minutes=1) for one in messages) >= HEATED
