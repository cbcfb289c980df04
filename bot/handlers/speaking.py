"""Generate and send turns in a voice."""

import asyncio
import logging
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from bot.application import Context
from bot.handlers.membership import PrivacyMode
from bot.services.access import Access
from bot.services.delivery import Ready
from bot.services.replies import (
    PLAIN_REQUEST,
    BusyError,
    QueueError,
    ReplyRequest,
    SlowError,
)
from bot.services.state import BotState
from bot.store.messages import Place
from bot.store.outbox import Turn
from bot.store.send_log import Part
from bot.texts.wording import Wording
from bot.transport.outgoing import pause, typing, typing_seconds
from model.chat.roster import Person
from model.errors import VoiceError
from model.speaking.candidates import MAX_OPENING, OpeningError

BUSY_NOTICE_SECONDS = 60.0  # between two notices in a chat that the bot is busy
QUEUED_SECONDS = 5.0
"""Seconds after which the chat is told that the model is busy with other replies."""

logger = logging.getLogger(__name__)


class Speaking:
    """Generates and sends turns in a voice, one at a time in each chat."""

    def __init__(self, state: BotState, privacy_mode: PrivacyMode) -> None:
        self._state = state
        self._privacy_mode = privacy_mode
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._busy_notices: dict[int, float] = {}  # when each chat got the last one
        self._stops = Counter[int]()
        self._rng = random.Random()

    async def answer(
        self,
        context: Context,
        place: Place,
        voice: str,
        at: datetime,
        request: ReplyRequest = PLAIN_REQUEST,
    ) -> None:
        """Answer the last message in a voice, or say why not."""
        if (part := await context.delivery.begin(place)) is not None:
            generate = partial(self._state.replies.generate, place, voice, at, request)
            no_reply_text = context.texts.no_reply.format(name=voice)
            await self._answer(context, part, place, generate, no_reply_text, voice=voice)

    async def join(
        self,
        context: Context,
        place: Place,
        voice: str,
        at: datetime,
        should_continue: Callable[[], bool],
    ) -> None:
        """Join the conversation unprompted.

        Stops when `should_continue()` is false; failures stay silent.
        """
        if (part := await context.delivery.begin(place)) is not None:
            generate = partial(self._state.replies.generate, place, voice, at)
            await self._answer(context, part, place, generate, should_continue=should_continue)

    async def resume(
        self, context: Context, place: Place, should_continue: Callable[[], bool]
    ) -> bool:
        """Continue an unprompted turn of an earlier process; return whether there was one."""
        turn = await context.delivery.unfinished()
        if turn is not None:
            await self.join(context, place, turn.voice, datetime.now(UTC), should_continue)
        return turn is not None

    def stop(self, chat_id: int) -> None:
        """Stop the turns that are being sent to a chat."""
        self._stops[chat_id] += 1

    async def answer_as_anyone(
        self,
        context: Context,
        place: Place,
        voices: Sequence[str],
        at: datetime,
        request: ReplyRequest,
    ) -> None:
        """Let the model choose which of `voices` answers the last message, or say why not."""
        if (part := await context.delivery.begin(place)) is not None:
            generate = partial(self._state.replies.generate_as_anyone, place, voices, at, request)
            await self._answer(context, part, place, generate, context.texts.no_turn)

    async def simulate_turn(
        self,
        context: Context,
        place: Place,
        voices: Sequence[str],
        at: datetime,
        request: ReplyRequest,
        stopped: asyncio.Event,
    ) -> bool:
        """Send the turn of a voice that the model chooses; return whether to continue.

        A turn that an earlier process already sent is not sent again.
        """
        if (part := await context.delivery.begin(place)) is None:
            return True
        generate = partial(self._state.replies.generate_as_anyone, place, voices, at, request)
        try:
            return await self._take_turn(
                context, part, place, generate, lambda: not stopped.is_set(),
                stopped=stopped, is_first_paced=part.number > 0,
            )  # fmt: skip
        except (BusyError, QueueError, SlowError) as error:
            stopped.set()  # the reason is sent here
            await self._send_excuse(context, part, place, self._excuse(error, place, context, ""))
            return False
        except VoiceError:
            await self._state.store.outbox.mark(part, place, "refused")
            return False

    async def _load_or_generate(
        self,
        context: Context,
        part: Part,
        place: Place,
        generate: Callable[..., Awaitable[Turn]],
        *,
        is_asked: bool = True,
    ) -> Turn:
        """Return the rest of a stored turn, or generate one; tell the chat if it must wait."""
        started = asyncio.Event()
        async with typing(context.bot, place):
            notice = asyncio.create_task(self._tell_queued(context, place, started))
            try:
                if not is_asked:
                    started.set()
                return await context.delivery.load_or_generate(
                    part, place, partial(generate, on_start=started.set)
                )
            finally:
                started.set()
                await notice  # so that it never comes after the reply

    async def _tell_queued(self, context: Context, place: Place, started: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(QUEUED_SECONDS):
                await started.wait()
        except TimeoutError:
            await context.delivery.notify(place, context.texts.queued)

    async def _answer(
        self,
        context: Context,
        part: Part,
        place: Place,
        generate: Callable[..., Awaitable[Turn]],
        no_reply_text: str | None = None,
        should_continue: Callable[[], bool] = lambda: True,
        voice: str | None = None,
    ) -> None:
        """Generate and send a turn; if that fails and somebody asked for it, say why.

        `voice` is the voice that somebody asked for: while the request waits, another model may
        replace the chat's, and the person may withdraw.
        """
        stops = self._stops[place.chat_id]

        def may_continue() -> bool:
            return self._stops[place.chat_id] == stops and should_continue()

        async def generate_permitted(on_start: Callable[[], object] | None = None) -> Turn:
            turn = await generate(on_start=on_start)
            if voice is not None and self._refuse(voice, place, context):
                raise VoiceError(f"{voice} may not be used any more")
            return turn

        is_asked = no_reply_text is not None
        try:
            if await self._take_turn(
                context, part, place, generate_permitted, may_continue, is_asked=is_asked
            ):
                await self._privacy_mode.hint(context, place)
        except VoiceError as error:
            if voice is not None and (refusal := self._refuse(voice, place, context)):
                no_reply_text = refusal
            excuse = (
                "" if no_reply_text is None else self._excuse(error, place, context, no_reply_text)
            )
            await self._send_excuse(context, part, place, excuse)

    async def _take_turn(
        self,
        context: Context,
        part: Part,
        place: Place,
        generate: Callable[..., Awaitable[Turn]],
        may_continue: Callable[[], bool],
        *,
        is_asked: bool = True,
        is_first_paced: bool = False,
        stopped: asyncio.Event | None = None,
    ) -> bool:
        """Generate and send a turn after the chat's other turns; return whether it arrived.

        Raises:
            VoiceError: No reply was generated.
        """
        with self._state.replies.admitted(place.chat_id):
            async with self._locks[place.chat_id]:
                begun = time.monotonic()
                turn = await self._load_or_generate(
                    context, part, place, generate, is_asked=is_asked
                )
                since = begun if is_first_paced else None
                ready = self._paced(context, part, place, turn, may_continue, since, stopped)
                return await self._send_turn(context, part, place, turn, ready)

    async def _send_excuse(self, context: Context, part: Part, place: Place, excuse: str) -> None:
        """Say why there is no reply, unless `excuse` is empty."""
        logger.info("no reply in chat %d", place.chat_id)
        if excuse:
            await context.delivery.send_text(place, excuse, part=part)
        else:
            await self._state.store.outbox.mark(part, place, "refused")

    def _paced(
        self,
        context: Context,
        part: Part,
        place: Place,
        turn: Turn,
        may_continue: Callable[[], bool],
        since: float | None = None,
        stopped: asyncio.Event | None = None,
    ) -> Ready:
        """Return a function that waits before each message for as long as a person would type it.

        Without `since` the first message is sent at once; with it, the pause before the first
        message counts from `since`. The function returns False if the turn was stopped, or may no
        longer be sent, in the meantime.
        """
        begun = since

        async def ready(words: str) -> bool:
            nonlocal begun
            if begun is not None and context.delivery.is_running():
                seconds = self._state.settings.pace * typing_seconds(words, self._rng)
                left = begun + seconds - time.monotonic()
                await pause(context.bot, place, left, stopped or asyncio.Event())
            begun = time.monotonic()
            await self._state.is_current.wait()  # somebody may have withdrawn, or sent /stop
            may_speak = may_continue() and self._state.may_speak_in(place.chat_id)
            may_speak = may_speak and await self._may_still_imitate(turn, place)
            return may_speak and await self._state.store.outbox.may_send(part)

        return ready

    async def _send_turn(
        self, context: Context, part: Part, place: Place, turn: Turn, ready: Ready
    ) -> bool:
        """Send a turn message by message; return whether its messages arrived.

        Returns False if one did not, or if the bot may no longer speak here. A turn that was
        withdrawn counts as sent.
        """
        result = await context.delivery.send_turn(part, place, turn, ready)
        if result == "sent" or not self._state.may_speak_in(place.chat_id):
            return result == "sent"
        return result == "withdrawn" or not await self._may_still_imitate(turn, place)

    async def _may_still_imitate(self, turn: Turn, place: Place) -> bool:
        return await self._state.may_still_imitate(place.chat_id, turn.person_id)

    def _refuse(self, voice: str, place: Place, context: Context) -> str | None:
        """Return why a voice that somebody asked for may not be used now, or None if it may.

        In a chat where the bot may not speak any more, there is nothing to say.
        """
        access = self._state.access_in(place.chat_id)
        if not access.may_speak_in(place.chat_id):
            return None
        person = access.roster.find_by_name(voice)
        return explain_refusal(person, access, context.texts, place.chat_id)

    def _excuse(self, error: VoiceError, place: Place, context: Context, no_reply_text: str) -> str:
        """Return the message that explains why there is no reply, or "" if the chat just got it."""
        if isinstance(error, BusyError):
            return self.busy(place, context)
        if isinstance(error, QueueError):
            return context.texts.queue_timeout
        if isinstance(error, SlowError):
            return context.texts.too_slow
        if isinstance(error, OpeningError):
            return context.texts.opening_refused.format(most=MAX_OPENING)
        return no_reply_text

    def busy(self, place: Place, context: Context) -> str:
        """Return the message for a chat with too many requests, at most once a minute."""
        now = time.monotonic()
        if now - self._busy_notices.get(place.chat_id, -BUSY_NOTICE_SECONDS) < BUSY_NOTICE_SECONDS:
            return ""
        self._busy_notices[place.chat_id] = now
        return context.texts.busy


def explain_refusal(
    person: Person | None, access: Access, texts: Wording, chat_id: int
) -> str | None:
    """Return why the bot does not speak as a person, or None if it may."""
    if person is not None and access.may_imitate(person):
        return None
    if person is None or person not in access.roster_in(chat_id).people:
        return texts.format_unknown_name([voice.name for voice in access.voices])
    if access.may_still_agree(person):
        return texts.not_agreed.format(name=person.name)
    return (texts.too_few_messages if person.is_only_quiet else texts.declined).format(
        name=person.name
    )
