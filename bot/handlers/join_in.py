"""Handle `/chatty` and `/quiet`; join a conversation unprompted."""

import asyncio
import random
import re
from collections import defaultdict, deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from telegram import Message, Update

from bot.application import Context
from bot.handlers.speaking import Speaking
from bot.services.access import is_group_admin
from bot.services.replies import ReplyRequest
from bot.services.state import BotState
from bot.store.messages import Place
from bot.transport.incoming import after_command, place_of
from model.joining import LEVELS, LOOKBACK_LINES, is_conversation_line

MAX_JOINS_PER_HOUR = 6
BUSY_MESSAGES = 8
"""A conversation with this many messages in the last minute is too fast to join."""
NIGHT = (23, 8)
"""From the first to the second hour, local time of the machine, the bot never joins in."""
MAX_DELAY = timedelta(minutes=1)
"""Messages that arrive later than this, for example after an outage, are not answered."""
DEFAULT_QUIET = timedelta(hours=8)
MAX_QUIET = timedelta(days=365)

_DURATION = re.compile(r"([0-9]{1,4})\s*(m|min|h|d)?", re.IGNORECASE)
_UNITS = {"m": timedelta(minutes=1), "min": timedelta(minutes=1), "d": timedelta(days=1)}
_OFF = {"0", "off", "no", "não", "nao"}


async def set_chatty(message: Message, context: Context) -> str:
    """Set how often the bot joins in (group admins only); without a number, show the level."""
    state, texts = context.state, context.texts
    group, argument = state.group_to_change(message.chat.id), after_command(message)
    if not argument:
        return texts.chatty_level.format(level=group.chatty)
    is_number = (
        argument.isascii() and argument.isdecimal() and len(argument) <= len(str(LEVELS[-1]))
    )
    if not is_number or int(argument) > LEVELS[-1]:
        return texts.chatty_usage
    if not await is_group_admin(context.bot, message, state.settings.admins):
        return texts.group_admins_only
    if state.model_in(message.chat.id).propensity is None:
        return texts.chatty_unavailable
    await state.save_group(replace(group, chatty=int(argument)))
    return texts.chatty_level.format(level=int(argument))


async def set_quiet(message: Message, context: Context) -> str:
    """Keep the bot from joining in for a while; anyone may ask for this."""
    state, texts = context.state, context.texts
    duration = parse_duration(after_command(message))
    if duration is None:
        return texts.quiet_usage
    until = datetime.now(UTC) + duration if duration else None
    await state.save_group(replace(state.group_to_change(message.chat.id), quiet_until=until))
    return (
        texts.quiet_on.format(time=texts.format_duration(duration)) if duration else texts.quiet_off
    )


@dataclass(frozen=True, slots=True)
class JoinIn:
    """Joins conversations; `joined` holds the times of the last hour, by chat."""

    speaking: Speaking
    rng: random.Random = field(default_factory=random.Random)
    joined: dict[int, deque[datetime]] = field(default_factory=lambda: defaultdict(deque))

    def may_join(self, update: Update, context: Context) -> bool:
        """Whether to consider a message: /chatty is on, or an earlier process may have answered."""
        chat = update.effective_chat
        is_chatty = chat is not None and context.state.group(chat.id).chatty > 0
        return is_chatty or context.delivery.is_repeated

    async def consider_joining(self, message: Message, context: Context) -> None:
        """Answer a message if a friend would probably have answered it."""
        replied = message.reply_to_message
        if replied and replied.from_user and replied.from_user.id == context.bot.id:
            return  # a reply to the bot is answered anyway
        place, state = place_of(message), context.state

        def is_welcome() -> bool:
            return _is_welcome(place.chat_id, state)

        if await self.speaking.resume(context, place, is_welcome):
            return
        now, times = datetime.now(UTC), self.joined[place.chat_id]
        if now - message.date > MAX_DELAY or is_night(now) or not is_welcome():
            return
        while times and now - times[0] > timedelta(hours=1):
            times.popleft()
        if len(times) >= MAX_JOINS_PER_HOUR:
            return
        if voice := await self._choose_voice(place, message, state):
            times.append(message.date)
            request = ReplyRequest(place, voice, message.date)
            await self.speaking.answer(context, request, should_continue=is_welcome)

    async def _choose_voice(self, place: Place, message: Message, state: BotState) -> str | None:
        """Return the friend who would probably answer, or None if nobody would."""
        model = state.model_in(place.chat_id)
        if model.propensity is None:
            return None
        earlier = await state.store.messages.find_newest(
            place, LOOKBACK_LINES, lambda one: is_conversation_line(one, model.roster)
        )
        if not earlier or earlier[-1].message_id != message.message_id:
            return None
        recent = [other for other in earlier if message.date - other.sent_at < timedelta(minutes=1)]
        if len(recent) >= BUSY_MESSAGES:
            return None
        gap = model.card.window.gap
        chances = await asyncio.to_thread(
            model.propensity.probabilities, earlier, model.roster, gap
        )
        agreed = {person.name for person in state.access_in(place.chat_id).voices}
        likely = {name: chance for name, chance in chances.items() if name in agreed}
        return model.propensity.choose_joiner(likely, state.group(place.chat_id).chatty, self.rng)


def _is_welcome(chat_id: int, state: BotState) -> bool:
    """Whether the bot may speak in a group, `/chatty` is on there and `/quiet` is off."""
    group = state.groups.get(chat_id)
    if group is None or not group.chatty or not state.may_speak_in(chat_id):
        return False
    return not group.quiet_until or datetime.now(UTC) >= group.quiet_until


def parse_duration(text: str) -> timedelta | None:
    """Parse `8h`, `30m`, `2d` or a number of hours; return None if it is anything else.

    No text means `DEFAULT_QUIET`, and a word such as `off` means 0.
    """
    if not text:
        return DEFAULT_QUIET
    if text.casefold() in _OFF:
        return timedelta(0)
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        return None
    duration = int(match[1]) * _UNITS.get((match[2] or "h").lower(), timedelta(hours=1))
    return duration if timedelta(0) < duration <= MAX_QUIET else None


def is_night(now: datetime) -> bool:
    """Whether it is night by the local time of the bot's machine."""
    start, end = NIGHT
    hour = now.astimezone().hour
    return hour >= start or hour < end
