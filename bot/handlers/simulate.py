"""Handle `/simulate` and `/stop`."""

import asyncio
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from telegram import Message

from bot.application import Context
from bot.errors import StoppingError
from bot.handlers.as_command import choose_question
from bot.handlers.speaking import Speaking, explain_refusal
from bot.services.replies import TOO_MANY, ReplyRequest
from bot.transport.incoming import after_command, place_of
from model.chat.person import Person
from model.chat.roster import Roster

DEFAULT_TURNS = 5
MAX_TURNS = 20

_ABOUT = re.compile(r"(?:^|(?<=[\s,]))(?:about|sobre)(?=[\s,:]|$)", re.IGNORECASE)
_JOINING = re.compile(r"^(?:[\s,;&]+|(?:and|with|e|com|turns|vezes)(?=[\s,]|$))+", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d+(?=[\s,;]|$)")


@dataclass(frozen=True, slots=True)
class SimulationRequest:
    """The request of a `/simulate`; without names, all voices take part."""

    turns: int = DEFAULT_TURNS
    people: tuple[Person, ...] = ()
    about: str = ""


class TurnsError(ValueError):
    """The number of turns is not allowed."""


class VoiceNameError(ValueError):
    """A name is ambiguous or unknown; the error's text begins with it."""


@dataclass(frozen=True, slots=True)
class Simulator:
    """Runs simulations; `running` holds the event that stops the one in each chat."""

    speaking: Speaking
    running: dict[int, asyncio.Event] = field(default_factory=dict)

    async def simulate(self, message: Message, context: Context) -> str | None:
        """Play the turns; return the reason if there are none or if they end early."""
        chat_id = message.chat.id
        wanted = await self._check_request(chat_id, after_command(message), context)
        if isinstance(wanted, str):
            return wanted
        stopped = self.running[chat_id] = asyncio.Event()
        try:
            return await self._play(wanted, message, context, stopped)
        finally:
            if self.running.get(chat_id) is stopped:  # another may have started after `/stop`
                del self.running[chat_id]

    async def stop(self, message: Message, context: Context) -> str:
        """Stop the simulation and all other turns in this chat; anyone may ask for this."""
        chat_id, state = message.chat.id, context.state
        if chat_id not in self.running and not await state.count_replies(chat_id):
            return context.texts.nothing_to_stop
        await state.queue.cancel_replies(chat_id)
        self.stop_turns(chat_id)
        await state.store.groups.announce_stop(chat_id)
        return context.texts.stopped

    def stop_turns(self, chat_id: int) -> None:
        """Stop the simulation and all other turns that this process sends to a chat."""
        self.speaking.stop(chat_id)
        if stopped := self.running.get(chat_id):
            stopped.set()

    async def _check_request(
        self, chat_id: int, argument: str, context: Context
    ) -> SimulationRequest | str:
        """Return what to play, or the reason why nobody speaks."""
        access, texts = context.state.access_in(chat_id), context.texts
        roster = access.roster_in(chat_id)
        if not access.voices:
            return texts.no_voices
        try:
            wanted = parse_simulation(argument, roster)
        except TurnsError:
            return texts.simulate_usage.format(usual=DEFAULT_TURNS, most=MAX_TURNS)
        except VoiceNameError as error:
            text, people = await asyncio.to_thread(
                choose_question, str(error), access, roster, texts
            )
            return f"{text} {', '.join(one.name for one in people)}" if len(people) > 1 else text
        for person in wanted.people:
            if refusal := explain_refusal(person, access, texts, chat_id):
                return refusal
        running = self.running.get(chat_id)
        is_running = running is not None and not running.is_set()
        return texts.simulation_running if is_running or TOO_MANY.get() else wanted

    async def _play(
        self, wanted: SimulationRequest, message: Message, context: Context, stopped: asyncio.Event
    ) -> str | None:
        """Play the turns; if the bot is stopped, the next start plays the remaining ones.

        In the prompts, the subject is a message from the person who sent the command.

        Raises:
            StoppingError: The bot is being stopped.
        """
        names = {person.name for person in wanted.people}
        at = message.date
        for _ in range(wanted.turns):
            # somebody may have opted out since the start
            agreed = context.state.access_in(message.chat.id).voices
            voices = [person.name for person in agreed]
            voices = [name for name in voices if not names or name in names]
            request = ReplyRequest(
                place_of(message), voices, at, command_id=message.message_id, question=wanted.about
            )
            if not voices or not await self.speaking.simulate_turn(context, request, stopped):
                return None if stopped.is_set() else context.texts.no_turn
            if stopped.is_set():
                return None
            if not context.delivery.is_running():
                raise StoppingError(
                    "the bot is stopping: the simulation will continue at the next start"
                )
            at = datetime.now(UTC)
        return None


def parse_simulation(words: str, roster: Roster) -> SimulationRequest:
    """Parse `/simulate`: the number of turns and names in any order, then `about` and a subject.

    Raises:
        TurnsError: The number of turns is not from 1 to 20.
        VoiceNameError: A name matches nobody or several people, or there are more than `MAX_TURNS`
            names.
    """
    turns, people = None, list[Person]()
    found = _ABOUT.search(words)
    left, about = (words[: found.start()], words[found.end() :]) if found else (words, "")
    while left := _JOINING.sub("", left).strip():
        if number := _NUMBER.match(left):
            turns, left = _parse_turns(number[0], turns), left[number.end() :]
        elif len(people) < MAX_TURNS and (named := roster.match_voice(left)):
            people, left = [*people, named[0]], named[1]
        else:
            raise VoiceNameError(left)
    return SimulationRequest(
        turns or DEFAULT_TURNS, tuple(dict.fromkeys(people)), about.strip(" \t\n:,")
    )


def _parse_turns(number: str, earlier: int | None) -> int:
    wrong = not number.isascii() or not number.isdecimal() or len(number) > len(str(MAX_TURNS))
    if wrong or earlier is not None or not 1 <= int(number) <= MAX_TURNS:
        raise TurnsError(number)
    return int(number)
