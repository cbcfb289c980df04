"""Handle `/start`, `/help`, `/privacy`, `/voices` and `/why`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from telegram import Update
from telegram.error import TelegramError

from bot.services.context import Bot, Context
from bot.services.state import BotState
from bot.store.outbox import Line
from bot.texts.wording import Wording
from bot.transport.incoming import person_id, place_of
from model.chat.eligibility import VOICE_EMOJI


@dataclass(frozen=True, slots=True)
class About:
    """The handlers that explain; `house` knows where names may be told."""

    state: BotState

    async def help(self, update: Update, context: Context) -> None:
        """Say what the bot does."""
        if message := update.message:
            await context.delivery.say(
                place_of(message), self._explanation(message.chat.id, context)
            )

    async def start(self, update: Update, context: Context) -> None:
        """Say what the bot does; in private, while there is no admin, say who is asking."""
        message = update.message
        if message is None:
            return
        text = self._explanation(message.chat.id, context)
        if message.chat.type == message.chat.PRIVATE and not self.state.settings.admins:
            text = context.texts.your_id.format(user_id=message.chat.id)
        await context.delivery.say(place_of(message), text)

    def _explanation(self, chat_id: int, context: Context) -> str:
        texts, access = context.texts, self.state.access
        if chat_id > 0 and chat_id not in access.admins:
            return f"{texts.introduction}\n\n{texts.private_admins_only}"
        if not access.may_speak_in(chat_id):
            return texts.silent_here
        return texts.help([person.name for person in access.voices])


@dataclass(frozen=True, slots=True)
class Privacy:
    """The handler of `/privacy`, which answers everybody everywhere."""

    state: BotState

    async def command(self, update: Update, context: Context) -> None:
        """Say it in plain words."""
        if (message := update.message) is None:
            return
        names = [await name_of(user, context.bot) for user in sorted(self.state.settings.admins)]
        texts = context.texts
        text = texts.privacy.format(
            days=texts.count(texts.days, self.state.settings.retention_days),
            admins=", ".join(names) or texts.no_admins,
        )
        await context.delivery.say(place_of(message), text)


async def name_of(user_id: int, bot: Bot) -> str:
    """Return what an admin is called and where to find them, as far as Telegram tells."""
    try:
        chat = await bot.get_chat(user_id)
    except TelegramError:  # who never wrote to the bot is not shown to it
        return f"tg://user?id={user_id}"
    name = chat.full_name or ""
    link = chat.link or f"tg://user?id={user_id}"
    return f"{name} ({link})".strip()


@dataclass(frozen=True, slots=True)
class Cast:
    """The handler that lists the voices."""

    state: BotState

    async def voices(self, update: Update, context: Context) -> None:
        """List them, where names may be told."""
        message = update.message
        if message is None:
            return
        access, chat_id = self.state.access, message.chat.id
        at_home = chat_id > 0 or access.learned_from(chat_id)
        here = access.may_speak_in(chat_id)
        text = self._listed(context.texts, tell_all=at_home) if here else context.texts.silent_here
        await context.delivery.say(place_of(message), text)

    def _listed(self, texts: Wording, *, tell_all: bool) -> str:
        """Return a line for each voice, then who may still agree and who wrote too little.

        These people are not named in a group that the model did not learn from.
        """
        access, card = self.state.access, self.state.model_holder.now.card
        voices = []
        for person in access.voices:
            lines = card.count_lines(person.name)
            learned = ""
            if lines is not None:
                learned = texts.learned_from.format(messages=texts.count(texts.messages, lines))
            voices.append(f"• {VOICE_EMOJI} {person.name}{learned}")  # a mask first would be a line
        others = [person for person in access.roster.people if tell_all]
        quiet = [person.name for person in others if person.is_only_quiet]
        silent = [person.name for person in others if access.may_still_agree(person)]
        parts = [
            "\n".join(voices) or texts.no_voices,
            texts.not_agreed_list.format(names=", ".join(silent)) if silent else "",
            texts.too_few_messages_list.format(names=", ".join(quiet)) if quiet else "",
        ]
        return "\n\n".join(filter(None, parts))


@dataclass(frozen=True, slots=True)
class Explaining:
    """The handler of `/why`."""

    state: BotState

    async def why(self, update: Update, context: Context) -> None:
        """Say how a line was made."""
        message = update.message
        replied = message.reply_to_message if message else None
        if message is None or not self.state.access.may_speak_in(message.chat.id):
            return
        place = place_of(message)
        line = None
        if replied and not replied.poll:  # it would tell the answer of a quiz
            line = await self.state.store.outbox.line(message.chat.id, replied.message_id)
        if replied is None or line is None:
            await context.delivery.say(place, context.texts.why_usage)
            return
        found = await self.state.store.reactions.counts(message.chat.id, replied.message_id)
        parts = [explained(line, context.texts), _reactions(found)]
        if person_id(message.from_user) in self.state.settings.admins:
            parts.insert(1, rejected(line, context.texts))
        await context.delivery.say(place, "\n".join(filter(None, parts)))


def explained(line: Line, texts: Wording) -> str:
    """Return whose voice a line is in, and what the model read for it if it is known."""
    read = line.generation.read if line.generation else len(line.sources)
    text = texts.why if read else texts.why_without_count
    messages = texts.count(texts.messages, read)
    return text.format(voice=line.voice, version=line.version, messages=messages)


def rejected(line: Line, texts: Wording) -> str:
    """Return how many candidates were rejected in favour of a line, and why."""
    if line.generation is None:
        return ""
    counts = Counter(line.generation.rejected)
    if not counts:
        return texts.why_none_rejected
    each = (f"{number} × {texts.rejections[reason]}" for reason, number in counts.most_common())
    return texts.why_rejected.format(count=counts.total(), reasons=", ".join(each))


def _reactions(counts: Mapping[str, int]) -> str:
    return "  ".join(f"{emoji} {number}" for emoji, number in sorted(counts.items()))
