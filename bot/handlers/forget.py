"""Handle `/forget`."""

from dataclasses import dataclass

from telegram import Chat, Message, Update

from bot.services.access import is_group_admin
from bot.services.context import Context
from bot.services.forgetting import ErasureResult, erase
from bot.services.state import BotState
from bot.store.erasure import ErasureQuery
from bot.store.inbox import Ref
from bot.transport.incoming import after_command, author_id, own_id, place_of
from model.chat.eligibility import parse_voice_header
from model.chat.roster import Person


@dataclass(frozen=True, slots=True)
class Forgetting:
    """The handler of `/forget`, and what `/optout` erases."""

    state: BotState

    async def command(self, update: Update, context: Context) -> None:
        """Forget the message replied to, or all of who asks; say what was done."""
        if message := update.message:
            await context.delivery.say(place_of(message), await self._forget(message, context))

    async def everything_of(self, user_id: int, context: Context) -> ErasureResult:
        """Erase what somebody wrote, from any account, and what the bot made of it."""
        person = self.state.access.roster.find_by_id(user_id)
        wanted = ErasureQuery(
            authors=frozenset({user_id, *(person.ids if person else ())}),
            voices=(person.name,) if person else (),
            bots=self.state.access.roster.understudies,
        )
        return await erase(wanted, self.state, context)

    async def _forget(self, message: Message, context: Context) -> str:
        """Do what is asked; return what there is to say."""
        texts, words = context.texts, after_command(message).strip().casefold()
        replied = message.reply_to_message
        if words == "all":
            if (user_id := own_id(message)) is None:
                return texts.anonymous_sender
            gone = await self.everything_of(user_id, context)
            erased = texts.count(texts.messages, gone.messages)
            return gone.describe(texts.forget_all_done.format(messages=erased), texts)
        if words or replied is None or replied.forum_topic_created:
            return texts.forget_usage
        return await self._forget_one(message, replied, context)

    async def _forget_one(self, message: Message, replied: Message, context: Context) -> str:
        texts = context.texts
        ref = Ref(replied.chat.id, replied.message_id)
        is_ours = replied.from_user is not None and replied.from_user.id == context.bot.id
        voice = await self._voice_of(replied) if is_ours else None
        if is_ours and voice is None:
            return texts.forget_no_voice
        owners = set(self._ids(voice)) if voice else {author_id(replied)}
        asker = self.state.access.roster.find_by_id(author_id(message) or 0)
        asks = {author_id(message), *self._ids(asker.name if asker else None)}
        if not asks & owners and not await self._is_admin(message, context):
            return texts.forget_not_allowed
        if replied.sticker:
            unique_id = replied.sticker.file_unique_id
            await self.state.store.stickers.forget(ref.chat_id, unique_id)
        wanted = ErasureQuery(own=(ref,)) if is_ours else ErasureQuery(messages=(ref,))
        return (await erase(wanted, self.state, context)).describe(texts.forget_done, texts)

    async def _voice_of(self, line: Message) -> str | None:
        """Return in whose voice the bot said something, None where it spoke for itself."""
        kept = await self.state.store.outbox.line(line.chat.id, line.message_id)
        played = parse_voice_header(line.text or "")
        if kept:
            return kept.voice
        return played[0] if played else None

    def _ids(self, name: str | None) -> tuple[int, ...]:
        person: Person | None = self.state.access.roster.find_by_name(name) if name else None
        return person.ids if person else ()

    async def _is_admin(self, message: Message, context: Context) -> bool:
        """Whether who asks runs the bot, or the group; in private everybody is at home."""
        if message.chat.type == Chat.PRIVATE:
            return True
        return await is_group_admin(context.bot, message, self.state.settings.admins)
