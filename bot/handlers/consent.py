"""Handle `/optin` and `/optout`."""

from dataclasses import dataclass

from telegram import Update

from bot.handlers.forget import Forgetting
from bot.services.context import Context
from bot.services.state import BotState
from bot.texts.wording import Wording
from bot.transport.incoming import own_id, place_of
from model.chat.roster import Person


@dataclass(frozen=True, slots=True)
class Consenting:
    """The handlers with which people decide about their voices; the newest word counts."""

    state: BotState
    forgetting: Forgetting

    async def opt_in(self, update: Update, context: Context) -> None:
        """Keep that somebody agrees, and say whether their voice can be used now."""
        if (message := update.message) is None:
            return
        text = context.texts.anonymous_sender
        if (user_id := own_id(message)) is not None:
            await self.state.decide(message.chat.id, user_id, "optin")
            text = self._agreed(self.state.access.roster.find_by_id(user_id), context.texts)
        await context.delivery.say(place_of(message), text)

    async def opt_out(self, update: Update, context: Context) -> None:
        """Fall silent at once in somebody's voice, and erase what is kept of them."""
        if (message := update.message) is None:
            return
        texts = context.texts
        text = texts.anonymous_sender
        if (user_id := own_id(message)) is not None:
            await self.state.decide(message.chat.id, user_id, "optout")
            gone = await self.forgetting.everything_of(user_id, context)
            erased = texts.count(texts.messages, gone.messages)
            text = gone.describe(texts.optout_done.format(messages=erased), texts)
        await context.delivery.say(place_of(message), text)

    def _agreed(self, person: Person | None, texts: Wording) -> str:
        if person is None:
            return texts.optin_unknown
        if self.state.access.may_imitate(person):
            return texts.optin_done.format(name=person.name)
        if person.is_only_quiet:
            return texts.optin_too_few_messages.format(name=person.name)
        if not person.may_be_target:
            return texts.optin_roster_no.format(name=person.name)
        return texts.optin_other_account.format(name=person.name)
