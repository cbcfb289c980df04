"""Handle `/simulate` and `/stop`."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

from telegram import Message, Update

from bot.errors import StoppingError
from bot.handlers.as_command import (
    MOST_TURNS,
    USUAL_TURNS,
    Scene,
    TurnsError,
    WhoError,
    question,
    scene_of,
    why_silent,
)
from bot.handlers.speaking import Speaking
from bot.services.context import Context
from bot.services.replies import ReplyRequest
from bot.services.state import BotState
from bot.store.messages import Place
from bot.transport.incoming import after_command, place_of


@dataclass(frozen=True, slots=True)
class Simulating:
    """The handlers of `/simulate` and `/stop`, and the chats in which one goes on."""

    state: BotState
    speaking: Speaking
    busy: dict[int, asyncio.Event] = field(default_factory=dict)

    async def command(self, update: Update, context: Context) -> None:
        """Play some turns, or say why not."""
        message = update.message
        if message is None:
            return
        place = place_of(message)
        scene = self._scene(context, place, after_command(message))
        if isinstance(scene, str):
            await context.delivery.say(place, scene)
            return
        stopped = self.busy[place.chat_id] = asyncio.Event()
        try:
            await self._play(message, place, scene, context, stopped)
        finally:
            if self.busy.get(place.chat_id) is stopped:  # another may have begun after a stop
                del self.busy[place.chat_id]

    async def stop(self, update: Update, _: Context) -> None:
        """Let nothing further be said in this chat, whoever asks."""
        message = update.message
        if message is None:
            return
        self.speaking.stop(message.chat.id)
        if stopped := self.busy.get(message.chat.id):
            stopped.set()

    def _scene(self, context: Context, place: Place, words: str) -> Scene | str:
        """Return what is to be played, or why nobody speaks."""
        access, texts = self.state.access, context.texts
        if not access.may_speak_in(place.chat_id):
            return texts.silent_here
        if not access.voices:
            return texts.no_voices
        try:
            scene = scene_of(words, access.roster)
        except TurnsError:
            return texts.simulate_usage.format(usual=USUAL_TURNS, most=MOST_TURNS)
        except WhoError as error:
            text, fitting = question(str(error), access, texts)
            named = ", ".join(person.name for person in fitting)
            return f"{text} {named}" if len(fitting) > 1 else text
        refusals = (why_silent(person, access, texts) for person in scene.people)
        if refusal := next(filter(None, refusals), None):
            return refusal
        goes_on = self.busy.get(place.chat_id)
        return texts.simulation_running if goes_on and not goes_on.is_set() else scene

    async def _play(
        self,
        message: Message,
        place: Place,
        scene: Scene,
        context: Context,
        stopped: asyncio.Event,
    ) -> None:
        """Play the turns; those that are left when the bot stops are played at the next start.

        In its prompts the subject appears as what the user said with the command.
        """
        request = ReplyRequest(command=message.message_id, says=scene.about)
        at = message.date
        for _ in range(scene.turns):
            voices = self._voices(scene)
            if not voices or not await self.speaking.turn(
                context, place, voices, at, request, stopped
            ):
                if not stopped.is_set():
                    await context.delivery.say(place, context.texts.no_turn)
                return
            if stopped.is_set():
                return
            if not context.delivery.runs():
                raise StoppingError(
                    "the bot is being stopped: the simulation continues at the next start"
                )
            at = datetime.now(UTC)

    def _voices(self, scene: Scene) -> list[str]:
        """Return who may speak now: somebody may have said no since it began."""
        wanted = {person.name for person in scene.people}
        voices = [person.name for person in self.state.access.voices]
        return [name for name in voices if not wanted or name in wanted]
